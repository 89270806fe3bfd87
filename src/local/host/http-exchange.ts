import { once } from 'node:events';
import {
  Agent,
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http';
import { pipeline } from 'node:stream/promises';
import { messageOf } from '../../shared/errors.ts';
import type { FunctionDefinition } from './function-definitions.ts';
import type { HttpCookie, TypedData } from './functions-core.ts';
import type { HostLog } from './host-log.ts';
import type { Call, Invoker } from './invoker.ts';
import type { RouteValues } from './routes.ts';

/** A request that was routed to a function and may pass. */
export interface HttpExchange {
  readonly definition: FunctionDefinition;
  readonly values: RouteValues;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
}

export interface ExchangeOptions {
  readonly invoker: Invoker;
  readonly newId: () => string;
  readonly log: HostLog;
}

const INVOCATION_ID = 'x-ms-invocation-id';
const REASON = 'This function was programmatically called via the host APIs.';

/** The way without streaming: the whole body goes in, and the whole answer comes back through the invocation. */
export async function exchangeBuffered(exchange: HttpExchange, options: ExchangeOptions): Promise<void> {
  const { request, response, url } = exchange;
  const body = await readBody(request);
  const http = {
    url: url.href,
    method: request.method ?? 'GET',
    headers: headersOf(request),
    query: queryOf(url),
    params: exchange.values,
    ...(body.length > 0 ? { body: { bytes: body } } : {}),
  };
  const outcome = await options.invoker.run(callOf(exchange, options.newId(), { http }));
  if (!outcome.ok) return answerEmpty(response, 500);
  const answer = outcome.response.returnValue?.http;
  if (!answer || !('statusCode' in answer)) return answerEmpty(response, 204);
  response.statusCode = Number(answer.statusCode);
  for (const [name, value] of Object.entries(answer.headers)) response.setHeader(name, value);
  if (answer.cookies.length > 0) response.setHeader('set-cookie', answer.cookies.map(cookieText));
  response.end(answer.body?.bytes ?? answer.body?.string);
}

/**
 * The way with `enableHttpStream`: the request goes on to the library's own server, which the answer comes from. A
 * handler that fails or returns nothing never answers there: in Azure its caller waits until the front end gives up
 * (240 s). Here the call gets a loud line in the log and 500.
 */
export async function exchangeStreamed(exchange: HttpExchange, target: URL, options: ExchangeOptions): Promise<void> {
  const { request, response, definition, url } = exchange;
  const name = `Functions.${definition.name}`;
  const invocationId = options.newId();
  const left = new AbortController();
  // As far as Azure shows that a caller left: the request's body fails, the handler is told nothing else.
  response.once('close', () => left.abort());
  forward(request, target, url, invocationId, left.signal)
    .then((answer) => relay(answer, response))
    .catch((error) => {
      if (left.signal.aborted) return;
      options.log('error', `The answer of '${name}' broke off: ${messageOf(error)}`);
      refuse(response);
    });
  const call = callOf(exchange, invocationId, { http: NO_REQUEST });
  const outcome = await options.invoker.run(call);
  if (outcome.answered) return;
  const why = outcome.ok ? 'returned nothing' : 'failed';
  options.log('error', `'${name}' ${why} while streaming: in Azure its caller now waits 240 seconds for no answer.`);
  refuse(response);
}

// The library takes method, address, headers and body of a streamed request from its own server.
const NO_REQUEST = { url: '', method: '', headers: {}, query: {}, params: {} };

function refuse(response: ServerResponse): void {
  if (response.headersSent) response.destroy();
  else answerEmpty(response, 500);
}

// Kept alive, so that the library's server can swallow the rest of a body that its handler did not read; closing the
// connection instead could reset it before the answer is through.
const toLibrary = new Agent({ keepAlive: true });
const REQUEST_HOP_BY_HOP = ['connection', 'keep-alive', 'expect'];

async function forward(
  request: IncomingMessage,
  target: URL,
  url: URL,
  invocationId: string,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const headers: OutgoingHttpHeaders = { ...request.headers };
  for (const name of REQUEST_HOP_BY_HOP) delete headers[name];
  // The library answers the request of this id. In Azure one that the client sent wins, and nobody is answered.
  headers[INVOCATION_ID] = invocationId;
  headers['x-forwarded-host'] = url.host;
  headers['x-forwarded-proto'] = 'http';
  const { method = 'GET', url: path = '/' } = request;
  const outgoing = httpRequest(target, { method, path, headers, agent: toLibrary, signal });
  // `once` hears of an error before the answer; after it the answer itself breaks off.
  outgoing.on('error', () => {});
  request.pipe(outgoing);
  const [answer] = await once(outgoing, 'response');
  return answer;
}

const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding']);

async function relay(answer: IncomingMessage, response: ServerResponse): Promise<void> {
  const headers = Object.entries(answer.headers).flatMap(([name, value]) =>
    value === undefined || HOP_BY_HOP.has(name) ? [] : [[name, value] as const],
  );
  response.writeHead(answer.statusCode ?? 500, Object.fromEntries(headers));
  response.flushHeaders();
  await pipeline(answer, response);
}

/**
 * The trigger metadata of a request, from which the library makes `request.params` and `request.headers` of a streamed
 * one: query values and, written over them without regard to case, route values. So a query value lends its spelling to
 * a route value of the same name, and one that is named `headers` takes the place of the headers. After
 * `GetRequestBindingDataAsync` of the HTTP extension.
 */
function httpMetadata({ request, url, values }: HttpExchange): Record<string, TypedData> {
  const metadata: Record<string, TypedData> = {};
  const spelled = (name: string) => Object.keys(metadata).find((key) => key.toLowerCase() === name.toLowerCase());
  const set = (name: string, value: TypedData) => {
    metadata[spelled(name) ?? name] = value;
  };
  const query = queryOf(url);
  for (const [name, value] of Object.entries(query)) if (name.toLowerCase() !== 'code') set(name, { string: value });
  for (const [name, value] of Object.entries(values)) set(name, { string: value });
  if (!spelled('Query')) set('Query', { json: JSON.stringify(query) });
  if (!spelled('Headers')) set('Headers', { json: JSON.stringify(headersOf(request)) });
  return metadata;
}

function callOf(exchange: HttpExchange, invocationId: string, data: TypedData): Call {
  const { definition, request } = exchange;
  const { traceparent, tracestate } = request.headers;
  return {
    definition,
    data,
    triggerMetadata: httpMetadata(exchange),
    reason: REASON,
    invocationId,
    traceParent: typeof traceparent === 'string' ? traceparent : undefined,
    traceState: typeof tracestate === 'string' ? tracestate : undefined,
  };
}

function headersOf(request: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined && name !== INVOCATION_ID) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return headers;
}

