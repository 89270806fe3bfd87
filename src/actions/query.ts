import * as z from 'zod';
import type { Connection } from '../connections/connections.ts';
import type { DataverseClient } from '../dataverse/client.ts';
import { DataverseError } from '../dataverse/errors.ts';
import type { RequestLimits } from '../dataverse/find-row.ts';
import { buildQuery, type RowSelection } from '../dataverse/query/build.ts';
import { readJson } from '../dataverse/read-json.ts';
import { type Row, readRow } from '../dataverse/read-row.ts';
import { metadataVersion, nextLink, totalCount } from '../dataverse/wire/annotations.ts';
import { queryPath, readHeaders } from '../dataverse/wire/query.ts';
import type { Clock } from '../shared/clock.ts';
import type { NewId } from '../shared/ids.ts';
import { listingDigest, PageError, type Pages } from './pages.ts';

/** Which rows of a table are wanted, and how. */
export interface RowQuery extends RowSelection {
  /** Most rows of one page, from 1 to 5000. */
  readonly pageSize: number;
  /** Whether to count what fits the filter, up to 5000. */
  readonly count: boolean;
  /** Adds to each row what the service writes for people. */
  readonly formatted: boolean;
}

export interface QueryContext {
  readonly connection: Pick<Connection, 'metadata' | 'apiPath'> & { readonly client: DataverseClient };
  /** The connection's name. */
  readonly name: string;
  /** A logical name, an entity set name or a MetadataId. */
  readonly table: string;
  readonly newId: NewId;
  readonly limits: RequestLimits;
}

export interface RowPage {
  readonly rows: readonly Row[];
  readonly count?: number;
  /** Where the service goes on; undefined behind the last page. */
  readonly next?: string;
}

/** A query that can be read page by page. */
export interface PagedQuery {
  /** Reads the page at an address below the Web API's root: the first, or the `next` of another. */
  read(path: string): Promise<RowPage>;
  readonly first: string;
  /** The token by which a caller can go on at an address. */
  keep(path: string): Promise<string>;
}

/**
 * Makes a query ready: every name is looked up, every table checked. Throws what `buildQuery` and metadata throw.
 */
export async function prepareQuery(context: QueryContext, query: RowQuery, pages: () => Pages): Promise<PagedQuery> {
  const { connection, limits, newId } = context;
  const table = await connection.metadata.shape(context.table, limits.signal);
  const { parts, expansions, readsLookups } = await buildQuery(connection.metadata, table, query, limits.signal);
  const headers = readHeaders(query.formatted || readsLookups, query.pageSize);
  return {
    first: queryPath(table.entitySetName, { ...parts, count: query.count }),
    async read(path) {
      const answer = await readJson({ ...connection, newId }, path, headers, limits);
      connection.metadata.noteVersion(metadataVersion(answer));
      const { data: rows } = z.array(z.record(z.string(), z.unknown())).safeParse(answer['value']);
      if (!rows) throw new DataverseError('notDataverse', 'The answer to a query holds no rows.');
      const next = nextPath(nextLink(answer), connection.apiPath, table.entitySetName);
      const count = totalCount(answer);
      return {
        rows: rows.map((row) => readRow(table, row, { formatted: query.formatted, expanded: expansions })),
        ...(count !== undefined && { count }),
        ...(next !== undefined && { next }),
      };
    },
    keep: (path) =>
      pages().keep(
        listing(context.name, table.logicalName, query),
        { table: table.logicalName, query, path },
        limits.signal,
      ),
  };
}

/** What a page token belongs to. */
const listing = (connection: string, table: string, query: RowQuery): unknown => [
  'rows',
  connection,
  table,
  query.select ?? null,
  query.filter ?? null,
  query.orderBy ?? null,
  query.expand ?? null,
  query.pageSize,
  query.count,
  query.formatted,
];

