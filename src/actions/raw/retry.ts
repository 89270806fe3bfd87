/** When a raw request is sent again. */
export interface RawRetry {
  /** Tries after the first. */
  readonly maxRetries: number;
  /** Milliseconds between tries; of no meaning with `exponentialBackoff`. */
  readonly retryDelayMs: number;
  /** Waits 200 ms after the first try and twice as long after each further one, up to a fifth more by chance. */
  readonly exponentialBackoff: boolean;
  /** Also after answers from 400 to 499 and time-outs, not only after 5xx and where no answer came. */
  readonly retryOnAllErrors: boolean;
}

/** What a try led to: a status, no answer at all, or none in time. */
export type TryResult = number | 'network' | 'timeout';

const LONGEST_BACKOFF_MS = 60_000;

/** Milliseconds to wait before the next try, or undefined to leave it at this one. Pure: `random` is in [0, 1). */
export function nextTry(retry: RawRetry, attempt: number, result: TryResult, random: number): number | undefined {
  if (attempt > retry.maxRetries) return undefined;
  const failed = typeof result === 'string' || result >= 400;
  const usual = result === 'network' || (typeof result === 'number' && result >= 500);
  if (!failed || (!usual && !retry.retryOnAllErrors)) return undefined;
  if (!retry.exponentialBackoff) return retry.retryDelayMs;
  return Math.min(LONGEST_BACKOFF_MS, 100 * 2 ** attempt * (1 + random / 5));
}
