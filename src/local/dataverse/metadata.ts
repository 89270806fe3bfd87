import { readFileSync } from 'node:fs';
import { type AttributeJson, attributeSchema, type DefinitionJson, definitionSchema } from './definitions/schema.ts';

/** How a column's value is held and written; `unsupported` columns are defined but hold no value here. */
export type ColumnKind =
  | 'text'
  | 'memo'
  | 'integer'
  | 'bigint'
  | 'decimal'
  | 'double'
  | 'money'
  | 'boolean'
  | 'datetime'
  | 'dateonly'
  | 'choice'
  | 'state'
  | 'status'
  | 'choices'
  | 'lookup'
  | 'guid'
  | 'entityname'
  | 'managed'
  | 'unsupported';

export interface Option {
  readonly value: number;
  readonly label: string;
  /** Of a status: the state that it belongs to. */
  readonly state?: number;
  /** Of a state: the status that comes with it when none is given. */
  readonly defaultStatus?: number;
}

export interface Column {
  readonly logicalName: string;
  readonly kind: ColumnKind;
  /** The property's name in JSON: the logical name, for lookups `_<logical name>_value`. */
  readonly property: string;
  readonly validForCreate: boolean;
  readonly validForUpdate: boolean;
  readonly validForRead: boolean;
  readonly systemRequired: boolean;
  readonly maxLength: number | undefined;
  readonly minValue: number | undefined;
  readonly maxValue: number | undefined;
  readonly precision: number | undefined;
  readonly defaultValue: number | undefined;
  readonly options: ReadonlyMap<number, Option>;
  /** Of a money column in the base currency: the column that it is computed from. */
  readonly calculationOf: string | undefined;
  /** Tables that a lookup can point to. */
  readonly targets: readonly string[];
  readonly displayName: string;
  readonly raw: Definition;
}

/** A single-valued navigation property: the lookup behind it and the table that it leads to. */
export interface Navigation {
  readonly name: string;
  readonly column: Column;
  /** Undefined for owners, which are users or teams. */
  readonly target: string | undefined;
}

/** A many-to-many relationship seen from one of its tables. */
export interface Association {
  /** The table that holds the pairs, and its columns for this table's rows and the other's. */
  readonly intersect: string;
  readonly ownColumn: string;
  readonly otherColumn: string;
  readonly otherTable: string;
}

export interface Table {
  readonly logicalName: string;
  readonly schemaName: string;
  readonly entitySetName: string;
  readonly metadataId: string;
  readonly primaryId: string;
  readonly primaryName: string | undefined;
  readonly objectTypeCode: number;
  readonly displayName: string;
  readonly userOwned: boolean;
  readonly isActivity: boolean;
  /** Kept in Cosmos DB, with partitions and without transactions. */
  readonly isElastic: boolean;
  readonly optimisticConcurrency: boolean;
  /** Columns that hold a value, by logical name. */
  readonly columns: ReadonlyMap<string, Column>;
  /** The same by their name in JSON; of users and teams also `ownerid`. */
  readonly properties: ReadonlyMap<string, Column>;
  readonly navigations: ReadonlyMap<string, Navigation>;
  /** Names of collection-valued navigation properties. */
  readonly collections: ReadonlySet<string>;
  /** Of the one-to-many ones: the table and its lookup that point back. */
  readonly collectionTargets: ReadonlyMap<string, { readonly table: string; readonly column: string }>;
  /** Of the many-to-many ones. */
  readonly associations: ReadonlyMap<string, Association>;
  /** The lookup to the same table that is marked as its hierarchy. */
  readonly hierarchyColumn: string | undefined;
  /** What this table's lookups do when the row that they point to is deleted. */
  readonly lookupRelationships: readonly { column: string; target: string; onDelete: string }[];
  /** The whole definition in the Web API's form. */
  readonly raw: Definition;
}

export type Definition = Readonly<Record<string, unknown>>;

export interface TableName {
  readonly logicalName: string;
  readonly entitySetName: string;
  readonly schemaName: string;
  readonly metadataId: string;
  readonly primaryId: string;
}

/** The tables that exist and what defines them. The writers leave checks to their callers. */
export interface Catalog {
  readonly names: readonly TableName[];
  /** Another one after every change of a definition. */
  readonly version: string;
  table(logicalName: string): Table | undefined;
  tableOfSet(entitySetName: string): Table | undefined;
  tableOfId(metadataId: string): Table | undefined;
  /** The global choices in the Web API's form, by name. */
  choices(): ReadonlyMap<string, Definition>;
  /** Stores a table's own properties; its columns and relationships have writers of their own. */
  saveTable(definition: Definition): void;
  /** Removes the table and its columns, not its relationships. */
  removeTable(logicalName: string): void;
  saveColumn(table: string, column: Definition): void;
  removeColumn(table: string, logicalName: string): void;
  saveRelationship(relationship: Definition): void;
  removeRelationship(relationship: Definition): void;
  saveChoice(choice: Definition): void;
  removeChoice(name: string): void;
  /** Must be called when a transaction that may have changed definitions is undone. */
  changed(): void;
}

