import { notEmulated, unsupportedOption } from './errors.ts';
import type { Table } from './metadata.ts';
import type { OrderItem, QueryOptions } from './odata/ast.ts';
import { type CookieColumn, type PageEnd, readSkipToken, writeSkipToken } from './paging.ts';
import type { Preferences } from './preferences.ts';
import { type ColumnInQuery, QueryBuilder, type Sql } from './query-sql.ts';
import { reach } from './reach.ts';
import { appliedPreferences, jsonReply, type Reply, textReply } from './reply.ts';
import { createRowWriter, projectionOf, storedColumns } from './rows.ts';
import { identifier, type StoredRow, type StoredValue } from './store.ts';
import type { Work } from './work.ts';

/** What the service counts at most. */
const COUNT_MAX = 5000;

export interface RowQuery {
  readonly table: Table;
  readonly options: QueryOptions;
  readonly preferences: Preferences;
  /** The request's own path and query below the service root, percent-encoded, for `@odata.nextLink`. */
  readonly path: string;
  readonly rawQuery: string;
  /** Of a collection below a row: which rows belong to it, `t0` being the table. */
  readonly within?: Sql;
}

interface SortColumn extends ColumnInQuery {
  readonly descending: boolean;
  readonly name: string;
}

/** `GET <set>`: a page of rows. Answers the reply and how many rows it holds. */
export function retrieveMultiple(work: Work, query: RowQuery): { reply: Reply; rows: number } {
  const { table, options, preferences } = query;
  refuseOthers(options, preferences);
  const projection = projectionOf(table, options.select, options.expand);
  const builder = new QueryBuilder(work, table);
  const sort = sortColumns(builder, table, options.orderby);
  const filter = wanted(work, builder, query);
  const page = options.skiptoken === undefined ? undefined : readSkipToken(options.skiptoken, sort.map(isNumeric));
  const limit = pageLimit(work, options, preferences);

  const found = selectPage(work, builder, {
    sort,
    filter,
    page,
    limit: limit + 1,
    columns: storedColumns(table, projection),
  });
  const paged = options.top === undefined || preferences.maxPageSize !== undefined;
  const more = found.length > limit && paged;
  const rows = found.slice(0, limit);
  const count = options.count ? countRows(work, builder, filter) : undefined;
  const write = createRowWriter(work, preferences);
  const body = {
    '@odata.context': `${work.root}$metadata#${table.entitySetName}${projection.context}`,
    ...countAnnotations(preferences, count),
    ...(count === undefined ? {} : { '@odata.count': Math.min(count, COUNT_MAX) }),
    value: rows.map((row) => write(table, row, projection, { expandedEtags: false })),
    ...(more ? { '@odata.nextLink': nextLink(work, query, page?.page ?? 1, sort, rows) } : {}),
  };
  return { reply: jsonReply(200, body, appliedPreferences(preferences, { pageSize: true })), rows: rows.length };
}

/** `GET <set>/$count`. */
export function countReply(work: Work, query: RowQuery): Reply {
  refuseOthers(query.options, query.preferences);
  const builder = new QueryBuilder(work, query.table);
  const count = countRows(work, builder, wanted(work, builder, query));
  return textReply(String(Math.min(count, COUNT_MAX)), true);
}

/** Throws WireError 501 for the query options that are not emulated, 400 for those that the service does not know. */
export function refuseOthers(options: QueryOptions, preferences: Preferences): void {
  const missing: readonly [unknown, string][] = [
    [options.apply, '$apply'],
    [options.fetchXml, 'fetchXml'],
    [options.savedQuery, 'savedQuery'],
    [options.userQuery, 'userQuery'],
    [options.deltatoken, '$deltatoken'],
    [options.partitionId, 'partitionId'],
  ];
  for (const [value, name] of missing) if (value !== undefined) throw notEmulated(name);
  if (preferences.trackChanges) throw notEmulated('Prefer: odata.track-changes');
  const unknown = options.unknown.find(({ name }) => name.startsWith('$'));
  if (unknown) throw unsupportedOption(unknown.name);
}

function pageLimit(work: Work, options: QueryOptions, preferences: Preferences): number {
  const most = work.env.pageSizeMax;
  // $top does not count beside a page size.
  if (preferences.maxPageSize !== undefined) return Math.min(preferences.maxPageSize, most);
  return Math.min(options.top ?? most, most);
}

