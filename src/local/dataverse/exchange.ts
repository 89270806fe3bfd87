import type { IncomingMessage, ServerResponse } from 'node:http';
import { isoTime } from '../../shared/clock.ts';
import { messageOf } from '../../shared/errors.ts';
import { answer } from './batch.ts';
import { newEffort } from './effort.ts';
import type { Emulator } from './emulator.ts';
import { routeEmulator } from './emulator-routes.ts';
import { notAMember, notEmulated, segmentNotFound, tooLarge, urlTooLong, WireError } from './errors.ts';
import { headersOf, readBody, send } from './http.ts';
import { errorReply, type Session } from './operations.ts';
import type { Reply } from './reply.ts';
import type { ApiRequest, OperationFacts } from './request.ts';
import { factsOf } from './route.ts';
import { sendBadly } from './sending.ts';
import type { Visit } from './web-servers.ts';

const API_PATH = /^\/api\/data\/(v9\.[012])(?:\/+([^?]*))?$/i;
// The service's limit of a URL outside a $batch.
const URL_MAX = 32_768;
const LOOPBACK_HOST = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/i;

/** Answers one HTTP request; never throws. */
export async function serve(emulator: Emulator, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const url = incoming.url ?? '/';
    if (url.startsWith('/emulator/')) {
      // The name in Host keeps pages of other sites out, whose own name might lead to this address.
      if (!LOOPBACK_HOST.test(incoming.headers.host ?? '')) throw notAMember();
      const body = await readBody(incoming, emulator.bodyMax);
      send(response, await routeEmulator(emulator, incoming.method ?? 'GET', url, body));
      return;
    }
    await serveApi(emulator, incoming, response, url);
  } catch (error) {
    // The caller went away, or the body broke off.
    if (!response.headersSent && !response.destroyed) {
      const request = { method: '', path: '', rawQuery: '', headers: new Map<string, string>(), body: Buffer.alloc(0) };
      const noteFault = (fault: unknown) => emulator.log(`A request broke off: ${messageOf(fault)}`);
      send(response, errorReply({ noteFault }, request, error), { Connection: 'close' });
    }
  }
}

/** One request to the Web API in progress. */
interface Exchange {
  readonly emulator: Emulator;
  readonly request: HttpRequest;
  readonly facts: OperationFacts;
  readonly requestId: string;
  readonly visit: Visit;
  /** Who signed in. */
  userId?: string;
}

async function serveApi(
  emulator: Emulator,
  incoming: IncomingMessage,
  response: ServerResponse,
  url: string,
): Promise<void> {
  const { clock } = emulator.env;
  const { signal } = emulator.stopping;
  const visit = emulator.webServers.visit(incoming.headers.cookie);
  const exchange = openExchange(emulator, await apiRequest(emulator, incoming, url), visit);
  const { request, facts } = exchange;

  const intervention = emulator.rules.intervene({ method: request.method, path: url }, facts);
  if (intervention.delayMs > 0) await clock.sleep(intervention.delayMs, signal);
  visit.exclude(intervention.delayMs);
  const worked =
    intervention.reply || intervention.reset === 'before'
      ? { reply: intervention.reply, lateMs: 0 }
      : await carryOut(exchange, signal);
  const lateMs = intervention.lateMs + worked.lateMs;
  if (lateMs > 0) await clock.sleep(lateMs, signal);

  const reply = intervention.reset === undefined ? worked.reply : undefined;
  note(exchange, reply?.status ?? 0, facts);
  const common = commonHeaders(exchange);
  if (!reply) incoming.socket.destroy();
  else if (intervention.sending) await sendBadly(response, reply, common, intervention.sending, { clock, signal });
  else send(response, reply, common);
}

function openExchange(emulator: Emulator, request: HttpRequest, visit: Visit): Exchange {
  const { path } = request;
  const facts = path === undefined ? { message: 'Unknown' } : factsOf(emulator.env, { ...request, path });
  return { emulator, request, facts, requestId: emulator.env.newId(), visit };
}

/**
 * Does what the request asks for, and takes the time that it has to. Without a reply the connection is to be reset; `lateMs`
 * is how long rules for operations inside a `$batch` put off its answer.
 */
async function carryOut(
  exchange: Exchange,
  signal: AbortSignal,
): Promise<{ reply: Reply | undefined; lateMs: number }> {
  const { emulator, request, facts, requestId, visit } = exchange;
  const effort = newEffort();
  let lateMs = 0;
  const reply = await apiReply(exchange, {
    effort,
    intervene: (one, of) => {
      const path = innerPath(request.root, one);
      const inner = emulator.rules.intervene({ method: one.method, path, inBatch: true }, of);
      lateMs += inner.delayMs + inner.lateMs;
      return inner;
    },
    noteOperation: (one, of, status) => note(exchange, status, of, { method: one.method, path: withQuery(one) }),
  });
  await emulator.env.customizing.over(requestId);
  if (facts.message === 'Batch') effort.batchOperations = facts.rows ?? 0;
  await visit.finish(effort, signal);
  return { reply, lateMs };
}

