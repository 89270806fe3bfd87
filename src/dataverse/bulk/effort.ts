import { type CallSize, createCallSize } from './call-size.ts';
import { type CallCost, type MeasuredCost, measuredCost } from './costs.ts';
import type { WriteKind } from './decisions.ts';
import { freshPlan, type IsolationCosts, wayToIsolate } from './isolation.ts';
import type { Form } from './send-rows.ts';

/** Rows of the first call of a kind (Dataverse, "Use bulk operation messages": start with 100 to 1000). */
const FIRST_CALL = 100;
/** Operations of one `$batch`: the service takes 1000, but runs them one after the other, and an answer should not take long. */
export const BATCH_OPERATIONS = 100;
/** Bytes of one body: far below what the service takes (413 beyond 128 MB, not confirmed), enough for any batch. */
const BODY_BYTES = 8_000_000;
/** Bytes of all rows in hand, as they are sent: what the memory of a write is bounded by. */
const BYTES_IN_HAND = 48_000_000;
const FEWEST_IN_HAND = 2_000;
const MOST_IN_HAND = 20_000;

/** What earlier writes say of the share of bad rows has the weight of so many rows. */
const EARLIER_ROWS = 2_000;

/** A call's own cost is at most a tenth of that of its rows, even among the last ones. */
const ROWS_WORTH = 10;

/** What is assumed before anything was measured: published figures of small standard tables, in milliseconds. */
const ASSUMED: Readonly<Record<WriteKind, CallCost>> = {
  create: { call: 20, row: 3 },
  update: { call: 20, row: 3.5 },
  upsert: { call: 20, row: 6 },
  delete: { call: 20, row: 8 },
};
/** An operation of a `$batch` takes this many times as long as a row of a bulk message, until it was measured. */
const OPERATION_FACTOR = 4;

const forEachKind = <T>(make: (kind: WriteKind) => T): Readonly<Record<WriteKind, T>> => ({
  create: make('create'),
  update: make('update'),
  upsert: make('upsert'),
  delete: make('delete'),
});

export interface CallLimits {
  /** Most rows of one call. */
  readonly batchSize: number;
  /** Milliseconds that a call should take. */
  readonly targetMs: number;
}

/** What calls for rows of one table have cost, and how many rows were bad. It outlives a write: the next begins with it. */
export interface Experience {
  readonly sizes: Readonly<Record<WriteKind, CallSize>>;
  readonly bulk: Readonly<Record<WriteKind, MeasuredCost>>;
  readonly refused: Readonly<Record<WriteKind, MeasuredCost>>;
  readonly batch: Readonly<Record<WriteKind, MeasuredCost>>;
  /** Rows that the last call of a kind could have had. */
  readonly lastRows: Record<WriteKind, number>;
  readonly judged: { rows: number; bad: number };
}

export const noExperience = ({ batchSize, targetMs }: CallLimits): Experience => ({
  sizes: forEachKind(() => createCallSize({ first: FIRST_CALL, most: batchSize, targetMs })),
  bulk: forEachKind((kind) => measuredCost(ASSUMED[kind])),
  refused: forEachKind((kind) => measuredCost(ASSUMED[kind])),
  batch: forEachKind((kind) => measuredCost({ ...ASSUMED[kind], row: ASSUMED[kind].row * OPERATION_FACTOR })),
  lastRows: { create: 0, update: 0, upsert: 0, delete: 0 },
  judged: { rows: 0, bad: 0 },
});

/** What follows from experience for the next call of one write. */
export class Effort {
  readonly #known: Experience;
  #rows = 0;
  #bytes = 0;
  #judgedRows = 0;

  constructor(experience: Experience) {
    this.#known = experience;
    const { judged } = experience;
    // A write of bad rows says nothing of the next; that rows are good as a rule does.
    const weight = judged.bad > judged.rows / 100 ? 0 : Math.min(1, EARLIER_ROWS / Math.max(1, judged.rows));
    judged.rows *= weight;
    judged.bad *= weight;
  }

