import { notEmulated, unsupportedOption } from '../errors.ts';
import { rowsBehind } from '../page-sql.ts';
import { COUNT_MAX, countAnnotations } from '../query.ts';
import { etagOf } from '../references.ts';
import { appliedPreferences, jsonReply, type Reply } from '../reply.ts';
import type { RowQuery } from '../row-query.ts';
import { createColumnWriter } from '../rows.ts';
import { allOf } from '../sql.ts';
import { comparable, identifier, type StoredRow } from '../store.ts';
import type { Work } from '../work.ts';
import { aggregationOf, limitAggregation, writeAggregates } from './aggregate.ts';
import type { Fetch } from './ast.ts';
import { pagingAnnotation, readCookie } from './cookie.ts';
import { cookieRequired, LEGACY_ROWS_MAX, otherTable, unknownTable } from './errors.ts';
import { FetchQuery } from './fetch-query.ts';
import { orderBy, type SortTerm, shownColumns, sortTerms } from './order.ts';
import { contextOf, type Output, outputsOf, selectedAs, writeOutputs } from './outputs.ts';
import { parseFetch } from './parse.ts';
import { fetchXmlOf } from './stored-query.ts';

const COOKIE = 'Microsoft.Dynamics.CRM.fetchxmlpagingcookie';
const MORE_RECORDS = 'Microsoft.Dynamics.CRM.morerecords';

/** A page of the result. */
interface Page {
  readonly rows: readonly StoredRow[];
  /** The annotation for the next page; undefined on the last one. */
  readonly next: string | undefined;
  /** How many rows there are in all, counted only as far as the service does; undefined unless asked for. */
  readonly count: number | undefined;
  /** What `@odata.context` has behind the entity set. */
  readonly context: string;
  write(row: StoredRow): Record<string, unknown>;
}

/**
 * Answers `?fetchXml=`, `?savedQuery=` and `?userQuery=`; undefined when the request has none of them. Throws WireError 400,
 * 403, 404 and 501.
 */
export function retrieveByFetchXml(work: Work, query: RowQuery): { reply: Reply; rows: number } | undefined {
  const text = fetchXmlOf(work, query.options);
  if (text === undefined) return undefined;
  refuseBeside(query);
  const fetch = parseFetch(text);
  const { table, preferences } = query;
  if (!work.env.catalog.table(fetch.entity.name)) throw unknownTable(fetch.entity.name);
  if (fetch.entity.name !== table.logicalName) throw otherTable();

  const built = new FetchQuery(work, table, fetch, query.within);
  const page = fetch.aggregate ? aggregatePage(built, fetch, query) : rowPage(built, fetch, query);
  const paging =
    page.next === undefined ? [] : ([[COOKIE, page.next] as const, [MORE_RECORDS, true] as const] as const);
  const body = {
    '@odata.context': `${work.root}$metadata#${table.entitySetName}${page.context}`,
    ...(page.count === undefined ? {} : { '@odata.count': Math.min(page.count, COUNT_MAX) }),
    ...countAnnotations(work, preferences, page.count),
    ...Object.fromEntries(
      paging.filter(([name]) => preferences.wantsAnnotation(name)).map(([name, value]) => [`@${name}`, value]),
    ),
    value: page.rows.map((row) => page.write(row)),
  };
  return {
    reply: jsonReply(200, body, appliedPreferences(preferences, { pageSize: true })),
    rows: page.rows.length,
  };
}

function refuseBeside({ options, preferences }: RowQuery): void {
  const [unknown] = options.unknown;
  if (unknown) throw unsupportedOption(unknown.name);
  for (const name of ['select', 'filter', 'orderby', 'expand', 'top', 'apply', 'skiptoken', 'deltatoken'] as const) {
    if (options[name] !== undefined) throw notEmulated(`$${name} beside a FetchXML query`);
  }
  if (options.partitionId !== undefined) throw notEmulated('partitionId');
  if (preferences.trackChanges) throw notEmulated('Prefer: odata.track-changes');
}

/** The page that is asked for, by its number and size. */
interface Wanted {
  readonly page: number;
  readonly size: number;
  /** `top` is no page: nothing follows it. */
  readonly paged: boolean;
}

function wantedPage({ work }: FetchQuery, fetch: Fetch, { preferences }: RowQuery): Wanted {
  const most = work.env.pageSizeMax;
  if (fetch.top !== undefined) return { page: 1, size: Math.min(fetch.top, most), paged: false };
  const size = Math.min(fetch.count ?? preferences.maxPageSize ?? most, most);
  return { page: fetch.page ?? 1, size, paged: true };
}

/** How many rows come before the page when no cookie says where it begins. Throws WireError 400 behind the limit. */
function rowsBefore({ page, size }: Wanted): number {
  if (page * size > LEGACY_ROWS_MAX && page > 1) throw cookieRequired();
  return (page - 1) * size;
}

