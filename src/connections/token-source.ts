import type { TokenOptions, TokenSource } from '../dataverse/request.ts';
import type { Clock } from '../shared/clock.ts';

export interface Token {
  readonly value: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  /** When the issuer wants it renewed, if it says so. */
  readonly refreshAt?: number | undefined;
}

/** A token this close to its end is not handed out any more. */
const SAFETY_MS = 60_000;
/** How long a failed renewal in the background rests, doubled by each further failure. */
const RETRY_MS = 15_000;
const LONGEST_RETRY_MS = 5 * 60_000;
/** Without a token nobody can work, so it is asked for again sooner. */
const COLD_RETRY_MS = 1_000;
const LONGEST_COLD_RETRY_MS = 15_000;
/** After a token that was refused had been renewed, how long another refusal brings no further renewal. */
const FORCED_PAUSE_MS = 15_000;

/**
 * Hands out one token and renews it in the background once half of its life is over: callers of a good token never
 * wait, however many callers a cold start has there is one request, and a failed renewal hurts nobody before the
 * token ends. `fetchToken` throws ConnectionError; while there is no good token its error stands for a moment, so that
 * an outage is not met with a request for each caller.
 */
export function createTokenSource(
  fetchToken: (options: { claims?: string | undefined }) => Promise<Token>,
  clock: Clock,
  onRenewalFailed: (error: unknown) => void,
): TokenSource {
  let token: Token | undefined;
  let renewAt = 0;
  let paused: { readonly until: number; readonly claims: string | undefined } | undefined;
  let failures = 0;
  let failure: { readonly error: unknown; readonly until: number } | undefined;
  const flights = new Map<string | undefined, Promise<string>>();

  const succeed = (fetched: Token): string => {
    const now = clock.now();
    token = fetched;
    renewAt = Math.min(fetched.refreshAt ?? Number.POSITIVE_INFINITY, now + (fetched.expiresAt - now) / 2);
    failures = 0;
    failure = undefined;
    return fetched.value;
  };
  const fail = (error: unknown): never => {
    const now = clock.now();
    const factor = 2 ** failures;
    renewAt = now + Math.min(RETRY_MS * factor, LONGEST_RETRY_MS);
    failure = { error, until: now + Math.min(COLD_RETRY_MS * factor, LONGEST_COLD_RETRY_MS) };
    failures += 1;
    throw error;
  };
  const fetchOnce = (claims?: string): Promise<string> => {
    let flight = flights.get(claims);
    if (!flight) {
      flight = fetchToken({ claims })
        .then(succeed, fail)
        .finally(() => flights.delete(claims));
      flights.set(claims, flight);
    }
    return flight;
  };
  const renewInBackground = (): void => {
    if (!flights.has(undefined)) fetchOnce().catch(onRenewalFailed);
  };

  /** The token to answer a refused one with: another one already there, or undefined where one must be fetched. */
  const replacement = ({ rejected, claims }: TokenOptions, good: Token, now: number): string | undefined => {
    if (good.value !== rejected) return good.value;
    if (flights.has(claims)) return undefined;
    if (paused && now < paused.until && claims === paused.claims) return good.value;
    paused = { until: now + FORCED_PAUSE_MS, claims };
    return undefined;
  };

  return (options) => {
    const now = clock.now();
    const good = token && now < token.expiresAt - SAFETY_MS ? token : undefined;
    if (good && !options?.renew && options?.rejected === undefined) {
      if (now >= renewAt) renewInBackground();
      return good.value;
    }
    const other = good && options && options.rejected !== undefined ? replacement(options, good, now) : undefined;
    if (other !== undefined) return other;
    if (!good && !options?.renew && failure && now < failure.until) return Promise.reject(failure.error);
    return abortable(fetchOnce(options?.claims), options?.signal);
  };
}

/** The shared request goes on for the others when one caller stops waiting for it. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  promise.catch(() => {});
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
