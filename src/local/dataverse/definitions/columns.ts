import { invalidArgument, notEmulated } from '../errors.ts';
import { isJsonObject } from '../json-object.ts';
import { type Column, type Definition, parseColumn, type Table } from '../metadata.ts';
import { identifier, physicalColumns, type Store } from '../store.ts';
import type { Work } from '../work.ts';
import type { WrittenDefinition } from './body.ts';
import type { ColumnDraft } from './column-draft.ts';
import { changeable, childrenOf, fixed, lookupDefinition, requireSame } from './column-shape.ts';
import { COLUMN_TYPES } from './column-types.ts';
import { addToSolution, type Change, englishLabel, labelText, removeFromSolutions } from './customize.ts';
import {
  columnMatchesNavigation,
  columnNameTaken,
  componentInUse,
  notACustomColumn,
  notCreatable,
  physicalNameTaken,
  primaryNameStays,
  tableNotCustomizable,
} from './errors.ts';
import { schemaName } from './names.ts';
import { NO_CASCADE, relationshipDefinition, relationshipsOf } from './relationship-shape.ts';
import { typeNamed } from './types.ts';

/** As many as SQLite takes without further ado; SQL Server takes 1024. */
const COLUMNS_MAX = 1000;
const DAY_MS = 86_400_000;

/** Defines a column and what the platform adds with it, and answers its MetadataId. Throws WireError. */
export function createColumn(change: Change, table: Table, written: WrittenDefinition, isPrimaryName = false): string {
  requireCustomizable(table, 'CanCreateAttributes');
  const column = newColumn(change, table.logicalName, written, isPrimaryName);
  saveNew(change, table, column);
  if (column['AttributeType'] === 'Money') addCurrency(change, table, column);
  return String(column['MetadataId']);
}

/** Throws WireError when the definition's managed property says that it must stay as it is. */
export function requireCustomizable(table: Table, property: 'CanCreateAttributes' | 'IsCustomizable'): void {
  const value = table.raw[property];
  if (isJsonObject(value) && value['Value'] === false) throw tableNotCustomizable();
}

function newColumn(change: Change, table: string, written: WrittenDefinition, isPrimaryName: boolean): Definition {
  const type = COLUMN_TYPES.get(written.type.name);
  if (!type) {
    if (/^(?:File|Image)/.test(written.type.name)) throw notEmulated(`Making a column of type ${written.type.name}`);
    throw notCreatable(written.type.name);
  }
  const name = schemaName(written.properties.get('SchemaName'), 'Attribute', change.solution?.prefix);
  requireSame(written, 'AttributeType', type.code);
  requireSame(written, 'LogicalName', name.toLowerCase());
  const id = change.work.env.newId();
  const draft: ColumnDraft = { change, written, table, schemaName: name, id, current: undefined };
  return {
    ...fixed(change.work, {
      id,
      table,
      name,
      type: written.type.name,
      code: type.code,
      typeName: type.name,
      isPrimaryName,
    }),
    ...changeable(draft),
    ...type.specifics(draft),
  };
}

function saveNew(change: Change, table: Table, column: Definition): void {
  const { env } = change.work;
  const name = String(column['LogicalName']);
  requireFree(table, column, columnNameTaken);
  const children = childrenOf(change.work, table.logicalName, column);
  for (const child of children) requireFree(table, child, physicalNameTaken);
  if (table.columns.size + children.length >= COLUMNS_MAX) {
    throw invalidArgument(`The table ${table.logicalName} has too many columns.`);
  }
  for (const one of [column, ...children]) env.catalog.saveColumn(table.logicalName, one);
  addToSolution(change, 'Attribute', String(column['MetadataId']));
  prepareStore(env.store, env.catalog.table(table.logicalName), name);
}

/** Makes the column in the database at once, so that the next reader finds it. */
function prepareStore(store: Store, table: Table | undefined, column: string): void {
  if (!table) throw new Error(`The table of ${column} is missing`);
  if (store.tables().has(table.logicalName)) store.ensure(table);
}

