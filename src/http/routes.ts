import type { HttpHandler, HttpMethod, HttpRequest, HttpResponseInit, InvocationContext } from '@azure/functions';
import { app } from '@azure/functions';
import type { Clock } from '../shared/clock.ts';
import { messageOf } from '../shared/errors.ts';
import { type Log, logLine } from '../telemetry/log.ts';
import { problemResponse, RequestError } from './problem.ts';
import { routeValues } from './route-values.ts';

/**
 * What a caller must bring: nothing, a function key, or the master key (the ★ routes); with tokens of Entra nothing, the
 * role `Bridge.Use`, or the role `Bridge.Admin`.
 */
export type Access = 'anonymous' | 'use' | 'admin';

/** Lets a caller in by the request's header `authorization`, or throws RequestError 401, 403 or 503. */
export type Authorize = (authorization: string | null, access: 'use' | 'admin') => Promise<void>;

/** A request as a handler sees it: parsed, authorized, with a deadline. */
export interface Call {
  readonly request: HttpRequest;
  /** Values of the route's parameters, from the path only. */
  readonly path: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** The caller's `x-request-id`, or the invocation's id. */
  readonly requestId: string;
  /** Milliseconds since 1970 by which the answer must have ended. */
  readonly deadline: number;
  readonly log: Log;
}

export interface Route {
  /** The function's name. */
  readonly name: string;
  readonly methods: readonly HttpMethod[];
  /** Below host.json's prefix, `{name}` for parameters. */
  readonly route: string;
  readonly access: Access;
  /** Served even while app-wide settings have faults. */
  readonly withoutSettings?: boolean;
  handler(call: Call): Promise<HttpResponseInit> | HttpResponseInit;
}

export interface RouteOptions {
  readonly clock: Clock;
  /** Throws SettingsError while app-wide settings have faults. */
  readonly assertSettings: () => void;
  /** Decides who may call; left out, the host does by its keys. */
  readonly authorize?: Authorize | undefined;
}

/** A response over HTTP lasts 230 s at most (Azure's load balancer); the rest is for what comes after the last row. */
const LONGEST_CALL_MS = 200_000;

const authLevels = { anonymous: 'anonymous', use: 'function', admin: 'admin' } as const;

/** Registers routes with the Functions runtime. The only place that calls `app.http`. */
export function registerRoutes(routes: readonly Route[], options: RouteOptions): void {
  for (const route of routes) {
    app.http(route.name, {
      methods: [...route.methods],
      route: route.route,
      authLevel: options.authorize ? 'anonymous' : authLevels[route.access],
      handler: answering(route, options),
    });
  }
}

/**
 * Makes sure that a call is always answered: a handler that throws or returns nothing would leave the caller waiting
 * for minutes in Azure, since the host streams whatever the handler returns.
 */
function answering(route: Route, options: RouteOptions): HttpHandler {
  return async (request, context) => {
    const requestId = requestIdOf(request, context);
    try {
      if (route.access !== 'anonymous') {
        await options.authorize?.(request.headers.get('authorization'), route.access);
      }
      if (!route.withoutSettings) options.assertSettings();
      const url = new URL(request.url);
      const path = routeValues(route.route, url);
      if (!path) throw new RequestError(404, 'routeUnknown', 'No such address.');
      const response: HttpResponseInit | undefined = await route.handler({
        request,
        path,
        query: url.searchParams,
        requestId,
        deadline: options.clock.now() + LONGEST_CALL_MS,
        log: (message, facts) => context.log(logLine(message, { requestId, ...facts })),
      });
      if (!response) throw new Error(`The handler of ${route.name} returned nothing.`);
      return { ...response, headers: { 'x-request-id': requestId, ...response.headers } };
    } catch (error) {
      const response = problemResponse(error, requestId);
      if ((response.status ?? 500) >= 500) {
        context.error(
          logLine('request failed', {
            requestId,
            route: route.name,
            status: response.status,
            reason: messageOf(error),
          }),
        );
      }
      return response;
    }
  };
}

function requestIdOf(request: HttpRequest, context: InvocationContext): string {
  const given = request.headers.get('x-request-id');
  return given && /^[\w.:-]{1,128}$/.test(given) ? given : context.invocationId;
}

/** An answer with a JSON body. */
export const json = (
  body: unknown,
  init: { status?: number; headers?: Record<string, string> } = {},
): HttpResponseInit => ({
  status: init.status ?? 200,
  headers: { 'content-type': 'application/json', ...init.headers },
  body: JSON.stringify(body),
});
