import type { Clock } from '../../shared/clock.ts';
import type { BridgeError } from '../../shared/errors.ts';
import type { NewId } from '../../shared/ids.ts';
import type { DataverseClient } from '../client.ts';
import type { DataverseError } from '../errors.ts';
import type { Pace } from '../pace.ts';
import type { CallMeter } from '../request.ts';
import type { Table } from '../table.ts';
import type { WriteKind } from './decisions.ts';
import type { Effort } from './effort.ts';
import type { Entries, Entry } from './entries.ts';
import type { FailureClass, Tries } from './failures.ts';
import type { KeyStrategy } from './keys.ts';
import type { Found } from './look-up.ts';
import type { WriteProgress } from './progress.ts';
import type { WriteMode } from './row-to-write.ts';
import type { Form, SendContext } from './send-rows.ts';
import type { Forms } from './support.ts';

/** What a write needs and how it is to go; see `WriteContext` for the meaning of each. */
export interface WriterOptions {
  readonly client: DataverseClient;
  readonly apiPath: string;
  readonly table: Table;
  readonly strategy: KeyStrategy;
  readonly mode: WriteMode;
  readonly pace: Pace;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly random: () => number;
  readonly meter: CallMeter;
  readonly signal: AbortSignal | undefined;
  readonly deadline: number | undefined;
  readonly onOutage: 'throw' | 'reject';
  readonly order: 'input' | 'completion';
  readonly resolve: boolean;
  readonly batchSize: number;
  readonly targetMs: number;
  readonly since: number | undefined;
  readonly total: number | undefined;
  readonly stopAt: { readonly share: number; readonly rows: number };
  readonly onProgress: ((progress: WriteProgress) => void) | undefined;
}

/** Rows that travel together. */
export interface Group {
  readonly kind: WriteKind;
  readonly entries: readonly Entry[];
  readonly tries: Tries;
  readonly form: Form;
  /** At least one of them is bad. */
  readonly bad?: boolean;
  /** The other half of a group with a bad row: if this half has none, that one has; else it is as good as any. */
  readonly sibling?: readonly Entry[];
}

/** One request to be made. */
export type Work =
  | { readonly do: 'write'; readonly group: Group }
  /** Finds out what keys lead to. */
  | { readonly do: 'lookUp'; readonly entries: readonly Entry[]; readonly tries: Tries }
  /** Finds out which rows of a create were written whose answer was lost. */
  | { readonly do: 'readBack'; readonly group: Group; readonly tries: Tries };

/** What work is done with, and where its results go. */
export interface Workshop {
  readonly options: WriterOptions;
  readonly send: SendContext;
  /** Corrected where a form proves unsupported. */
  readonly forms: Forms;
  readonly effort: Effort;
  readonly entries: Entries;
  /** Aborted when nothing new is to be sent. */
  readonly waits: AbortSignal;
  /** Aborted when calls under way are to be given up. */
  readonly calls: AbortSignal;
  /** Decides on an entry by what its key led to. */
  decide(entry: Entry, found: Found | 'ambiguous' | undefined): void;
  /** Ends the write: no row fares better. `sent` are the entries of the failed request. */
  fail(error: BridgeError, failure: FailureClass, sent: readonly Entry[]): void;
  /** Takes back entries of which nothing is known, to be sent with others. */
  takeBack(kind: WriteKind, entries: readonly Entry[]): void;
  /** The service has refused so many rows by themselves; these are the errors of those that are rejected for it. */
  refused(rows: number, rejections: readonly DataverseError[]): void;
  /** Has these keys looked up with others. */
  lookUp(entries: readonly Entry[]): void;
}

/** The entries that work is about. */
export function entriesOf(work: Work): readonly Entry[] {
  if (work.do === 'lookUp') return work.entries;
  const { entries, sibling = [] } = work.group;
  return [...entries, ...sibling];
}
