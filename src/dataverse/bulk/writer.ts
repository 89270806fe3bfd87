import type { DataverseError } from '../errors.ts';
import { decide, decideAgain, unknownOutcome, type WriteKind } from './decisions.ts';
import { Effort, type Experience } from './effort.ts';
import { Entries, type Entry } from './entries.ts';
import { addressByKey } from './keys.ts';
import type { RowError, RowOutcome } from './outcomes.ts';
import { perform } from './perform.ts';
import { countProgress, type ProgressCounter } from './progress.ts';
import { idToCreate, type RowToWrite } from './row-to-write.ts';
import type { Form } from './send-rows.ts';
import type { Forms } from './support.ts';
import { createWindow, type Window } from './window.ts';
import { wireForm } from './wire-form.ts';
import { entriesOf, type Work, type Workshop, type WriterOptions } from './work.ts';

/** Why a write sends nothing any more, and what its rows are told. */
interface End {
  readonly why: 'aborted' | 'outage' | 'deadline' | 'hopeless' | 'fault';
  /** To be thrown where rows are left without an outcome. */
  readonly reason: unknown;
  readonly error: RowError;
}

/** Keys of one look-up; where they do not fit one URL there are several. */
const LOOK_UP_KEYS = 500;
/** A call under way when the write is aborted has this long to end; then its rows are read back. */
const GRACE_MS = 20_000;
/** A source that gives nothing for so long does not hold back what it gave before. */
const SILENCE_MS = 200;
/** The last keys are shared among all calls, but not in crumbs. */
const FEWEST_KEYS = 50;

const ABORTED: RowError = {
  code: 'aborted',
  message: 'Not written: the write was ended before.',
  hint: 'Send the row again.',
};
const LATE: RowError = {
  code: 'deadline',
  message: 'Not tried: the time for one request was over.',
  hint: 'Send the row again, or start a run of an activation.',
};

const KINDS: readonly WriteKind[] = ['create', 'update', 'upsert', 'delete'];

/**
 * The engine of a write. Rows are taken with `take`, and pass through look-ups and calls of the application user's pace
 * until they have an outcome. One piece of work is one request; what follows from its answer is work again. Nothing here
 * waits for anything but requests and pauses between tries; `changed` tells when there is something new to see.
 */
export class Writer {
  readonly #shop: Workshop;
  readonly #window: Window;
  readonly #progress: ProgressCounter;
  readonly #noMoreWaits = new AbortController();
  readonly #noMoreCalls = new AbortController();
  /** Entries whose turn has come and that nobody has looked at yet. */
  #admitted: Entry[] = [];
  #unresolved: Entry[] = [];
  readonly #sendable: Record<WriteKind, Entry[]> = { create: [], update: [], upsert: [], delete: [] };
  readonly #urgent: Work[] = [];
  #inFlight = 0;
  #lookingUp = 0;
  #ended = false;
  #taken = 0;
  #isSilent = false;
  #isListening = false;
  #end: End | undefined;
  #rejected = 0;
  #listeners: (() => void)[] = [];

