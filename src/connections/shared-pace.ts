import { createHash } from 'node:crypto';
import { abortable } from '../dataverse/abortable.ts';
import type { Demand, PaceShare } from '../dataverse/pace.ts';
import type { Clock } from '../shared/clock.ts';
import { messageOf } from '../shared/errors.ts';
import type { NewId } from '../shared/ids.ts';
import { StorageError } from '../storage/errors.ts';
import type { Leasable, LeaseStore, Notes } from '../storage/leases.ts';
import { fairShares } from './fair-shares.ts';

export const CONTAINER = 'pace';

/** After this an instance that died has given back what it held; the service takes 15 to 60. */
const LEASE_SECONDS = 30;
const RENEW_MS = 10_000;
/** A lease that was not renewed is not relied on for the last of its time. */
const MARGIN_MS = 5_000;
/** How often a busy instance looks what the others do; and how often while it waits for slots. */
const LOOK_MS = 1_000;
const HURRY_MS = 250;
/** What is known may be so old before a request that needs no slot. */
const FRESH_MS = 2_000;
/** An idle instance keeps its slots for so long. */
const LINGER_MS = 10_000;
/** Storage that does not answer in this time is as good as away; a request that needs no slot waits less. */
const PATIENCE_MS = 5_000;
const SHORT_PATIENCE_MS = 500;
const AFTER_FAILURE_MS = 5_000;
/** Where more instances are busy than there are slots, others have their turn after this time. */
const TURN_MS = 30_000;
/** Moments that differ by less are one: Retry-After counts in seconds. */
const SAME_MS = 500;
/** A moment beyond this is no answer of the service, whose windows last five minutes. */
const FARTHEST_MS = 3_600_000;

/** Who shares a pace: all that sign in to an environment as one application user. */
export interface ApplicationUser {
  readonly environment: string;
  readonly clientId: string;
}

export interface SharedPaceOptions {
  readonly user: ApplicationUser;
  readonly leases: LeaseStore;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: (message: string, facts: Readonly<Record<string, unknown>>) => void;
}

/**
 * One instance's part in the pace of an application user, kept in the app's storage: `slot-NN`, each leased by the instance
 * that may have one bulk call more; `seat-NNN`, leased by each busy instance, with the calls that it wants noted on it; and
 * `blocked` with the moment until which nobody sends. Nobody decides: each instance computes the same fair shares from the
 * seats, gives back what is more and takes what is free. Where storage fails, what is held stays until its lease ends, and
 * then the instance's own pace has to do.
 */
export class SharedPace implements PaceShare {
  readonly #options: SharedPaceOptions;
  readonly #prefix: string;
  readonly #holder: string;
  /** By number, until when they are held for certain. */
  readonly #held = new Map<number, number>();
  readonly #closing = new AbortController();
  #listeners: (() => void)[] = [];
  #wake = new AbortController();
  #seat: number | undefined;
  #demand: Demand = { active: 0, waiting: 0, ceiling: 1 };
  /** Most calls that were active or waiting since the last renewal, and before it. */
  #peak = 0;
  #peakBefore = 0;
  #busyAt = 0;
  #noted = 0;
  #entitled = 0;
  #part = 1;
  #blockedUntil = 0;
  #renewedAt = 0;
  #lookedAt: number | undefined;
  #failedAt: number | undefined;
  #looking: Promise<void> | undefined;
  #working: Promise<void> | undefined;

  constructor(options: SharedPaceOptions) {
    this.#options = options;
    const { environment, clientId } = options.user;
    this.#prefix = `${createHash('sha256').update(`${environment} ${clientId}`).digest('hex').slice(0, 32)}/`;
    this.#holder = options.newId();
  }

