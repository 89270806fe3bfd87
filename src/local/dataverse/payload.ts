import {
  badPayload,
  lookupWrittenDirectly,
  notEmulated,
  notPrimitive,
  readOnlyColumn,
  undeclaredNavigation,
  unknownPropertyInBody,
} from './errors.ts';
import type { Column, Navigation, Table } from './metadata.ts';
import { rowOfUrl } from './references.ts';
import { hasTypeColumn, type StoredValue, typeColumn } from './store.ts';
import { readValue } from './values.ts';
import type { Work } from './work.ts';

/** What a request's body writes into a row. */
export interface RowChange {
  /** By the database's column names; lookups with several targets have their type column too. */
  readonly values: Map<string, StoredValue>;
  /** Tables that the body's lookups point to. */
  readonly references: Set<string>;
}

export type Operation = 'create' | 'update';

export type JsonObject = Readonly<Record<string, unknown>>;

export const isJsonObject = (json: unknown): json is JsonObject =>
  typeof json === 'object' && json !== null && !Array.isArray(json);

const BIND = '@odata.bind';

/** Reads a row from a body. Throws WireError as the service refuses it. */
export function readRow(work: Work, table: Table, json: unknown, operation: Operation): RowChange {
  if (!isJsonObject(json)) {
    throw badPayload(
      table.entitySetName,
      "An unexpected 'StartArray' node was found when reading from the JSON reader. A 'StartObject' node was expected.",
    );
  }
  const change: RowChange = { values: new Map(), references: new Set() };
  for (const [name, value] of Object.entries(json)) readProperty(work, table, change, name, value, operation);
  return change;
}

const isWritable = (column: Column, operation: Operation): boolean =>
  operation === 'create' ? column.validForCreate : column.validForUpdate;

function readProperty(
  work: Work,
  table: Table,
  change: RowChange,
  name: string,
  value: unknown,
  operation: Operation,
): void {
  const at = name.indexOf('@');
  if (at >= 0) {
    readAnnotation(work, table, change, name, at, value, operation);
    return;
  }
  const column = table.properties.get(name);
  if (column && column.kind !== 'lookup') {
    if (!isWritable(column, operation)) {
      if (work.env.assumptions.readOnlyColumns === 'refused') throw readOnlyColumn(table.logicalName, name);
      return;
    }
    if (column.kind === 'unsupported' && value !== null) throw notEmulated(`Writing the column ${name}`);
    if (column.kind !== 'unsupported') change.values.set(column.logicalName, readValue(table, column, value));
    return;
  }
  if (column) throw lookupWrittenDirectly(table.entitySetName);
  const navigation = table.navigations.get(name);
  if (navigation) {
    if (value !== null) throw notEmulated(`Deep insert (${name})`);
    if (isWritable(navigation.column, operation)) setLookup(change, navigation, undefined);
    return;
  }
  if (table.collections.has(name)) throw notEmulated(`Deep insert (${name})`);
  throw unknownPropertyInBody(table.logicalName, name);
}

function readAnnotation(
  work: Work,
  table: Table,
  change: RowChange,
  name: string,
  at: number,
  value: unknown,
  operation: Operation,
): void {
  if (!name.endsWith(BIND)) return;
  const property = name.slice(0, at);
  const navigation = table.navigations.get(property);
  if (!navigation) {
    if (table.collections.has(property)) throw notEmulated(`Binding the collection ${property}`);
    throw undeclaredNavigation(table.entitySetName, property);
  }
  if (!isWritable(navigation.column, operation)) return;
  if (value === null) setLookup(change, navigation, undefined);
  else if (typeof value === 'string') bind(work, table, change, navigation, value);
  else throw notPrimitive(table.entitySetName, value);
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

function setLookup(
  change: RowChange,
  { column, target }: Navigation,
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