function requireFree(table: Table, definition: Definition, taken: (name: string, table: string) => Error): void {
  const name = String(definition['LogicalName']);
  const exists = columnsOf(table).some((one) => one['LogicalName'] === name);
  if (exists) throw taken(String(definition['SchemaName']), table.logicalName);
  const column = parseColumn(definition);
  const physical = new Set([...table.columns.values()].flatMap((one) => [...physicalColumns(one).keys()]));
  for (const one of column ? physicalColumns(column).keys() : []) {
    if (physical.has(one)) throw physicalNameTaken(one, table.logicalName);
  }
  if (table.navigations.has(name) || table.collections.has(name)) throw columnMatchesNavigation(name);
}

/** A table's columns in the Web API's form. */
export const columnsOf = (table: Table): Definition[] => {
  const columns = table.raw['Attributes'];
  return Array.isArray(columns) ? columns.filter(isJsonObject) : [];
};

/** A lookup's definition; relationships make them. */
export function newLookup(
  change: Change,
  table: Table,
  written: WrittenDefinition,
  targets: readonly string[],
  isCustomer: boolean,
): Definition {
  const name = schemaName(written.properties.get('SchemaName'), 'Attribute', change.solution?.prefix);
  requireSame(written, 'LogicalName', name.toLowerCase());
  const id = change.work.env.newId();
  const draft: ColumnDraft = { change, written, table: table.logicalName, schemaName: name, id, current: undefined };
  const column = lookupDefinition(draft, targets, isCustomer ? 'Customer' : 'Lookup');
  saveNew(change, table, column);
  return column;
}

/** With an amount come the same in the base currency and, with the first one, the row's currency and exchange rate. */
function addCurrency(change: Change, table: Table, amount: Definition): void {
  const { work } = change;
  const current = () => work.env.catalog.table(table.logicalName) ?? table;
  const name = `${amount['SchemaName']}_Base`;
  saveNew(change, current(), {
    ...amount,
    MetadataId: work.env.newId(),
    DisplayName: englishLabel(work, `${labelText(amount['DisplayName']) ?? amount['SchemaName']} (Base)`),
    CalculationOf: amount['LogicalName'],
    IsBaseCurrency: true,
    IsValidForCreate: false,
    IsValidForUpdate: false,
    LogicalName: name.toLowerCase(),
    MaxValue: 922_337_203_685_477,
    MinValue: -922_337_203_685_477,
    Precision: 4,
    SchemaName: name,
  });
  if (current().columns.has('transactioncurrencyid')) return;
  const properties = new Map<string, unknown>();
  const written: WrittenDefinition = { type: typeNamed('LookupAttributeMetadata'), properties, binds: new Map() };
  const draft = { change, written, table: table.logicalName, current: undefined };
  const currency: ColumnDraft = { ...draft, schemaName: 'TransactionCurrencyId', id: work.env.newId() };
  saveNew(change, current(), {
    ...lookupDefinition(currency, ['transactioncurrency'], 'Lookup'),
    DisplayName: englishLabel(work, 'Currency'),
    IsCustomAttribute: false,
  });
  const rate: ColumnDraft = { ...draft, schemaName: 'ExchangeRate', id: work.env.newId() };
  saveNew(change, current(), exchangeRate(rate));
  work.env.catalog.saveRelationship(
    relationshipDefinition(work, {
      schemaName: `TransactionCurrency_${table.schemaName}`,
      referenced: 'transactioncurrency',
      referencedAttribute: 'transactioncurrencyid',
      referencing: table.logicalName,
      referencingAttribute: 'transactioncurrencyid',
      navigation: 'transactioncurrencyid',
      isCustom: false,
      cascade: { ...NO_CASCADE, Delete: 'Restrict' },
    }),
  );
}

const exchangeRate = (draft: ColumnDraft): Definition => ({
  ...fixed(draft.change.work, {
    id: draft.id,
    table: draft.table,
    name: draft.schemaName,
    type: 'DecimalAttributeMetadata',
    code: 'Decimal',
    typeName: 'DecimalType',
  }),
  ...changeable(draft),
  DisplayName: englishLabel(draft.change.work, 'Exchange Rate'),
  IsCustomAttribute: false,
  IsValidForCreate: false,
  IsValidForUpdate: false,
  ImeMode: 'Disabled',
  MaxValue: 100_000_000_000,
  MinValue: 1e-12,
  Precision: 12,
  FormulaDefinition: null,
  SourceTypeMask: 0,
});

