import { notEmulated } from '../errors.ts';
import { nameBehind } from '../lookup-names.ts';
import type { Column, Table } from '../metadata.ts';
import type { ColumnInQuery } from '../sql.ts';
import { comparable, identifier } from '../store.ts';
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
