import {
  badPayload,
  deepUpdateRefused,
  lookupWrittenDirectly,
  notEmulated,
  notPrimitive,
  propertyWithoutValue,
  readOnlyColumn,
  undeclaredNavigation,
  unexpectedNode,
  unknownPropertyInBody,
  wrongType,
} from './errors.ts';
import { isJsonObject, type JsonObject } from './json-object.ts';
import type { Column, Navigation, Table } from './metadata.ts';
import { rowOfUrl } from './references.ts';
import { hasTypeColumn, type StoredValue, typeColumn } from './store.ts';
import { edmType, readValue } from './values.ts';
import type { Work } from './work.ts';

/** What a request's body writes into a row. */
export interface RowChange {
  /** By the database's column names; lookups with several targets have their type column too. */
  readonly values: Map<string, StoredValue>;
  /** Tables that the body's lookups point to. */
  readonly references: Set<string>;
  /** Rows to be made before this one, which lookups point to. */
  readonly parents: { readonly navigation: Navigation; readonly row: JsonObject }[];
  /** Rows to be made after it, in its collections. */
  readonly children: { readonly name: string; readonly rows: readonly unknown[] }[];
  /** Rows that exist, to be put into its collections. */
  readonly links: { readonly name: string; readonly urls: readonly string[] }[];
}

export const newChange = (): RowChange => ({
  values: new Map(),
  references: new Set(),
  parents: [],
  children: [],
  links: [],
});

export type Operation = 'create' | 'update';

const BIND = '@odata.bind';
const TYPE = /^#?(?:Microsoft\.Dynamics\.CRM|mscrm)\.(?<name>.*)$/;

/** What all properties of one body share. */
interface Reading {
  readonly work: Work;
  readonly table: Table;
  readonly json: JsonObject;
  readonly operation: Operation;
  /** Whether rows may stand below navigation properties. */
  readonly nested: boolean;
  readonly change: RowChange;
}

/**
 * Reads a row from a body; one that is `nested` may hold rows below its navigation properties, as POST takes them.
 * Throws WireError as the service refuses it.
 */
export function readRow(
  work: Work,
  table: Table,
  json: unknown,
  operation: Operation,
  nested: 'nested' | 'flat' = 'flat',
): RowChange {
  if (!isJsonObject(json)) throw unexpectedNode(table.entitySetName, json, 'StartObject');
  const change = newChange();
  const reading: Reading = { work, table, json, operation, nested: nested === 'nested', change };
  for (const [name, value] of Object.entries(json)) readProperty(reading, name, value);
  return change;
}

/** The type that `@odata.type` names, as a logical name. */
export const logicalNameIn = (type: string): string => TYPE.exec(type)?.groups?.['name'] ?? type;

/** Throws WireError 400 for anything but an array. */
export function arrayIn(table: Table, json: unknown): readonly unknown[] {
  if (!Array.isArray(json)) throw unexpectedNode(table.entitySetName, json, 'StartArray');
  return json;
}

const isWritable = (column: Column, operation: Operation): boolean =>
  operation === 'create' ? column.validForCreate : column.validForUpdate;

function readProperty(reading: Reading, name: string, value: unknown): void {
  const { work, table, change, operation } = reading;
  const at = name.indexOf('@');
  if (at >= 0) {
    readAnnotation(reading, name, at, value);
    return;
  }
  const column = table.properties.get(name);
  if (column?.kind === 'lookup') throw lookupWrittenDirectly(table.entitySetName);
  if (!column) {
    readNested(reading, name, value);
    return;
  }
  if (!isWritable(column, operation)) {
    // The id only says which row is meant.
    const refused = work.env.assumptions.readOnlyColumns === 'refused' && name !== table.primaryId;
    if (refused) throw readOnlyColumn(table.logicalName, name);
    return;
  }
  if (column.kind === 'unsupported' && value !== null) throw notEmulated(`Writing the column ${name}`);
  if (column.kind !== 'unsupported') change.values.set(column.logicalName, readValue(table, column, value));
}

