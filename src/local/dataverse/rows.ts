import type { Column, Table } from './metadata.ts';
import type { Preferences } from './preferences.ts';
import { targetOf } from './references.ts';
import { identifier, type StoredRow } from './store.ts';
import { formatValue, writeValue } from './values.ts';
import type { Work } from './work.ts';

const FORMATTED = 'OData.Community.Display.V1.FormattedValue';
const NAVIGATION = 'Microsoft.Dynamics.CRM.associatednavigationproperty';
const LOGICAL_NAME = 'Microsoft.Dynamics.CRM.lookuplogicalname';

/** Writes columns of a row into its JSON form, with the annotations that were asked for. */
export type ColumnWriter = (
  json: Record<string, unknown>,
  table: Table,
  columns: Iterable<Column>,
  row: StoredRow,
) => void;

/** Makes a writer; one per answer, since it remembers the names of rows that lookups show. */
export function createColumnWriter(work: Work, preferences: Preferences): ColumnWriter {
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
      const annotate = (annotation: string, textOf: () => string | null | undefined) => {
        const value = preferences.wantsAnnotation(annotation) ? textOf() : undefined;
        if (value) json[`${column.property}@${annotation}`] = value;
      };
      annotate(FORMATTED, () => nameOf(target, id));
      annotate(NAVIGATION, () => navigationTo(table, column, target));
      annotate(LOGICAL_NAME, () => target);
    }
    json[column.property] = id ?? null;
  };

  return (json, table, columns, row) => {
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
}

const navigationTo = (table: Table, column: Column, target: string): string | undefined =>
  [...table.navigations.values()].find((one) => one.column === column && (one.target ?? target) === target)?.name;
