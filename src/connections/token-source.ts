import type { TokenSource } from '../dataverse/client.ts';
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
/** How long a failed renewal in the background rests. */
const RETRY_MS = 15_000;

/**
 * Hands out one token and renews it in the background once half of its life is over: callers of a good token never
 * wait, however many callers a cold start has there is one request, and a failed renewal hurts nobody before the
 * token ends. `fetchToken` throws ConnectionError.
 */
export function createTokenSource(
  fetchToken: () => Promise<Token>,
  clock: Clock,
  onRenewalFailed: (error: unknown) => void,
): TokenSource {
  let token: Token | undefined;
  let renewAt = 0;
  let flight: Promise<string> | undefined;

  const fetchOnce = (): Promise<string> => {
    flight ??= fetchToken()
      .then((fetched) => {
        token = fetched;
        const now = clock.now();
        renewAt = Math.min(fetched.refreshAt ?? Number.POSITIVE_INFINITY, now + (fetched.expiresAt - now) / 2);
        return fetched.value;
      })
      .finally(() => {
        flight = undefined;
      });
    return flight;
  };

  const renewInBackground = (now: number): void => {
    renewAt = now + RETRY_MS;
    fetchOnce().catch(onRenewalFailed);
  };

  return (options) => {
    const now = clock.now();
    if (options?.renew || !token || now >= token.expiresAt - SAFETY_MS) return abortable(fetchOnce(), options?.signal);
    if (now >= renewAt) renewInBackground(now);
    return token.value;
  };
}

/** The shared request goes on for the others when one caller stops waiting for it. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