/** Replaces a column's definition. Throws WireError. */
export function changeColumn(change: Change, table: Table, current: Definition, written: WrittenDefinition): void {
  requireCustomizable(table, 'IsCustomizable');
  if (current['AttributeOf'] != null) throw notACustomColumn();
  for (const name of ['AttributeType', 'EntityLogicalName', 'LogicalName', 'MetadataId', 'SchemaName']) {
    requireSame(written, name, current[name]);
  }
  const name = String(current['SchemaName']);
  const draft: ColumnDraft = {
    change,
    written,
    table: table.logicalName,
    schemaName: name,
    id: String(current['MetadataId']),
    current,
  };
  const type = COLUMN_TYPES.get(written.type.name);
  const changed = { ...current, ...changeable(draft), ...type?.specifics(draft) };
  change.work.env.catalog.saveColumn(table.logicalName, changed);
  dropTimes(change.work, table, parseColumn(current), parseColumn(changed));
}

/** A column that becomes one of days keeps only the days (in UTC) of its times. */
function dropTimes({ env }: Work, table: Table, before: Column | undefined, after: Column | undefined): void {
  if (before?.kind !== 'datetime' || after?.kind !== 'dateonly' || !env.store.tables().has(table.logicalName)) return;
  const name = identifier(after.logicalName);
  // SQLite's remainder has the sign of the number, and times before 1970 are negative.
  const day = `((${name} % ${DAY_MS}) + ${DAY_MS}) % ${DAY_MS}`;
  env.store.run(`UPDATE ${identifier(table.logicalName)} SET ${name} = ${name} - ${day}`);
}

/** Deletes a custom column with its values. Throws WireError when something depends on it. */
export function deleteColumn({ work }: Change, table: Table, current: Definition): void {
  const name = String(current['LogicalName']);
  if (current['IsPrimaryName'] === true) throw primaryNameStays();
  if (current['IsCustomAttribute'] !== true || current['AttributeOf'] != null) throw notACustomColumn();
  if (current['CalculationOf'] != null) throw notACustomColumn();
  const users = dependentsOf(work, table, name);
  if (users > 0) throw componentInUse('Attribute', String(current['MetadataId']), users);
  dropColumn(work, table, current);
}

/** Removes a column, what belongs to it and the relationships that it carries. */
export function dropColumn(work: Work, table: Table, current: Definition): void {
  const name = current['LogicalName'];
  for (const relationship of relationshipsOf(table, 'ManyToOneRelationships')) {
    if (relationship['ReferencingAttribute'] !== name) continue;
    work.env.catalog.removeRelationship(relationship);
    removeFromSolutions(work, String(relationship['MetadataId']));
  }
  const gone = columnsOf(table).filter(
    (one) => one['LogicalName'] === name || one['AttributeOf'] === name || one['CalculationOf'] === name,
  );
  for (const one of gone) {
    const column = table.columns.get(String(one['LogicalName']));
    work.env.catalog.removeColumn(table.logicalName, String(one['LogicalName']));
    if (column) work.env.store.dropColumn(table.logicalName, column);
    removeFromSolutions(work, String(one['MetadataId']));
  }
}

/** How many alternate keys and webhook steps use a column. */
function dependentsOf({ env }: Work, table: Table, column: string): number {
  const keys = env.keys.of(table.logicalName).filter((key) => key.columns.includes(column)).length;
  const steps = env.store.all(
    'SELECT step.filteringattributes AS columns FROM sdkmessageprocessingstep AS step ' +
      'JOIN sdkmessagefilter AS filter ON filter.sdkmessagefilterid = step.sdkmessagefilterid ' +
      'WHERE filter.primaryobjecttypecode = ?',
    [table.logicalName],
  );
  return (
    keys +
    steps.filter(({ columns }) =>
      String(columns ?? '')
        .split(',')
        .includes(column),
    ).length
  );
}
