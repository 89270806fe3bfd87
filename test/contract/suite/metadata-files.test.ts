import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { queryEnvironment } from '../dataverse/query-environment.ts';

// The metadata files (src/local/dataverse/metadata, with their provenance) are what real environments and the
// documentation say of tables. Each must be what a client reads back, and what rows are addressed by.

const FOLDER = new URL('../../../src/local/dataverse/metadata/', import.meta.url);
const read = (file: string): unknown => JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8'));

const column = z.looseObject({
  LogicalName: z.string(),
  AttributeType: z.string(),
  IsValidForRead: z.boolean().optional(),
  IsValidODataAttribute: z.boolean().optional(),
});
const relationship = z.looseObject({ SchemaName: z.string() });
const table = z.looseObject({
  LogicalName: z.string(),
  EntitySetName: z.string(),
  Attributes: z.array(column),
  ManyToOneRelationships: z.array(relationship),
  ManyToManyRelationships: z.array(relationship),
});

const environment = queryEnvironment({}, async () => undefined);

const definition = (logicalName: string, query: string) =>
  environment.call('GET', `EntityDefinitions(LogicalName='${logicalName}')?${query}`);

/** Names, numbers and switches; the derived type of a column follows from its `AttributeType`. */
const plain = (facts: object): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(facts).filter(([name, value]) => !name.startsWith('@') && typeof value !== 'object'),
  );

/** What `served` says of the same properties. */
const same = (facts: Record<string, unknown>, served: Record<string, unknown> = {}) =>
  Object.fromEntries(Object.keys(facts).map((name) => [name, served[name]]));

const byName = <Named extends { SchemaName?: unknown }>(list: readonly Named[]) =>
  new Map(list.map((one) => [String(one.SchemaName), one]));

const RIGHTS: ReadonlySet<string> = new Set([
  'Create',
  'Read',
  'Write',
  'Delete',
  'Append',
  'AppendTo',
  'Assign',
  'Share',
]);

const LOOKUPS: ReadonlySet<string> = new Set(['Lookup', 'Customer', 'Owner']);

describe('the definition of a table', () => {
  const files = readdirSync(new URL('entitydefinitions/', FOLDER));

  test.each(files)('%s is read back as it is, and every column can be queried', async (file) => {
    const expected = table.parse(read(`entitydefinitions/${file}`));
    const { LogicalName: logicalName, Attributes, ManyToOneRelationships, ManyToManyRelationships } = expected;
    const { json } = await definition(logicalName, '$expand=Attributes,ManyToOneRelationships,ManyToManyRelationships');
    const { MetadataId: _, ...facts } = plain(expected);
    expect(json).toMatchObject(facts);
    for (const [mine, served] of [
      [Attributes, json.Attributes],
      [ManyToOneRelationships, json.ManyToOneRelationships],
      [ManyToManyRelationships, json.ManyToManyRelationships],
    ]) {
      const found = byName(served);
      const facts = [...byName(mine).values()].map(plain);
      expect(facts.map((one) => same(one, found.get(String(one['SchemaName']))))).toEqual(facts);
    }

    const readable = Attributes.filter(
      ({ IsValidForRead, IsValidODataAttribute }) => IsValidForRead !== false && IsValidODataAttribute !== false,
    );
    const select = readable.map((one) =>
      LOOKUPS.has(one.AttributeType) ? `_${one.LogicalName}_value` : one.LogicalName,
    );
    const rows = await environment.call('GET', `${expected.EntitySetName}?$top=1&$select=${select.join(',')}`);
    expect(rows.status, rows.text).toBe(200);
  });
});

test('privileges.json: every privilege, and those of a table with the depths that they can have', async () => {
  const privilege = z.object({
    Name: z.string(),
    PrivilegeId: z.string(),
    PrivilegeType: z.string(),
    Depths: z.string().optional(),
  });
  const { Privileges } = z
    .object({ Privileges: z.record(z.string(), z.array(privilege)) })
    .parse(read('privileges.json'));
  const { json: rows } = await environment.call('GET', 'privileges?$select=name,privilegeid');
  const ids = new Map(rows.value.map(({ name, privilegeid }: Record<string, string>) => [name, privilegeid]));
  for (const [logicalName, privileges] of Object.entries(Privileges)) {
    const { json } = await definition(logicalName, '$select=Privileges');
    const depths = new Map(json.Privileges.map((one: Record<string, unknown>) => [one['Name'], depthsOf(one)]));
    for (const { Name, PrivilegeId, PrivilegeType, Depths } of privileges) {
      expect(ids.get(Name), Name).toBe(PrivilegeId);
      // The others are no rights on rows, and in no definition.
      if (Depths !== undefined && RIGHTS.has(PrivilegeType)) expect(depths.get(Name), Name).toBe(Depths);
    }
  }
});

const depthsOf = (served: Record<string, unknown>): string =>
  ['Basic', 'Local', 'Deep', 'Global'].map((depth) => (served[`CanBe${depth}`] ? depth.charAt(0) : '')).join('');

test('sdkmessages.json: the messages of each table', async () => {
  const messages = z.record(z.string(), z.record(z.string(), z.unknown())).parse(read('sdkmessages.json'));
  const served = new Set<string>();
  let page: string | undefined = 'sdkmessagefilters?$select=primaryobjecttypecode&$expand=sdkmessageid($select=name)';
  while (page) {
    const { json } = await environment.call('GET', page);
    for (const row of json.value) served.add(`${row.primaryobjecttypecode}/${row.sdkmessageid.name}`);
    page = json['@odata.nextLink'];
  }
  const expected = Object.entries(messages).flatMap(([logicalName, list]) =>
    Object.keys(list).map((message) => `${logicalName}/${message}`),
  );
  expect(expected.filter((message) => !served.has(message))).toEqual([]);
});
