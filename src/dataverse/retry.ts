/** What is known about a failed try. */
export interface Failure {
  /** Tries made so far, from 1. */
  readonly attempt: number;
  /** Undefined when there was no answer. */
  readonly status?: number | undefined;
  readonly serviceCode?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  /** Whether sending again is harmless even if the failed try was carried out. */
  readonly repeatable: boolean;
}

const TRIES = 4;
const LONGEST_BACKOFF_MS = 30_000;

/**
 * Failures after which the service has rolled back, so that any request may be repeated: SQL deadlock and timeout,
 * a rolled-back transaction, a lock not obtained, a customisation running (Dataverse error code list).
 */
const ROLLED_BACK = new Set(['0x80044150', '0x80044151', '0x80040255', '0x80044339', '0x80071154', '0x80090412']);

/**
 * How many milliseconds to wait before sending again, or undefined to give up. Pure: `random` is a number in [0, 1).
 * A request whose outcome is unknown is repeated only if that is harmless. Service protection limits (429) are no
 * matter of tries: the pace holds everybody for as long as they say.
 */
export function retryDelay(failure: Failure, random: number): number | undefined {
  const { attempt } = failure;
  if (attempt >= TRIES) return undefined;
  const delay = failure.retryAfterMs ?? backoff(attempt, random);
  if (ROLLED_BACK.has(failure.serviceCode?.toLowerCase() ?? '')) return delay;
  return leavesOpen(failure) && failure.repeatable ? delay : undefined;
}

/** Whether a failed try may have been carried out all the same: there was no answer, or only a gateway's. */
export const leavesOpen = ({ status }: Pick<Failure, 'status'>): boolean =>
  status === undefined || status === 502 || status === 503 || status === 504;

/** Milliseconds to wait after so many tries, at most half a minute. `random` is a number in [0, 1). */
export const backoff = (attempt: number, random: number): number =>
  Math.min(LONGEST_BACKOFF_MS, 500 * 2 ** attempt) * (0.5 + random / 2);

/** Milliseconds of a `Retry-After` header: seconds, or an HTTP date. */
export function parseRetryAfter(text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
