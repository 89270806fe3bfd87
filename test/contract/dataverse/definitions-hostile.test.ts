import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BANK, balance, bankAccount, column, label, oneToMany, options } from './definition-bodies.ts';
import { openEnvironment } from './environment.ts';

type Path = readonly (string | number)[];

/** The addresses of every value inside a JSON value, itself included. */
const pathsIn = (value: unknown, at: Path = []): Path[] =>
  typeof value === 'object' && value !== null
    ? [
        at,
        ...Object.entries(value).flatMap(([key, inner]) =>
          pathsIn(inner, [...at, Array.isArray(value) ? Number(key) : key]),
        ),
      ]
    : [at];

function replaced(value: unknown, [head, ...rest]: Path, by: unknown): unknown {
  if (head === undefined) return by;
  if (Array.isArray(value)) return value.map((inner: unknown, at) => (at === head ? replaced(inner, rest, by) : inner));
  return Object.fromEntries(
    Object.entries(value ?? {}).map(([key, inner]) => [key, key === head ? replaced(inner, rest, by) : inner]),
  );
}

const JUNK = [
  null,
  '',
  0,
  -1,
  1e308,
  2 ** 31,
  true,
  [],
  {},
  [null],
  [[]],
  { Value: null },
  { LocalizedLabels: [null] },
  { LocalizedLabels: {} },
  "x'; DROP TABLE account; --",
  'new_"x"',
  '\u0000\r\n',
  '__proto__',
  ['constructor'],
  '9'.repeat(30),
];

const pairs = {
  '@odata.type': 'Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata',
  SchemaName: 'new_pairs',
  Entity1LogicalName: 'new_bankaccount',
  Entity2LogicalName: 'account',
  IntersectEntityName: 'new_pairs',
};
const option = { EntityLogicalName: 'new_bankaccount', AttributeLogicalName: 'new_kind', Value: 5, Label: label('x') };
const customer = {
  OneToManyRelationships: ['account', 'contact'].map((ReferencedEntity) => ({
    SchemaName: `new_customer_${ReferencedEntity}`,
    ReferencedEntity,
    ReferencingEntity: 'new_bankaccount',
  })),
  Lookup: { SchemaName: 'new_Customer' },
};
const ACCOUNT_NAME = "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='name')";

test('whatever stands in a definition is taken or refused, and never breaks what is read afterwards', async () => {
  const { call } = await openEnvironment();
  await call('POST', 'EntityDefinitions', bankAccount());
  await call('POST', `${BANK}/Attributes`, column('Picklist', 'new_Kind', { OptionSet: options('a', 'b') }));
  await call('POST', 'RelationshipDefinitions', oneToMany('contact'));
  const read = async (path: string): Promise<unknown> => (await call('GET', path)).json;
  const requests: [method: string, path: string, body: unknown][] = [
    ['POST', 'EntityDefinitions', bankAccount({ SchemaName: 'new_Other' })],
    ['PUT', BANK, await read(BANK)],
    ['POST', `${BANK}/Attributes`, balance],
    ['POST', `${BANK}/Attributes`, column('Picklist', 'new_Choice', { OptionSet: options('a', 'b') })],
    ['PUT', `${BANK}/Attributes(LogicalName='new_kind')`, await read(`${BANK}/Attributes(LogicalName='new_kind')`)],
    ['PUT', ACCOUNT_NAME, await read(ACCOUNT_NAME)],
    ['POST', 'RelationshipDefinitions', oneToMany('account', { SchemaName: 'new_account_bank' })],
    ['POST', 'RelationshipDefinitions', pairs],
    ['POST', 'GlobalOptionSetDefinitions', { ...options('a'), Name: 'new_global', IsGlobal: true }],
    ['POST', `${BANK}/Keys`, { SchemaName: 'new_k', DisplayName: label('k'), KeyAttributes: ['new_accountname'] }],
    ['POST', 'InsertOptionValue', option],
    ['POST', 'UpdateOptionValue', { ...option, Value: 727_000_000, MergeLabels: true }],
    ['POST', 'OrderOption', { ...option, Value: undefined, Label: undefined, Values: [727_000_001, 727_000_000] }],
    ['POST', 'CreateCustomerRelationships', customer],
  ];
  const property = fc.asyncProperty(
    fc.constantFrom(...requests),
    fc.nat(),
    fc.constantFrom(...JUNK),
    async ([method, path, body], at, junk) => {
      const paths = pathsIn(body);
      const answer = await call(method, path, JSON.stringify(replaced(body, paths[at % paths.length] ?? [], junk)));
      expect([200, 204, 400, 404, 501]).toContain(answer.status);
      if (answer.status >= 400) expect(answer.json.error.message).not.toMatch(/SQLITE|syntax error|at file:/);
    },
  );
  await fc.assert(property, { numRuns: 100 });
  const all = 'Attributes,Keys,ManyToOneRelationships,OneToManyRelationships,ManyToManyRelationships';
  for (const path of [
    `EntityDefinitions?$expand=${all}`,
    '$metadata',
    'RelationshipDefinitions',
    'accounts',
    'new_bankaccounts',
  ]) {
    expect([path, (await call('GET', path)).status]).toEqual([path, 200]);
  }
  expect((await call('POST', 'new_bankaccounts', { new_accountname: 'still here' })).status).toBe(204);
});
