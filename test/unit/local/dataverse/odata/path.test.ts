import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Literal, Predicate } from '../../../../../src/local/dataverse/odata/ast.ts';
import { ODataSyntaxError } from '../../../../../src/local/dataverse/odata/errors.ts';
import { formatKey } from '../../../../../src/local/dataverse/odata/format.ts';
import { parsePath, splitUrl } from '../../../../../src/local/dataverse/odata/path.ts';

const GUID = 'a41f965b-2619-4c73-8625-da31945cccc7';
const named = (values: Record<string, Literal>): Predicate => ({
  kind: 'named',
  values: new Map(Object.entries(values)),
});
const text = (value: string): Literal => ({ kind: 'string', value });
const plain = (name: string) => ({ kind: 'name', name, qualified: false });

describe('paths', () => {
  test('a row is addressed by its guid, by its named id or by an alternate key', () => {
    const guid: Literal = { kind: 'guid', value: GUID };
    expect(parsePath(`accounts(${GUID})`)).toEqual([
      { ...plain('accounts'), predicate: { kind: 'positional', value: guid } },
    ]);
    expect(parsePath(`accounts(accountid=${GUID})`)).toEqual([
      { ...plain('accounts'), predicate: named({ accountid: guid }) },
    ]);
    expect(parsePath("contacts(firstname='Joe',emailaddress1='a@b.c')")).toEqual([
      { ...plain('contacts'), predicate: named({ firstname: text('Joe'), emailaddress1: text('a@b.c') }) },
    ]);
  });

  test('slashes in quotes and encoded slashes belong to the value', () => {
    const expected = [{ ...plain('accounts'), predicate: named({ accountnumber: text("A/B'C/1") }) }, plain('name')];
    expect(parsePath("accounts(accountnumber='A/B''C%2F1')/name")).toEqual(expected);
    expect(parsePath('accounts%28accountnumber=%27A/B%27%27C/1%27%29/name')).toEqual(expected);
  });

  test('a plus is itself in a path, and what is no escape stays', () => {
    expect(parsePath("accounts(name='50% + x%20y')")).toEqual([
      { ...plain('accounts'), predicate: named({ name: text('50% + x y') }) },
    ]);
  });

  test('aliases stand for key values, and one without a value is null', () => {
    expect(parsePath('accounts(a=@k,b=@none)', new Map([['@k', "'A/1'"]]))).toEqual([
      { ...plain('accounts'), predicate: named({ a: text('A/1'), b: { kind: 'null' } }) },
    ]);
  });

  test('casts and bound operations are known by their namespace', () => {
    expect(
      parsePath(
        "EntityDefinitions(LogicalName='account')/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata",
      )[2],
    ).toEqual({
      kind: 'name',
      name: 'PicklistAttributeMetadata',
      qualified: true,
    });
    expect(parsePath('accounts/mscrm.CreateMultiple')[1]).toMatchObject({ name: 'CreateMultiple', qualified: true });
  });

  test('functions come with and without brackets, and with enumerations and JSON', () => {
    expect(parsePath('WhoAmI')).toEqual([plain('WhoAmI')]);
    expect(parsePath('WhoAmI()')).toEqual([{ ...plain('WhoAmI'), predicate: { kind: 'empty' } }]);
    expect(
      parsePath(
        "RetrieveX(AccessType=Microsoft.Dynamics.CRM.EndpointAccessType'Default',Names=@p)",
        new Map([['@p', "['a']"]]),
      ),
    ).toEqual([
      {
        ...plain('RetrieveX'),
        predicate: named({
          AccessType: { kind: 'enum', type: 'Microsoft.Dynamics.CRM.EndpointAccessType', value: 'Default' },
          Names: { kind: 'json', value: ['a'] },
        }),
      },
    ]);
  });

  test('system segments and the references of change sets are told apart', () => {
    expect(parsePath('$1/primarycontactid/$ref')).toEqual([
      { kind: 'contentId', id: '1' },
      plain('primarycontactid'),
      { kind: 'system', name: '$ref' },
    ]);
    expect(parsePath('$metadata')).toEqual([{ kind: 'system', name: '$metadata' }]);
  });

  test('doubled and trailing slashes mean nothing', () => {
    expect(parsePath('accounts//name/')).toEqual([plain('accounts'), plain('name')]);
    expect(parsePath('')).toEqual([]);
  });

  test.each([
    "accounts(name='O'Brien')",
    'accounts(1)(2)',
    'accounts(a=1,a=2)',
    'accounts(a=b)',
    'accounts(',
    'a b',
    'accounts)',
    '('.repeat(100_000),
  ])('%.30s is refused', (path) => {
    expect(() => parsePath(path)).toThrow(ODataSyntaxError);
  });

  test('a key is percent-encoded whatever is in it', () => {
    expect(formatKey(named({ a: text("O'B/\u00e9 \ud800"), b: { kind: 'integer', value: 2n } }))).toBe(
      "(a='O''B%2F%C3%A9%20%EF%BF%BD',b=2)",
    );
  });

  test('every key is read as it was written', () => {
    const value = fc.oneof(
      fc.string({ unit: 'grapheme' }).map(text),
      fc.uuid().map((guid): Literal => ({ kind: 'guid', value: guid })),
      fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map((number): Literal => ({ kind: 'integer', value: number })),
      fc
        .stringMatching(/^-?\d{1,9}\.\d{1,5}$/)
        .map((digits): Literal => ({ kind: 'decimal', value: Number(digits), text: digits })),
    );
    const key = fc.oneof(
      value.map((positional): Predicate => ({ kind: 'positional', value: positional })),
      fc
        .dictionary(
          fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/).filter((name) => !['null', 'true', 'false'].includes(name)),
          value,
          { minKeys: 1, noNullPrototype: true },
        )
        .map(named),
    );
    fc.assert(
      fc.property(key, (predicate) => {
        expect(parsePath(`accounts${formatKey(predicate)}/name`)).toEqual([
          { ...plain('accounts'), predicate },
          plain('name'),
        ]);
      }),
    );
  });
});

describe('URLs', () => {
  test.each([
    ['https://org.crm.dynamics.com/api/data/v9.2/accounts(1)?$select=a', 'v9.2', 'accounts(1)', '$select=a'],
    ['https://org.crm.dynamics.com//api/data/v9.0//accounts', 'v9.0', 'accounts', ''],
    ['/api/data/v9.1/', 'v9.1', '', ''],
    ['/contacts(1)', undefined, 'contacts(1)', ''],
    ['tasks', undefined, 'tasks', ''],
    ['$1/lastname', undefined, '$1/lastname', ''],
  ])('%s is taken apart', (url, version, path, query) => {
    const parts = splitUrl(url);
    expect({ version: parts.version, path: parts.path, query: parts.query }).toEqual({ version, path, query });
  });

  test('an absolute URL tells its origin', () => {
    expect(splitUrl('https://localhost:8443/api/data/v9.2/accounts').origin).toBe('https://localhost:8443');
    expect(splitUrl('/api/data/v9.2/accounts')).not.toHaveProperty('origin');
  });
});
