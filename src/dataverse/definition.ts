import * as z from 'zod';
import { isGuid } from '../shared/ids.ts';
import { sendBatch } from './batch.ts';
import type { DataverseClient } from './client.ts';
import { DataverseError, errorFromAnswer } from './errors.ts';
import type { AlternateKey, Column, LookupTarget, Navigation, Table, TableShape } from './table.ts';
import { isLookup } from './table.ts';
import { asErrorAnswer, type BatchAnswer } from './wire/batch.ts';
import { type DefinitionPart, definitionPath, entitySetsPath, partPath, VALUE_PARTS } from './wire/definitions.ts';

/** What reads definitions from the service. */
export interface DefinitionReader {
  readonly client: DataverseClient;
  /** The path part of the Web API's address, `/api/data/v9.2/`. */
  readonly apiPath: string;
  readonly newId: () => string;
}

/** A table's definition as far as it has been read: what rows look like, and the parts that somebody asked for. */
export interface Definition {
  readonly shape: TableShape;
  readonly attributes: readonly Attribute[];
  readonly elastic: boolean;
  readonly parts: Map<DefinitionPart, readonly unknown[]>;
  /** Reads that are under way. */
  readonly reading: Map<DefinitionPart, Promise<void>>;
}

type Attribute = z.infer<typeof attributeFacts>;

const NAME = /^[A-Za-z][A-Za-z0-9_]{0,127}$/;

/** Reads what rows of a table look like. Throws DataverseError `tableUnknown`, and what the client throws. */
export async function readDefinition({ client }: DefinitionReader, name: string): Promise<Definition> {
  if (!NAME.test(name) && !isGuid(name)) throw unknownTable(name);
  const answer = await client.send({ method: 'GET', path: definitionPath(name) });
  const found = z.object({ value: z.array(entity) }).parse(answer.json()).value;
  const definition = found.find((each) => each.LogicalName === name) ?? found[0];
  if (!definition?.EntitySetName || !definition.PrimaryIdAttribute) throw unknownTable(name);
  const attributes = ownAttributes(definition.Attributes);
  return {
    shape: {
      logicalName: definition.LogicalName,
      entitySetName: definition.EntitySetName,
      primaryId: definition.PrimaryIdAttribute,
      primaryName: definition.PrimaryNameAttribute ?? '',
      columns: new Map(
        attributes.map((each) => [each.LogicalName, { logicalName: each.LogicalName, type: typeOf(each) }]),
      ),
    },
    attributes,
    elastic: definition.TableType === 'Elastic',
    parts: new Map(),
    reading: new Map(),
  };
}

const unknownTable = (name: string): DataverseError =>
  new DataverseError(
    'tableUnknown',
    `There is no table '${name.slice(0, 128)}' in this environment.`,
    {},
    {
      hint: 'Give a logical name (account), an entity set name (accounts) or a MetadataId.',
    },
  );

/** Columns without those that only say another one in words: a lookup's name, a choice's label. An image's URL is a value. */
function ownAttributes(attributes: readonly Attribute[]): readonly Attribute[] {
  const types = new Map(attributes.map((each) => [each.LogicalName, typeOf(each)]));
  const saysInWords = ({ AttributeOf, AttributeType }: Attribute): boolean => {
    if (!AttributeOf) return false;
    const type = types.get(AttributeOf) ?? '';
    return AttributeType === 'Virtual' || isLookup({ logicalName: AttributeOf, type });
  };
  return attributes.filter((each) => !saysInWords(each));
}

/** Choices and files are all `Virtual` to AttributeType. */
function typeOf({ AttributeType, AttributeTypeName }: Attribute): string {
  return AttributeTypeName?.Value === 'MultiSelectPicklistType' ? 'MultiSelectPicklist' : AttributeType;
}

/** Reads the parts that are not there yet, in one request, once for all who ask at the same time. */
export async function readParts(
  reader: DefinitionReader,
  { shape, parts, reading }: Definition,
  wanted: readonly DefinitionPart[],
): Promise<void> {
  const missing = wanted.filter((part) => !parts.has(part) && !reading.has(part));
  if (missing.length > 0) {
    const read = (async () => {
      try {
        const answers = await sendBatch(
          reader.client,
          reader.apiPath,
          missing.map((part) => ({
            method: 'GET',
            path: partPath(shape.logicalName, part),
            headers: { Accept: 'application/json' },
          })),
          { boundary: reader.newId(), repeatable: true },
        );
        for (const [position, part] of missing.entries()) parts.set(part, valuesOf(answers[position]));
      } finally {
        for (const part of missing) reading.delete(part);
      }
    })();
    for (const part of missing) reading.set(part, read);
  }
  await Promise.all(wanted.map((part) => reading.get(part)));
}

