import type { HttpResponseInit } from '@azure/functions';
import * as z from 'zod';
import {
  createRow,
  deleteRow,
  getRow,
  type RowContext,
  type RowView,
  updateRow,
  upsertRow,
  type WriteOptions,
  type WriteResult,
} from '../actions/rows.ts';
import { PREFER, RETURN_REPRESENTATION, wantsRepresentation } from '../dataverse/wire/headers.ts';
import { RequestError } from '../http/problem.ts';
import { connectionName, flag, nameList } from '../http/query-values.ts';
import { type Call, json, type Route, route } from '../http/routes.ts';
import { newGuid } from '../shared/ids.ts';
import type { Services } from './services.ts';

/** A row may hold texts of a million characters. */
const LARGEST_ROW_BYTES = 16 * 1024 * 1024;

const select = () =>
  nameList().optional().describe('Columns by logical name, with commas between them; left out, all.');
const formatted = () => flag().describe('Adds `_formatted`: labels, names and amounts as people read them.');
const expand = () =>
  z
    .string()
    .max(30_000)
    .optional()
    .describe('Related rows as in OData: `primarycontactid($select=fullname;$expand=Contact_Tasks)`.');
const key = () =>
  z
    .string()
    .min(1)
    .max(4_000)
    .describe("A GUID, or the columns of an alternate key: `accountnumber='A/1'`, several with commas between them.");

const readQuery = z.object({
  connection: connectionName(),
  select: select(),
  expand: expand(),
  formatted: formatted(),
});
const writeQuery = z.object({ connection: connectionName(), select: select(), formatted: formatted() });
const deleteQuery = z.object({ connection: connectionName() });

const MOST_COLUMNS = 2_000;
const LONGEST_NAME = 128;

/** An object as it came; a schema of members would pass over `__proto__`, which is a column that there is not. */
const values = z.custom<Readonly<Record<string, unknown>>>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.keys(value).length <= MOST_COLUMNS &&
    Object.keys(value).every((name) => name.length <= LONGEST_NAME),
  `It must be an object of ${MOST_COLUMNS} columns at most and their values.`,
);
const valuesShown = z.record(z.string().max(LONGEST_NAME), z.unknown());
const row = z.looseObject({});
const created = z.looseObject({ id: z.guid().optional() });

const PREFERENCE = { Prefer: '`return=representation` gives the row back as it is then.' };
const IF_MATCH = { 'If-Match': 'An ETag: only this version of the row, else 412.' };
const IF_NONE_MATCH = { 'If-None-Match': '`*`: only where there is no row yet, else 412.' };
const ROW_HEADERS = { ETag: 'The row’s version.' };

const readAnswers = {
  200: { description: 'The row.', schema: row, headers: ROW_HEADERS },
  304: { description: 'The row still has the version that `If-None-Match` names.' },
};
const writeAnswers = {
  200: { description: 'The row as it is now, where `Prefer` asks for it.', schema: row, headers: ROW_HEADERS },
  204: { description: 'It is done.' },
};
const createAnswers = {
  201: {
    description: 'The id of the new row, or the row where `Prefer` asks for it.',
    schema: created,
    headers: { Location: 'Where the row is read.', ETag: 'The row’s version, where `Prefer` asks for the row.' },
  },
};

const KEYS =
  "A key is a GUID, or the columns of an alternate key whose index is active: `accountnumber='A-1'`, several with commas between them, quotes doubled.";
const KEY_IN_PATH = `${KEYS} Values with any of \`/ \\ % + ? & : < > *\` belong to \`row?key=\`.`;
const VALUES =
  'Columns by logical name. Choices by number or label, several as an array; lookups as `{ "table": "contact", "id": … }` or `"key": { column: value }`, or a GUID where they lead to one table; `null` clears.';

