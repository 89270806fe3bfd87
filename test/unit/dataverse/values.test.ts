import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readRow } from '../../../src/dataverse/read-row.ts';
import { RowReference } from '../../../src/dataverse/row-reference.ts';
import type { Column, Table } from '../../../src/dataverse/table.ts';
import { toWireRow, toWireValue } from '../../../src/dataverse/values.ts';
import { exactNumber, parseExactJson } from '../../../src/shared/exact-json.ts';

const column = (type: string, more: Partial<Column> = {}): Column => ({
  logicalName: 'col',
  type,
  validForCreate: true,
  validForUpdate: true,
  ...more,
});
const GUID = '6D81597F-0F9F-4711-8122-000D3AA2331C';
const contacts = { navigationProperty: 'parentcustomerid_contact', entitySetName: 'contacts' };
const accounts = { navigationProperty: 'parentcustomerid_account', entitySetName: 'accounts' };

const text = column('String', { maxLength: 5 });
const whole = column('Integer', { minValue: -5, maxValue: 10 });
const money = column('Money', { minValue: 0, maxValue: 1e12 });
const choice = column('Picklist', {
  options: new Set([1, 100_000_002, -1]),
  labels: new Map([
    ['large', [1]],
    ['gross', [1]],
    ['other', [100_000_002, -1]],
  ]),
});
const choices = column('MultiSelectPicklist', {
  options: new Set([1, 2, 3]),
  labels: new Map([
    ['red', [1]],
    ['blue, dark', [2]],
  ]),
});
const day = column('DateTime', { dateBehavior: 'DateOnly' });
const time = column('DateTime', { dateBehavior: 'UserLocal' });
const lookup = column('Lookup', { targets: new Map([['account', accounts]]) });
const customer = column('Customer', {
  targets: new Map([
    ['account', accounts],
    ['contact', contacts],
  ]),
});

test.each<[string, Column, unknown, unknown]>([
  ['text of the longest length', text, '12345', '12345'],
  ['text with blanks and line breaks', column('Memo'), ' a\t\r\nb ', ' a\t\r\nb '],
  ['the empty text, which clears', text, '', null],
  ['null', whole, null, null],
  ['a whole number', whole, 10, 10],
  ['a whole number as text', whole, ' +7 ', 7],
  ['the smallest number', whole, '-5', -5],
  ['a large whole number', column('BigInt'), '9007199254740991', 9007199254740991],
  ['a whole number beyond a double', column('BigInt'), '-9223372036854775808', exactNumber('-9223372036854775808')],
  ['a decimal beyond a double', column('Decimal'), '+0012345678901.23456789', exactNumber('12345678901.23456789')],
  [
    'a decimal beyond a double that came as a number',
    money,
    exactNumber('12345678901.12345678'),
    exactNumber('12345678901.12345678'),
  ],
  ['a choice by its label', choice, ' large ', 1],
  ['a choice by its label in another language', choice, 'GROSS', 1],
  ['several choices by label', choices, ['Red', 3], '1,3'],
  ['several choices by label as text', choices, 'red; 3', '1,3'],
  ['a label with a comma in it', choices, 'Blue, dark', '2'],
  ['a decimal', column('Decimal'), '0.5', 0.5],
  ['a decimal without a digit in front', column('Double'), '.5', 0.5],
  ['a decimal with an exponent', money, '1.5e3', 1500],
  ['true', column('Boolean'), true, true],
  ['true as text', column('Boolean'), ' TRUE ', true],
  ['false as a number', column('Boolean'), 0, false],
  ['false as a digit', column('Boolean'), '0', false],
  ['a choice', choice, 100_000_002, 100_000_002],
  ['a choice as text', choice, '-1', -1],
  ['a choice without known options', column('Status'), 7, 7],
  ['several choices', choices, [1, '3'], '1,3'],
  ['several choices as text', choices, '1, 2', '1,2'],
  ['no choices, which clears', choices, [], null],
  ['a date', day, '2024-02-29', '2024-02-29'],
  ['a time', time, '2026-05-31T10:00:00Z', '2026-05-31T10:00:00.000Z'],
  ['a time with an offset and a blank', time, '2026-05-31 10:00+02:00', '2026-05-31T08:00:00.000Z'],
  ['a GUID', column('Uniqueidentifier'), GUID, GUID.toLowerCase()],
])('%s is taken', (_, target, value, expected) => {
  expect(toWireValue(target, value)).toEqual({ value: expected });
});

test('a number as text is the same number on the wire, digit by digit', () => {
  const digits = fc.tuple(
    fc.constantFrom('', '-'),
    fc.bigInt({ min: 0n, max: 10n ** 25n }),
    fc.stringMatching(/^\d{0,10}$/),
  );
  fc.assert(
    fc.property(digits, ([sign, whole, fraction]) => {
      const text = `${sign}${whole}${fraction && `.${fraction}`}`;
      const converted = toWireValue(column('Decimal'), text);
      const sent = JSON.stringify('value' in converted ? converted.value : undefined);
      const canonical = (one: string): string =>
        one
          .replace(/(\.\d*?)0+$/, '$1')
          .replace(/\.$/, '')
          .replace(/^-0$/, '0');
      if (!sent.includes('e')) expect(canonical(sent)).toBe(canonical(text));
      else expect(Number(sent)).toBe(Number(text));
    }),
  );
});

