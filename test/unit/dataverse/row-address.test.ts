import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressOf, addressPath } from '../../../src/dataverse/row-address.ts';
import { idByKeyPath, rowPath } from '../../../src/dataverse/wire/keys.ts';
import { stringLiteral } from '../../../src/dataverse/wire/literals.ts';
import { awkwardText } from './awkward-text.ts';
import { column, fakeMetadata } from './fake-metadata.ts';

const ID = '6D81597F-0F9F-4711-8122-000D3AA2331C';
const contacts = { navigationProperty: 'primarycontactid', entitySetName: 'contacts' };
const metadata = fakeMetadata({
  account: {
    columns: [
      column('accountnumber', 'String', { maxLength: 20 }),
      column('size', 'Integer'),
      column('rate', 'Decimal'),
      column('kind', 'Picklist', { options: new Set([1]), labels: new Map([['large', [1]]]) }),
      column('since', 'DateTime', { dateBehavior: 'DateOnly' }),
      column('primarycontactid', 'Lookup', { targets: new Map([['contact', contacts]]) }),
    ],
    keys: [['accountnumber'], ['accountnumber', 'size'], ['kind', 'since'], ['primarycontactid'], ['rate']],
  },
});

const pathOf = async (key: string | Record<string, unknown>) => addressPath(await addressOf(metadata, 'account', key));

describe('a key', () => {
  test.each<[string | Record<string, unknown>, string]>([
    [ID, `accounts(${ID.toLowerCase()})`],
    [`accountid=${ID}`, `accounts(${ID.toLowerCase()})`],
    [{ accountid: ID }, `accounts(${ID.toLowerCase()})`],
    ["accountnumber='A-1'", 'accounts(accountnumber=%27A-1%27)'],
    ["accountnumber = 'O''Brien, (x)=1'", 'accounts(accountnumber=%27O%27%27Brien%2C%20(x)%3D1%27)'],
    [{ accountnumber: "O'Brien" }, 'accounts(accountnumber=%27O%27%27Brien%27)'],
    ["accountnumber='A', size=-3", 'accounts(accountnumber=%27A%27,size=-3)'],
    ['kind=large,since=2026-05-31', 'accounts(kind=1,since=2026-05-31)'],
    [{ kind: 'Large', since: '2026-05-31' }, 'accounts(kind=1,since=2026-05-31)'],
    [`primarycontactid=${ID}`, `accounts(_primarycontactid_value=${ID.toLowerCase()})`],
    [`_primarycontactid_value=${ID}`, `accounts(_primarycontactid_value=${ID.toLowerCase()})`],
    [{ primarycontactid: { table: 'contact', id: ID } }, `accounts(_primarycontactid_value=${ID.toLowerCase()})`],
    ['rate=12345678901.1234567890', 'accounts(rate=12345678901.1234567890)'],
  ])('%j becomes a path', async (key, path) => {
    expect(await pathOf(key)).toBe(path);
  });

  test.each<[string | Record<string, unknown>, string]>([
    ['', 'keyInvalid'],
    ['A-1', 'keyInvalid'],
    ["accountnumber='A-1", 'keyInvalid'],
    ["accountnumber='A-1')", 'keyInvalid'],
    ["accountnumber='A' or 1 eq 1", 'keyInvalid'],
    ["accountnumber='A',", 'keyInvalid'],
    ["accountnumber='A',accountnumber='B'", 'keyInvalid'],
    ['accountnumber=A', 'keyInvalid'],
    ["size='3',accountnumber='A'", 'keyInvalid'],
    ["accountnumber=''", 'keyInvalid'],
    ["accountnumber='a longer text than the column takes'", 'valueTooLong'],
    ['size=3', 'keyUnknown'],
    ["acountnumber='A'", 'keyUnknown'],
    ['accountid=5', 'keyInvalid'],
    ['primarycontactid=me', 'wrongType'],
    ["__proto__='A'", 'keyUnknown'],
    [{}, 'keyInvalid'],
    [{ accountnumber: null }, 'keyInvalid'],
    [{ accountnumber: { $ne: 1 } }, 'wrongType'],
    [JSON.parse('{"__proto__":"A"}'), 'keyUnknown'],
    [Object.fromEntries(Array.from({ length: 17 }, (_, at) => [`c${at}`, 1])), 'keyInvalid'],
  ])('%j is refused by name', async (key, code) => {
    await expect(addressOf(metadata, 'account', key)).rejects.toMatchObject({ code, status: 400 });
  });

  test('with what is no text is refused', async () => {
    for (const key of ["accountnumber='\u0007'", "accountnumber='\ud800'"]) {
      await expect(pathOf(key)).rejects.toMatchObject({ code: 'invalidCharacter' });
    }
  });

  test('names the columns that rows are addressed by when it is none', async () => {
    await expect(addressOf(metadata, 'account', "acountnumber='A'")).rejects.toMatchObject({
      hint: expect.stringMatching(
        /^Did you mean accountnumber\? Rows of 'account' are addressed by accountid or accountnumber/,
      ),
    });
  });

  test('with characters that no path carries has none, and finds its row by a query', async () => {
    const address = await addressOf(metadata, 'account', "accountnumber='A/1''%'");
    expect(addressPath(address)).toBeUndefined();
    if (address.kind !== 'key') throw new Error('an alternate key');
    expect(idByKeyPath('accounts', 'accountid', address.parts)).toBe(
      'accounts?$select=accountid&$top=2&$filter=accountnumber%20eq%20%27A%2F1%27%27%25%27',
    );
  });

  test('is the same text again once the service has taken the path apart', () => {
    fc.assert(
      fc.property(awkwardText, (text) => {
        const path = decodeURIComponent(rowPath('accounts', [{ property: 'n', literal: stringLiteral(text) }]));
        const [, inner = '-'] = /^accounts\(n='((?:[^']|'')*)'\)$/s.exec(path) ?? [];
        expect(inner.replaceAll("''", "'")).toBe(text);
      }),
      { numRuns: 200 },
    );
  });

  test('is given as text or as values to the same effect', async () => {
    const texts = awkwardText.filter((text) => text.trim() !== '');
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        const asText = await pathOf(`accountnumber=${stringLiteral(text)}`);
        expect(asText).toBe(await pathOf({ accountnumber: text }));
      }),
      { numRuns: 100 },
    );
  });
});
