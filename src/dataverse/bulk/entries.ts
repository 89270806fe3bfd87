import { changedValues, type Decision, type Refusal, type WriteKind } from './decisions.ts';
import { sameKey } from './keys.ts';
import type { OutcomeKind, RowError, RowOutcome } from './outcomes.ts';
import type { RowToWrite } from './row-to-write.ts';
import { type Turn, Turns } from './turns.ts';
import type { Place } from './window.ts';
import type { Sendable } from './wire-form.ts';

/** A row on its way to its outcome. */
export interface Entry extends Place, Sendable {
  readonly row: RowToWrite;
  /** What the service takes for this row's key; see `sameKey`. */
  readonly identity: string;
  /** The turn among rows with the same key. */
  readonly turn: Turn<Entry>;
  id: string | undefined;
  values: Readonly<Record<string, unknown>>;
  /** What is sent for it, once that is decided, and the outcome that success stands for. */
  send: WriteKind | undefined;
  as: OutcomeKind | undefined;
  /** It was sent, and nobody knows whether it was written. */
  unsure: boolean;
  /** The turn among rows of other keys that lead to the same row, while it has it. */
  holds: Turn<Entry> | undefined;
  /** How often its key was looked up, and the refusal that led to the last time. */
  lookUps: number;
  refusal: Refusal | undefined;
}

const SUCCESS: Readonly<Record<WriteKind, OutcomeKind>> = {
  create: 'created',
  update: 'updated',
  upsert: 'updated',
  delete: 'deleted',
};

export interface EntryEvents {
  settled(entry: Entry): void;
  /** The entry's turn has come: nothing else of its key is on its way. */
  admitted(entry: Entry): void;
  /** The entry can be sent as was decided. */
  sendable(entry: Entry, kind: WriteKind): void;
}

/**
 * Entries from their admission to their outcome. Rows with equal keys pass one after the other, in the order of the
 * input, and so do rows with different keys that lead to the same row.
 */
export class Entries {
  readonly #byKey = new Turns<Entry>();
  readonly #byRow = new Turns<Entry>();
  readonly #events: EntryEvents;

  constructor(events: EntryEvents) {
    this.#events = events;
  }

  make(row: RowToWrite): Entry {
    const identity = sameKey(row.key);
    return {
      row,
      identity,
      turn: this.#byKey.of(identity),
      outcome: undefined,
      id: row.id,
      values: row.values,
      send: undefined,
      as: undefined,
      unsure: false,
      holds: undefined,
      lookUps: 0,
      refusal: undefined,
    };
  }

  add(entry: Entry): void {
    if (this.#byKey.enter(entry.turn, entry)) this.#events.admitted(entry);
  }

  /** Follows a decision: the entry gets its outcome or becomes sendable. */
  follow(entry: Entry, decision: Decision): void {
    this.#leaveRow(entry);
    if ('outcome' in decision) {
      this.settle(entry, decision.outcome, decision.id, decision.error);
      return;
    }
    const { send, id, as } = decision;
    entry.id = send === 'upsert' ? entry.id : id;
    entry.as = as;
    entry.values = send === 'update' ? changedValues(entry.row) : entry.row.values;
    if (send === 'update' && Object.keys(entry.values).length === 0) {
      this.settle(entry, as ?? 'unchanged', id);
      return;
    }
    entry.send = send;
    const isShared = (send === 'update' || send === 'delete') && entry.row.key['id'] !== id;
    if (isShared) {
      const turn = this.#byRow.of(id);
      if (!this.#byRow.enter(turn, entry)) return;
      entry.holds = turn;
    }
    this.#events.sendable(entry, send);
  }

  succeeded(entry: Entry): void {
    this.settle(entry, entry.as ?? SUCCESS[entry.send ?? 'update'], entry.id);
  }

  settle(entry: Entry, outcome: OutcomeKind, id?: string, error?: RowError): void {
    const { row, turn } = entry;
    const settled: RowOutcome = {
      index: row.index,
      key: row.key,
      outcome,
      ...(id !== undefined && { id }),
      ...(error && { error }),
    };
    entry.outcome = settled;
    if (outcome !== 'rejected') turn.id = outcome === 'deleted' || outcome === 'skipped' ? undefined : id;
    this.#events.settled(entry);
    this.#leaveRow(entry);
    const next = this.#byKey.leave(turn);
    if (next) this.#events.admitted(next);
  }

  #leaveRow(entry: Entry): void {
    if (entry.holds === undefined) return;
    const next = this.#byRow.leave(entry.holds);
    if (next?.send) {
      next.holds = entry.holds;
      this.#events.sendable(next, next.send);
    }
    entry.holds = undefined;
  }
}