test.each<[string, Column, unknown, string]>([
  ['text one character too long', text, '123456', 'valueTooLong'],
  ['text with a character that XML forbids', text, 'a\u0001', 'invalidCharacter'],
  ['a number for text', text, 5, 'wrongType'],
  ['an object for text', text, {}, 'wrongType'],
  ['a number above the largest', whole, 11, 'outOfRange'],
  ['a number below the smallest', whole, '-6', 'outOfRange'],
  ['a fraction for a whole number', whole, 1.5, 'wrongType'],
  ['a fraction as text for a whole number', whole, '1.0', 'wrongType'],
  ['a number of more than 64 bits', column('BigInt'), '9223372036854775808', 'outOfRange'],
  ['words for a number', money, 'ten', 'wrongType'],
  ['a hexadecimal number', money, '0x10', 'wrongType'],
  ['infinity', column('Double'), '1e999', 'wrongType'],
  ['a number with a comma', money, '1,5', 'wrongType'],
  ['blanks for a number', money, '  ', 'wrongType'],
  ['a truth value for a number', money, true, 'wrongType'],
  ['a list with one truth value', column('Boolean'), [true], 'wrongType'],
  ['yes for a truth value', column('Boolean'), 'yes', 'wrongType'],
  ['an unknown choice', choice, 2, 'unknownChoice'],
  ['a label that no choice has', choice, 'Huge', 'unknownChoice'],
  ['a label that several choices have', choice, 'Other', 'ambiguousChoice'],
  ['a fraction for a choice', choice, 1.5, 'unknownChoice'],
  ['one unknown choice of several', choices, [1, 4], 'unknownChoice'],
  ['choices with a gap', choices, '1,,2', 'unknownChoice'],
  ['a day that is not in the calendar', day, '2026-02-29', 'wrongType'],
  ['a time for a date', day, '2026-05-31T10:00:00Z', 'wrongType'],
  ['a date for a time', time, '2026-05-31', 'wrongType'],
  ['a time without offset', time, '2026-05-31T10:00:00', 'wrongType'],
  ['a time on a day that is not in the calendar', time, '2026-02-30T10:00:00Z', 'wrongType'],
  ['a time with an hour too many', time, '2026-05-31T25:00:00Z', 'wrongType'],
  ['a number for a time', time, 1_700_000_000_000, 'wrongType'],
  ['a text that is no GUID', column('Uniqueidentifier'), 'id', 'wrongType'],
  ['a value of a type that has none', column('Virtual'), 'x', 'typeNotSupported'],
  ['a lookup to a text', lookup, 'Contoso', 'wrongType'],
  ['a lookup to an unknown table', lookup, { table: 'lead', id: GUID }, 'lookupTableUnknown'],
  ['a lookup to several tables without one', customer, GUID, 'lookupTableUnknown'],
  ['a number for a lookup', lookup, 5, 'wrongType'],
])('%s is refused', (_, target, value, code) => {
  expect(toWireValue(target, value)).toEqual({
    error: expect.objectContaining({ code, column: 'col', message: expect.stringContaining("'col'") }),
  });
});

describe('a lookup', () => {
  test('is bound by its navigation property', () => {
    const bound = { property: 'parentcustomerid_account@odata.bind', value: `/accounts(${GUID.toLowerCase()})` };
    expect(toWireValue(lookup, GUID)).toEqual(bound);
    expect(toWireValue(customer, { table: 'account', id: GUID })).toEqual(bound);
    expect(toWireValue(customer, { table: 'contact', id: GUID })).toMatchObject({
      property: 'parentcustomerid_contact@odata.bind',
    });
  });

  test('is bound as it was read, by the table’s entity set too', () => {
    const bound = toWireValue(customer, { table: 'account', id: GUID });
    expect(toWireValue(customer, { table: 'account', id: GUID, name: 'Contoso' })).toEqual(bound);
    expect(toWireValue(customer, { table: 'accounts', id: GUID })).toEqual(bound);
  });

  test('is bound to a row whose address was made beforehand', () => {
    expect(toWireValue(customer, new RowReference('contact', "contacts(employeeid='7')"))).toEqual({
      property: 'parentcustomerid_contact@odata.bind',
      value: "/contacts(employeeid='7')",
    });
    expect(toWireValue(customer, { table: 'contact', path: 'systemusers(x)' })).toMatchObject({
      error: { code: 'wrongType' },
    });
  });

  test('is not bound to a table that the connection may not touch, and can be cleared all the same', () => {
    const owner = column('Owner', { targets: new Map(), closedTargets: new Map([['team', 'ownerid_task']]) });
    expect(toWireValue(owner, { table: 'team', id: GUID })).toMatchObject({ error: { code: 'tableNotAllowed' } });
    expect(toWireValue(owner, GUID)).toMatchObject({ error: { code: 'tableNotAllowed' } });
    expect(toWireValue(owner, null)).toEqual({ property: 'ownerid_task@odata.bind', value: null });
  });

  test.each([null, ''])('is cleared by %j', (value) => {
    expect(toWireValue(lookup, value)).toEqual({ property: 'parentcustomerid_account@odata.bind', value: null });
  });
});

