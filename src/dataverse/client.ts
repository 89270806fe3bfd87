import type { Clock } from '../shared/clock.ts';
import { BridgeError, messageOf } from '../shared/errors.ts';
import type { NewId } from '../shared/ids.ts';
import { DataverseError, errorFromAnswer } from './errors.ts';
import { parseRetryAfter, retryDelay } from './retry.ts';
import type { Transport, TransportResponse } from './transport.ts';
import { challengedClaims } from './wire/claims-challenge.ts';
import { REQUEST_HEADERS } from './wire/headers.ts';

export interface TokenOptions {
  /** Asks for a new one, whatever is there. */
  readonly renew?: boolean;
  /** The token that Dataverse has refused: another one is wanted, and this one again if there is none to be had. */
  readonly rejected?: string;
  /** The claims that a new one must have, as JSON. */
  readonly claims?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Gives the bearer token of the connection's application user. */
export type TokenSource = (options?: TokenOptions) => string | Promise<string>;

export interface DataverseRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** Below the Web API's root, already encoded: `accounts?$select=name`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Whether sending it twice does no harm. GET always is. */
  readonly repeatable?: boolean;
  /** Aborts waits and the request itself. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds since 1970 after which neither a wait nor an answer may end; a longer wait gives up at once. */
  readonly deadline?: number | undefined;
  /** Counts what this request cost. */
  readonly meter?: CallMeter | undefined;
}

export interface DataverseResponse {
  readonly status: number;
  /** A header by its lower-case name. */
  header(name: string): string | undefined;
  readonly text: string;
  /** The body as JSON. Throws DataverseError `notDataverse` if it is none. */
  json(): unknown;
}

/** What a piece of work cost: requests sent, and time lost to service protection limits. */
export interface CallMeter {
  calls: number;
  throttled: { count: number; waitedMs: number };
}

export const newMeter = (): CallMeter => ({ calls: 0, throttled: { count: 0, waitedMs: 0 } });

export interface DataverseClient {
  /**
   * Sends a request and resolves with its 2xx or 304 answer. Throws DataverseError for every other answer, once the
   * retries that are safe have been made, and the signal's reason when aborted.
   */
  send(request: DataverseRequest): Promise<DataverseResponse>;
}

export interface ClientOptions {
  /** `https://org.crm4.dynamics.com/api/data/v9.2/` */
  readonly apiUrl: string;
  readonly tokens: TokenSource;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: NewId;
  readonly log?: (message: string, facts: Readonly<Record<string, unknown>>) => void;
}

/** One try of a request, or what a policy makes of it. */
type Send = (request: DataverseRequest) => Promise<TransportResponse>;
type Policy = (next: Send) => Send;

/**
 * A client of one environment as one application user. Requests pass through these policies, outermost first:
 * logging, limits and retry, authentication, correlation, transport.
 */
export function createDataverseClient(options: ClientOptions): DataverseClient {
  const policies: Policy[] = [logging(options), limitsAndRetry(options), authentication(options)];
  const send = policies.reduceRight<Send>((next, policy) => policy(next), correlatedTransport(options));
  return {
    async send(request) {
      return toResponse(await send(request));
    },
  };
}

function logging({ log, clock }: ClientOptions): Policy {
  return (next) => async (request) => {
    const startedAt = clock.now();
    const [path] = request.path.split('?');
    try {
      const response = await next(request);
      log?.('dataverse request', {
        method: request.method,
        path,
        status: response.status,
        ms: clock.now() - startedAt,
      });
      return response;
    } catch (error) {
      const facts = error instanceof DataverseError ? { code: error.code, ...error.facts } : { code: 'aborted' };
      log?.('dataverse request failed', { method: request.method, path, ...facts, ms: clock.now() - startedAt });
      throw error;
    }
  };
}