function valuesOf(answer: BatchAnswer | undefined): unknown[] {
  if (!answer) throw new DataverseError('notDataverse', 'A batch was answered with too few parts.');
  if (answer.status !== 200) throw errorFromAnswer(asErrorAnswer(answer));
  return z.object({ value: z.array(z.unknown()) }).parse(JSON.parse(answer.text)).value;
}

/** The entity sets of tables; a table that has none, or is not there, is left out. */
export async function readEntitySets(
  { client }: DefinitionReader,
  tables: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const names = new Map<string, string>();
  for (let at = 0; at < tables.length; at += 40) {
    const answer = await client.send({ method: 'GET', path: entitySetsPath(tables.slice(at, at + 40)) });
    for (const { LogicalName, EntitySetName } of z.object({ value: z.array(entitySet) }).parse(answer.json()).value) {
      if (EntitySetName) names.set(LogicalName, EntitySetName);
    }
  }
  return names;
}

/** The parts that writing these columns takes; undefined stands for all columns. */
export function partsFor({ shape }: Definition, columns: readonly string[] | undefined): DefinitionPart[] {
  const used = columns ? columns.flatMap((name) => shape.columns.get(name) ?? []) : [...shape.columns.values()];
  const types = new Set(used.map(({ type }) => type));
  return [
    'keys',
    ...(used.some(isLookup) ? (['manyToOne'] as const) : []),
    ...VALUE_PARTS.filter((part) => types.has(part)),
  ];
}

/** The tables that the lookups among these columns lead to, of those that the connection may touch. */
export function targetsOf(
  definition: Definition,
  columns: readonly string[] | undefined,
  isAllowed: (table: string) => boolean,
): string[] {
  const used = lookupRelationships(definition).filter(
    ({ ReferencingAttribute }) => columns === undefined || columns.includes(ReferencingAttribute),
  );
  return [...new Set(used.flatMap(referencedTables))].filter(isAllowed);
}

const lookupRelationships = ({ parts }: Definition): z.infer<typeof manyToOne>[] =>
  z.array(manyToOne).parse(parts.get('manyToOne') ?? []);

/** An owner is a user or a team, both bound through the one navigation property (Web API documentation, "owner"). */
const referencedTables = ({ ReferencedEntity }: z.infer<typeof manyToOne>): string[] =>
  ReferencedEntity === 'owner' ? ['systemuser', 'team'] : [ReferencedEntity];

/** The definition for writing, as far as its parts have been read. */
export function toTable(
  definition: Definition,
  entitySets: ReadonlyMap<string, string>,
  isAllowed: (table: string) => boolean,
): Table {
  const { shape, attributes, parts, elastic } = definition;
  const facts = new Map(
    VALUE_PARTS.flatMap((part) => z.array(columnFacts).parse(parts.get(part) ?? [])).map((each) => [
      each.LogicalName,
      each,
    ]),
  );
  const lookups = new Map<string, z.infer<typeof manyToOne>[]>();
  for (const each of lookupRelationships(definition)) {
    lookups.set(each.ReferencingAttribute, [...(lookups.get(each.ReferencingAttribute) ?? []), each]);
  }
  const keys = z.array(alternateKey).parse(parts.get('keys') ?? []);
  return {
    ...shape,
    elastic,
    columns: new Map(
      attributes.map((each) => [
        each.LogicalName,
        {
          ...toColumn(each, facts.get(each.LogicalName)),
          ...lookupFacts(lookups.get(each.LogicalName), entitySets, isAllowed),
        },
      ]),
    ),
    keys: keys.map(
      (key): AlternateKey => ({
        logicalName: key.LogicalName,
        columns: key.KeyAttributes,
        status: key.EntityKeyIndexStatus,
      }),
    ),
  };
}

function toColumn(attribute: Attribute, facts: z.infer<typeof columnFacts> | undefined): Column {
  const choices = facts?.OptionSet ?? facts?.GlobalOptionSet;
  return {
    logicalName: attribute.LogicalName,
    type: typeOf(attribute),
    validForCreate: attribute.IsValidForCreate ?? false,
    validForUpdate: attribute.IsValidForUpdate ?? false,
    ...(facts?.MaxLength != null && { maxLength: facts.MaxLength }),
    ...(facts?.MinValue != null && { minValue: facts.MinValue }),
    ...(facts?.MaxValue != null && { maxValue: facts.MaxValue }),
    ...(choices && { options: new Set(choices.Options.map(({ Value }) => Value)), labels: labelsOf(choices) }),
    ...(facts?.DateTimeBehavior && { dateBehavior: facts.DateTimeBehavior.Value }),
  };
}

/** Labels of all of the organisation's languages, in lower case. */
function labelsOf({ Options }: z.infer<typeof optionSet>): ReadonlyMap<string, readonly number[]> {
  const labels = new Map<string, number[]>();
  for (const { Value, Label } of Options) {
    const inLanguages = [
      ...(Label?.LocalizedLabels ?? []),
      ...(Label?.UserLocalizedLabel ? [Label.UserLocalizedLabel] : []),
    ];
    for (const text of new Set(inLanguages.map((each) => each.Label?.trim().toLowerCase() ?? ''))) {
      if (text !== '') labels.set(text, [...(labels.get(text) ?? []), Value]);
    }
  }
  return labels;
}