describe('a row', () => {
  const table: Table = {
    logicalName: 'account',
    entitySetName: 'accounts',
    primaryId: 'accountid',
    primaryName: 'name',
    columns: new Map(
      [
        { ...text, logicalName: 'name' },
        { ...lookup, logicalName: 'parentaccountid' },
        { ...time, logicalName: 'createdon', validForCreate: false, validForUpdate: false },
      ].map((each) => [each.logicalName, each]),
    ),
    keys: [],
  };

  test('goes out in wire form, without what is undefined', () => {
    expect(toWireRow(table, { name: 'A', parentaccountid: GUID })).toEqual({
      values: { name: 'A', 'parentcustomerid_account@odata.bind': `/accounts(${GUID.toLowerCase()})` },
    });
    expect(toWireRow(table, { name: undefined })).toEqual({ values: {} });
  });

  test.each([
    [{ nmae: 'x' }, { code: 'columnUnknown', column: 'nmae', hint: 'Did you mean name?' }],
    [{ completely: 'x' }, { code: 'columnUnknown', column: 'completely' }],
    [{ createdon: '2026-05-31T10:00:00Z' }, { code: 'columnReadOnly', column: 'createdon' }],
    [{ name: 'too long' }, { code: 'valueTooLong', column: 'name' }],
  ])('%j is refused by the column that is wrong', (row, error) => {
    const { message: _, ...rest } = toWireRow(table, row).error ?? { message: '' };
    expect(rest).toEqual({ ...rest, ...error });
  });

  test('does not ask an object for its text', () => {
    const hostile = JSON.parse('{"toString":{}}');
    for (const column of [choice, choices]) {
      expect(toWireValue(column, hostile)).toMatchObject({ error: { code: 'unknownChoice' } });
    }
  });

  test('never throws, whatever JSON holds', () => {
    const columns = [text, whole, money, choice, choices, day, time, lookup, customer, column('Boolean')];
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(...columns), (value, target) => {
        const converted = toWireValue(target, value);
        expect('error' in converted || 'value' in converted).toBe(true);
      }),
    );
  });
});

test('what is read of a row is taken when it is written back', () => {
  const wholeRow = (name: string, from: Column): Column => ({ ...from, logicalName: name });
  const table: Table = {
    logicalName: 'contact',
    entitySetName: 'contacts',
    primaryId: 'contactid',
    primaryName: 'fullname',
    keys: [],
    columns: new Map(
      [
        wholeRow('text', column('Memo')),
        wholeRow('whole', column('BigInt')),
        wholeRow('decimal', column('Decimal')),
        wholeRow('flag', column('Boolean')),
        wholeRow('choice', choice),
        wholeRow('choices', choices),
        wholeRow('day', day),
        wholeRow('time', time),
        wholeRow('customer', customer),
      ].map((each) => [each.logicalName, each]),
    ),
  };
  const date = fc.date({ min: new Date('1753-01-01'), max: new Date('9999-12-31'), noInvalidDate: true });
  const wire = fc.record({
    text: fc.string(),
    whole: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String),
    decimal: fc
      .tuple(fc.bigInt({ min: 0n, max: 10n ** 15n }), fc.stringMatching(/^\d{1,9}[1-9]$/))
      .map((parts) => parts.join('.')),
    flag: fc.boolean(),
    choice: fc.constantFrom(1, 100_000_002, -1),
    choices: fc.constantFrom('1', '1,3', '2,3'),
    day: date.map((each) => each.toISOString().slice(0, 10)),
    time: date.map((each) => each.toISOString()),
    lookup: fc.tuple(fc.uuid(), fc.constantFrom('account', 'contact')),
  });
  fc.assert(
    fc.property(wire, ({ whole: number, decimal, lookup: [id, target], ...rest }) => {
      const answer = `{${[
        `"whole":${number},"decimal":${decimal},"_customer_value":"${id}"`,
        `"_customer_value@Microsoft.Dynamics.CRM.lookuplogicalname":"${target}"`,
        JSON.stringify(rest).slice(1, -1),
      ].join()}}`;
      const read = readRow(table, parseExactJson(answer) as Record<string, unknown>);
      const { values } = toWireRow(table, read);
      expect(JSON.parse(JSON.stringify(values))).toEqual({
        ...rest,
        text: rest.text === '' ? null : rest.text,
        whole: Number(number),
        decimal: Number(decimal),
        [`parentcustomerid_${target}@odata.bind`]: `/${target}s(${id})`,
      });
      expect(JSON.stringify(values)).toContain(`"whole":${number}`);
      expect(JSON.stringify(values)).toContain(`"decimal":${decimal}`);
    }),
    { numRuns: 100 },
  );
});
