import { notEmulated, unknownProperty } from './errors.ts';
import type { Column, Navigation, Table } from './metadata.ts';
import type { ExpandItem } from './odata/ast.ts';
import type { JsonObject } from './payload.ts';
import type { Preferences } from './preferences.ts';
import { etagOf, readStored, targetOf } from './references.ts';
import { hasTypeColumn, identifier, type StoredRow, typeColumn } from './store.ts';
import { formatValue, writeValue } from './values.ts';
import type { Work } from './work.ts';

/** Which columns and lookups an answer holds. */
export interface Projection {
  readonly columns: readonly Column[];
  readonly expands: readonly { navigation: Navigation; select: readonly string[] | undefined }[];
  /** What stands in parentheses in `@odata.context`; empty for whole rows. */
  readonly context: string;
}

const FORMATTED = 'OData.Community.Display.V1.FormattedValue';
const NAVIGATION = 'Microsoft.Dynamics.CRM.associatednavigationproperty';
const LOGICAL_NAME = 'Microsoft.Dynamics.CRM.lookuplogicalname';

const EXPANDS_MAX = 15;

/** Reads `$select` and `$expand`. Throws WireError for what the table does not have and for what is not emulated. */
export function projectionOf(
  table: Table,
  select: readonly string[] | undefined,
  expand: readonly ExpandItem[] = [],
): Projection {
  if (expand.length > EXPANDS_MAX) throw notEmulated(`More than ${EXPANDS_MAX} expanded properties`);
  const expands = expand.map((item) => expandOf(table, item));
  const names = [...(select ?? []), ...expand.map((item) => `${item.navigation}(${item.select?.join(',') ?? ''})`)];
  return { columns: columnsOf(table, select), expands, context: names.length === 0 ? '' : `(${names.join(',')})` };
}

function columnsOf(table: Table, select: readonly string[] | undefined): Column[] {
  if (select === undefined || select.length === 0 || select.includes('*')) {
    return [...table.columns.values()].filter((column) => column.validForRead);
  }
  const found = new Set<Column>();
  const add = (name: string) => {
    const column = table.columns.get(name);
    if (column) found.add(column);
  };
  for (const name of select) {
    const column = table.properties.get(name) ?? table.navigations.get(name)?.column;
    if (!column && table.collections.has(name)) continue;
    if (!column?.validForRead) throw unknownProperty(table.logicalName, name);
    found.add(column);
    // What the service adds by itself: an amount comes with its currency, a street with its address.
    if (column.kind === 'money') add('transactioncurrencyid');
    if (/^address\d_line1$/.test(name)) add(name.replace('line1', 'composite'));
  }
  add(table.primaryId);
  if (table.logicalName === 'systemuser') add('ownerid');
  return [...found];
}

function expandOf(table: Table, item: ExpandItem): Projection['expands'][number] {
  const navigation = table.navigations.get(item.navigation);
  if (!navigation) {
    if (table.collections.has(item.navigation)) throw notEmulated(`$expand of the collection ${item.navigation}`);
    throw unknownProperty(table.logicalName, item.navigation);
  }
  if (item.ref) throw notEmulated('$expand with $ref');
  if (item.expand) throw notEmulated('Nested $expand');
  if (item.filter || item.orderby || item.top !== undefined || item.unknown.length > 0) {
    throw notEmulated('Options other than $select inside $expand');
  }
  return { navigation, select: item.select };
}

/** The SQL columns that {@link writeRow} needs. */
export function storedColumns(table: Table, projection: Projection): string[] {
  const names = new Set([table.primaryId]);
  if (table.columns.has('versionnumber')) names.add('versionnumber');
  const add = (column: Column) => {
    if (column.kind === 'unsupported') return;
    names.add(column.logicalName);
    if (hasTypeColumn(column)) names.add(typeColumn(column.logicalName));
  };
  for (const column of projection.columns) add(column);
  for (const { navigation } of projection.expands) add(navigation.column);
  return [...names];
}

/** Writes rows in the JSON form of the service; one per answer, since it remembers the names of rows that lookups show. */
export function createRowWriter(work: Work, preferences: Preferences) {
  const names = new Map<string, string | null>();

  const nameOf = (tableName: string, id: string): string | null => {
    const known = names.get(`${tableName}/${id}`);
    if (known !== undefined) return known;
    const table = work.env.catalog.table(tableName);
    let name: string | null = null;
    if (table?.primaryName !== undefined) {
      work.env.store.ensure(table);
      const row = work.env.store.get(
        `SELECT ${identifier(table.primaryName)} AS name FROM ${identifier(table.logicalName)} ` +
          `WHERE ${identifier(table.primaryId)} = ?`,
        [id],
      );
      name = typeof row?.['name'] === 'string' ? row['name'] : null;
    }
    names.set(`${tableName}/${id}`, name);
    return name;
  };

  const writeLookup = (json: Record<string, unknown>, table: Table, column: Column, row: StoredRow) => {
    const id = row[column.logicalName];
    const target = typeof id === 'string' ? targetOf(column, row) : undefined;
    if (typeof id === 'string' && target !== undefined) {
      const annotate = (annotation: string, value: string | null | undefined) => {
        if (value && preferences.wantsAnnotation(annotation)) json[`${column.property}@${annotation}`] = value;
      };
      annotate(FORMATTED, nameOf(target, id));
      annotate(NAVIGATION, navigationTo(table, column, target));
      annotate(LOGICAL_NAME, target);
    }
    json[column.property] = id ?? null;
  };

  const writeColumns = (json: Record<string, unknown>, table: Table, columns: readonly Column[], row: StoredRow) => {
    for (const column of columns) {
      if (column.kind === 'lookup') {
        writeLookup(json, table, column, row);
        continue;
      }
      const value = row[column.logicalName];
      const formatted = preferences.wantsAnnotation(FORMATTED) ? formatValue(column, value) : undefined;
      if (formatted !== undefined) json[`${column.property}@${FORMATTED}`] = formatted;
      json[column.property] = writeValue(column, value);
    }
  };

  const expanded = (row: StoredRow, expand: Projection['expands'][number], withEtag: boolean): JsonObject | null => {
    const { column, target } = expand.navigation;
    const id = row[column.logicalName];
    const actual = targetOf(column, row);
    const table = actual === undefined || (target ?? actual) !== actual ? undefined : work.env.catalog.table(actual);
    const found = typeof id === 'string' && table ? readStored(work, table, id) : undefined;
    if (!table || !found) return null;
    work.env.guard.require(work.caller, table, 'Read');
    const json: Record<string, unknown> = withEtag ? { '@odata.etag': etagOf(found) } : {};
    writeColumns(json, table, columnsOf(table, expand.select), found);
    return json;
  };

  return (
    table: Table,
    row: StoredRow,
    projection: Projection,
    options: { context?: string; expandedEtags: boolean },
  ): Record<string, unknown> => {
    const json: Record<string, unknown> = options.context === undefined ? {} : { '@odata.context': options.context };
    json['@odata.etag'] = etagOf(row);
    writeColumns(json, table, projection.columns, row);
    for (const expand of projection.expands) {
      json[expand.navigation.name] = expanded(row, expand, options.expandedEtags);
    }
    return json;
  };
}

const navigationTo = (table: Table, column: Column, target: string): string | undefined =>
  [...table.navigations.values()].find((one) => one.column === column && (one.target ?? target) === target)?.name;