export function rowRoutes(services: Services): readonly Route[] {
  return [
    route({
      name: 'createRow',
      methods: ['POST'],
      route: 'tables/{table}/rows',
      access: 'use',
      tag: 'rows',
      summary: 'Create a row.',
      description: VALUES,
      requestHeaders: PREFERENCE,
      query: writeQuery,
      body: values,
      bodySchema: valuesShown,
      largestBody: LARGEST_ROW_BYTES,
      answers: createAnswers,
      example: { path: { table: 'account' }, body: { name: 'Contoso Ltd', numberofemployees: 12 }, status: 201 },
      handler: async (call) =>
        createdAnswer(call, await createRow(contextOf(services, call), call.body, viewOf(call)), viewOf(call)),
    }),
    route({
      name: 'getRow',
      methods: ['GET'],
      route: 'tables/{table}/rows/{key}',
      access: 'use',
      tag: 'rows',
      summary: 'Read a row.',
      description: KEY_IN_PATH,
      requestHeaders: { 'If-None-Match': 'ETags: 304 while the row has one of them. Not looked at with `expand`.' },
      query: readQuery,
      answers: readAnswers,
      example: {
        path: { table: 'account', key: '{id}' },
        query: { select: 'name,primarycontactid', formatted: 'true' },
        status: 200,
      },
      handler: (call) => read(services, call, call.path['key'] ?? ''),
    }),
    route({
      name: 'updateRow',
      methods: ['PATCH'],
      route: 'tables/{table}/rows/{key}',
      access: 'use',
      tag: 'rows',
      summary: 'Change a row that is there.',
      description: `${VALUES} ${KEY_IN_PATH}`,
      requestHeaders: { ...PREFERENCE, ...IF_MATCH },
      query: writeQuery,
      body: values,
      bodySchema: valuesShown,
      largestBody: LARGEST_ROW_BYTES,
      answers: writeAnswers,
      example: { path: { table: 'account', key: '{id}' }, body: { name: 'Contoso Inc' }, status: 204 },
      handler: (call) => update(services, call, call.path['key'] ?? ''),
    }),
    route({
      name: 'upsertRow',
      methods: ['PUT'],
      route: 'tables/{table}/rows/{key}',
      access: 'use',
      tag: 'rows',
      summary: 'Change a row, or create it.',
      description: `Columns that are left out stay as they are. ${VALUES} ${KEY_IN_PATH}`,
      requestHeaders: { ...PREFERENCE, ...IF_MATCH, ...IF_NONE_MATCH },
      query: writeQuery,
      body: values,
      bodySchema: valuesShown,
      largestBody: LARGEST_ROW_BYTES,
      answers: { ...writeAnswers, ...createAnswers },
      example: { path: { table: 'account', key: '{id}' }, body: { name: 'Contoso Ltd' }, status: 204 },
      handler: (call) => upsert(services, call, call.path['key'] ?? ''),
    }),
    route({
      name: 'deleteRow',
      methods: ['DELETE'],
      route: 'tables/{table}/rows/{key}',
      access: 'use',
      tag: 'rows',
      summary: 'Delete a row.',
      description: KEY_IN_PATH,
      requestHeaders: IF_MATCH,
      query: deleteQuery,
      answers: { 204: { description: 'It is gone.' } },
      example: { path: { table: 'account', key: '{id}' }, status: 204 },
      handler: (call) => remove(services, call, call.path['key'] ?? ''),
    }),
    route({
      name: 'getRowByKey',
      methods: ['GET'],
      route: 'tables/{table}/row',
      access: 'use',
      tag: 'rows',
      summary: 'Read a row by any key.',
      description: KEYS,
      requestHeaders: { 'If-None-Match': 'ETags: 304 while the row has one of them. Not looked at with `expand`.' },
      query: readQuery.extend({ key: key() }),
      answers: readAnswers,
      example: { path: { table: 'account' }, query: { key: '{id}' }, status: 200 },
      handler: (call) => read(services, call, call.query.key),
    }),
    route({
      name: 'updateRowByKey',
      methods: ['PATCH'],
      route: 'tables/{table}/row',
      access: 'use',
      tag: 'rows',
      summary: 'Change a row that is there, by any key.',
      description: `${VALUES} ${KEYS}`,
      requestHeaders: { ...PREFERENCE, ...IF_MATCH },
      query: writeQuery.extend({ key: key() }),
      body: values,
      bodySchema: valuesShown,
      largestBody: LARGEST_ROW_BYTES,
      answers: writeAnswers,
      example: { path: { table: 'account' }, query: { key: '{id}' }, body: { name: 'Contoso Inc' }, status: 204 },
      handler: (call) => update(services, call, call.query.key),
    }),
    route({
      name: 'upsertRowByKey',
      methods: ['PUT'],
      route: 'tables/{table}/row',
      access: 'use',
      tag: 'rows',
      summary: 'Change a row, or create it, by any key.',
      description: `Columns that are left out stay as they are. ${VALUES} ${KEYS}`,
      requestHeaders: { ...PREFERENCE, ...IF_MATCH, ...IF_NONE_MATCH },
      query: writeQuery.extend({ key: key() }),
      body: values,
      bodySchema: valuesShown,
      largestBody: LARGEST_ROW_BYTES,
      answers: { ...writeAnswers, ...createAnswers },
      example: { path: { table: 'account' }, query: { key: '{id}' }, body: { name: 'Contoso Ltd' }, status: 204 },
      handler: (call) => upsert(services, call, call.query.key),
    }),
    route({
      name: 'deleteRowByKey',
      methods: ['DELETE'],
      route: 'tables/{table}/row',
      access: 'use',
      tag: 'rows',
      summary: 'Delete a row by any key.',
      description: KEYS,
      requestHeaders: IF_MATCH,
      query: deleteQuery.extend({ key: key() }),
      answers: { 204: { description: 'It is gone.' } },
      example: { path: { table: 'account' }, query: { key: '{id}' }, status: 204 },
      handler: (call) => remove(services, call, call.query.key),
    }),
  ];
}

