import { z } from 'zod';
import type { Clock } from '../shared/clock.ts';
import { isGuid } from '../shared/ids.ts';
import { sendBatch } from './batch.ts';
import type { DataverseClient } from './client.ts';
import { DataverseError, errorFromAnswer } from './errors.ts';
import { type AlternateKey, activeKey, type Column, type Table } from './table.ts';
import { asErrorAnswer, type BatchAnswer } from './wire/batch.ts';
import { encode, stringLiteral } from './wire/literals.ts';
import { columnType } from './wire/rows.ts';

export interface Metadata {
  /**
   * The definition of a table by logical name, entity set name or MetadataId, from a cache of a few minutes; one that
   * lacks what is needed is read anew, since it may have been made since. Throws DataverseError `tableUnknown` or
   * `tableNotAllowed`, and what the client throws.
   */
  table(name: string, needs?: TableNeeds, signal?: AbortSignal): Promise<Table>;
}

/** What a caller wants of a table: columns by logical name, and an active alternate key on just these columns. */
export interface TableNeeds {
  readonly columns?: readonly string[];
  readonly keyColumns?: readonly string[];
}

export interface MetadataOptions {
  readonly client: DataverseClient;
  /** The path part of the Web API's address, `/api/data/v9.2/`. */
  readonly apiPath: string;
  readonly allowedTables: ReadonlySet<string> | undefined;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly lifetimeMs?: number;
}

const NAME = /^[A-Za-z][A-Za-z0-9_]{0,127}$/;

/** A definition that lacked something is read anew this often at most: a caller's mistake must not become a flood of reads. */
const ANEW_MS = 2_000;

/** A read that would have to wait longer than this for service protection limits fails, while its callers still listen. */
const LONGEST_READ_MS = 60_000;

export function createMetadata(options: MetadataOptions): Metadata {
  const { clock, allowedTables, lifetimeMs = 5 * 60_000 } = options;
  const cache = new Map<string, { readonly table: Promise<Table>; readonly readAt: number }>();
  const readAnewAt = new Map<string, number>();

  /** Shared by all callers, so no caller's signal may abort it. */
  const read = (name: string): Promise<Table> => {
    const entry = { table: readTable(within(options), name), readAt: clock.now() };
    cache.set(name, entry);
    entry.table.catch(() => cache.delete(name));
    return entry.table;
  };
  const readAnew = (name: string): Promise<Table> => {
    readAnewAt.set(name, clock.now());
    return read(name);
  };
  const since = (time: number | undefined): number => clock.now() - (time ?? Number.NEGATIVE_INFINITY);

  return {
    async table(name, needs = {}, signal) {
      signal?.throwIfAborted();
      const entry = cache.get(name);
      let table = await (entry && since(entry.readAt) < lifetimeMs ? entry.table : read(name));
      if (lacks(table, needs) && since(readAnewAt.get(name)) >= ANEW_MS) table = await readAnew(name);
      if (allowedTables && !allowedTables.has(table.logicalName)) {
        throw new DataverseError(
          'tableNotAllowed',
          `The connection may not touch the table '${table.logicalName}'.`,
          {},
          {
            hint: 'Add the table to the connection’s allowedTables setting.',
          },
        );
      }
      return table;
    },
  };
}

/** The same, through a client that waits no longer than one read may take in all. */
function within(options: MetadataOptions): MetadataOptions {
  const deadline = options.clock.now() + LONGEST_READ_MS;
  return { ...options, client: { send: (request) => options.client.send({ ...request, deadline }) } };
}

const lacks = (table: Table, { columns = [], keyColumns = [] }: TableNeeds): boolean =>
  columns.some((name) => !table.columns.has(name)) ||
  (keyColumns.length > 0 && activeKey(table, keyColumns) === undefined);

