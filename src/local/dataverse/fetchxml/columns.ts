import { notEmulated } from '../errors.ts';
import type { Column, Table } from '../metadata.ts';
import type { ColumnInQuery } from '../query-sql.ts';
import { comparable, hasTypeColumn, identifier, typeColumn } from '../store.ts';
import type { Work } from '../work.ts';
import { unknownColumn } from './errors.ts';

/** A table in the query by the name that SQL knows it under. */
export interface TableInQuery {
  readonly table: Table;
  readonly alias: string;
}

/**
 * Finds a column that a condition, a join or an order names. `<lookup>name` is the primary name of the row that the lookup
 * points to. Throws WireError 400 when there is none, and 501 when it holds no value here.
 */
export function columnIn(work: Work, source: TableInQuery, name: string): ColumnInQuery {
  const { table, alias } = source;
  const column = table.columns.get(name);
  if (!column) return nameColumnIn(work, source, name);
  if (!column.validForRead) throw unknownColumn(table.logicalName, name);
  if (column.kind === 'unsupported') throw notEmulated(`A query on the column ${name}`);
  return inQuery(source, column, `${alias}.${identifier(column.logicalName)}`);
}

const inQuery = ({ table, alias }: TableInQuery, column: Column, qualified: string): ColumnInQuery => ({
  table,
  column,
  alias,
  qualified,
  compared: comparable(column, qualified),
});

function nameColumnIn(work: Work, source: TableInQuery, name: string): ColumnInQuery {
  const base = namedColumn(source.table, name);
  if (!base) throw unknownColumn(source.table.logicalName, name);
  const names = base.kind === 'lookup' ? nameBehind(work, columnIn(work, source, base.logicalName)) : undefined;
  if (names === undefined) throw notEmulated(`A query on the column ${name}`);
  return inQuery(source, { ...base, logicalName: name, property: name, kind: 'text', targets: [] }, names);
}

/** The column that a virtual column `<name>name` shows the text of. */
export function namedColumn(table: Table, name: string): Column | undefined {
  return name.endsWith('name') ? table.columns.get(name.slice(0, -'name'.length)) : undefined;
}

/** The primary name of the row that a lookup points to, as SQL; undefined where none of its tables has one. */
export function nameBehind(
  { env }: Work,
  { column, alias, qualified }: Pick<ColumnInQuery, 'column' | 'alias' | 'qualified'>,
): string | undefined {
  const names = column.targets.flatMap((target) => {
    const table = env.catalog.table(target);
    const name = table?.columns.get(table.primaryName ?? '');
    if (!table || !name || name.kind === 'unsupported') return [];
    env.store.ensure(table);
    const [from, id, text] = [table.logicalName, table.primaryId, name.logicalName].map(identifier);
    return [{ table: table.logicalName, text: `(SELECT ${text} FROM ${from} WHERE ${id} = ${qualified})` }];
  });
  if (!hasTypeColumn(column)) return names[0]?.text;
  if (names.length === 0) return undefined;
  const type = `${alias}.${identifier(typeColumn(column.logicalName))}`;
  // Logical names hold letters, digits and underscores only; doubling quotes costs nothing.
  const cases = names.map(({ table, text }) => `WHEN '${table.replaceAll("'", "''")}' THEN ${text}`);
  return `CASE ${type} ${cases.join(' ')} END`;
}
