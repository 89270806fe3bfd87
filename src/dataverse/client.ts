import { Readable } from 'node:stream';
import type { Clock } from '../shared/clock.ts';
import { BridgeError } from '../shared/errors.ts';
import type { NewId } from '../shared/ids.ts';
import { failureOf, headerOf, requestIdOf, toResponse } from './answers.ts';
import { authentication } from './authentication.ts';
import { DataverseError, type DataverseFacts } from './errors.ts';
import { limitOf } from './limits.ts';
import type { ObserveRequest } from './observe-requests.ts';
import type { Pace, Turn } from './pace.ts';
import type { Outgoing, Policy, Send } from './policy.ts';
import type { CallMeter, DataverseRequest, DataverseResponse, DataverseStream, TokenSource } from './request.ts';
import { leavesOpen, retryDelay } from './retry.ts';
import type { Transport, TransportResponse } from './transport.ts';
import { CLIENT_REQUEST_ID, REQUEST_HEADERS } from './wire/headers.ts';

export interface DataverseClient {
  /**
   * Sends a request and resolves with its 2xx or 304 answer. Throws DataverseError for every other answer, once the
   * retries that are safe have been made, and the signal's reason when aborted.
   */
  send(request: DataverseRequest): Promise<DataverseResponse>;
}

/** A client that can also hand on an answer's body while it arrives. */
export interface StreamingClient extends DataverseClient {
  /** As `send`, but resolves once the answer's headers are there. Only the body of a 2xx is left to be read. */
  open(request: DataverseRequest): Promise<DataverseStream>;
}

/** A request that is sent as it is, and once. */
export type VerbatimRequest = Pick<
  DataverseRequest,
  'method' | 'path' | 'headers' | 'body' | 'clientRequestId' | 'largestAnswer' | 'signal' | 'deadline'
>;

/** A client that can also hand on what was answered, whatever it is. */
export interface VerbatimClient {
  /**
   * Sends a request once, in its turn (and once more with another token after a 401). Resolves with every answer. Throws
   * DataverseError `network` where there is none, `limitExceeded` where limits hold beyond the deadline, and
   * `answerTooLarge`.
   */
  exchange(request: VerbatimRequest): Promise<TransportResponse>;
}

export interface ClientOptions {
  /** `https://org.crm4.dynamics.com/api/data/v9.2/` */
  readonly apiUrl: string;
  readonly tokens: TokenSource;
  readonly transport: Transport;
  readonly clock: Clock;
  /** The pace of the application user, shared by all that send on its behalf. */
  readonly pace: Pace;
  readonly random: () => number;
  readonly newId: NewId;
  readonly observe?: ObserveRequest;
  readonly log?: (message: string, facts: Readonly<Record<string, unknown>>) => void;
}

/**
 * A client of one environment as one application user. Requests pass through these policies, outermost first:
 * logging, limits and retry, authentication, correlation, transport.
 */
export function createDataverseClient(options: ClientOptions): StreamingClient & VerbatimClient {
  const through = (policies: readonly Policy[]): Send =>
    policies.reduceRight<Send>((next, policy) => policy(next), correlatedTransport(options));
  const send = through([logging(options), limitsAndRetry(options), authentication(options)]);
  const sendOnce = through([logging(options), once(options), authentication(options)]);
  const outgoing = (request: DataverseRequest | VerbatimRequest): Outgoing =>
    request.clientRequestId === undefined
      ? request
      : { ...request, headers: { [CLIENT_REQUEST_ID]: request.clientRequestId, ...request.headers } };
  return {
    async send(request) {
      return toResponse(await send(outgoing(request)));
    },
    async open(request) {
      const response = await send({ ...outgoing(request), streamed: true });
      const body = response.stream ?? Readable.from([response.body]);
      return { status: response.status, header: (name) => headerOf(response, name), body };
    },
    exchange: (request) => sendOnce(outgoing(request)),
  };
}

/** Tells of each request once it is over, with what all of its tries have in common. */
function logging({ observe, clock, newId }: ClientOptions): Policy {
  if (!observe) return (next) => next;
  return (next) => async (request) => {
    const trail = { tries: 0, throttled: 0 };
    const clientRequestId = request.headers?.[CLIENT_REQUEST_ID] ?? newId();
    const headers = { ...request.headers, [CLIENT_REQUEST_ID]: clientRequestId };
    const startedAt = clock.now();
    const tell = (failed: string | undefined, facts: DataverseFacts): void => {
      const { method, path } = request;
      observe({ method, path, startedAt, endedAt: clock.now(), failed, facts, clientRequestId, ...trail });
    };
    try {
      const response = await next({ ...request, headers, trail });
      tell(undefined, { status: response.status, ...requestIdOf(response) });
      return response;
    } catch (error) {
      if (error instanceof DataverseError) tell(error.code, error.facts);
      else tell(error instanceof BridgeError ? error.code : 'aborted', {});
      throw error;
    }
  };
}

/**
 * Sends in its turn and repeats what is safe to repeat. A 429 holds every request of this application user, not only
 * its own: the pace knows for how long.
 */