  get slots(): number | undefined {
    const now = this.#options.clock.now();
    const sure = [...this.#held].filter(([slot, until]) => slot < this.#demand.ceiling && until > now).length;
    const usable = Math.min(sure, this.#entitled);
    return usable === 0 && (this.#failedAt !== undefined || this.#closing.signal.aborted) ? undefined : usable;
  }

  get part(): number {
    return this.#part;
  }

  get blockedUntil(): number {
    return this.#blockedUntil;
  }

  watch(listener: () => void): void {
    this.#listeners.push(listener);
  }

  tell(demand: Demand): void {
    const calls = demand.active + demand.waiting;
    if (calls > 0 || this.#calls > 0) this.#busyAt = this.#options.clock.now();
    this.#demand = demand;
    this.#peak = Math.max(this.#peak, calls);
    if (calls > 0 && !this.#working && !this.#closing.signal.aborted) {
      this.#working = this.#work().finally(() => {
        this.#working = undefined;
      });
    }
    const mayGiveBack = this.#held.size > this.#entitled && demand.active < this.#held.size;
    if (mayGiveBack || this.#wanted > this.#noted) this.#wake.abort();
  }

  block(until: number): void {
    if (until <= this.#blockedUntil + SAME_MS) return;
    this.#blockedUntil = until;
    const noted = (notes: Notes) =>
      Number(notes['until'] ?? 0) >= until ? undefined : { until: String(Math.ceil(until)) };
    const path = `${this.#prefix}blocked`;
    this.#inTime(PATIENCE_MS, (signal) => this.#options.leases.change(path, noted, signal)).catch((error: unknown) =>
      this.#options.log('a limit of Dataverse could not be told to other instances', { reason: messageOf(error) }),
    );
  }

  refresh(): Promise<void> | undefined {
    const now = this.#options.clock.now();
    const isFresh = this.#lookedAt !== undefined && now - this.#lookedAt < FRESH_MS;
    const isVain = this.#failedAt !== undefined && now - this.#failedAt < AFTER_FAILURE_MS;
    if (isFresh || isVain || this.#closing.signal.aborted) return undefined;
    const isFirst = this.#lookedAt === undefined;
    this.#looking ??= this.#inTime(PATIENCE_MS, (signal) => this.#look(signal))
      .then(
        // Whoever holds slots needs more of storage than to be read.
        () => (this.#working ? undefined : this.#reached()),
        (error: unknown) => this.#failed(error),
      )
      .finally(() => {
        this.#looking = undefined;
      });
    const looking = this.#looking;
    // The first request of an instance does not wait for storage to be reached for the first time.
    return isFirst ? undefined : this.#inTime(SHORT_PATIENCE_MS, () => looking).catch(() => undefined);
  }

  /** Gives everything back. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake.abort();
    await this.#working;
    await this.#inTime(PATIENCE_MS, (signal) => this.#giveBackAll(signal)).catch(() => undefined);
  }

  get #calls(): number {
    return this.#demand.active + this.#demand.waiting;
  }

  /** Twice the calls of late: nobody grows who has no room. */
  get #wanted(): number {
    return Math.min(this.#demand.ceiling, 2 * Math.max(this.#peak, this.#peakBefore));
  }

  get #isIdle(): boolean {
    return this.#calls === 0 && this.#options.clock.now() - this.#busyAt >= LINGER_MS;
  }

  /** Keeps a seat and slots for as long as there are bulk calls. */
  async #work(): Promise<void> {
    const { clock } = this.#options;
    const closing = this.#closing.signal;
    while (!closing.aborted && !this.#isIdle) {
      this.#wake = new AbortController();
      let pauseMs = AFTER_FAILURE_MS;
      try {
        await this.#inTime(PATIENCE_MS, (signal) => this.#round(signal));
        this.#reached();
        pauseMs = this.#held.size < this.#entitled ? HURRY_MS : LOOK_MS;
      } catch (error) {
        this.#failed(error);
      }
      for (const listener of this.#listeners) listener();
      await clock.sleep(HURRY_MS, closing).catch(() => undefined);
      const rest = pauseMs - HURRY_MS;
      if (rest > 0) await clock.sleep(rest, this.#wake.signal).catch(() => undefined);
    }
    if (closing.aborted) return;
    await this.#inTime(PATIENCE_MS, (signal) => this.#giveBackAll(signal)).catch((error: unknown) =>
      this.#failed(error),
    );
    this.#peakBefore = 0;
    this.#peak = this.#calls;
    if (this.#calls > 0) await this.#work();
  }

  async #round(signal: AbortSignal): Promise<void> {
    const things = await this.#look(signal);
    await this.#renew(signal);
    await this.#sitDown(things, signal);
    this.#share(things);
    await Promise.all([this.#note(signal), this.#giveBackSurplus(signal)]);
    await this.#takeFree(things, signal);
  }

  async #look(signal: AbortSignal): Promise<readonly Leasable[]> {
    const { leases, clock } = this.#options;
    const things = await leases.list(this.#prefix, signal);
    const now = clock.now();
    this.#lookedAt = now;
    const until = Number(things.find(({ path }) => path === `${this.#prefix}blocked`)?.notes['until'] ?? 0);
    if (until > this.#blockedUntil && until < now + FARTHEST_MS) this.#blockedUntil = until;
    return things;
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { leases, clock } = this.#options;
    const now = clock.now();
    if (now - this.#renewedAt < RENEW_MS) return;
    const seat = this.#seat;
    await Promise.all([
      ...[...this.#held.keys()].map(async (slot) => {
        if (await leases.renew(this.#slotPath(slot), this.#holder, signal)) this.#held.set(slot, heldUntil(now));
        else this.#held.delete(slot);
      }),
      seat !== undefined &&
        leases.renew(this.#seatPath(seat), this.#holder, signal).then((isOurs) => {
          if (!isOurs) this.#seat = undefined;
        }),
    ]);
    this.#renewedAt = now;
    this.#peakBefore = this.#peak;
    this.#peak = this.#calls;
  }

  /** Takes the first seat that is free. */
  async #sitDown(things: readonly Leasable[], signal: AbortSignal): Promise<void> {
    const taken = new Set(this.#numbers(things, 'seat-').map(({ number }) => number));
    for (let seat = 0; this.#seat === undefined; seat += 1) {
      if (taken.has(seat)) continue;
      if (!(await this.#options.leases.acquire(this.#seatPath(seat), this.#holder, LEASE_SECONDS, signal))) continue;
      this.#seat = seat;
      this.#noted = 0;
      this.#renewedAt = this.#options.clock.now();
    }
  }

  /** Computes what is ours. */
  #share(things: readonly Leasable[]): void {
    const { ceiling } = this.#demand;
    const others = this.#numbers(things, 'seat-').filter(({ number }) => number !== this.#seat);
    const seats = [
      ...others.map(({ number, notes }) => ({ number, wants: wantsOf(notes) })),
      { number: this.#seat ?? 0, wants: this.#wanted },
    ].sort((a, b) => a.number - b.number);
    const isCrowded = seats.length > ceiling;
    const first = isCrowded ? Math.floor(this.#options.clock.now() / TURN_MS) % seats.length : 0;
    const wants = seats.map((seat) => seat.wants);
    const shares = fairShares(ceiling, wants, first);
    this.#entitled = shares[seats.findIndex(({ number }) => number === this.#seat)] ?? 0;
    const given = shares.reduce((sum, share) => sum + share, 0);
    this.#part = Math.max(1, this.#entitled) / Math.max(1, given);
  }

  async #note(signal: AbortSignal): Promise<void> {
    const wants = this.#wanted;
    if (this.#seat === undefined || wants === this.#noted) return;
    const notes = { wants: String(wants) };
    if (await this.#options.leases.annotate(this.#seatPath(this.#seat), this.#holder, notes, signal))
      this.#noted = wants;
  }

  /** Slots in use are kept until their calls have ended. */
  async #giveBackSurplus(signal: AbortSignal): Promise<void> {
    const { active, ceiling } = this.#demand;
    const slots = [...this.#held.keys()].sort((a, b) => a - b);
    const valid = slots.filter((slot) => slot < ceiling).length;
    const surplus = slots.slice(Math.max(active, Math.min(valid, this.#entitled)));
    for (const slot of surplus) this.#held.delete(slot);
    await Promise.all(surplus.map((slot) => this.#options.leases.release(this.#slotPath(slot), this.#holder, signal)));
  }

  async #takeFree(things: readonly Leasable[], signal: AbortSignal): Promise<void> {
    const { leases, clock } = this.#options;
    const { ceiling } = this.#demand;
    const taken = new Set(this.#numbers(things, 'slot-').map(({ number }) => number));
    const free = Array.from({ length: ceiling }, (_, at) => (at + (this.#seat ?? 0)) % ceiling).filter(
      (slot) => !taken.has(slot) && !this.#held.has(slot),
    );
    const now = clock.now();
    await Promise.all(
      free.slice(0, Math.max(0, this.#entitled - this.#held.size)).map(async (slot) => {
        if (await leases.acquire(this.#slotPath(slot), this.#holder, LEASE_SECONDS, signal))
          this.#held.set(slot, heldUntil(now));
      }),
    );
  }

  async #giveBackAll(signal: AbortSignal): Promise<void> {
    const paths = [...this.#held.keys()].map((slot) => this.#slotPath(slot));
    if (this.#seat !== undefined) paths.push(this.#seatPath(this.#seat));
    this.#held.clear();
    this.#seat = undefined;
    this.#entitled = 0;
    await Promise.all(paths.map((path) => this.#options.leases.release(path, this.#holder, signal)));
  }

  #reached(): void {
    if (this.#failedAt === undefined) return;
    this.#failedAt = undefined;
    this.#options.log('the pace is shared with other instances again', {});
  }

  #failed(error: unknown): void {
    if (this.#failedAt === undefined)
      this.#options.log('the pace is not shared with other instances', { reason: messageOf(error) });
    this.#failedAt = this.#options.clock.now();
  }

  #slotPath(slot: number): string {
    return `${this.#prefix}slot-${String(slot).padStart(2, '0')}`;
  }

  #seatPath(seat: number): string {
    return `${this.#prefix}seat-${String(seat).padStart(3, '0')}`;
  }

  /** What of a kind is held by somebody, with its number. */
  #numbers(things: readonly Leasable[], kind: 'slot-' | 'seat-') {
    const start = this.#prefix + kind;
    return things
      .filter(({ path, held }) => held && path.startsWith(start))
      .map(({ path, notes }) => ({ number: Number(path.slice(start.length)), notes }));
  }

  async #inTime<T>(ms: number, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = new AbortController();
    const done = new AbortController();
    const late = new StorageError('unavailable', `Storage has not answered in ${ms} ms.`);
    this.#options.clock.sleep(ms, done.signal).then(
      () => limit.abort(late),
      () => undefined,
    );
    try {
      return await abortable(run(limit.signal), limit.signal);
    } finally {
      done.abort();
    }
  }
}

const heldUntil = (now: number): number => now + LEASE_SECONDS * 1000 - MARGIN_MS;

/** Whoever has only just sat down has not noted anything yet. */
function wantsOf(notes: Notes): number {
  const wants = Number(notes['wants'] ?? 1);
  return Number.isInteger(wants) && wants >= 0 ? wants : 1;
}