/** Repeats what is safe to repeat. A 429 makes every request of this application user wait, not only its own. */
function limitsAndRetry({ clock, random }: ClientOptions): Policy {
  let blockedUntil = 0;

  const wait = async (ms: number, request: DataverseRequest, error: DataverseError | undefined): Promise<void> => {
    if (request.deadline !== undefined && clock.now() + ms > request.deadline) {
      throw (
        error ??
        new DataverseError('limitExceeded', 'Service protection limits hold longer than there is time.', {
          retryAfterMs: ms,
        })
      );
    }
    await clock.sleep(ms, request.signal);
  };

  return (next) => async (request) => {
    for (let attempt = 1; ; attempt += 1) {
      const held = blockedUntil - clock.now();
      if (held > 0) {
        if (request.meter) request.meter.throttled.waitedMs += held;
        await wait(held, request, undefined);
      }
      if (request.meter) request.meter.calls += 1;
      const tried = await attemptOnce(next, request, clock.now);
      if (!(tried instanceof DataverseError)) return tried;
      const { facts } = tried;
      const throttled = facts.status === 429;
      const repeatable = request.method === 'GET' || request.repeatable === true;
      const delay = retryDelay({ attempt, repeatable, ...facts }, random());
      if (throttled && request.meter) request.meter.throttled.count += 1;
      if (delay === undefined) throw tried;
      if (throttled) {
        blockedUntil = Math.max(blockedUntil, clock.now() + delay);
        if (request.meter) request.meter.throttled.waitedMs += delay;
      }
      await wait(delay, request, tried);
    }
  };
}

async function attemptOnce(
  next: Send,
  request: DataverseRequest,
  now: () => number,
): Promise<TransportResponse | DataverseError> {
  let response: TransportResponse;
  try {
    response = await next(request);
  } catch (error) {
    request.signal?.throwIfAborted();
    if (!isNetworkFailure(error)) throw error;
    return new DataverseError(
      'network',
      `Dataverse gave no answer: ${causeOf(error)}.`,
      {},
      {
        cause: error,
        hint: 'Check the environment’s URL, name resolution and the network; the request may or may not have been carried out.',
      },
    );
  }
  if (response.status < 300 || response.status === 304) return response;
  return errorFromAnswer({
    status: response.status,
    contentType: headerOf(response, 'content-type') ?? '',
    text: response.body.toString('utf8'),
    serviceRequestId: headerOf(response, 'x-ms-service-request-id') ?? headerOf(response, 'req_id'),
    retryAfterMs: parseRetryAfter(headerOf(response, 'retry-after'), now()),
  });
}

/** Errors of sockets, TLS and undici carry a code; ours (no token to be had) pass as they are. */
const isNetworkFailure = (error: unknown): error is Error =>
  error instanceof Error && !(error instanceof BridgeError) && 'code' in error;

const causeOf = (error: Error): string => ('code' in error ? String(error.code) : error.name);

/**
 * Adds the token; a 401 is answered once with a renewed one, which carries the claims that the 401 asks for. Where no
 * other token is to be had, the 401 stands: it is what the caller needs to hear.
 */
function authentication({ tokens, log }: ClientOptions): Policy {
  const withToken = (request: DataverseRequest, token: string): DataverseRequest => ({
    ...request,
    headers: { ...request.headers, authorization: `Bearer ${token}` },
  });
  const anotherToken = async (rejected: string, claims: string | undefined, signal: AbortSignal | undefined) => {
    try {
      return await tokens({ rejected, claims, signal });
    } catch (error) {
      signal?.throwIfAborted();
      log?.('token refused by Dataverse was not renewed', { reason: messageOf(error) });
      return rejected;
    }
  };
  return (next) => async (request) => {
    const token = await tokens({ signal: request.signal });
    const response = await next(withToken(request, token));
    if (response.status !== 401) return response;
    const claims = challengedClaims(headerOf(response, 'www-authenticate'));
    const other = await anotherToken(token, claims, request.signal);
    return other === token ? response : next(withToken(request, other));
  };
}

function correlatedTransport({ apiUrl, transport, newId, clock }: ClientOptions): Send {
  const root = new URL(apiUrl);
  return (request) =>
    transport({
      method: request.method,
      url: new URL(root.href + request.path),
      headers: {
        ...REQUEST_HEADERS,
        ...(request.body !== undefined && { 'content-type': 'application/json; charset=utf-8' }),
        'x-ms-client-request-id': newId(),
        ...request.headers,
      },
      body: request.body,
      signal: request.signal,
      ...(request.deadline !== undefined && { timeoutMs: request.deadline - clock.now() }),
    });
}

function headerOf(response: TransportResponse, name: string): string | undefined {
  const value = response.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function toResponse(response: TransportResponse): DataverseResponse {
  const text = response.body.toString('utf8');
  return {
    status: response.status,
    header: (name) => headerOf(response, name),
    text,
    json() {
      try {
        return JSON.parse(text);
      } catch (cause) {
        throw new DataverseError(
          'notDataverse',
          `Dataverse answered ${response.status} with a body that is no JSON.`,
          { status: response.status },
          {
            cause,
            hint: 'Something other than Dataverse answered: check the URL, a proxy, and whether the environment is active.',
          },
        );
      }
    },
  };
}