function rowPage(query: FetchQuery, fetch: Fetch, request: RowQuery): Page {
  const { work, from, where, root } = query;
  const { preferences } = request;
  const outputs = outputsOf(query, fetch.distinct);
  const terms = sortTerms(query, fetch);
  const wanted = wantedPage(query, fetch, request);
  // Documentation: rows sorted by a linked table, and here distinct ones too, are paged by number alone.
  const byCookie = !fetch.distinct && terms.every(({ ofEntity }) => ofEntity);
  const cookie = byCookie && fetch.pagingCookie !== undefined ? readCookie(fetch.pagingCookie, terms) : undefined;
  // Documentation: "if you request nonconsecutive pages, the paging cookie value is ignored".
  const after = cookie?.page === wanted.page - 1 ? cookie : undefined;
  const inside = after ? allOf([where, ...rowsBehind(terms, after.values)]) : where;
  const select = selection(query, outputs, terms, fetch.distinct);
  const values = [...from.values, ...inside.values];
  const found = work.env.store.all(`${select(inside.text)} LIMIT ? OFFSET ?`, [
    ...values,
    wanted.size + 1,
    after ? 0 : rowsBefore(wanted),
  ]);
  const rows = found.slice(0, wanted.size);
  const more = wanted.paged && found.length > wanted.size;
  const write = createColumnWriter(work, preferences);
  const hasVersion = root.table.columns.has('versionnumber') && !fetch.distinct;
  return {
    rows,
    next: more ? pagingAnnotation(wanted.page, byCookie ? terms : [], rows) : undefined,
    count: countOf(query, fetch, request, select(where.text)),
    context: contextOf(outputs, rows[0]),
    write(row) {
      const json = emptyRow();
      if (hasVersion) json['@odata.etag'] = etagOf({ versionnumber: row['version'] ?? 0 });
      writeOutputs(write, preferences, outputs, row, json);
      return json;
    },
  };
}

/** What SQLite takes. */
const COLUMNS_MAX = 2000;

/** The text of a selection, given its condition. */
function selection(
  { from, root }: FetchQuery,
  outputs: readonly Output[],
  terms: readonly SortTerm[],
  distinct: boolean,
): (where: string) => string {
  const hasVersion = root.table.columns.has('versionnumber') && !distinct;
  const columns = [
    ...outputs.flatMap(selectedAs),
    ...shownColumns(terms),
    ...(hasVersion ? ['t0.versionnumber AS "version"'] : []),
  ];
  if (columns.length > COLUMNS_MAX) throw notEmulated(`A result of more than ${COLUMNS_MAX} columns`);
  const compared = outputs.map(({ column, alias }) => comparable(column, `${alias}.${identifier(column.logicalName)}`));
  // Rows are the same when their columns compare equal; as in SQL Server the columns of the order count too.
  const groups = [...compared, ...terms.map((term) => term.compared)];
  const group = distinct ? ` GROUP BY ${groups.join(', ') || '1'}` : '';
  // Pages of distinct rows need an order; what was not asked for makes it complete.
  const rest = distinct ? compared.map((text) => ({ compared: text, descending: false })) : [];
  const order = orderBy([...terms, ...rest]);
  return (where) => `SELECT ${columns.join(', ') || '1'} ${from.text} WHERE ${where}${group}${order}`;
}

function countOf(
  { work, from, where }: FetchQuery,
  fetch: Fetch,
  { options }: RowQuery,
  select: string,
): number | undefined {
  if (!options.count && !fetch.returnTotalRecordCount) return undefined;
  const counted = work.env.store.get(`SELECT count(*) AS n FROM (${select} LIMIT ?)`, [
    ...from.values,
    ...where.values,
    COUNT_MAX + 1,
  ]);
  return Number(counted?.['n'] ?? 0);
}

function aggregatePage(query: FetchQuery, fetch: Fetch, request: RowQuery): Page {
  const { work, from, where } = query;
  const { preferences } = request;
  const aggregation = aggregationOf(query, fetch);
  limitAggregation(query, fetch.aggregateLimit);
  const wanted = wantedPage(query, fetch, request);
  const found = work.env.store.all(`${aggregation.select} LIMIT ? OFFSET ?`, [
    ...from.values,
    ...where.values,
    wanted.size + 1,
    rowsBefore(wanted),
  ]);
  const more = wanted.paged && found.length > wanted.size;
  const write = createColumnWriter(work, preferences);
  return {
    rows: found.slice(0, wanted.size),
    next: more ? pagingAnnotation(wanted.page, [], []) : undefined,
    count: countOf(query, fetch, request, aggregation.select),
    context: '',
    write(row) {
      const json = emptyRow();
      writeAggregates(write, preferences, aggregation, row, json);
      return json;
    },
  };
}

/** Aliases are the caller's words: without a prototype `__proto__` is a name like any other. */
const emptyRow = (): Record<string, unknown> => Object.create(null);