async function readTable(options: MetadataOptions, name: string): Promise<Table> {
  const unknown = (): DataverseError =>
    new DataverseError(
      'tableUnknown',
      `There is no table '${name.slice(0, 128)}' in this environment.`,
      {},
      {
        hint: 'Give a logical name (account), an entity set name (accounts) or a MetadataId.',
      },
    );
  if (!NAME.test(name) && !isGuid(name)) throw unknown();
  const condition = isGuid(name)
    ? `MetadataId eq ${name}`
    : `LogicalName eq ${stringLiteral(name)} or EntitySetName eq ${stringLiteral(name)}`;
  const select = 'LogicalName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute';
  const answer = await options.client.send({
    method: 'GET',
    path: `EntityDefinitions?$select=${select}&$filter=${encode(condition)}`,
  });
  const found = definitions.parse(answer.json()).value;
  const definition = found.find((each) => each.LogicalName === name) ?? found[0];
  if (!definition) throw unknown();
  return readColumns(options, definition);
}

/** One `$batch` of reads, since properties of one column type need a cast of their own (fact: type-specific properties). */
async function readColumns(options: MetadataOptions, definition: z.infer<typeof entity>): Promise<Table> {
  const root = `EntityDefinitions(LogicalName='${definition.LogicalName}')`;
  const cast = (type: string, properties: string, expand = ''): string =>
    `${root}/Attributes/${columnType(type)}?$select=LogicalName${properties}${expand}`;
  const withOptions = '&$expand=OptionSet($select=Options),GlobalOptionSet($select=Options)';
  const paths = [
    `${root}/Attributes?$select=LogicalName,AttributeType,AttributeTypeName,AttributeOf,IsValidForCreate,IsValidForUpdate`,
    `${root}/Keys?$select=LogicalName,KeyAttributes,EntityKeyIndexStatus`,
    `${root}/ManyToOneRelationships?$select=ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName`,
    cast('String', ',MaxLength'),
    cast('Memo', ',MaxLength'),
    cast('Integer', ',MinValue,MaxValue'),
    cast('Decimal', ',MinValue,MaxValue'),
    cast('Double', ',MinValue,MaxValue'),
    cast('Money', ',MinValue,MaxValue'),
    cast('DateTime', ',DateTimeBehavior'),
    cast('Picklist', '', withOptions),
    cast('MultiSelectPicklist', '', withOptions),
    cast('State', '', '&$expand=OptionSet($select=Options)'),
    cast('Status', '', '&$expand=OptionSet($select=Options)'),
  ];
  const answers = await readAll(options, paths);
  const [attributes = [], keyAnswers = [], relationships = [], ...details] = answers;
  const facts = new Map(
    details
      .flat()
      .map((detail) => columnFacts.parse(detail))
      .map((detail) => [detail.LogicalName, detail]),
  );
  const manyToOne = z.array(relationship).parse(relationships);
  const entitySets = await entitySetNames(options, manyToOne);
  const columns = new Map<string, Column>();
  for (const attribute of z.array(attributeFacts).parse(attributes)) {
    // A column that belongs to another one (a lookup's name, a choice's label) has no value of its own.
    if (attribute.AttributeOf) continue;
    columns.set(attribute.LogicalName, toColumn(attribute, facts.get(attribute.LogicalName), manyToOne, entitySets));
  }
  return {
    logicalName: definition.LogicalName,
    entitySetName: definition.EntitySetName,
    primaryId: definition.PrimaryIdAttribute,
    primaryName: definition.PrimaryNameAttribute ?? '',
    columns,
    keys: z
      .array(alternateKey)
      .parse(keyAnswers)
      .map(
        (key): AlternateKey => ({
          logicalName: key.LogicalName,
          columns: key.KeyAttributes,
          status: key.EntityKeyIndexStatus,
        }),
      ),
  };
}

async function readAll(options: MetadataOptions, paths: readonly string[]): Promise<unknown[][]> {
  const answers = await sendBatch(
    options.client,
    options.apiPath,
    paths.map((path) => ({ method: 'GET', path, headers: { Accept: 'application/json' } })),
    { boundary: options.newId(), repeatable: true },
  );
  return answers.map(valuesOf);
}

function valuesOf(answer: BatchAnswer): unknown[] {
  if (answer.status !== 200) throw errorFromAnswer(asErrorAnswer(answer));
  return collection.parse(JSON.parse(answer.text)).value;
}

