import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  keyFilter,
  keyMembers,
  keyOf,
  keyStrategy,
  keyValue,
  matchStrategy,
  readKey,
  sameKey,
} from '../../../../src/dataverse/bulk/keys.ts';
import { ACCOUNT } from './account-table.ts';

const GUID = '6d81597f-0f9f-4711-8122-000d3aa2331c';
const byNumber = keyStrategy(ACCOUNT, ['accountnumber']);
const byPair = keyStrategy(ACCOUNT, ['numberofemployees', 'name']);
const byTime = keyStrategy(ACCOUNT, ['lastusedon']);
const byId = keyStrategy(ACCOUNT, ['accountid']);

describe('a strategy', () => {
  test('is the id, or the columns of an active key in any order', () => {
    expect(byId).toEqual({ kind: 'id' });
    expect(byPair).toEqual({ kind: 'alternateKey', columns: ['numberofemployees', 'name'] });
  });

  test.each([
    [['name'], /Pending/, /Wait/],
    [['numberofemployees'], /Failed/, /duplicates/],
    [['accountnumber', 'name'], /no alternate key on accountnumber, name/, /accountid or accountnumber/],
    [['accountnumber', 'parentid'], /lookup 'parentid'.*several tables/, /accountid or accountnumber/],
  ])('is not %j, and the error says why', (columns, message, hint) => {
    const choose = () => keyStrategy(ACCOUNT, columns);
    expect(choose).toThrow(message);
    expect(choose).toThrow(expect.objectContaining({ code: 'keyUnknown', hint: expect.stringMatching(hint) }));
  });

  test('is never proposed that cannot be used', () => {
    expect(() => keyStrategy(ACCOUNT, ['name'].concat('accountnumber'))).toThrow(
      expect.objectContaining({ hint: expect.not.stringContaining('parentid') }),
    );
  });
});

describe('the key of a row', () => {
  test.each([
    [byId, { accountid: GUID.toUpperCase() }, { id: GUID }],
    [byNumber, { accountnumber: 'A-1', name: 'x' }, { accountnumber: 'A-1' }],
    [byPair, { numberofemployees: '5', name: 'x' }, { numberofemployees: 5, name: 'x' }],
    [byTime, { lastusedon: '2026-05-31T12:00:00+02:00' }, { lastusedon: '2026-05-31T10:00:00.000Z' }],
  ])('of %j is read in the service’s types', (strategy, row, key) => {
    expect(readKey(ACCOUNT, strategy, row)).toEqual({ key });
  });

  test.each([
    [byId, {}, 'emptyKey'],
    [byId, { accountid: '' }, 'emptyKey'],
    [byId, { accountid: 'x' }, 'wrongType'],
    [byId, { accountid: 5 }, 'wrongType'],
    [byNumber, { accountnumber: null }, 'emptyKey'],
    [byNumber, { accountnumber: '' }, 'emptyKey'],
    [byNumber, { accountnumber: 'x'.repeat(21) }, 'valueTooLong'],
    [byPair, { name: 'x' }, 'emptyKey'],
    [byPair, { name: 'x', numberofemployees: 'many' }, 'wrongType'],
  ])('of %j %j is refused', (strategy, row, code) => {
    expect(readKey(ACCOUNT, strategy, row).error).toMatchObject({ code });
  });
});

test('keys are the same without regard to case, trailing blanks and the order of columns', () => {
  expect(sameKey({ a: 'X ', b: 1 })).toBe(sameKey({ b: 1, a: 'x' }));
  expect(sameKey({ a: ' x' })).not.toBe(sameKey({ a: 'x' }));
  expect(sameKey({ a: '1' })).not.toBe(sameKey({ a: 1 }));
});

test('a time is the same key whether we or the service write it', () => {
  expect(keyValue(ACCOUNT, 'lastusedon', '2026-05-31T10:00:00Z')).toBe('2026-05-31T10:00:00.000Z');
});

/** What a server reads: query values, percent-decoded. */
const parse = (query: string) => new URL(`https://x/?${query}`).searchParams;