/**
 * The service's link without its host: requests go to the connection's own, whatever an answer says. Throws
 * DataverseError `notDataverse` for one that leads elsewhere than to more rows of the table.
 */
function nextPath(link: string | undefined, apiPath: string, entitySetName: string): string | undefined {
  if (link === undefined) return undefined;
  const url = URL.canParse(link) ? new URL(link) : undefined;
  const path = url && url.pathname + url.search;
  if (path?.startsWith(`${apiPath}${entitySetName}?`)) return path.slice(apiPath.length);
  throw new DataverseError('notDataverse', 'The answer to a query goes on at an address that is not the table’s.');
}

const kept = z.object({
  table: z.string(),
  query: z.object({
    select: z.array(z.string()).optional(),
    filter: z.string().optional(),
    orderBy: z.string().optional(),
    expand: z.string().optional(),
    pageSize: z.number(),
    count: z.boolean(),
    formatted: z.boolean(),
  }),
  path: z.string(),
});

/**
 * The query and the address that a token stands for. `given` is the query that came with it: undefined where only the
 * page was named. Throws PageError for a token of another connection, table or query.
 */
export async function findPage(
  context: QueryContext,
  pages: Pages,
  token: string,
  given: RowQuery | undefined,
): Promise<{ query: RowQuery; path: string }> {
  const { connection, name, limits } = context;
  const { listing: digest, state } = await pages.find(token, limits.signal);
  const { data } = kept.safeParse(state);
  const { logicalName } = await connection.metadata.shape(context.table, limits.signal);
  if (!data || digest !== listingDigest(listing(name, logicalName, data.query))) {
    throw new PageError('The page belongs to another connection or table.');
  }
  if (given && digest !== listingDigest(listing(name, logicalName, given))) {
    throw new PageError('The page belongs to another query: repeat the same values, or name nothing but the page.');
  }
  return { query: data.query, path: data.path };
}

export interface AllRows {
  readonly paged: PagedQuery;
  readonly path: string;
  readonly clock: Clock;
  /** Milliseconds since 1970 after which no further page is begun. */
  readonly deadline: number;
  /** Most bytes of all lines. */
  readonly largest: number;
}

/** What a stream of rows ends with. */
export interface RowsSummary {
  readonly count: number;
  readonly complete: boolean;
  readonly nextPage?: string;
}

/**
 * All rows of a query, a page's lines at a time, and the summary as the last value. Stops in front of a page that there
 * is no time or no room for, and says where to go on. One page is held in memory.
 */
export async function* readAll({
  paged,
  path,
  clock,
  deadline,
  largest,
}: AllRows): AsyncGenerator<string | RowsSummary> {
  let count = 0;
  let bytes = 0;
  for (let at: string | undefined = path; at !== undefined; ) {
    const page: RowPage | undefined = await nextPage(paged, at, count > 0 ? { clock, deadline } : undefined);
    const lines = page?.rows.map((row) => `${JSON.stringify(row)}\n`).join('') ?? '';
    const size = Buffer.byteLength(lines);
    if (!page || (count > 0 && bytes + size > largest)) {
      yield { count, complete: false, nextPage: await paged.keep(at) };
      return;
    }
    yield lines;
    count += page.rows.length;
    bytes += size;
    at = page.next;
  }
  yield { count, complete: true };
}

/** The page, or undefined where there is no time left for it. */
async function nextPage(
  paged: PagedQuery,
  path: string,
  time: { readonly clock: Clock; readonly deadline: number } | undefined,
): Promise<RowPage | undefined> {
  if (time && time.clock.now() >= time.deadline) return undefined;
  try {
    return await paged.read(path);
  } catch (error) {
    // A limit that holds longer than there is time, or an answer that did not come in it, leaves the page to the next call.
    const outOfTime = error instanceof DataverseError && (error.code === 'limitExceeded' || error.code === 'network');
    if (time && outOfTime) return undefined;
    throw error;
  }
}