/** The entity set of each table that a lookup can point at. */
async function entitySetNames(
  options: MetadataOptions,
  relationships: readonly z.infer<typeof relationship>[],
): Promise<ReadonlyMap<string, string>> {
  const tables = [...new Set(relationships.map((each) => each.ReferencedEntity))];
  const names = new Map<string, string>();
  for (let at = 0; at < tables.length; at += 40) {
    const filter = tables
      .slice(at, at + 40)
      .map((table) => `LogicalName eq ${stringLiteral(table)}`)
      .join(' or ');
    const path = `EntityDefinitions?$select=LogicalName,EntitySetName&$filter=${encode(filter)}`;
    const answer = await options.client.send({ method: 'GET', path });
    for (const each of z.object({ value: z.array(entitySet) }).parse(answer.json()).value) {
      if (each.EntitySetName) names.set(each.LogicalName, each.EntitySetName);
    }
  }
  return names;
}

function toColumn(
  attribute: z.infer<typeof attributeFacts>,
  facts: z.infer<typeof columnFacts> | undefined,
  relationships: readonly z.infer<typeof relationship>[],
  entitySets: ReadonlyMap<string, string>,
): Column {
  const multiSelect = attribute.AttributeTypeName?.Value === 'MultiSelectPicklistType';
  const optionSet = facts?.OptionSet ?? facts?.GlobalOptionSet;
  const targets = new Map<string, { navigationProperty: string; entitySetName: string }>();
  for (const each of relationships) {
    const entitySetName = entitySets.get(each.ReferencedEntity);
    const navigationProperty = each.ReferencingEntityNavigationPropertyName;
    if (each.ReferencingAttribute === attribute.LogicalName && entitySetName && navigationProperty) {
      targets.set(each.ReferencedEntity, { navigationProperty, entitySetName });
    }
  }
  return {
    logicalName: attribute.LogicalName,
    type: multiSelect ? 'MultiSelectPicklist' : attribute.AttributeType,
    validForCreate: attribute.IsValidForCreate ?? false,
    validForUpdate: attribute.IsValidForUpdate ?? false,
    ...(facts?.MaxLength != null && { maxLength: facts.MaxLength }),
    ...(facts?.MinValue != null && { minValue: facts.MinValue }),
    ...(facts?.MaxValue != null && { maxValue: facts.MaxValue }),
    ...(optionSet && { options: new Set(optionSet.Options.map((option) => option.Value)) }),
    ...(facts?.DateTimeBehavior && { dateBehavior: facts.DateTimeBehavior.Value }),
    ...(targets.size > 0 && { targets }),
  };
}

const entity = z.object({
  LogicalName: z.string(),
  EntitySetName: z.string(),
  PrimaryIdAttribute: z.string(),
  PrimaryNameAttribute: z.string().nullish(),
});
const definitions = z.object({ value: z.array(entity) });
const entitySet = z.object({ LogicalName: z.string(), EntitySetName: z.string().nullish() });
const collection = z.object({ value: z.array(z.unknown()) });
const alternateKey = z.object({
  LogicalName: z.string(),
  KeyAttributes: z.array(z.string()),
  EntityKeyIndexStatus: z.enum(['Pending', 'InProgress', 'Active', 'Failed']),
});
const relationship = z.object({
  ReferencingAttribute: z.string(),
  ReferencedEntity: z.string(),
  // Null where the Web API exposes no such property; then nothing can be bound through it.
  ReferencingEntityNavigationPropertyName: z.string().nullish(),
});
const attributeFacts = z.object({
  LogicalName: z.string(),
  AttributeType: z.string(),
  AttributeTypeName: z.object({ Value: z.string() }).nullish(),
  AttributeOf: z.string().nullish(),
  IsValidForCreate: z.boolean().nullish(),
  IsValidForUpdate: z.boolean().nullish(),
});
const optionSet = z.object({ Options: z.array(z.object({ Value: z.number() })) });
const columnFacts = z.object({
  LogicalName: z.string(),
  MaxLength: z.number().nullish(),
  MinValue: z.number().nullish(),
  MaxValue: z.number().nullish(),
  DateTimeBehavior: z.object({ Value: z.enum(['DateOnly', 'UserLocal', 'TimeZoneIndependent']) }).nullish(),
  OptionSet: optionSet.nullish(),
  GlobalOptionSet: optionSet.nullish(),
});
