import type { HttpHandler, HttpMethod, HttpRequest, HttpResponseInit, InvocationContext } from '@azure/functions';
import { app } from '@azure/functions';
import type * as z from 'zod';
import type { Clock } from '../shared/clock.ts';
import { messageOf } from '../shared/errors.ts';
import { type Log, logLine } from '../telemetry/log.ts';
import { jsonBody } from './body.ts';
import { compressed } from './compression.ts';
import { parseBody, parseQuery } from './input.ts';
import { problemResponse, RequestError } from './problem.ts';
import { routeValues } from './route-values.ts';

/**
 * What a caller must bring: nothing, a function key, or the master key (the ★ routes); with tokens of Entra nothing, the
 * role `Bridge.Use`, or the role `Bridge.Admin`.
 */
export type Access = 'anonymous' | 'use' | 'admin';

/** Lets a caller in by the request's header `authorization`, or throws RequestError 401, 403 or 503. */
export type Authorize = (authorization: string | null, access: 'use' | 'admin') => Promise<void>;

/** A request as it arrives: authorized, with a deadline, its query and body not read yet. */
export interface Incoming {
  readonly request: HttpRequest;
  /** Values of the route's parameters, from the path only. */
  readonly path: Readonly<Record<string, string>>;
  readonly search: URLSearchParams;
  /** The caller's `x-request-id`, or the invocation's id. */
  readonly requestId: string;
  /** Milliseconds since 1970 by which the answer must have ended. */
  readonly deadline: number;
  /** Aborts at the deadline. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** A request as a handler sees it: query and body parsed by the route's schemas. */
export interface Call<Query = Readonly<Record<string, never>>, Body = undefined> extends Incoming {
  readonly query: Query;
  readonly body: Body;
}

/** An answer as the API's description tells it. */
export interface AnswerDescription {
  readonly description: string;
  /** Of a JSON body; left out, the answer has none, or one in `types`. */
  readonly schema?: z.ZodType;
  /** Media types of a body that is not, or not only, JSON. */
  readonly types?: readonly string[];
  /** Response headers by name, with what they tell. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A call that works, as the API's description shows it and a test sends it. */
export interface RouteExample {
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON, a text as it is. */
  readonly body?: unknown;
  /** Of a text's body. */
  readonly type?: string;
  readonly status: number;
}

/** The parts of the API, in the order of its description. */
export const TAGS = [
  'health',
  'connections',
  'rows',
  'queries',
  'definitions',
  'raw',
  'activations',
  'webhooks',
  'api',
] as const;

/** What a route is, for callers. */
export interface RouteDescription {
  /** The function's name. */
  readonly name: string;
  readonly methods: readonly HttpMethod[];
  /** Below host.json's prefix, `{name}` for parameters. */
  readonly route: string;
  readonly access: Access;
  /** Served even while app-wide settings have faults. */
  readonly withoutSettings?: boolean;
  readonly tag: (typeof TAGS)[number];
  /** One line, in the imperative. */
  readonly summary: string;
  readonly description?: string;
  /** Request headers that the route reads, with what they do. */
  readonly requestHeaders?: Readonly<Record<string, string>>;
  /** By status. Problems need not be listed. */
  readonly answers: Readonly<Record<number, AnswerDescription>>;
  readonly example: RouteExample;
  /** The schema of the URL's query; left out, the query is not looked at. */
  readonly query?: z.ZodObject;
  /** The schema of a JSON body. */
  readonly body?: z.ZodType;
  /** What the description shows for a body that the use case parses by this schema itself. */
  readonly bodySchema?: z.ZodType;
  /** Whether a request without a body will do. */
  readonly bodyOptional?: boolean;
  /** Most bytes of a JSON body; 1 MB unless told otherwise. */
  readonly largestBody?: number;
  /** Media types of bodies that the handler reads itself. */
  readonly bodyTypes?: readonly string[];
}

/** A route ready to be registered. */
export interface Route extends RouteDescription {
  /** Reads query and body and handles the call. Throws RequestError for input that does not fit the schemas. */
  run(incoming: Incoming): Promise<HttpResponseInit>;
}

type Definition<Query extends z.ZodObject, Body extends z.ZodType> = RouteDescription & {
  readonly query?: Query;
  readonly body?: Body;
  handler(call: Call<z.output<Query>, z.output<Body>>): Promise<HttpResponseInit> | HttpResponseInit;
};

/** Makes a route whose handler gets query and body in the types of their schemas. */
export function route<
  Query extends z.ZodObject = z.ZodObject<Record<never, never>>,
  Body extends z.ZodType = z.ZodUndefined,
>({ handler, ...description }: Definition<Query, Body>): Route {
  const parameters = parametersOf(description.route);
  const { query, body } = description;
  return {
    ...description,
    async run(incoming) {
      // A schema that is left out has the type whose only value stands in for it here.
      const queryOf = (query ? parseQuery(query, incoming.search, parameters) : {}) as z.output<Query>;
      const bodyOf = (body ? await readBody(body, description, incoming.request) : undefined) as z.output<Body>;
      return handler({ ...incoming, query: queryOf, body: bodyOf });
    },
  };
}

/** Names of a route's parameters. */
export const parametersOf = (template: string): string[] =>
  [...template.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '');

async function readBody(
  schema: z.ZodType,
  { bodyOptional = false, largestBody }: RouteDescription,
  request: HttpRequest,
): Promise<unknown> {
  const value = await jsonBody(request, { limit: largestBody, optional: bodyOptional });
  return parseBody(schema, value);
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
      const response: HttpResponseInit | undefined = await route.run({
        request,
        path,
        search: url.searchParams,
        requestId,
        deadline: options.clock.now() + LONGEST_CALL_MS,
        signal: AbortSignal.timeout(LONGEST_CALL_MS),
        log: (message, facts) => context.log(logLine(message, { requestId, ...facts })),
      });
      if (!response) throw new Error(`The handler of ${route.name} returned nothing.`);
      const headers = { 'x-request-id': requestId, ...Object.fromEntries(new Headers(response.headers)) };
      return await compressed({ ...response, headers }, request.headers.get('accept-encoding'));
    } catch (error) {
      const response = problemResponse(error, requestId);
      if ((response.status ?? 500) >= 500) {
        context.error(
          logLine('request failed', {
            requestId,
            route: route.name,
            status: response.status,
            reason: messageOf(error).slice(0, 1_000),
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
