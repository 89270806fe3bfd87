import type { ServiceLimit } from './limits.ts';

type Facet = ServiceLimit['facet'];

/** What calls have used of a sliding window. */
export interface UsageWindow {
  /** Counts a call that has ended. */
  add(now: number, ms: number): void;
  /**
   * Takes up what a 429 says. What was used of the window when it came is what the window holds for us, be it spread
   * over many web servers or shared with others, provided that this was most of the limit told: a user that is throttled
   * for what others do learns nothing of its own window.
   */
  learn(now: number, limit: ServiceLimit): void;
  /**
   * The moment from which on one more call fits, besides `active` ones that are still running. Of a budget only
   * `part` (1) falls to us; what was learned was learned of our own calls.
   */
  opensAt(now: number, active: number, part?: number): number;
}

/** What is held back of a window that was used up although its size was known. */
const MARGIN = 0.03;
/** A window is learned if we had used this much of the limit that the service names. */
const MOSTLY_OURS = 0.5;
/** What was learned is forgotten after an hour: environments grow, and others go. */
const FORGOTTEN_AFTER_MS = 3_600_000;

/** Limits that hold before any was learned; with a share of 1 the service itself tells when the window is used up. */
export interface WindowShare {
  /** Part of the user's window that we may use, from 0 (exclusive) to 1. */
  readonly share: number;
  readonly limits: readonly ServiceLimit[];
}

/**
 * Keeps a user below the service's sliding windows once their size is known: from the first 429 that names a window, or
 * from the start where only a share of the documented limits may be used.
 */
export function createUsageWindow({ share, limits }: WindowShare): UsageWindow {
  const given = share < 1 ? limits.map((limit) => ({ ...limit, amount: limit.amount * share })) : [];
  const learned = new Map<Facet, ServiceLimit & { readonly until: number }>();
  let calls: { at: number; ms: number }[] = [];
  let first = 0;

  const drop = (before: number): void => {
    while (first < calls.length && (calls[first]?.at ?? 0) <= before) first += 1;
    if (first > 1024 && first * 2 > calls.length) {
      calls = calls.slice(first);
      first = 0;
    }
  };
  const longest = (): number => Math.max(300_000, ...[...learned.values()].map(({ windowMs }) => windowMs));
  const weight = (facet: Facet, ms: number): number => (facet === 'requests' ? 1 : ms);
  // A request counts when it comes, its time when it has ended: of those under way nobody knows how long they take.
  const pending = (facet: Facet, active: number): number => (facet === 'requests' ? active + 1 : 1);

  const used = (facet: Facet, since: number): number => {
    let sum = 0;
    for (let at = first; at < calls.length; at += 1) {
      const call = calls[at];
      if (call && call.at > since) sum += weight(facet, call.ms);
    }
    return sum;
  };

  /** When so much of the window has slid out that `needed` fits. */
  const opens = (limit: ServiceLimit, now: number, needed: number): number => {
    let excess = used(limit.facet, now - limit.windowMs) + needed - limit.amount;
    for (let at = first; excess > 0 && at < calls.length; at += 1) {
      const call = calls[at];
      if (!call || call.at <= now - limit.windowMs) continue;
      excess -= weight(limit.facet, call.ms);
      if (excess <= 0) return call.at + limit.windowMs;
    }
    return now;
  };

  return {
    add(now, ms) {
      calls.push({ at: now, ms });
      drop(now - longest());
    },
    learn(now, limit) {
      const mine = used(limit.facet, now - limit.windowMs);
      if (mine < limit.amount * MOSTLY_OURS) return;
      // Above twice the limit several web servers count, each for itself; below it what is beyond was still under way.
      const whole = mine < 2 * limit.amount ? Math.min(mine, limit.amount) : mine;
      const before = learned.get(limit.facet);
      const amount = before ? Math.min(before.amount, whole) * (1 - MARGIN) : whole;
      learned.set(limit.facet, { ...limit, amount, until: now + FORGOTTEN_AFTER_MS });
    },
    opensAt(now, active, part = 1) {
      const needed = ({ facet }: ServiceLimit): number => pending(facet, active);
      for (const [facet, { until }] of learned) if (now > until) learned.delete(facet);
      return Math.max(
        now,
        ...given.map((limit) => opens({ ...limit, amount: limit.amount * part }, now, needed(limit))),
        ...[...learned.values()].map((limit) => opens(limit, now, needed(limit))),
      );
    },
  };
}
