import type { HttpResponseInit } from '@azure/functions';
import * as z from 'zod';
import {
  findPage,
  type PagedQuery,
  prepareQuery,
  type QueryContext,
  type RowQuery,
  type RowsSummary,
  readAll,
} from '../actions/query.ts';
import { problemOf } from '../http/problem.ts';
import { connectionName, flag, nameList, pageToken, wholeNumber } from '../http/query-values.ts';
import { type Call, type Incoming, json, type Route, route } from '../http/routes.ts';
import { messageOf } from '../shared/errors.ts';
import { newGuid } from '../shared/ids.ts';
import { keepingTrace } from '../telemetry/trace.ts';
import type { Services } from './services.ts';

const FALLBACK_PAGE = 100;
const LARGEST_PAGE = 5_000;
/** A page of a stream, which our code holds in memory, unless the caller names another size. */
const STREAM_PAGE = 1_000;
/** The most that one answer holds: the platform takes it as fast as it is made, whatever the caller reads. */
const LARGEST_ANSWER_BYTES = 100 * 1024 * 1024;
/** What keeping the place and ending the stream takes. */
const CLOSING_MS = 5_000;

const text = (what: string) => z.string().min(1).max(30_000).optional().describe(what);
const filter = () =>
  text("A condition as in OData over logical names: `name eq 'Contoso' and primarycontactid/fullname ne null`.");
const orderBy = () => text('Columns to sort by, with commas between them: `name asc,revenue desc`.');
const expand = () => text('Related rows as in OData: `primarycontactid($select=fullname)`.');

const querySchema = z.object({
  connection: connectionName(),
  select: nameList().optional().describe('Columns by logical name, with commas between them; left out, all.'),
  filter: filter(),
  orderBy: orderBy(),
  expand: expand(),
  pageSize: wholeNumber({ largest: LARGEST_PAGE })
    .optional()
    .describe('Most rows of one page; 100 unless told otherwise.'),
  page: pageToken().optional(),
  count: flag().describe('Counts what fits the filter, up to 5000.'),
  formatted: flag().describe('Adds `_formatted` to each row: labels, names and amounts as people read them.'),
  all: flag().describe('Gives all rows as NDJSON, with a summary as the last line.'),
});

const bodySchema = z.strictObject({
  select: z.array(z.string().max(130)).max(1_000).optional().describe('Columns by logical name; left out, all.'),
  filter: filter(),
  orderBy: orderBy(),
  expand: expand(),
  pageSize: z.int().min(1).max(LARGEST_PAGE).optional().describe('Most rows of one page; 100 unless told otherwise.'),
  page: pageToken().optional(),
  count: z.boolean().optional().describe('Counts what fits the filter, up to 5000.'),
  formatted: z.boolean().optional().describe('Adds `_formatted` to each row.'),
  all: z.boolean().optional().describe('Gives all rows as NDJSON, with a summary as the last line.'),
});
type Wanted = z.output<typeof bodySchema>;

const answers = {
  200: {
    description:
      'A page of rows; or with `all` every row on a line of its own, and `{ summary: { count, complete, nextPage? } }`.',
    schema: z.object({
      value: z.array(z.looseObject({})),
      nextPage: z.string().optional(),
      count: z.number().optional(),
    }),
    types: ['application/x-ndjson'],
  },
};
const DESCRIPTION =
  '`nextPage` goes on for a day; pass it as `page`, with the same values beside it or none. Lookups read as `{ table, id, name? }`, choices as numbers.';

export function queryRoutes(services: Services): readonly Route[] {
  return [
    route({
      name: 'listRows',
      methods: ['GET'],
      route: 'tables/{table}/rows',
      access: 'use',
      tag: 'queries',
      summary: 'Query the rows of a table.',
      description: DESCRIPTION,
      query: querySchema,
      answers,
      example: {
        path: { table: 'account' },
        query: { select: 'name,revenue', filter: 'revenue gt 1000000', orderBy: 'revenue desc', pageSize: '10' },
        status: 200,
      },
      handler: (call) => {
        const { connection, ...wanted } = call.query;
        return answer(services, call, connection, wanted, namesQuery([...call.search.keys()]));
      },
    }),
    route({
      name: 'queryRows',
      methods: ['POST'],
      route: 'tables/{table}/query',
      access: 'use',
      tag: 'queries',
      summary: 'Query the rows of a table, with a filter of any length.',
      description: DESCRIPTION,
      query: z.object({ connection: connectionName() }),
      body: bodySchema,
      answers,
      example: {
        path: { table: 'account' },
        body: { select: ['name', 'primarycontactid'], filter: "contains(name,'Contoso')", formatted: true },
        status: 200,
      },
      handler: (call) => answer(services, call, call.query.connection, call.body, namesQuery(Object.keys(call.body))),
    }),
  ];
}

const QUERY_VALUES = ['select', 'filter', 'orderBy', 'expand', 'pageSize', 'count', 'formatted'];

/** Whether a caller who names a page names a query besides. */
const namesQuery = (names: readonly string[]): boolean => names.some((name) => QUERY_VALUES.includes(name));

async function answer(
  services: Services,
  call: Call<unknown, unknown>,
  name: string,
  {
    page,
    all = false,
    pageSize = all ? STREAM_PAGE : FALLBACK_PAGE,
    count = false,
    formatted = false,
    ...selection
  }: Wanted,
  isNamed: boolean,
): Promise<HttpResponseInit> {
  const context: QueryContext = {
    connection: services.connections.get(name),
    name,
    table: call.path['table'] ?? '',
    newId: newGuid,
    limits: { signal: call.signal, deadline: call.deadline, clientRequestId: call.requestId },
  };
  const given: RowQuery = { ...selection, pageSize, count, formatted };
  const found =
    page === undefined ? undefined : await findPage(context, services.pages(), page, isNamed ? given : undefined);
  const paged = await prepareQuery(context, found?.query ?? given, services.pages);
  const path = found?.path ?? paged.first;
  return all ? stream(services, call, paged, path) : onePage(paged, path);
}

async function onePage(paged: PagedQuery, path: string): Promise<HttpResponseInit> {
  const { rows, count, next } = await paged.read(path);
  const nextPage = next === undefined ? undefined : await paged.keep(next);
  return json({
    value: rows,
    ...(nextPage !== undefined && { nextPage }),
    ...(count !== undefined && { count }),
  });
}

/** All rows as NDJSON. What fails at the first page still has its own status. */
async function stream({ clock }: Services, call: Incoming, paged: PagedQuery, path: string): Promise<HttpResponseInit> {
  const pages = readAll({ paged, path, clock, deadline: call.deadline - CLOSING_MS, largest: LARGEST_ANSWER_BYTES });
  const first = await pages.next();
  return {
    status: 200,
    headers: { 'content-type': 'application/x-ndjson' },
    body: ReadableStream.from(keepingTrace(lines(call, first, pages))),
  };
}

async function* lines(
  call: Incoming,
  first: IteratorResult<string | RowsSummary>,
  pages: AsyncGenerator<string | RowsSummary>,
): AsyncGenerator<Uint8Array> {
  const written = (part: string | RowsSummary): Uint8Array =>
    Buffer.from(typeof part === 'string' ? part : `${JSON.stringify({ summary: part })}\n`);
  try {
    if (!first.done) yield written(first.value);
    for await (const part of pages) yield written(part);
  } catch (error) {
    call.log('an answer broke off', { requestId: call.requestId, reason: messageOf(error) });
    yield Buffer.from(`${JSON.stringify({ problem: problemOf(error, call.requestId) })}\n`);
  }
}
