import type { Clock } from '../shared/clock.ts';
import { abortable } from './abortable.ts';
import { DataverseError } from './errors.ts';
import type { ServiceLimit } from './limits.ts';
import { createUsageWindow } from './usage-window.ts';

/**
 * The pace of one application user. Whoever sends a request on that user's behalf first takes a turn, and says at its
 * end how it went; what one request learns holds for all of them.
 */
export interface Pace {
  /**
   * Resolves when a request may be sent. Throws DataverseError `limitExceeded` when limits hold beyond the deadline,
   * and the signal's reason when aborted.
   */
  enter(options?: EnterOptions): Promise<Turn>;
  /** Calls that may run at the same time at this moment. */
  readonly concurrency: number;
}

export interface EnterOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds since 1970 after which a turn is of no use. */
  readonly deadline?: number | undefined;
  /**
   * Whether the request is one of many of its kind and takes its place among the concurrent calls. One that is not (a
   * person waits for it, it is short) waits for nothing but the service's own limits.
   */
  readonly bulk?: boolean | undefined;
  /** Told whenever limits of the service hold this request back, or longer than told before: by how many milliseconds. */
  readonly onHeld?: ((ms: number) => void) | undefined;
}

export interface Turn {
  /** To be called once, when the answer is there or will not come. */
  leave(result: TurnResult): void;
}

export interface TurnResult {
  readonly ms: number;
  /** Undefined when there was no answer. */
  readonly status: number | undefined;
  readonly retryAfterMs?: number | undefined;
  /** `x-ms-dop-hint`: the concurrency that the service recommends for this user. */
  readonly dopHint?: number | undefined;
  readonly serviceCode?: string | undefined;
  /** The limit that a 429 names. */
  readonly limit?: ServiceLimit | undefined;
}

export interface PaceOptions {
  readonly clock: Clock;
  /** Most concurrent calls of the connection's settings. */
  readonly maxConcurrency: number;
  /** Part of the user's limits that this app may use, of each window and of the concurrent calls; above 0 and up to 1. */
  readonly budget?: number;
  /** What all instances of the app agree on; left out, this one is alone. */
  readonly share?: PaceShare;
}

/** What all instances agree on that send as one application user. */
export interface PaceShare {
  /** Bulk calls that this instance may have at the same time; undefined where nobody can tell, and its own pace has to do. */
  readonly slots: number | undefined;
  /** Part of the user's limits per window that falls to this instance, above 0 and up to 1. */
  readonly part: number;
  /** Milliseconds since 1970 until which nobody sends. */
  readonly blockedUntil: number;
  /** Makes sure that `blockedUntil` is not old; undefined where it is not. Never rejects, and waits for a moment at most. */
  refresh(): Promise<void> | undefined;
  /** Told whenever it changes. */
  tell(demand: Demand): void;
  /** Has all instances wait until then. */
  block(until: number): void;
  /** `listener` is called when any of this may have changed. */
  watch(listener: () => void): void;
}

/** The bulk calls of an instance. */
export interface Demand {
  readonly active: number;
  readonly waiting: number;
  /** Calls that all instances together may have at the same time. */
  readonly ceiling: number;
}

/** A program starts low and learns what it may do (Dataverse, "Service protection API limits", "Let the server tell you"). */
const STARTING_CONCURRENCY = 2;
/** More concurrent requests than this are refused, whatever is hinted (documented default, per user and web server). */
const MOST_CONCURRENT = 52;
/** The wait after a 429 without Retry-After, doubled with each further one. */
const FIRST_BACKOFF_MS = 1_000;
const LONGEST_BACKOFF_MS = 60_000;

/** The documented default of the limits per user and web server; environments differ, and a 429 says by how much. */
const DOCUMENTED_LIMITS: readonly ServiceLimit[] = [
  { facet: 'requests', amount: 6_000, windowMs: 300_000 },
  { facet: 'executionTime', amount: 1_200_000, windowMs: 300_000 },
];

interface Waiting {
  readonly options: EnterOptions;
  /** Until when it was told that it is held. */
  heldUntil: number;
  admit(): void;
  refuse(error: unknown): void;
}

/**
 * The pace of this process: additive increase, multiplicative decrease. Each success adds one concurrent call up
 * to the ceiling until the first 429; from then on one round of successes adds one. A 429 halves, and holds everybody
 * for as long as `Retry-After` says. A window that was used up once is not used up again. With a `share`, bulk calls need
 * one of its slots besides, and a 429 that another instance met counts as one met here.
 */
