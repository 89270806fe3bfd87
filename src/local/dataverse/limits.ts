import type { Clock } from '../../shared/clock.ts';
import { type Facet, limitExceeded } from './overload-errors.ts';
import type { ServiceLimits } from './service-model.ts';

/** A request that was let in. */
export interface Admission {
  /** Must be called when the request has ended. `executionMs`: what it counts towards the limit of execution time. */
  leave(executionMs: number): void;
}

/** What is left of a window; undefined where there is no limit. */
export interface Remaining {
  readonly requests: number | undefined;
  readonly executionMs: number | undefined;
  /** How much of the limit that is used most is used up. */
  readonly utilizationPercent: number;
}

/** The service protection limits of one environment: each user has its own on each web server. */
export interface Limits {
  /** Throws WireError 429. */
  admit(userId: string, server: number): Admission;
  remaining(userId: string, server: number): Remaining;
}

/** Requests that were under way when the first one was refused are not held against the caller. */
const GRACE_MS = 1000;

/** One user on one web server. */
interface Window {
  /** When the requests of the window began, oldest first. */
  readonly begun: number[];
  /** When requests of the window ended and what they took, oldest first. */
  readonly ended: { readonly at: number; readonly ms: number }[];
  executionMs: number;
  active: number;
  closed?: { readonly facet: Facet; readonly since: number; until: number };
}

/**
 * Limits as the service's documentation describes them: requests and execution time over a sliding window, which is exceeded
 * before anything is refused, and requests at the same time. Who is refused is kept out until the window has room again,
 * and longer when it goes on sending.
 */
export function createLimits(limits: ServiceLimits, clock: Clock): Limits {
  const windows = new Map<string, Window>();
  const windowOf = (userId: string, server: number): Window => {
    const key = `${server}/${userId}`;
    const window = windows.get(key) ?? { begun: [], ended: [], executionMs: 0, active: 0 };
    windows.set(key, window);
    forgetOld(window, clock.now() - limits.windowMs);
    return window;
  };

  return {
    admit(userId, server) {
      const now = clock.now();
      const window = windowOf(userId, server);
      refuseWhileClosed(window, limits, now);
      refuseWhenFull(window, limits, now);
      window.begun.push(now);
      window.active += 1;
      return {
        leave(ms) {
          window.active -= 1;
          window.ended.push({ at: clock.now(), ms });
          window.executionMs += ms;
        },
      };
    },
    remaining(userId, server) {
      const window = windowOf(userId, server);
      const used = [
        share(window.begun.length, limits.requests),
        share(window.executionMs, limits.executionMs),
        share(window.active, limits.concurrency),
      ];
      return {
        requests: left(limits.requests, window.begun.length),
        executionMs: left(limits.executionMs, window.executionMs),
        utilizationPercent: Math.min(100, Math.round(100 * Math.max(...used))),
      };
    },
  };
}

const left = (limit: number | null, used: number): number | undefined =>
  limit === null ? undefined : Math.max(0, limit - used);

const share = (used: number, limit: number | null): number => (limit === null ? 0 : used / limit);

function forgetOld(window: Window, before: number): void {
  const { begun, ended } = window;
  const firstBegun = begun.findIndex((at) => at > before);
  begun.splice(0, firstBegun < 0 ? begun.length : firstBegun);
  const firstEnded = ended.findIndex(({ at }) => at > before);
  const gone = ended.splice(0, firstEnded < 0 ? ended.length : firstEnded);
  // Sums of fractions drift, so an empty window begins anew.
  window.executionMs = ended.length === 0 ? 0 : window.executionMs - gone.reduce((sum, { ms }) => sum + ms, 0);
}

function refuseWhileClosed(window: Window, limits: ServiceLimits, now: number): void {
  const { closed } = window;
  if (!closed) return;
  if (now >= closed.until) {
    delete window.closed;
    return;
  }
  if (now - closed.since >= GRACE_MS) {
    closed.until = Math.min(closed.until + limits.pushBackMs, now + limits.windowMs);
  }
  throw limitExceeded(closed.facet, limits, retryAfter(closed.until - now));
}

function refuseWhenFull(window: Window, limits: ServiceLimits, now: number): void {
  const close = (facet: Facet, until: number): never => {
    window.closed = { facet, since: now, until };
    throw limitExceeded(facet, limits, retryAfter(until - now));
  };
  const { requests, executionMs, concurrency, windowMs } = limits;
  if (requests !== null && window.begun.length >= requests) {
    close('requests', (window.begun[window.begun.length - requests] ?? now) + windowMs);
  }
  if (executionMs !== null && window.executionMs > executionMs) {
    close('executionTime', roomAt(window, executionMs) + windowMs);
  }
  if (concurrency !== null && window.active >= concurrency) {
    throw limitExceeded('concurrency', limits, limits.concurrencyRetryAfterSeconds);
  }
}

/** When the last of those requests ended without which the rest fits. */
function roomAt(window: Window, limit: number): number {
  let left = window.executionMs;
  for (const { at, ms } of window.ended) {
    left -= ms;
    if (left <= limit) return at;
  }
  return window.ended.at(-1)?.at ?? 0;
}

const retryAfter = (ms: number): number => Math.max(1, Math.ceil(ms / 1000));
