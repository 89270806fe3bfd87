import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Clock, isoTime, systemClock } from '../../shared/clock.ts';
import { messageOf } from '../../shared/errors.ts';
import { type NewId, newGuid } from '../../shared/ids.ts';
import { answer } from './batch.ts';
import { createCallLog } from './calls.ts';
import type { Emulator } from './emulator.ts';
import { routeEmulator } from './emulator-routes.ts';
import { notAMember, segmentNotFound, tooLarge, urlTooLong, WireError } from './errors.ts';
import { fetchTransport, type WebhookTransport } from './events/deliver.ts';
import { createEventQueue } from './events/queue.ts';
import { headersOf, readBody, send } from './http.ts';
import { openKeys } from './keys.ts';
import { openCatalog } from './metadata.ts';
import { errorReply, type Session } from './operations.ts';
import { openPrivileges } from './privileges.ts';
import type { Reply } from './reply.ts';
import type { ApiRequest, OperationFacts } from './request.ts';
import { openRoles } from './roles.ts';
import { factsOf } from './route.ts';
import { createRules } from './rules.ts';
import { type Authentication, type Caller, createAuthenticator, createGuard } from './security.ts';
import { ADMINISTRATOR_ID, type ApplicationUser, type RolePrivileges, seed } from './seed.ts';
import { openSteps } from './steps.ts';
import { derivedGuid, openStore } from './store.ts';
import { createSynchronousSteps } from './synchronous-steps.ts';
import { createTurns } from './turns.ts';
import type { Assumptions, Environment, Organization } from './work.ts';

export interface DataverseOptions {
  /** 0 (the default) takes any free one. */
  port?: number;
  /** PEM texts; without them plain http. The server listens on 127.0.0.1 either way. */
  tls?: { cert: string; key: string };
  auth: Authentication;
  /** A file, or `:memory:` (the default). */
  database?: string;
  organization?: { id?: string; name?: string; businessUnitId?: string; version?: string };
  users?: readonly ApplicationUser[];
  /** Roles besides System Administrator and System Customizer. */
  roles?: Readonly<Record<string, RolePrivileges>>;
  /** How long requests go on with the privileges that a user had; about 30,000 ms in the service, 0 (the default) here. */
  roleLagMs?: number;
  clock?: Clock;
  newId?: NewId;
  /** Most rows of a page, 5000 in the service. */
  pageSizeMax?: number;
  /** Most rows that an aggregation may read, 50,000 in the service. */
  aggregateMax?: number;
  /** How long an alternate key's index stays Pending and then InProgress, in milliseconds each (default 100). */
  keyStepMs?: number;
  /** Where the service's behaviour is not confirmed; see the README of this folder. */
  assumptions?: Partial<Assumptions>;
  /** The header `x-ms-dop-hint`; default 5. */
  dopHint?: number;
  /** Largest request body in bytes; default 128 MB. */
  bodyMax?: number;
  transport?: WebhookTransport;
  log?(line: string): void;
}

export interface Dataverse {
  /** `https://localhost:PORT`, the environment's URL and the audience of its tokens. */
  readonly url: string;
  /** `https://localhost:PORT/api/data/v9.2/` */
  readonly apiUrl: string;
  readonly organization: Organization;
  /** Resolves when no webhook is waiting and no index is being built. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

const BODY_MAX = 128 * 1024 * 1024;
const API_PATH = /^\/api\/data\/(v9\.[012])(?:\/+([^?]*))?$/i;
// The service's limit of a URL outside a $batch.
const URL_MAX = 32_768;
// Node's own limit is shorter than the URLs that the service takes.
const HEADERS_MAX = 128 * 1024;
const LOOPBACK_HOST = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/i;

/** Starts the emulator. */
export async function startDataverse(options: DataverseOptions): Promise<Dataverse> {
  const emulator = openEmulator(options);
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    void serve(emulator, request, response);
  };
  const limits = { maxHeaderSize: HEADERS_MAX };
  const server = options.tls
    ? createHttpsServer({ ...options.tls, ...limits }, listener)
    : createHttpServer(limits, listener);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  emulator.origin = `${options.tls ? 'https' : 'http'}://localhost:${port}`;
  emulator.env.keys.resume();
  return {
    url: emulator.origin,
    apiUrl: `${emulator.origin}/api/data/v9.2/`,
    organization: emulator.env.organization,
    idle: () => emulator.idle(),
    async close() {
      emulator.env.keys.stop();
      emulator.stopping.abort(new Error('The emulator stopped'));
      await emulator.queue.stop();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      await emulator.env.keys.idle();
      await emulator.turn(() => undefined);
      emulator.env.store.close();
    },
  };
}