/** Writes into the call log; `inBatch`: an operation inside the request. */
function note(
  { emulator, request, userId }: Exchange,
  status: number,
  of: OperationFacts,
  inBatch?: { method: string; path: string },
): void {
  const clientRequestId = request.headers.get('x-ms-client-request-id');
  emulator.calls.add({
    method: inBatch?.method ?? request.method,
    path: inBatch?.path ?? request.url,
    ...(of.table === undefined ? {} : { table: of.table }),
    message: of.message,
    ...(of.rows === undefined ? {} : { rows: of.rows }),
    status,
    time: isoTime(emulator.env.clock.now()),
    ...(userId === undefined ? {} : { userId }),
    ...(clientRequestId === undefined ? {} : { clientRequestId }),
    inBatch: inBatch !== undefined,
  });
}

const withQuery = ({ path, rawQuery }: ApiRequest): string => (rawQuery === '' ? path : `${path}?${rawQuery}`);

/** The path of an operation inside a `$batch` as it would be outside, however it was written. */
const innerPath = (root: string, request: ApiRequest): string => `${new URL(root).pathname}${withQuery(request)}`;

interface HttpRequest extends Omit<ApiRequest, 'path'> {
  /** Undefined outside the Web API. */
  readonly path: string | undefined;
  readonly url: string;
  /** `https://host/api/data/v9.2/` */
  readonly root: string;
  /** Set when the body is larger than the service takes. */
  readonly oversized: boolean;
}

async function apiRequest(emulator: Emulator, incoming: IncomingMessage, url: string): Promise<HttpRequest> {
  const [path = '', ...query] = url.split('?');
  const found = API_PATH.exec(path);
  const host = incoming.headers.host ?? '';
  // Answers name the host that the caller used, as long as it is this machine.
  const origin = LOOPBACK_HOST.test(host) ? `${emulator.origin.split('://')[0]}://${host}` : emulator.origin;
  let body: Buffer = Buffer.alloc(0);
  let oversized = false;
  try {
    body = await readBody(incoming, emulator.bodyMax);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    oversized = true;
  }
  return {
    method: (incoming.method ?? 'GET').toUpperCase(),
    path: found ? (found[2] ?? '') : undefined,
    rawQuery: query.join('?'),
    headers: headersOf(incoming),
    body,
    url,
    root: `${origin}/api/data/${found?.[1] ?? 'v9.2'}/`,
    oversized,
  };
}

async function apiReply(
  exchange: Exchange,
  notes: Pick<Session, 'effort' | 'intervene' | 'noteOperation'>,
): Promise<Reply | undefined> {
  const { emulator, request, facts, requestId, visit } = exchange;
  const { env } = emulator;
  const noteFault = (error: unknown) =>
    emulator.log(error instanceof Error ? (error.stack ?? error.message) : String(error));
  const api: ApiRequest = { ...request, path: request.path ?? '' };
  try {
    const caller = await emulator.authenticate(request.headers.get('authorization'));
    exchange.userId = caller.userId;
    visit.enter(caller.userId);
    if (request.oversized) throw tooLarge();
    if (request.url.length > URL_MAX) throw urlTooLong();
    if (request.path === undefined) throw outsideWebApi(request.url);
    const session: Session = {
      env,
      caller,
      root: request.root,
      correlationId:
        request.headers.get('x-ms-correlation-request-id') ?? request.headers.get('x-ms-correlation-id') ?? env.newId(),
      requestId,
      ...notes,
      noteFault,
      runSynchronousSteps: emulator.runSynchronousSteps,
      publish(events) {
        for (const event of events) emulator.queue.enqueue(event, env.steps.listening(event.message, event.table));
      },
    };
    return await emulator.turn(() => answer(session, api, facts));
  } catch (error) {
    return errorReply({ noteFault }, api, error);
  }
}

/** The service's other addresses are Dataverse search, and the state of custom APIs that run in the background. */
const outsideWebApi = (url: string): Error =>
  /^\/api\/(?:search|backgroundoperation)\//i.test(url) ? notEmulated(url.split('?')[0] ?? url) : segmentNotFound(url);

/** What the service sends with every answer. */
const commonHeaders = ({ emulator, visit, requestId }: Exchange): Record<string, string> => ({
  'Cache-Control': 'no-cache',
  'OData-Version': '4.0',
  'x-ms-service-request-id': requestId,
  REQ_ID: requestId,
  AuthActivityId: emulator.env.newId(),
  ...visit.headers(),
});