function readNested({ table, change, operation, nested }: Reading, name: string, value: unknown): void {
  const navigation = table.navigations.get(name);
  if (navigation) {
    if (value !== null && !nested) throw deepUpdateRefused();
    if (value !== null && !isJsonObject(value)) throw unexpectedNode(table.entitySetName, value, 'StartObject');
    if (!isWritable(navigation.column, operation)) return;
    if (value === null) setLookup(change, navigation, undefined);
    else change.parents.push({ navigation, row: value });
    return;
  }
  if (!table.collections.has(name)) throw unknownPropertyInBody(table.logicalName, name);
  if (!nested) throw deepUpdateRefused();
  change.children.push({ name, rows: arrayIn(table, value) });
}

function readAnnotation(reading: Reading, name: string, at: number, value: unknown): void {
  const { work, table, change, operation } = reading;
  const property = name.slice(0, at);
  if (property === '') {
    if (name === '@odata.type') requireType(table, value);
    return;
  }
  if (!name.endsWith(BIND)) {
    requireValue(reading, property);
    return;
  }
  const navigation = table.navigations.get(property);
  if (!navigation) {
    bindCollection(reading, property, value);
    return;
  }
  if (!isWritable(navigation.column, operation)) return;
  if (value === null) setLookup(change, navigation, undefined);
  else if (typeof value === 'string') bind(work, table, change, navigation, value);
  else throw notPrimitive(table.entitySetName, value);
}

function requireType(table: Table, type: unknown): void {
  if (typeof type !== 'string') throw notPrimitive(table.entitySetName, type);
  if (logicalNameIn(type) !== table.logicalName) throw wrongType(table.entitySetName, type, table.logicalName);
}

/** Only navigation properties may have annotations and no value. */
function requireValue({ table, json }: Reading, property: string): void {
  if (Object.hasOwn(json, property) || table.navigations.has(property) || table.collections.has(property)) return;
  const column = table.properties.get(property);
  if (!column) throw undeclaredNavigation(table.entitySetName, property);
  throw propertyWithoutValue(table.entitySetName, property, edmType(column));
}

function bindCollection({ table, change, nested }: Reading, name: string, value: unknown): void {
  if (!table.collections.has(name)) throw undeclaredNavigation(table.entitySetName, name);
  if (!nested) throw deepUpdateRefused();
  const urls = arrayIn(table, value).map((url) => {
    if (typeof url !== 'string') throw notPrimitive(table.entitySetName, url);
    return url;
  });
  change.links.push({ name, urls });
}

function bind(work: Work, table: Table, change: RowChange, navigation: Navigation, url: string): void {
  const found = rowOfUrl(work, url);
  const allowed = navigation.target === undefined ? navigation.column.targets : [navigation.target];
  if (!allowed.includes(found.table.logicalName)) {
    throw badPayload(
      table.entitySetName,
      `The navigation property '${navigation.name}' expects a row of type ` +
        `'${allowed.map((one) => `Microsoft.Dynamics.CRM.${one}`).join("' or '")}', but '${url}' names one of ` +
        `'Microsoft.Dynamics.CRM.${found.table.logicalName}'.`,
    );
  }
  setLookup(change, navigation, { table: found.table.logicalName, id: found.id });
}

/** Points a lookup to a row, or to none. */
export function setLookup(
  change: RowChange,
  { column, target }: Pick<Navigation, 'column' | 'target'>,
  value: { table: string; id: string } | undefined,
): void {
  const name = column.logicalName;
  const type = change.values.get(typeColumn(name));
  // Of a lookup with several targets each has its own property: a null for one must not undo what another one set.
  if (!value && type && target !== undefined && type !== target) return;
  change.values.set(name, value?.id ?? null);
  if (hasTypeColumn(column)) change.values.set(typeColumn(name), value?.table ?? null);
  if (value) change.references.add(value.table);
}
