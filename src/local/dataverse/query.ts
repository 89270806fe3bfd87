import { aggregateRows } from './aggregate-rows.ts';
import { notEmulated, unsupportedOption } from './errors.ts';
import type { QueryOptions } from './odata/ast.ts';
import { cookieBounds, countRows, type SortColumn, selectRows, sortColumns } from './page-sql.ts';
import { readSkipToken, writeSkipToken } from './paging.ts';
import type { Preferences } from './preferences.ts';
import { projectionOf } from './projection.ts';
import { QueryBuilder } from './query-sql.ts';
import { appliedPreferences, jsonReply, type Reply, textReply } from './reply.ts';
import type { RowQuery } from './row-query.ts';
import { columnsFor, createRowWriter } from './row-writer.ts';
import { allOf, type Sql } from './sql.ts';
import type { StoredRow } from './store.ts';
import type { Work } from './work.ts';

/** What the service counts at most. */
export const COUNT_MAX = 5000;

/** `GET <set>`: a page of rows, or what `$apply` makes of them. Answers the reply and how many rows it holds. */
export function retrieveMultiple(work: Work, query: RowQuery): { reply: Reply; rows: number } {
  const { table, options, preferences } = query;
  refuseOthers(options, preferences);
  if (options.apply) return aggregateRows(work, query, options.apply);
  const projection = projectionOf(work, table, options, 'many');
  const builder = new QueryBuilder(work, table);
  const sort = sortColumns(builder, options.orderby);
  const where = wanted(builder, query);
  const after = options.skiptoken === undefined ? undefined : readSkipToken(options.skiptoken, sort);
  const limit = pageLimit(work, options, preferences);

  const found = selectRows(builder, { sort, where, after, limit: limit + 1, columns: columnsFor(projection) });
  const paged = options.top === undefined || preferences.maxPageSize !== undefined;
  const more = found.length > limit && paged;
  const rows = found.slice(0, limit);
  const count = options.count ? countRows(builder, where, COUNT_MAX + 1) : undefined;
  const body = {
    '@odata.context': `${work.root}$metadata#${table.entitySetName}${projection.context}`,
    ...countAnnotations(work, preferences, count),
    ...(count === undefined ? {} : { '@odata.count': Math.min(count, COUNT_MAX) }),
    value: createRowWriter(work, preferences).many(rows, projection),
    ...(more ? { '@odata.nextLink': nextLink(work, query, after?.page ?? 1, sort, rows, projection.nested) } : {}),
  };
  return { reply: jsonReply(200, body, appliedPreferences(preferences, { pageSize: true })), rows: rows.length };
}

/** `GET <set>/$count`. */
export function countReply(work: Work, query: RowQuery): Reply {
  refuseOthers(query.options, query.preferences);
  if (query.options.apply) throw notEmulated('$count of $apply');
  const builder = new QueryBuilder(work, query.table);
  const count = countRows(builder, wanted(builder, query), COUNT_MAX);
  return textReply(String(count), true);
}

/** Throws WireError 501 for the query options that are not emulated, 400 for those that the service does not know. */
export function refuseOthers(options: QueryOptions, preferences: Preferences): void {
  const missing: readonly [unknown, string][] = [
    [options.fetchXml, 'fetchXml'],
    [options.savedQuery, 'savedQuery'],
    [options.userQuery, 'userQuery'],
    [options.deltatoken, '$deltatoken'],
    [options.partitionId, 'partitionId'],
  ];
  for (const [value, name] of missing) if (value !== undefined) throw notEmulated(name);
  if (preferences.trackChanges) throw notEmulated('Prefer: odata.track-changes');
  const [unknown] = options.unknown;
  if (unknown) throw unsupportedOption(unknown.name);
}

function pageLimit(work: Work, options: QueryOptions, preferences: Preferences): number {
  const most = work.env.pageSizeMax;
  // $top does not count beside a page size.
  if (preferences.maxPageSize !== undefined) return Math.min(preferences.maxPageSize, most);
  return Math.min(options.top ?? most, most);
}

/** The filter together with what the caller may see. */
function wanted(builder: QueryBuilder, { table, options, within }: RowQuery): Sql {
  return allOf([
    ...(options.filter ? [builder.condition(options.filter)] : []),
    ...(within ? [within] : []),
    builder.visible(table, 't0'),
  ]);
}

/** What answers with rows say of themselves where annotations are asked for: their number, the version of the definitions. */
export function countAnnotations(
  { env }: Work,
  preferences: Preferences,
  count: number | undefined,
): Record<string, unknown> {
  const all: Readonly<Record<string, unknown>> = {
    'Microsoft.Dynamics.CRM.totalrecordcount': count === undefined ? -1 : Math.min(count, COUNT_MAX),
    'Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded': (count ?? 0) > COUNT_MAX,
    'Microsoft.Dynamics.CRM.globalmetadataversion': env.catalog.version,
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
  nested: boolean,
): string {
  const kept = query.rawQuery.split('&').filter((part) => part !== '' && !/^(?:\$|%24)skiptoken=/i.test(part));
  const token = writeSkipToken(page, cookieBounds(sort, rows), nested ? rows.length : undefined);
  return `${work.root}${query.path}?${[...kept, `$skiptoken=${token}`].join('&')}`;
}
