import { badQuery } from './errors.ts';
import { nameBehind } from './lookup-names.ts';
import type { Column, Table } from './metadata.ts';
import type { OrderItem } from './odata/ast.ts';
import type { CookieBounds, CookieColumn, PageEnd } from './paging.ts';
import type { QueryBuilder } from './query-sql.ts';
import { allOf, type ColumnInQuery, type Sql } from './sql.ts';
import {
  ETAG_COLUMN,
  hasTypeColumn,
  identifier,
  PARTITION_COLUMN,
  type StoredRow,
  type StoredValue,
  typeColumn,
} from './store.ts';
import type { Work } from './work.ts';

/** Something that rows are sorted by. */
export interface SortColumn extends CookieColumn {
  /** The SQL expression. */
  readonly compared: string;
  readonly descending: boolean;
}

// SQL Server refuses a column that is named twice; so many different ones no table has a use for.
const SORT_COLUMNS_MAX = 50;

/** Long texts, and lookups, which sort by something else than their values. */
const UNINDEXED: ReadonlySet<Column['kind']> = new Set(['memo', 'lookup']);

const TEXT_KINDS: ReadonlySet<Column['kind']> = new Set(['text', 'memo', 'entityname', 'choices', 'lookup']);

/** The columns of `$orderby` and the id behind them, which makes the order one that pages can go on from. */
export function sortColumns(builder: QueryBuilder, orderby: readonly OrderItem[] = []): SortColumn[] {
  if (orderby.length > SORT_COLUMNS_MAX) throw badQuery(`At most ${SORT_COLUMNS_MAX} columns can be sorted by.`);
  const { primaryId, isElastic } = builder.table;
  const ends = (isElastic ? [primaryId, PARTITION_COLUMN] : [primaryId]).map(
    (name): OrderItem => ({ path: { kind: 'path', position: 0, segments: [name] }, direction: 'asc' }),
  );
  return [...orderby, ...ends].map(({ path, direction }, at) => {
    const found = builder.column(path);
    if (at === 0 && found.alias === 't0' && !UNINDEXED.has(found.column.kind)) builder.index(found);
    return {
      name: path.segments.join('/'),
      compared: sortedBy(builder.work, found),
      descending: direction === 'desc',
      kind: cookieKind(found.column),
    };
  });
}

function cookieKind({ kind }: Column): CookieColumn['kind'] {
  if (kind === 'guid') return 'guid';
  return TEXT_KINDS.has(kind) ? 'text' : 'number';
}

/** Lookups sort by the name that people see of them (documentation: "Order rows using OData"). */
function sortedBy(work: Work, found: ColumnInQuery): string {
  const name = found.column.kind === 'lookup' ? nameBehind(work, found) : undefined;
  return name === undefined ? found.compared : `fold(${name})`;
}

/** Reads rows in their order; each holds its sort values besides, for {@link cookieBounds}. */
export function selectRows(
  builder: QueryBuilder,
  query: {
    readonly sort: readonly SortColumn[];
    /** Which rows. */
    readonly where: Sql;
    /** The end of the page before. */
    readonly after: PageEnd | undefined;
    readonly limit: number;
    /** SQL names of the columns. */
    readonly columns: readonly string[];
  },
): StoredRow[] {
  const { sort, limit } = query;
  const from = builder.from();
  const where = query.after ? allOf([query.where, ...rowsBehind(sort, query.after.values)]) : query.where;
  const columns = [
    ...query.columns.map((name) => `t0.${identifier(name)} AS ${identifier(name)}`),
    ...sort.map(({ compared }, index) => `${compared} AS "sort${index}"`),
  ];
  const terms = sort.map(({ descending }, index) => `"sort${index}"${descending ? ' DESC' : ''}`);
  const order = terms.length === 0 ? '' : `ORDER BY ${terms.join(', ')} `;
  return builder.work.env.store.all(`SELECT ${columns.join(', ')} ${from.text} WHERE ${where.text} ${order}LIMIT ?`, [
    ...from.values,
    ...where.values,
    limit,
  ]);
}

/** How many rows there are, counted no further than `most`. */
export function countRows(builder: QueryBuilder, where: Sql, most: number): number {
  const from = builder.from();
  const row = builder.work.env.store.get(
    `SELECT count(*) AS n FROM (SELECT 1 ${from.text} WHERE ${where.text} LIMIT ?)`,
    [...from.values, ...where.values, most],
  );
  return Number(row?.['n'] ?? 0);
}

/** What the cookie of a page tells about the order. */
export const cookieBounds = (sort: readonly SortColumn[], rows: readonly StoredRow[]): CookieBounds[] =>
  sort.map(({ name, kind }, index) => ({
    name,
    kind,
    first: rows[0]?.[`sort${index}`] ?? null,
    last: rows.at(-1)?.[`sort${index}`] ?? null,
  }));

/** The rows that sort behind one with these values. Nulls come first, as in SQL Server and SQLite. */
export function rowsBehind(
  sort: readonly Pick<SortColumn, 'compared' | 'descending'>[],
  values: readonly StoredValue[],
): Sql[] {
  const [first] = sort;
  const value = values[0] ?? null;
  if (!first || sort.length === 1 || value === null) return [after(sort, values)];
  // Says no more than the other condition does, but in a form that an index on the first column can be used for; behind
  // the last value of a descending order are the rows without one, which SQLite would search apart and sort again.
  if (first.descending) return [after(sort, values)];
  return [{ text: `${first.compared} >= ?`, values: [value] }, after(sort, values)];
}

function after(sort: readonly Pick<SortColumn, 'compared' | 'descending'>[], values: readonly StoredValue[]): Sql {
  const [first, ...rest] = sort;
  if (!first) return { text: '0', values: [] };
  const { compared, descending } = first;
  const value = values[0] ?? null;
  const further = after(rest, values.slice(1));
  const same = value === null ? `${compared} IS NULL` : `${compared} = ?`;
  let beyond: string;
  if (value === null) beyond = descending ? '0' : `${compared} IS NOT NULL`;
  else beyond = descending ? `(${compared} < ? OR ${compared} IS NULL)` : `${compared} > ?`;
  const bound = value === null ? [] : [value];
  if (rest.length === 0) return { text: beyond, values: bound };
  return { text: `(${beyond} OR (${same} AND ${further.text}))`, values: [...bound, ...bound, ...further.values] };
}

/** The SQL columns that {@link createColumnWriter} needs for these columns of a table, with its id and version. */
export function storedColumns(table: Table, columns: Iterable<Column>): string[] {
  const names = new Set([table.primaryId]);
  if (table.columns.has('versionnumber')) names.add('versionnumber');
  if (table.isElastic) names.add(ETAG_COLUMN);
  for (const column of columns) {
    if (column.kind === 'unsupported') continue;
    names.add(column.logicalName);
    if (hasTypeColumn(column)) names.add(typeColumn(column.logicalName));
  }
  return [...names];
}