describe('the query for keys', () => {
  test('carries texts of one column whole, whatever they hold', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 12 }), { minLength: 1, maxLength: 5 }), (numbers) => {
        const query = keyFilter(
          ACCOUNT,
          byNumber,
          numbers.map((accountnumber) => ({ accountnumber })),
        );
        expect(query).toMatch(/^[\w$,=&@%.()~*!-]+$/);
        const values = parse(query);
        expect([...values.keys()]).toEqual(['$select', '$filter', '@c', '@v']);
        expect(values.get('@c')).toBe("'accountnumber'");
        expect(JSON.parse(values.get('@v') ?? '')).toEqual(numbers);
      }),
    );
  });

  test('quotes texts of several columns so that none can change the filter', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 12 }), fc.integer(), (name, numberofemployees) => {
        const filter = parse(keyFilter(ACCOUNT, byPair, [{ numberofemployees, name }])).get('$filter') ?? '';
        const quoted = filter.slice(`(numberofemployees eq ${numberofemployees} and name eq `.length, -1);
        expect(quoted.slice(1, -1).replaceAll("''", '')).not.toContain("'");
        expect(quoted.slice(1, -1).replaceAll("''", "'")).toBe(name);
      }),
    );
  });

  test('compares ids as GUIDs and times as times', () => {
    expect(parse(keyFilter(ACCOUNT, byId, [{ id: GUID }])).get('@v')).toBe(`["${GUID}"]`);
    expect(parse(keyFilter(ACCOUNT, byTime, [{ lastusedon: '2026-05-31T10:00:00.000Z' }])).get('$filter')).toBe(
      '(lastusedon eq 2026-05-31T10:00:00.000Z)',
    );
  });
});

describe('a key with a lookup', () => {
  const contact = keyStrategy(ACCOUNT, ['accountnumber', 'primarycontactid']);

  test.each([[GUID.toUpperCase()], [{ table: 'contact', id: GUID }]])('is read from %j', (primarycontactid) => {
    expect(readKey(ACCOUNT, contact, { accountnumber: 'A', primarycontactid })).toEqual({
      key: { accountnumber: 'A', primarycontactid: GUID },
    });
  });

  test('is asked for by the lookup’s value, found by it, and written as a binding', () => {
    const key = { accountnumber: 'A', primarycontactid: GUID };
    const query = parse(keyFilter(ACCOUNT, contact, [key]));
    expect(query.get('$select')).toBe('accountid,accountnumber,_primarycontactid_value');
    expect(query.get('$filter')).toBe(`(accountnumber eq 'A' and _primarycontactid_value eq ${GUID})`);
    expect(keyOf(ACCOUNT, contact, { accountnumber: 'A', _primarycontactid_value: GUID })).toEqual(key);
    expect(JSON.parse(`{${keyMembers(ACCOUNT, contact)(key)}}`)).toEqual({
      accountnumber: 'A',
      'primarycontactid_nav@odata.bind': `/contacts(${GUID})`,
    });
  });
});

test('a number that a double does not hold keeps all its digits in a key', () => {
  const byLimit = keyStrategy(ACCOUNT, ['creditlimit']);
  const { key } = readKey(ACCOUNT, byLimit, { creditlimit: '12345678901.1234567891' });
  expect(parse(keyFilter(ACCOUNT, byLimit, [key])).get('$filter')).toBe('(creditlimit eq 12345678901.1234567891)');
  expect(keyMembers(ACCOUNT, byLimit)(key)).toBe('"creditlimit":12345678901.1234567891');
});

describe('rows are matched by columns without a key', () => {
  test('of types that can be compared', () => {
    expect(matchStrategy(ACCOUNT, ['name', 'primarycontactid'])).toEqual({
      kind: 'match',
      columns: ['name', 'primarycontactid'],
    });
  });

  test.each([
    [['description'], /Memo/],
    [['parentid'], /parentid/],
    [['nothing'], /no column 'nothing'/],
  ])('not by %j', (columns, message) => {
    expect(() => matchStrategy(ACCOUNT, columns)).toThrow(message);
  });
});