type ReadCall = Call<z.output<typeof readQuery>>;
type WriteCall = Call<z.output<typeof writeQuery>, z.output<typeof values>>;
type DeleteCall = Call<z.output<typeof deleteQuery>>;

function contextOf({ connections }: Services, call: ReadCall | WriteCall | DeleteCall): RowContext {
  return {
    connection: connections.get(call.query.connection),
    table: call.path['table'] ?? '',
    newId: newGuid,
    limits: { signal: call.signal, deadline: call.deadline, clientRequestId: call.requestId },
  };
}

/** What of the row is to be given back; undefined where it is not asked for. */
function viewOf({ request, query }: WriteCall): RowView | undefined {
  return wantsRepresentation(request.headers.get(PREFER)) ? query : undefined;
}

async function read(services: Services, call: ReadCall, key: string): Promise<HttpResponseInit> {
  const known = etagsIn(call.request.headers.get('if-none-match'));
  const { row, etag } = await getRow(contextOf(services, call), key, call.query);
  const headers = { ...(etag !== undefined && { etag }) };
  // The version of a row says nothing of the rows beside it.
  if (etag !== undefined && call.query.expand === undefined && known(etag)) return { status: 304, headers };
  return json(row, { headers });
}

async function update(services: Services, call: WriteCall, key: string): Promise<HttpResponseInit> {
  const view = viewOf(call);
  const options: WriteOptions = { ifMatch: ifMatchOf(call), view };
  return changedAnswer(await updateRow(contextOf(services, call), key, call.body, options), view);
}

async function upsert(services: Services, call: WriteCall, key: string): Promise<HttpResponseInit> {
  const view = viewOf(call);
  const ifMatch = ifMatchOf(call);
  const ifNoneMatch = ifNoneMatchOf(call);
  if (ifMatch !== undefined && ifNoneMatch !== undefined) {
    throw new RequestError(400, 'conditionsContradict', 'If-Match wants a row that is there, If-None-Match none.');
  }
  const result = await upsertRow(contextOf(services, call), key, call.body, { ifMatch, ifNoneMatch, view });
  return result.created ? createdAnswer(call, result, view) : changedAnswer(result, view);
}

async function remove(services: Services, call: DeleteCall, key: string): Promise<HttpResponseInit> {
  await deleteRow(contextOf(services, call), key, { ifMatch: ifMatchOf(call) });
  return { status: 204 };
}

const etagHeader = ({ etag }: WriteResult): Record<string, string> => (etag === undefined ? {} : { etag });

const applied = (view: RowView | undefined): Record<string, string> =>
  view ? { 'preference-applied': RETURN_REPRESENTATION } : {};

function createdAnswer(call: WriteCall, result: WriteResult, view: RowView | undefined): HttpResponseInit {
  const headers = { ...applied(view), ...etagHeader(result), ...locationOf(call, result) };
  return json(view ? result.row : { id: result.id }, { status: 201, headers });
}

function changedAnswer(result: WriteResult, view: RowView | undefined): HttpResponseInit {
  const headers = { ...applied(view), ...etagHeader(result) };
  return view ? json(result.row, { headers }) : { status: 204, headers };
}

/** Where the new row is read, below whatever prefix the call came by. */
function locationOf({ request, query }: WriteCall, { id }: WriteResult): Record<string, string> {
  if (id === undefined) return {};
  const table = new URL(request.url).pathname.replace(/\/rows?(\/[^/]*)?\/?$/, '');
  const connection = query.connection === 'default' ? '' : `?connection=${encodeURIComponent(query.connection)}`;
  return { location: `${table}/rows/${id}${connection}` };
}

const ETAG = /^(?:W\/)?"[^"\r\n]{0,200}"$/;

function ifMatchOf({ request }: WriteCall | DeleteCall): string | undefined {
  const given = request.headers.get('if-match')?.trim();
  if (given === undefined || given === '*' || ETAG.test(given)) return given;
  throw new RequestError(400, 'etagInvalid', 'If-Match must be one ETag as it was given, or *.', {
    errors: [{ path: 'If-Match', code: 'etagInvalid', message: 'It must be one ETag, or *.' }],
  });
}

function ifNoneMatchOf({ request }: WriteCall): '*' | undefined {
  const given = request.headers.get('if-none-match')?.trim();
  if (given === undefined || given === '*') return given;
  throw new RequestError(400, 'etagInvalid', 'If-None-Match of a write must be *.', {
    errors: [{ path: 'If-None-Match', code: 'etagInvalid', message: 'It must be *.' }],
  });
}

/** Whether a caller knows a version already. Weak and strong ETags are the same to `If-None-Match` (RFC 9110, 13.1.2). */
function etagsIn(header: string | null): (etag: string) => boolean {
  const opaque = (etag: string): string => etag.trim().replace(/^W\//, '');
  const known = (header ?? '').split(',').map(opaque);
  return (etag) => known.includes('*') || known.includes(opaque(etag));
}