  constructor(options: WriterOptions, forms: Forms, experience: Experience) {
    this.#window = createWindow(options.order);
    this.#progress = countProgress(options.clock, options.meter, options.total);
    const entries = new Entries({
      admitted: (entry) => this.#admitted.push(entry),
      sendable: (entry, kind) => this.#sendable[kind].push(entry),
      settled: (entry) => {
        this.#window.settled(entry);
        if (entry.outcome) this.#progress.settle(entry.outcome.outcome);
      },
    });
    this.#shop = {
      options,
      forms,
      entries,
      send: { ...options, wire: wireForm(options.table, options.strategy) },
      effort: new Effort(experience),
      waits: this.#noMoreWaits.signal,
      calls: this.#noMoreCalls.signal,
      decide: (entry, found) => this.#decide(entry, found),
      fail: (error, failure, sent) => {
        const { code, hint = 'Send the row again.' } = error;
        this.#stop({
          why: 'outage',
          reason: error,
          error: { code, message: 'Not written: Dataverse failed before.', hint },
        });
        if (this.leavesRows || (failure !== 'limit' && failure !== 'account')) return;
        for (const entry of sent)
          if (!entry.unsure) entries.settle(entry, 'rejected', undefined, { code, message: error.message, hint });
      },
      takeBack: (kind, back) => this.#sendable[kind].unshift(...back),
      refused: (rows, rejections) => this.#refused(rows, rejections),
      lookUp: (entries) => void this.#unresolved.push(...entries),
    };
    options.signal?.addEventListener('abort', this.#abort, { once: true });
    if (options.signal?.aborted) this.#abort();
  }

  /** Takes a row, or the outcome of one that is settled already and keeps its place. */
  take(item: RowToWrite | RowOutcome): void {
    this.#taken += 1;
    this.#isSilent = false;
    this.#progress.take();
    if ('outcome' in item) {
      this.#window.add({ outcome: item });
      this.#progress.settle(item.outcome);
      return;
    }
    const entry = this.#shop.entries.make(item);
    this.#window.add(entry);
    this.#shop.entries.add(entry);
    this.#listen();
  }

  /** No more rows will come. */
  endInput(): void {
    this.#ended = true;
    this.pump();
  }

  /** Whether as many rows are in hand as may be. */
  get isFull(): boolean {
    return this.#window.held >= this.#shop.effort.inHand(this.#shop.options.pace.concurrency);
  }

  /** Whether rows without an outcome stay without one, for what ended the write is thrown. */
  get leavesRows(): boolean {
    const why = this.#end?.why;
    return why === 'fault' || ((why === 'outage' || why === 'aborted') && this.#shop.options.onOutage === 'throw');
  }

  /** Whether rows that are still to come are of no use. */
  get takesNoMore(): boolean {
    return this.leavesRows || this.#end?.why === 'aborted';
  }

  /** Whether nothing more will change. */
  get isDone(): boolean {
    if (this.#inFlight > 0 || this.#urgent.length > 0) return false;
    if (this.leavesRows) return true;
    return (this.#ended || this.takesNoMore) && this.#admitted.length === 0 && !this.#isWaiting;
  }

  /** The outcomes that are due. */
  outcomes(): readonly RowOutcome[] {
    const due = this.isDone ? this.#window.takeAll() : this.#window.take();
    if (due.length > 0) this.#tell();
    return due;
  }

  /** Throws what has ended the write, unless all of its rows have outcomes that say so. */
  throwIfEnded(): void {
    const { why, reason } = this.#end ?? {};
    if (this.leavesRows || why === 'aborted') throw reason;
  }

  /** Resolves when something has changed. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#listeners.push(resolve));
  }

  /** Ends the write for good: no call is made any more. Resolves when none is under way. */
  async close(): Promise<void> {
    const { options } = this.#shop;
    options.signal?.removeEventListener('abort', this.#abort);
    if (!this.isDone) this.#stop({ why: 'fault', reason: undefined, error: ABORTED });
    while (this.#inFlight > 0) await this.changed();
    this.#noMoreWaits.abort();
    this.#noMoreCalls.abort();
  }

  /** Ends the write with a fault that is none of Dataverse: of the rows' source, or ours. */
  abandon(reason: unknown): void {
    this.#stop({ why: 'fault', reason, error: ABORTED });
    this.pump();
  }

  /** Starts what can be started. To be called after rows were taken. */
  pump(): void {
    const { deadline, clock, pace } = this.#shop.options;
    if (deadline !== undefined && clock.now() >= deadline)
      this.#stop({ why: 'deadline', reason: undefined, error: LATE });
    this.#admit();
    while (this.#inFlight < pace.concurrency) {
      const work = this.#nextWork();
      if (!work) break;
      void this.#start(work);
    }
    if (this.#isWaiting && this.#inFlight < pace.concurrency) this.#listen();
    this.#tell();
  }

  #tell(): void {
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener();
  }

  get #isWaiting(): boolean {
    return this.#unresolved.length > 0 || KINDS.some((kind) => this.#sendable[kind].length > 0);
  }

  /** Notices when the source falls silent while rows wait for others to travel with. */
  #listen(): void {
    if (this.#isListening || this.#ended || this.#end) return;
    this.#isListening = true;
    const taken = this.#taken;
    this.#shop.options.clock.sleep(SILENCE_MS, this.#noMoreWaits.signal).then(
      () => {
        this.#isListening = false;
        this.#isSilent = taken === this.#taken;
        this.pump();
      },
      () => undefined,
    );
  }

  readonly #abort = (): void => {
    const { signal, clock } = this.#shop.options;
    this.#stop({ why: 'aborted', reason: signal?.reason, error: ABORTED });
    clock.sleep(GRACE_MS, this.#noMoreCalls.signal).then(
      () => this.#noMoreCalls.abort(),
      () => undefined,
    );
    this.pump();
  };

  #stop(end: End): void {
    if (this.#end) return;
    this.#end = end;
    this.#noMoreWaits.abort();
  }

  #refused(rows: number, rejections: readonly DataverseError[]): void {
    const { effort, options } = this.#shop;
    effort.judged(rows, rows);
    this.#rejected += rejections.length;
    const last = rejections.at(-1);
    if (!last || this.#rejected < options.stopAt.rows) return;
    if (this.#rejected < options.stopAt.share * effort.judgedRows) return;
    const message = `Not tried: ${this.#rejected} of ${effort.judgedRows} rows were refused, the last with: ${last.message}`;
    const hint = last.hint ?? 'Correct what the service refuses, and send the rows again.';
    this.#stop({ why: 'hopeless', reason: undefined, error: { code: 'writeStopped', message, hint } });
  }

  /** Looks at the entries whose turn has come; after the end, at all that are not on their way. */
  #admit(): void {
    do {
      const entries = this.#admitted;
      this.#admitted = [];
      for (const entry of entries) this.#route(entry);
      if (this.#end) this.#giveUpWaiting();
    } while (this.#admitted.length > 0);
  }

  #route(entry: Entry): void {
    const { mode, resolve, strategy, table } = this.#shop.options;
    const id = entry.row.id ?? entry.turn.id;
    if (id !== undefined) {
      this.#decide(entry, { id });
      return;
    }
    const byId = strategy.kind === 'id';
    const isDirect = !resolve && (byId || mode === 'create' || (mode === 'upsert' && strategy.kind === 'alternateKey'));
    if (!isDirect || (mode === 'upsert' && addressByKey(table, strategy, entry.row.key) === undefined)) {
      this.#unresolved.push(entry);
      return;
    }
    if (byId || mode === 'create') entry.id = idToCreate(entry.row);
    this.#shop.entries.follow(entry, { send: mode, id: entry.id ?? '' });
  }

  #decide: Workshop['decide'] = (entry, found) => {
    const { mode, since } = this.#shop.options;
    const decision = decide(mode, entry.row, found, { unsure: entry.unsure, since });
    this.#shop.entries.follow(entry, entry.refusal ? decideAgain(decision, entry.refusal) : decision);
  };

  #nextWork(): Work | undefined {
    if (this.#end) return this.#lastWork();
    const urgent = this.#urgent.shift();
    if (urgent) return urgent;
    const moreToCome = !this.#ended && !this.#isSilent && (!this.isFull || this.#inFlight > 0);
    return this.#nextWrite(moreToCome) ?? this.#nextLookUp(moreToCome);
  }

  /** A call as large as it may be; where no more rows come, the last ones are shared among the calls. */
  #nextWrite(moreToCome: boolean): Work | undefined {
    const { effort, options } = this.#shop;
    const kind = KINDS.reduce((a, b) => (this.#sendable[b].length > this.#sendable[a].length ? b : a));
    const queue = this.#sendable[kind];
    if (queue.length === 0) return undefined;
    const { rows, form } = effort.next(kind, this.#bestForm(kind));
    const fewest = effort.fewest(kind);
    const resolving = this.#unresolved.length + this.#lookingUp;
    const last = Math.ceil((queue.length + resolving) / options.pace.concurrency);
    const share = moreToCome ? rows : Math.min(rows, Math.max(fewest, last));
    const enough = moreToCome && this.isFull ? Math.min(share, fewest) : share;
    if (queue.length < enough && (moreToCome || resolving > 0)) return undefined;
    return { do: 'write', group: { kind, form, tries: {}, entries: queue.splice(0, share) } };
  }

  #nextLookUp(moreToCome: boolean): Work | undefined {
    const { effort, options } = this.#shop;
    const count = this.#unresolved.length;
    const enough = this.isFull ? FEWEST_KEYS : Math.min(LOOK_UP_KEYS, effort.next('create', 'bulk').rows);
    if (count === 0 || (moreToCome && count < enough)) return undefined;
    const last = Math.max(FEWEST_KEYS, Math.ceil(count / (options.pace.concurrency - this.#inFlight)));
    const page = moreToCome ? LOOK_UP_KEYS : Math.min(LOOK_UP_KEYS, last);
    return { do: 'lookUp', entries: this.#unresolved.splice(0, page), tries: {} };
  }

  /** After the end only what was sent is still cleared up. */
  #lastWork(): Work | undefined {
    for (let work = this.#urgent.shift(); work; work = this.#urgent.shift()) {
      if (work.do === 'readBack') return work;
      for (const entry of entriesOf(work)) this.#giveUp(entry);
    }
    this.#admit();
    return undefined;
  }

  #bestForm(kind: WriteKind): Form {
    const { forms, send } = this.#shop;
    if (forms.bulk && send.wire.message(kind)) return 'bulk';
    return forms.batch ? 'batch' : 'single';
  }

  async #start(work: Work): Promise<void> {
    this.#inFlight += 1;
    if (work.do === 'lookUp') this.#lookingUp += work.entries.length;
    try {
      this.#urgent.push(...(await perform(this.#shop, work)));
    } catch (error) {
      // A wait that was ended: nothing was sent in it. Anything else is a fault of ours.
      if (!this.#noMoreWaits.signal.aborted) this.#stop({ why: 'fault', reason: error, error: ABORTED });
      this.#urgent.push(...readBackOf(work));
      for (const entry of entriesOf(work)) if (!isOpenCreate(work, entry)) this.#giveUp(entry);
    }
    this.#inFlight -= 1;
    if (work.do === 'lookUp') this.#lookingUp -= work.entries.length;
    const { options, effort } = this.#shop;
    options.onProgress?.(this.#progress.read({ concurrency: options.pace.concurrency, batchSize: effort.batchSize }));
    this.pump();
  }

  #giveUpWaiting(): void {
    const waiting = [this.#unresolved, ...KINDS.map((kind) => this.#sendable[kind])];
    for (const queue of waiting) for (const entry of queue.splice(0)) this.#giveUp(entry);
  }

  /** After the end: an entry without an outcome gets the one that says why. */
  #giveUp(entry: Entry): void {
    if (entry.outcome || !this.#end || this.leavesRows) return;
    const { error, reason } = this.#end;
    const { entries } = this.#shop;
    if (!entry.unsure) {
      entries.settle(entry, 'skipped', undefined, error);
      return;
    }
    entries.settle(entry, 'rejected', undefined, unknownOutcome(reason));
  }
}

/** Whether a create's answer was lost before the work was broken off: then the row is read back rather than given up. */
const isOpenCreate = (work: Work, entry: Entry): boolean =>
  work.do === 'write' && work.group.kind === 'create' && entry.unsure && !entry.outcome;

function readBackOf(work: Work): readonly Work[] {
  const entries = entriesOf(work).filter((entry) => isOpenCreate(work, entry));
  if (work.do !== 'write' || entries.length === 0) return [];
  const { kind, tries, form } = work.group;
  return [{ do: 'readBack', group: { kind, tries, form, entries }, tries: {} }];
}