function limitsAndRetry({ clock, random, pace }: ClientOptions): Policy {
  const countHeld = heldTime(clock);
  return (next) => async (request) => {
    let refused: DataverseError | undefined;
    let unsure = false;
    for (let attempt = 1; ; ) {
      const turn = await enter(pace, request, (ms) => countHeld(request.meter, ms), refused);
      if (request.meter) request.meter.calls += 1;
      if (request.trail) request.trail.tries += 1;
      const startedAt = clock.now();
      const tried = await attemptInTurn(next, request, clock, turn);
      const ms = clock.now() - startedAt;
      if (request.timing) request.timing.ms = ms;
      if (!(tried instanceof DataverseError)) {
        turn.leave({ ms, status: tried.status, dopHint: numberOf(tried, 'x-ms-dop-hint') });
        return tried;
      }
      const { facts } = tried;
      const limit = limitOf(facts.serviceCode, tried.message);
      turn.leave({ ...facts, ms, status: facts.status, limit });
      if (facts.status === 429) {
        if (request.meter) request.meter.throttled.count += 1;
        if (request.trail) request.trail.throttled += 1;
        refused = tried;
        continue;
      }
      const repeatable = request.method === 'GET' || request.repeatable === true;
      const delay = request.bulk ? undefined : retryDelay({ attempt, repeatable, ...facts }, random());
      const tooLate = delay !== undefined && request.deadline !== undefined && clock.now() + delay > request.deadline;
      if (delay === undefined || tooLate) throw unsure ? afterUnknown(tried) : tried;
      unsure ||= leavesOpen(facts);
      await clock.sleep(delay, eitherSignal(request));
      attempt += 1;
    }
  };
}

/** Sends in its turn, and tells the pace what any other request would. */
function once({ clock, pace }: ClientOptions): Policy {
  return (next) => async (request) => {
    const { signal, deadline } = request;
    const turn = await pace.enter({ signal, deadline });
    const startedAt = clock.now();
    const answer = await answerInTurn(next, request, clock, turn);
    const ms = clock.now() - startedAt;
    if (answer instanceof DataverseError) {
      turn.leave({ ms, status: undefined });
      throw answer;
    }
    const refused = answer.status === 429 ? failureOf(answer, clock.now) : undefined;
    const limit = refused && limitOf(refused.facts.serviceCode, refused.message);
    turn.leave({ ...refused?.facts, ms, status: answer.status, limit, dopHint: numberOf(answer, 'x-ms-dop-hint') });
    return answer;
  };
}

/** The error of a request of which an earlier try may have been carried out. */
const afterUnknown = ({ code, message, facts, cause, hint }: DataverseError): DataverseError =>
  new DataverseError(code, message, { ...facts, afterUnknown: true }, { cause, hint });

/** Takes a turn; where limits leave none in time, the refusal that told of them stands. */
async function enter(
  pace: Pace,
  request: Outgoing,
  onHeld: (ms: number) => void,
  refused: DataverseError | undefined,
): Promise<Turn> {
  const { deadline, bulk } = request;
  try {
    return await pace.enter({ signal: eitherSignal(request), deadline, bulk, onHeld });
  } catch (error) {
    throw refused && error instanceof DataverseError ? refused : error;
  }
}

function eitherSignal({ signal, waitSignal }: Outgoing): AbortSignal | undefined {
  return signal && waitSignal ? AbortSignal.any([signal, waitSignal]) : (signal ?? waitSignal);
}

/** Adds the time that limits take to a meter: once, however many of its requests are held by them. */
function heldTime(clock: Clock): (meter: CallMeter | undefined, ms: number) => void {
  const heldUntil = new WeakMap<CallMeter, number>();
  return (meter, ms) => {
    if (!meter) return;
    const now = clock.now();
    const from = Math.max(now, heldUntil.get(meter) ?? now);
    meter.throttled.waitedMs += Math.max(0, now + ms - from);
    heldUntil.set(meter, Math.max(from, now + ms));
  };
}

async function attemptInTurn(
  next: Send,
  request: Outgoing,
  clock: Clock,
  turn: Turn,
): Promise<TransportResponse | DataverseError> {
  const answer = await answerInTurn(next, request, clock, turn);
  if (answer instanceof DataverseError || answer.status < 300 || answer.status === 304) return answer;
  return failureOf(answer, clock.now);
}

/** What was answered, or the error that there was no answer. */
async function answerInTurn(
  next: Send,
  request: Outgoing,
  clock: Clock,
  turn: Turn,
): Promise<TransportResponse | DataverseError> {
  const startedAt = clock.now();
  try {
    return await answerOf(next, request);
  } catch (error) {
    turn.leave({ ms: clock.now() - startedAt, status: undefined });
    throw error;
  }
}

const numberOf = (response: TransportResponse, name: string): number | undefined => {
  const value = headerOf(response, name);
  return value !== undefined && /^\d+$/.test(value) ? Number(value) : undefined;
};

async function answerOf(next: Send, request: Outgoing): Promise<TransportResponse | DataverseError> {
  try {
    return await next(request);
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
}

/** Errors of sockets, TLS and undici carry a code; ours (no token to be had) pass as they are. */
const isNetworkFailure = (error: unknown): error is Error =>
  error instanceof Error && !(error instanceof BridgeError) && 'code' in error;

/** A time-out's code is a number that says nothing. */
const causeOf = (error: Error): string => ('code' in error && typeof error.code === 'string' ? error.code : error.name);

function correlatedTransport({ apiUrl, transport, newId, clock }: ClientOptions): Send {
  const root = new URL(apiUrl);
  return (request) =>
    transport({
      method: request.method,
      url: new URL(root.href + request.path),
      headers: {
        ...REQUEST_HEADERS,
        ...(request.body !== undefined && { 'content-type': 'application/json; charset=utf-8' }),
        [CLIENT_REQUEST_ID]: newId(),
        ...request.headers,
      },
      body: request.body,
      signal: request.signal,
      largestAnswer: request.largestAnswer,
      streamed: request.streamed,
      ...(request.deadline !== undefined && { timeoutMs: request.deadline - clock.now() }),
    });
}