/** The filter together with what the caller may see. */
function wanted(work: Work, builder: QueryBuilder, { table, options, within }: RowQuery): Sql {
  const depth = work.env.guard.require(work.caller, table, 'Read');
  const filter = options.filter && builder.condition(options.filter);
  const conditions = [filter, within, reach(work.caller, table, depth)].filter((one) => one !== undefined);
  return {
    text: conditions.map(({ text }) => `(${text})`).join(' AND ') || '1',
    values: conditions.flatMap(({ values }) => values),
  };
}

function sortColumns(builder: QueryBuilder, table: Table, orderby: readonly OrderItem[] = []): SortColumn[] {
  const primary: OrderItem = { path: { kind: 'path', position: 0, segments: [table.primaryId] }, direction: 'asc' };
  return [...orderby, primary].map(({ path, direction }) => ({
    ...builder.column(path),
    descending: direction === 'desc',
    name: path.segments.join('/'),
  }));
}

const TEXT_KINDS = new Set(['text', 'memo', 'entityname', 'choices', 'guid', 'lookup']);

const isNumeric = ({ column }: SortColumn) => ({ numeric: !TEXT_KINDS.has(column.kind) });

function selectPage(
  work: Work,
  builder: QueryBuilder,
  query: {
    sort: readonly SortColumn[];
    filter: Sql;
    page: PageEnd | undefined;
    limit: number;
    columns: readonly string[];
  },
): StoredRow[] {
  const { sort, filter } = query;
  const after = query.page ? afterRow(sort, query.page.values) : { text: '1', values: [] };
  const columns = [
    ...query.columns.map((name) => `t0.${identifier(name)} AS ${identifier(name)}`),
    ...sort.map(({ compared }, index) => `${compared} AS "sort${index}"`),
  ];
  const order = sort.map(({ compared, descending }) => `${compared}${descending ? ' DESC' : ''}`);
  return work.env.store.all(
    `SELECT ${columns.join(', ')} ${builder.from()} WHERE (${filter.text}) AND (${after.text}) ` +
      `ORDER BY ${order.join(', ')} LIMIT ?`,
    [...filter.values, ...after.values, query.limit],
  );
}

/** The rows that sort behind one with these values. Nulls come first, as in SQL Server and SQLite. */
function afterRow(sort: readonly SortColumn[], values: readonly StoredValue[]): Sql {
  const [first, ...rest] = sort;
  if (!first) return { text: '0', values: [] };
  const { compared, descending } = first;
  const value = values[0] ?? null;
  const behind = afterRow(rest, values.slice(1));
  const same = value === null ? `${compared} IS NULL` : `${compared} = ?`;
  let further: string;
  if (value === null) further = descending ? '0' : `${compared} IS NOT NULL`;
  else further = descending ? `(${compared} < ? OR ${compared} IS NULL)` : `${compared} > ?`;
  const bound = value === null ? [] : [value];
  if (rest.length === 0) return { text: further, values: bound };
  return { text: `(${further} OR (${same} AND ${behind.text}))`, values: [...bound, ...bound, ...behind.values] };
}

function countRows(work: Work, builder: QueryBuilder, filter: Sql): number {
  const row = work.env.store.get(
    `SELECT count(*) AS n FROM (SELECT 1 ${builder.from()} WHERE ${filter.text} LIMIT ${COUNT_MAX + 1})`,
    filter.values,
  );
  return Number(row?.['n'] ?? 0);
}

function countAnnotations(preferences: Preferences, count: number | undefined): Record<string, unknown> {
  const all: Readonly<Record<string, unknown>> = {
    'Microsoft.Dynamics.CRM.totalrecordcount': count === undefined ? -1 : Math.min(count, COUNT_MAX),
    'Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded': (count ?? 0) > COUNT_MAX,
    'Microsoft.Dynamics.CRM.globalmetadataversion': '1',
  };
  const asked = Object.entries(all).filter(([name]) => preferences.wantsAnnotation(name));
  return Object.fromEntries(asked.map(([name, value]) => [`@${name}`, value]));
}

function nextLink(
  work: Work,
  query: RowQuery,
  page: number,
  sort: readonly SortColumn[],
  rows: readonly StoredRow[],
): string {
  const columns: CookieColumn[] = sort.map(({ name }, index) => ({
    name,
    first: rows[0]?.[`sort${index}`] ?? null,
    last: rows.at(-1)?.[`sort${index}`] ?? null,
  }));
  const kept = query.rawQuery.split('&').filter((part) => part !== '' && !/^(?:\$|%24)skiptoken=/i.test(part));
  const options = [...kept, `$skiptoken=${writeSkipToken(page, columns)}`];
  return `${work.root}${query.path}?${options.join('&')}`;
}