export function createPace(options: PaceOptions): Pace {
  const { clock, maxConcurrency, budget = 1, share } = options;
  const usage = createUsageWindow({ share: budget, limits: DOCUMENTED_LIMITS });
  const waiting: Waiting[] = [];
  let hint: number | undefined;
  let concurrency = Math.min(STARTING_CONCURRENCY, ceiling());
  let active = 0;
  let activeBulk = 0;
  let blockedUntil = 0;
  let refusals = 0;
  let refusedInRow = 0;
  let successes = 0;
  let alarm: { readonly at: number; readonly off: AbortController } | undefined;

  function ceiling(): number {
    return Math.max(1, Math.floor(Math.min(hint ?? maxConcurrency, maxConcurrency, MOST_CONCURRENT) * budget));
  }

  const slots = (): number => share?.slots ?? Number.POSITIVE_INFINITY;
  const isRoom = (): boolean => active < concurrency && activeBulk < slots();
  const opensAt = (now: number): number => Math.max(blockedUntil, usage.opensAt(now, active, share?.part));

  const start = (bulk: boolean): Turn => {
    const refusalsBefore = refusals;
    active += 1;
    if (bulk) activeBulk += 1;
    let left = false;
    return {
      leave(result) {
        if (left) return;
        left = true;
        active -= 1;
        if (bulk) activeBulk -= 1;
        learn(result, refusalsBefore);
        drain();
      },
    };
  };

  const learn = (result: TurnResult, refusalsBefore: number): void => {
    const now = clock.now();
    if (result.dopHint !== undefined && result.dopHint >= 1) hint = Math.floor(result.dopHint);
    if (result.status === 429) throttled(result, refusalsBefore, now);
    else {
      usage.add(now, result.ms);
      if (result.status !== undefined && result.status < 500) succeeded();
    }
    concurrency = Math.min(concurrency, ceiling());
  };

  const succeeded = (): void => {
    refusedInRow = 0;
    successes += 1;
    const round = refusals === 0 ? 1 : concurrency;
    if (successes < round) return;
    successes = 0;
    concurrency = Math.min(concurrency + 1, ceiling());
  };

  const throttled = (result: TurnResult, refusalsBefore: number, now: number): void => {
    // Calls that were under way together are refused together; that is one refusal.
    if (refusalsBefore === refusals) {
      slowDown();
      refusedInRow += 1;
      if (result.limit) usage.learn(now, result.limit);
    }
    const backoff = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.max(0, refusedInRow - 1));
    blockedUntil = Math.max(blockedUntil, now + (result.retryAfterMs ?? backoff));
    share?.block(blockedUntil);
  };

  const slowDown = (): void => {
    concurrency = Math.max(1, Math.floor(concurrency / 2));
    refusals += 1;
    successes = 0;
  };

  /** Takes up what other instances have met. */
  const heedOthers = (now: number): void => {
    if (!share || share.blockedUntil <= Math.max(now, blockedUntil)) return;
    if (blockedUntil <= now) slowDown();
    blockedUntil = share.blockedUntil;
  };

  /** Lets in whom there is room for, and looks again when the limits open. */
  const drain = (): void => {
    const now = clock.now();
    heedOthers(now);
    for (let at = 0; at < waiting.length; ) {
      const each = waiting[at];
      if (!each) return;
      const { deadline, bulk, signal } = each.options;
      const open = opensAt(now);
      if (signal?.aborted) each.refuse(signal.reason);
      else if (deadline !== undefined && Math.max(open, now) > deadline) each.refuse(tooLate(open - now));
      else if (open <= now && (!bulk || isRoom())) each.admit();
      else {
        if (open > now) {
          wakeAt(open);
          tellHeld(each, now, open);
        }
        at += 1;
        continue;
      }
      waiting.splice(at, 1);
    }
    if (waiting.length === 0) alarm?.off.abort();
    tellDemand();
  };

  const tellDemand = (): void => {
    if (!share) return;
    const bulkWaiting = waiting.filter((each) => each.options.bulk).length;
    share.tell({ active: activeBulk, waiting: bulkWaiting, ceiling: ceiling() });
  };

  const wakeAt = (time: number): void => {
    if (alarm && !alarm.off.signal.aborted && alarm.at <= time) return;
    alarm?.off.abort();
    const set = { at: time, off: new AbortController() };
    alarm = set;
    clock.sleep(time - clock.now(), set.off.signal).then(
      () => {
        if (alarm === set) alarm = undefined;
        drain();
      },
      // Switched off: nobody waits any more, or an earlier alarm is set.
      () => undefined,
    );
  };

  share?.watch(drain);
  return {
    get concurrency() {
      return Math.max(1, Math.min(concurrency, slots()));
    },
    async enter(entering = {}) {
      const { signal, deadline, bulk = false } = entering;
      signal?.throwIfAborted();
      // Whoever has a slot is told of limits as they are met; the others ask.
      const asked = bulk ? undefined : share?.refresh();
      if (asked) await abortable(asked, signal);
      const now = clock.now();
      heedOthers(now);
      const held = opensAt(now) - now;
      if (deadline !== undefined && held > 0 && now + held > deadline) throw tooLate(held);
      if (held <= 0 && (!bulk || (isRoom() && !waiting.some(({ options: each }) => each.bulk)))) {
        const turn = start(bulk);
        tellDemand();
        return turn;
      }
      return new Promise<Turn>((resolve, reject) => {
        const end = (): void => signal?.removeEventListener('abort', drain);
        signal?.addEventListener('abort', drain, { once: true });
        waiting.push({
          options: entering,
          heldUntil: 0,
          admit() {
            end();
            resolve(start(bulk));
          },
          refuse(error) {
            end();
            reject(error);
          },
        });
        drain();
      });
    },
  };
}

function tellHeld(waiting: Waiting, now: number, until: number): void {
  if (until <= waiting.heldUntil) return;
  waiting.options.onHeld?.(until - Math.max(now, waiting.heldUntil));
  waiting.heldUntil = until;
}

const tooLate = (heldMs: number): DataverseError =>
  new DataverseError(
    'limitExceeded',
    'Service protection limits hold longer than there is time.',
    { retryAfterMs: Math.max(0, heldMs) },
    { hint: 'Send again after the time in Retry-After, or a smaller part at a time.' },
  );
