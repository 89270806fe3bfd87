import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AccessKeys, mayPass } from './access-keys.ts';
import type { AdminApi } from './admin-api.ts';
import type { FunctionDefinition, HttpTrigger } from './function-definitions.ts';
import { describeFailure, type HostLog } from './host-log.ts';
import {
  answerEmpty,
  type ExchangeOptions,
  exchangeBuffered,
  exchangeStreamed,
  type HttpExchange,
} from './http-exchange.ts';
import { byPrecedence, matchTemplate, pathSegments, type RouteValues } from './routes.ts';

export interface HttpServerOptions extends ExchangeOptions {
  readonly definitions: readonly FunctionDefinition[];
  readonly keys: AccessKeys;
  readonly admin: AdminApi;
  /** The library's server; undefined without streaming. */
  readonly httpUri: URL | undefined;
  /** True from the moment that functions are no longer called over HTTP. */
  readonly draining: () => boolean;
  readonly log: HostLog;
}

export interface HttpServer {
  readonly url: string;
  /** Resolves when no answer is under way: a call may be over long before its caller has read all of it. */
  idle(): Promise<void>;
  /** Ends idle connections at once, and all others too. */
  close(): Promise<void>;
}

interface HttpFunction {
  definition: FunctionDefinition;
  trigger: HttpTrigger;
}

/** Listens on 127.0.0.1; `port` 0 is any free one. */
export async function startHttpServer(port: number, options: HttpServerOptions): Promise<HttpServer> {
  const functions = httpFunctions(options.definitions);
  const open = new Set<Promise<unknown>>();
  const server = createServer((request, response) => {
    const closed = once(response, 'close').finally(() => open.delete(closed));
    open.add(closed);
    answer(request, response, functions, options).catch((error) => {
      if (!request.destroyed) options.log('error', `A request could not be answered. ${describeFailure(error)}`);
      if (response.headersSent) response.destroy();
      else answerEmpty(response, 500);
    });
  });
  // Longer than clients keep a connection: one that closes as a request sets out on it loses the request.
  server.keepAliveTimeout = 75_000;
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${portOf(server)}`,
    async idle() {
      while (open.size > 0) await Promise.allSettled(open);
    },
    close: () => close(server),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  functions: readonly HttpFunction[],
  options: HttpServerOptions,
): Promise<void> {
  const url = requestUrl(request);
  const path = url && pathSegments(url.pathname);
  if (!url || !path) return answerEmpty(response, 400);
  if (path[0]?.toLowerCase() === 'admin') {
    if (!mayPass('admin', request, url, options.keys)) return answerEmpty(response, 401);
    return options.admin.answer(request, response, path.slice(1));
  }
  const found = route(functions, request.method ?? 'GET', path);
  if (!found) return answerEmpty(response, 404);
  if (!mayPass(found.trigger.authLevel, request, url, options.keys)) return answerEmpty(response, 401);
  if (options.draining()) {
    response.setHeader('connection', 'close');
    return answerEmpty(response, 503);
  }
  const exchange: HttpExchange = { ...found, request, response, url };
  await (options.httpUri ? exchangeStreamed(exchange, options.httpUri, options) : exchangeBuffered(exchange, options));
}

function requestUrl(request: IncomingMessage): URL | undefined {
  const host = request.headers.host ?? '127.0.0.1';
  // A target that begins with two slashes would otherwise be read as a host.
  return URL.parse(`http://${host}${request.url?.startsWith('/') ? request.url : '/'}`) ?? undefined;
}

function httpFunctions(definitions: readonly FunctionDefinition[]): HttpFunction[] {
  return definitions
    .flatMap((definition) => (definition.trigger.type === 'http' ? [{ definition, trigger: definition.trigger }] : []))
    .sort((left, right) => byPrecedence(left.trigger.route, right.trigger.route));
}

/** Of the routes that take the method, the first that matches: a wrong method is 404, not 405. */
function route(
  functions: readonly HttpFunction[],
  method: string,
  path: readonly string[],
): (HttpFunction & { values: RouteValues }) | undefined {
  for (const candidate of functions) {
    if (!candidate.trigger.methods.includes(method)) continue;
    const values = matchTemplate(candidate.trigger.route, path);
    if (values) return { ...candidate, values };
  }
  return undefined;
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server has no port.');
  return address.port;
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