function lookupFacts(
  relationships: readonly z.infer<typeof manyToOne>[] | undefined,
  entitySets: ReadonlyMap<string, string>,
  isAllowed: (table: string) => boolean,
): Pick<Column, 'targets' | 'closedTargets'> {
  const targets = new Map<string, LookupTarget>();
  const closed = new Map<string, string>();
  for (const relationship of relationships ?? []) {
    const navigationProperty = relationship.ReferencingEntityNavigationPropertyName;
    if (!navigationProperty) continue;
    for (const table of referencedTables(relationship)) {
      const entitySetName = entitySets.get(table);
      if (!isAllowed(table)) closed.set(table, navigationProperty);
      else if (entitySetName !== undefined) targets.set(table, { navigationProperty, entitySetName });
    }
  }
  return {
    ...(targets.size + closed.size > 0 && { targets }),
    ...(closed.size > 0 && { closedTargets: closed }),
  };
}

/** What leads from rows of a table to others, by navigation property; the parts of relationships must have been read. */
export function navigationsOf({ shape, parts }: Definition): ReadonlyMap<string, Navigation> {
  const found: Navigation[] = [];
  for (const each of z.array(manyToOne).parse(parts.get('manyToOne') ?? [])) {
    found.push({
      property: each.ReferencingEntityNavigationPropertyName ?? '',
      table: each.ReferencedEntity,
      collection: false,
      column: each.ReferencingAttribute,
    });
  }
  for (const each of z.array(oneToMany).parse(parts.get('oneToMany') ?? [])) {
    const property = each.ReferencedEntityNavigationPropertyName ?? '';
    found.push({ property, table: each.ReferencingEntity, collection: true });
  }
  for (const each of z.array(manyToMany).parse(parts.get('manyToMany') ?? [])) {
    const one = { property: each.Entity1NavigationPropertyName ?? '', table: each.Entity2LogicalName };
    const other = { property: each.Entity2NavigationPropertyName ?? '', table: each.Entity1LogicalName };
    if (each.Entity1LogicalName === shape.logicalName) found.push({ ...one, collection: true });
    if (each.Entity2LogicalName === shape.logicalName) found.push({ ...other, collection: true });
  }
  return new Map(found.filter(({ property }) => property !== '').map((each) => [each.property, each]));
}

const attributeFacts = z.object({
  LogicalName: z.string(),
  AttributeType: z.string(),
  AttributeTypeName: z.object({ Value: z.string() }).nullish(),
  AttributeOf: z.string().nullish(),
  IsValidForCreate: z.boolean().nullish(),
  IsValidForUpdate: z.boolean().nullish(),
});
const entitySet = z.object({ LogicalName: z.string(), EntitySetName: z.string().nullish() });
const entity = entitySet.extend({
  PrimaryIdAttribute: z.string().nullish(),
  PrimaryNameAttribute: z.string().nullish(),
  TableType: z.string().nullish(),
  Attributes: z.array(attributeFacts),
});
const alternateKey = z.object({
  LogicalName: z.string(),
  KeyAttributes: z.array(z.string()),
  EntityKeyIndexStatus: z.enum(['Pending', 'InProgress', 'Active', 'Failed']),
});
// Navigation properties are null where the Web API exposes none; then nothing leads through the relationship.
const manyToOne = z.object({
  ReferencingAttribute: z.string(),
  ReferencedEntity: z.string(),
  ReferencingEntityNavigationPropertyName: z.string().nullish(),
});
const oneToMany = z.object({
  ReferencingEntity: z.string(),
  ReferencedEntityNavigationPropertyName: z.string().nullish(),
});
const manyToMany = z.object({
  Entity1LogicalName: z.string(),
  Entity1NavigationPropertyName: z.string().nullish(),
  Entity2LogicalName: z.string(),
  Entity2NavigationPropertyName: z.string().nullish(),
});
const label = z.object({ Label: z.string().nullish() });
const labels = z.object({ LocalizedLabels: z.array(label).nullish(), UserLocalizedLabel: label.nullish() });
const optionSet = z.object({ Options: z.array(z.object({ Value: z.number(), Label: labels.nullish() })) });
const columnFacts = z.object({
  LogicalName: z.string(),
  MaxLength: z.number().nullish(),
  MinValue: z.number().nullish(),
  MaxValue: z.number().nullish(),
  DateTimeBehavior: z.object({ Value: z.enum(['DateOnly', 'UserLocal', 'TimeZoneIndependent']) }).nullish(),
  OptionSet: optionSet.nullish(),
  GlobalOptionSet: optionSet.nullish(),
});