const KINDS: Readonly<Record<string, ColumnKind>> = {
  StringType: 'text',
  MemoType: 'memo',
  IntegerType: 'integer',
  BigIntType: 'bigint',
  DecimalType: 'decimal',
  DoubleType: 'double',
  MoneyType: 'money',
  BooleanType: 'boolean',
  DateTimeType: 'datetime',
  PicklistType: 'choice',
  StateType: 'state',
  StatusType: 'status',
  MultiSelectPicklistType: 'choices',
  LookupType: 'lookup',
  CustomerType: 'lookup',
  OwnerType: 'lookup',
  UniqueidentifierType: 'guid',
  EntityNameType: 'entityname',
  ManagedPropertyType: 'managed',
};

/**
 * Their entity types inherit the key `ownerid`, with the value of their own id, from `principal` (documentation: "Join
 * tables using OData").
 */
const PRINCIPALS: ReadonlySet<string> = new Set(['systemuser', 'team']);

const folder = new URL('./metadata/', import.meta.url);

/** A file of the metadata folder, parsed. */
export const readMetadataFile = (path: string): unknown => JSON.parse(readFileSync(new URL(path, folder), 'utf8'));

/** A table from its definition in the Web API's form. Throws a ZodError when it is none. */
export function parseTable(json: unknown): Table {
  const raw = definitionSchema.parse(json);
  const columns = new Map<string, Column>();
  const properties = new Map<string, Column>();
  for (const one of raw.Attributes) {
    const column = columnOf(one);
    if (!column) continue;
    columns.set(column.logicalName, column);
    properties.set(column.property, column);
  }
  const id = columns.get(raw.PrimaryIdAttribute);
  if (id && PRINCIPALS.has(raw.LogicalName)) {
    properties.set('ownerid', { ...id, property: 'ownerid', validForCreate: false, validForUpdate: false });
  }
  return {
    logicalName: raw.LogicalName,
    schemaName: raw.SchemaName,
    entitySetName: raw.EntitySetName,
    metadataId: raw.MetadataId,
    primaryId: raw.PrimaryIdAttribute,
    primaryName: raw.PrimaryNameAttribute ?? undefined,
    objectTypeCode: raw.ObjectTypeCode ?? 0,
    displayName: raw.DisplayName?.UserLocalizedLabel?.Label ?? raw.SchemaName,
    userOwned: raw.OwnershipType === 'UserOwned',
    isActivity: raw.IsActivity === true,
    isElastic: raw.TableType === 'Elastic',
    // Only the documentation's tables lack the property; the service lists the feature as on for all but a few.
    optimisticConcurrency: raw.IsOptimisticConcurrencyEnabled !== false,
    columns,
    properties,
    navigations: navigationsOf(raw, columns),
    collections: collectionsOf(raw),
    collectionTargets: new Map(
      raw.OneToManyRelationships.map((one) => [
        one.ReferencedEntityNavigationPropertyName ?? '',
        { table: one.ReferencingEntity, column: one.ReferencingAttribute },
      ]),
    ),
    associations: associationsOf(raw),
    hierarchyColumn: raw.OneToManyRelationships.find(
      (one) => one.IsHierarchical === true && one.ReferencingEntity === raw.LogicalName,
    )?.ReferencingAttribute,
    lookupRelationships: raw.ManyToOneRelationships.map((one) => ({
      column: one.ReferencingAttribute,
      target: one.ReferencedEntity,
      onDelete: one.CascadeConfiguration?.Delete ?? 'NoCascade',
    })).filter(({ column }) => columns.has(column)),
    raw,
  };
}

/** A column from its definition; undefined when it holds no value of its own. Throws a ZodError when it is none. */
export const parseColumn = (json: unknown): Column | undefined => columnOf(attributeSchema.parse(json));