  /** How many rows the next call of a kind should have, and in which form they cost least. */
  next(kind: WriteKind, best: Form): { readonly rows: number; readonly form: Form } {
    if (best === 'single') return { rows: 1, form: best };
    const bySize = Math.max(1, Math.floor(BODY_BYTES / this.#bytesPerRow()));
    if (best === 'batch') {
      return {
        rows: Math.min(BATCH_OPERATIONS, bySize, this.#known.sizes[kind].rows(this.#costs(kind).batch)),
        form: best,
      };
    }
    const most = Math.min(bySize, this.#known.sizes[kind].rows(this.#known.bulk[kind].cost));
    const plan = freshPlan(this.#costs(kind), this.#badShare(), most);
    // Times that are too short to be told apart must not speak for what only bad rows make worth its price.
    if (this.#known.judged.bad < 0.5) return { rows: Math.max(plan.rows, Math.min(most, FIRST_CALL)), form: 'bulk' };
    return plan.form === 'bulk' ? plan : { rows: Math.min(BATCH_OPERATIONS, plan.rows), form: 'batch' };
  }

  /** Rows below which a call would cost too much for what it carries. */
  fewest(kind: WriteKind): number {
    const { call, row } = this.#known.bulk[kind].cost;
    return Math.max(1, Math.ceil((call * ROWS_WORTH) / row));
  }

  wayToIsolate(kind: WriteKind, rows: number): 'halves' | 'replay' {
    return wayToIsolate(this.#costs(kind), this.#badShare(), rows);
  }

  /** Rows that may be in hand so that so many calls at a time never wait for rows. */
  inHand(concurrency: number): number {
    const wanted = 1.5 * (concurrency + 1) * this.batchSize;
    const most = Math.min(MOST_IN_HAND, BYTES_IN_HAND / this.#bytesPerRow());
    return Math.max(1, Math.min(most, Math.max(FEWEST_IN_HAND, wanted)));
  }

  bodyMade(rows: number, bytes: number): void {
    // Older rows fade: a source may change its nature midway.
    this.#rows = this.#rows * 0.8 + rows;
    this.#bytes = this.#bytes * 0.8 + bytes;
  }

  /** A request took this long and carried its rows out, or told each row's fate. */
  succeeded(kind: WriteKind, form: Form, rows: number, ms: number): void {
    if (form === 'single') return;
    (form === 'bulk' ? this.#known.bulk : this.#known.batch)[kind].measure(rows, ms);
    this.#known.sizes[kind].grew(rows);
    this.#known.lastRows[kind] = this.#known.sizes[kind].rows(this.#known.bulk[kind].cost);
  }

  /** A bulk message took this long and was refused for one of its rows. */
  refused(kind: WriteKind, rows: number, ms: number): void {
    this.#known.refused[kind].measure(rows, ms);
  }

  tooLong(kind: WriteKind, rows: number): void {
    this.#known.sizes[kind].shrank(rows);
  }

  /** The service has carried out or refused so many rows by themselves, `bad` of which it refused. */
  judged(rows: number, bad: number): void {
    this.#judgedRows += rows;
    this.#known.judged.rows += rows;
    this.#known.judged.bad += bad;
  }

  /** Rows of this write that were judged. */
  get judgedRows(): number {
    return this.#judgedRows;
  }

  /** Rows that a call could have at present, of the kind that has most. */
  get batchSize(): number {
    return Math.max(...Object.values(this.#known.lastRows));
  }

  #costs(kind: WriteKind): IsolationCosts {
    const bulk = this.#known.bulk[kind].cost;
    return {
      bulk,
      refused: this.#known.refused[kind].measured ?? bulk,
      batch: this.#known.batch[kind].measured ?? { call: bulk.call, row: bulk.row * OPERATION_FACTOR },
    };
  }

  /** One bad row in 300 is assumed, with the weight of 60 rows seen: the first bad ones say little of the share. */
  #badShare(): number {
    return (this.#known.judged.bad + 0.2) / (this.#known.judged.rows + 60);
  }

  #bytesPerRow(): number {
    return this.#rows > 0 ? this.#bytes / this.#rows : 500;
  }
}