/** Repeated values are joined by commas, as .NET's `StringValues` writes them. */
function queryOf(url: URL): Record<string, string> {
  const names = new Set(url.searchParams.keys());
  return Object.fromEntries([...names].map((name) => [name, url.searchParams.getAll(name).join(',')]));
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Ends a response with a status and nothing else, the host's own way to refuse or to fail. */
export function answerEmpty(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-length': '0' });
  response.end();
}

const SAME_SITE = { none: undefined, lax: 'lax', strict: 'strict', explicitNone: 'none' };

function cookieText(cookie: HttpCookie): string {
  const expires = cookie.expires?.value?.seconds;
  const sameSite = SAME_SITE[cookie.sameSite ?? 'none'];
  return [
    `${cookie.name}=${encodeURIComponent(cookie.value)}`,
    expires === undefined ? '' : `expires=${new Date(expires * 1000).toUTCString()}`,
    cookie.maxAge?.value === undefined ? '' : `max-age=${cookie.maxAge.value}`,
    cookie.domain?.value === undefined ? '' : `domain=${cookie.domain.value}`,
    cookie.path?.value === undefined ? '' : `path=${cookie.path.value}`,
    cookie.secure?.value ? 'secure' : '',
    sameSite === undefined ? '' : `samesite=${sameSite}`,
    cookie.httpOnly?.value ? 'httponly' : '',
  ]
    .filter((part) => part !== '')
    .join('; ');
}