function columnOf(raw: AttributeJson): Column | undefined {
  if (raw.IsValidODataAttribute === false && raw.AttributeOf) return undefined;
  const kind = kindOf(raw);
  if (kind === 'unsupported' && raw.AttributeTypeName?.Value === 'VirtualType') return undefined;
  return {
    logicalName: raw.LogicalName,
    kind,
    property: kind === 'lookup' ? `_${raw.LogicalName}_value` : raw.LogicalName,
    validForCreate: raw.IsValidForCreate !== false,
    validForUpdate: raw.IsValidForUpdate !== false,
    validForRead: raw.IsValidForRead !== false,
    systemRequired: raw.RequiredLevel?.Value === 'SystemRequired',
    maxLength: raw.MaxLength ?? undefined,
    minValue: numberOf(raw.MinValue),
    maxValue: numberOf(raw.MaxValue),
    precision: raw.Precision ?? undefined,
    defaultValue: defaultOf(raw),
    options: optionsOf(raw),
    calculationOf: raw.CalculationOf ?? undefined,
    targets: kind === 'lookup' ? (raw.Targets ?? []) : [],
    displayName: raw.DisplayName?.UserLocalizedLabel?.Label ?? raw.LogicalName,
    raw,
  };
}

function kindOf(raw: AttributeJson): ColumnKind {
  const kind = KINDS[raw.AttributeTypeName?.Value ?? `${raw.AttributeType}Type`] ?? 'unsupported';
  return kind === 'datetime' && raw.DateTimeBehavior?.Value === 'DateOnly' ? 'dateonly' : kind;
}

const numberOf = (value: number | string | null | undefined): number | undefined =>
  value === null || value === undefined ? undefined : Number(value);

function defaultOf(raw: AttributeJson): number | undefined {
  if (raw.DefaultValue !== null && raw.DefaultValue !== undefined) return raw.DefaultValue ? 1 : 0;
  // -1 stands for "no default".
  return raw.DefaultFormValue === null || raw.DefaultFormValue === -1 ? undefined : raw.DefaultFormValue;
}

function optionsOf(raw: AttributeJson): Map<number, Option> {
  const set = raw.OptionSet;
  const boolean = raw.AttributeType === 'Boolean';
  const options = boolean ? [set?.FalseOption, set?.TrueOption] : (set?.Options ?? []);
  const found = new Map<number, Option>();
  for (const one of options) {
    if (!one) continue;
    found.set(one.Value, {
      value: one.Value,
      label: one.Label?.UserLocalizedLabel?.Label ?? String(one.Value),
      ...(typeof one.State === 'number' ? { state: one.State } : {}),
      ...(typeof one.DefaultStatus === 'number' ? { defaultStatus: one.DefaultStatus } : {}),
    });
  }
  return found;
}

function navigationsOf(raw: DefinitionJson, columns: ReadonlyMap<string, Column>): Map<string, Navigation> {
  const found = new Map<string, Navigation>();
  for (const one of raw.ManyToOneRelationships) {
    const column = columns.get(one.ReferencingAttribute);
    const name = one.ReferencingEntityNavigationPropertyName;
    if (column?.kind !== 'lookup' || !name) continue;
    const target = one.ReferencedEntity === 'owner' ? undefined : one.ReferencedEntity;
    found.set(name, { name, column, target });
  }
  // The documentation's tables name no relationship for their owner.
  const owner = columns.get('ownerid');
  if (owner?.kind === 'lookup' && ![...found.values()].some(({ column }) => column === owner)) {
    found.set('ownerid', { name: 'ownerid', column: owner, target: undefined });
  }
  return found;
}

function collectionsOf(raw: DefinitionJson): Set<string> {
  const found = new Set<string>();
  for (const one of raw.OneToManyRelationships) {
    if (one.ReferencedEntityNavigationPropertyName) found.add(one.ReferencedEntityNavigationPropertyName);
  }
  for (const one of raw.ManyToManyRelationships) {
    const name =
      one.Entity1LogicalName === raw.LogicalName
        ? one.Entity1NavigationPropertyName
        : one.Entity2NavigationPropertyName;
    if (name) found.add(name);
  }
  return found;
}

function associationsOf(raw: DefinitionJson): Map<string, Association> {
  const found = new Map<string, Association>();
  for (const one of raw.ManyToManyRelationships) {
    const isFirst = one.Entity1LogicalName === raw.LogicalName;
    const name = isFirst ? one.Entity1NavigationPropertyName : one.Entity2NavigationPropertyName;
    const [ownColumn, otherColumn] = isFirst
      ? [one.Entity1IntersectAttribute, one.Entity2IntersectAttribute]
      : [one.Entity2IntersectAttribute, one.Entity1IntersectAttribute];
    const otherTable = isFirst ? one.Entity2LogicalName : one.Entity1LogicalName;
    if (name && one.IntersectEntityName && ownColumn && otherColumn && otherTable) {
      found.set(name, { intersect: one.IntersectEntityName, ownColumn, otherColumn, otherTable });
    }
  }
  return found;
}