function openEmulator(options: DataverseOptions): Emulator {
  const clock = options.clock ?? systemClock;
  const newId = options.newId ?? newGuid;
  const catalog = openCatalog();
  const turn = createTurns();
  const transport = options.transport ?? fetchTransport;
  const store = openStore(options.database ?? ':memory:');
  const name = options.organization?.name ?? 'local';
  const organization: Organization = {
    id: options.organization?.id ?? derivedGuid(`organization/${name}`),
    name,
    host: 'localhost',
    businessUnitId: options.organization?.businessUnitId ?? derivedGuid(`businessunit/${name}`),
    baseCurrencyId: derivedGuid('transactioncurrency/USD'),
    version: options.organization?.version ?? '9.2.25111.00152',
  };
  const privileges = openPrivileges(catalog);
  const roles = openRoles({ store, catalog, privileges, clock, lagMs: options.roleLagMs ?? 0 });
  seed({
    store,
    catalog,
    privileges,
    roles,
    organization,
    users: options.users ?? [],
    rolePrivileges: options.roles ?? {},
    now: clock.now(),
  });
  const keys = openKeys({ store, clock, newId, tableOf: catalog.table, turn, stepMs: options.keyStepMs ?? 100 });
  const queue = createEventQueue({ organization, transport, clock, newId });
  const steps = openSteps(store, catalog);
  const stopping = new AbortController();
  const env: Environment = {
    catalog,
    store,
    keys,
    privileges,
    roles,
    guard: createGuard(privileges),
    steps,
    organization,
    clock,
    newId,
    pageSizeMax: options.pageSizeMax ?? 5000,
    aggregateMax: options.aggregateMax ?? 50_000,
    assumptions: {
      duplicateTargets: { status: 400, code: '0x80040203' },
      readOnlyColumns: 'ignored',
      ...options.assumptions,
    },
  };
  const administrator: Caller = {
    userId: ADMINISTRATOR_ID,
    objectId: undefined,
    businessUnitId: organization.businessUnitId,
    roleCount: 1,
    privileges: 'all',
  };
  const authenticate = createAuthenticator({
    authentication: options.auth,
    store,
    roles,
    clock,
    turn,
    origin: () => emulator.origin,
    administrator,
  });
  const emulator: Emulator = {
    env,
    queue,
    calls: createCallLog(),
    rules: createRules(newId),
    authenticate,
    turn,
    stopping,
    runSynchronousSteps: createSynchronousSteps({
      steps,
      organization,
      transport,
      clock,
      newId,
      signal: stopping.signal,
    }),
    dopHint: options.dopHint ?? 5,
    bodyMax: options.bodyMax ?? BODY_MAX,
    log: options.log ?? (() => {}),
    async idle() {
      await keys.idle();
      await queue.idle();
    },
    origin: '',
  };
  return emulator;
}

/** Answers one HTTP request; never throws. */
async function serve(emulator: Emulator, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
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

async function serveApi(
  emulator: Emulator,
  incoming: IncomingMessage,
  response: ServerResponse,
  url: string,
): Promise<void> {
  const { env } = emulator;
  const request = await apiRequest(emulator, incoming, url);
  const facts = request.path === undefined ? { message: 'Unknown' } : factsOf(env, { ...request, path: request.path });
  const requestId = env.newId();
  const clientRequestId = request.headers.get('x-ms-client-request-id');
  let userId: string | undefined;
  const log = (status: number, of: OperationFacts, inBatch?: { method: string; path: string }) =>
    emulator.calls.add({
      method: inBatch?.method ?? request.method,
      path: inBatch?.path ?? url,
      ...(of.table === undefined ? {} : { table: of.table }),
      message: of.message,
      ...(of.rows === undefined ? {} : { rows: of.rows }),
      status,
      time: isoTime(env.clock.now()),
      ...(userId === undefined ? {} : { userId }),
      ...(clientRequestId === undefined ? {} : { clientRequestId }),
      inBatch: inBatch !== undefined,
    });

  const intervention = emulator.rules.intervene({ method: request.method, path: url }, facts);
  if (intervention.delayMs > 0) await env.clock.sleep(intervention.delayMs);
  const resetNow = () => {
    log(0, facts);
    incoming.socket.destroy();
  };
  if (intervention.reset === 'before') return resetNow();
  const common = commonHeaders(emulator, requestId);
  if (intervention.reply) {
    log(intervention.reply.status, facts);
    send(response, intervention.reply, common);
    return;
  }
  let innerDelayMs = 0;
  const reply = await apiReply(emulator, request, facts, requestId, {
    signedIn: (caller) => {
      userId = caller.userId;
    },
    intervene: (one, of) => {
      const inner = emulator.rules.intervene({ method: one.method, path: innerPath(request.root, one) }, of);
      innerDelayMs += inner.delayMs;
      return inner;
    },
    noteOperation: (one, of, status) => log(status, of, { method: one.method, path: withQuery(one) }),
  });
  if (innerDelayMs > 0) await env.clock.sleep(innerDelayMs);
  if (!reply || intervention.reset === 'after') return resetNow();
  log(reply.status, facts);
  send(response, reply, common);
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
  emulator: Emulator,
  request: HttpRequest,
  facts: OperationFacts,
  requestId: string,
  notes: { signedIn(caller: Caller): void } & Pick<Session, 'intervene' | 'noteOperation'>,
): Promise<Reply | undefined> {
  const { env } = emulator;
  const noteFault = (error: unknown) =>
    emulator.log(error instanceof Error ? (error.stack ?? error.message) : String(error));
  const api: ApiRequest = { ...request, path: request.path ?? '' };
  try {
    const caller = await emulator.authenticate(request.headers.get('authorization'));
    notes.signedIn(caller);
    if (request.oversized) throw tooLarge();
    if (request.url.length > URL_MAX) throw urlTooLong();
    if (request.path === undefined) throw segmentNotFound(request.url);
    const session: Session = {
      env,
      caller,
      root: request.root,
      correlationId:
        request.headers.get('x-ms-correlation-request-id') ?? request.headers.get('x-ms-correlation-id') ?? env.newId(),
      requestId,
      intervene: notes.intervene,
      noteOperation: notes.noteOperation,
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

/** What the service sends with every answer. */
const commonHeaders = (emulator: Emulator, requestId: string): Record<string, string> => ({
  'Cache-Control': 'no-cache',
  'OData-Version': '4.0',
  'x-ms-service-request-id': requestId,
  REQ_ID: requestId,
  AuthActivityId: emulator.env.newId(),
  'x-ms-dop-hint': String(emulator.dopHint),
  'x-ms-ratelimit-burst-remaining-xrm-requests': '5999',
  'x-ms-ratelimit-time-remaining-xrm-requests': '1,199.99',
  'Set-Cookie': `ARRAffinity=${'0'.repeat(64)}; Path=/; HttpOnly`,
});
