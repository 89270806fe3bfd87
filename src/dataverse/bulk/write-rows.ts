import type { Clock } from '../../shared/clock.ts';
import type { NewId } from '../../shared/ids.ts';
import type { DataverseClient } from '../client.ts';
import type { Pace } from '../pace.ts';
import type { CallMeter } from '../request.ts';
import type { Table } from '../table.ts';
import { noExperience } from './effort.ts';
import type { KeyStrategy } from './keys.ts';
import type { RowOutcome } from './outcomes.ts';
import type { WriteProgress } from './progress.ts';
import type { RowToWrite, WriteMode } from './row-to-write.ts';
import type { BulkSupport } from './support.ts';
import type { WriterOptions } from './work.ts';
import { Writer } from './writer.ts';

export type { RowToWrite, WriteMode } from './row-to-write.ts';

/** What a write needs and how it is to go. Defaults in brackets. */
export interface WriteContext {
  readonly client: DataverseClient;
  /** The path part of the Web API's address, `/api/data/v9.2/`. */
  readonly apiPath: string;
  readonly table: Table;
  readonly strategy: KeyStrategy;
  readonly mode: WriteMode;
  /** The pace of the application user, the same that the client has. */
  readonly pace: Pace;
  readonly clock: Clock;
  readonly newId: NewId;
  /** A number in [0, 1), for the pauses between tries (Math.random). */
  readonly random?: () => number;
  /** Takes up what the write costs. */
  readonly meter: CallMeter;
  /** What the environment's tables support and cost; without it bulk messages are assumed until they are refused. */
  readonly support?: BulkSupport;
  /** Ends the write: calls under way are taken to their end, no other is made, and the signal's reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds since 1970 after which no request may still wait; rows not sent by then are skipped. */
  readonly deadline?: number | undefined;
  /**
   * What becomes of rows that an outage or an abort leaves without an outcome: `throw` leaves them so and throws, for the
   * write to be repeated later (default); `reject` rejects what failed, and skips the rest.
   */
  readonly onOutage?: 'throw' | 'reject';
  /** Whether outcomes come in the order of the input, or as they are known (input). */
  readonly order?: 'input' | 'completion';
  /**
   * Whether keys are looked up first (true). Without, upserts go out as they are and count as `updated`, for the
   * service does not tell created from updated rows, and rows addressed by an alternate key have no id in their outcome.
   */
  readonly resolve?: boolean;
  /** Most rows of one call (1000; 100 on elastic tables). */
  readonly batchSize?: number;
  /** Milliseconds that a call should take (10 s). */
  readonly targetMs?: number;
  /**
   * When this write was first begun, over all restarts, in milliseconds since 1970. Rows that bear their caller's own id
   * and are younger count as created by it.
   */
  readonly since?: number | undefined;
  /** Rows of the input, where known: for the estimate of the time left. */
  readonly total?: number | undefined;
  /** The write stops when so many rows were rejected by the service, and they are this share of all (200, 0.9). */
  readonly stopAt?: { readonly share: number; readonly rows: number };
  /** Told after each call. */
  readonly onProgress?: ((progress: WriteProgress) => void) | undefined;
}

/** A row to write, or the outcome of one that is settled already and keeps its place. */
export type WriteItem = RowToWrite | RowOutcome;

/** Rows of a source are looked at once in so many, for what can be sent. */
const ROWS_PER_LOOK = 50;

/**
 * Writes rows and yields one outcome for each, in input order unless told otherwise. The source may give rows one by
 * one or in pages, which costs less; it is read only as fast as rows are written. Throws what the source throws, the
 * reason of an abort, and by default the error of an outage (see `onOutage`); outcomes that are certain are yielded
 * before. Writing the same rows again is safe, provided that each keeps its `newId`.
 */
export async function* writeRows(
  context: WriteContext,
  rows: AsyncIterable<WriteItem | readonly WriteItem[]>,
): AsyncGenerator<RowOutcome> {
  for await (const page of writePages(context, rows)) yield* page;
}

/** The same, with outcomes in pages as they come: for large inputs, where one promise a row is felt. */
export async function* writePages(
  context: WriteContext,
  rows: AsyncIterable<WriteItem | readonly WriteItem[]>,
): AsyncGenerator<readonly RowOutcome[]> {
  const { support, table, signal, deadline } = context;
  signal?.throwIfAborted();
  const forms = support ? await support.of(table, { signal, deadline }) : { bulk: true, batch: true };
  const options = optionsOf(context);
  const writer = new Writer(options, forms, support?.experience(table, options) ?? noExperience(options));
  try {
    const read = readInto(writer, rows);
    for (;;) {
      const page = writer.outcomes();
      if (page.length > 0) yield page;
      else if (writer.isDone) break;
      else await writer.changed();
    }
    writer.throwIfEnded();
    await read;
  } finally {
    await writer.close();
  }
}

function optionsOf(context: WriteContext): WriterOptions {
  const { elastic } = context.table;
  const most = elastic ? 100 : 1000;
  return {
    ...context,
    random: context.random ?? Math.random,
    signal: context.signal,
    deadline: context.deadline,
    onOutage: context.onOutage ?? 'throw',
    order: context.order ?? 'input',
    resolve: context.resolve ?? true,
    batchSize: Math.max(1, Math.min(context.batchSize ?? most, most)),
    targetMs: context.targetMs ?? 10_000,
    since: context.since,
    total: context.total,
    stopAt: context.stopAt ?? { share: 0.9, rows: 200 },
    onProgress: context.onProgress,
  };
}

/** Reads the source into the writer while there is room. Never rejects: the writer throws what the source threw. */
async function readInto(writer: Writer, rows: AsyncIterable<WriteItem | readonly WriteItem[]>): Promise<void> {
  try {
    let unseen = 0;
    for await (const given of rows) {
      if (isPage(given)) {
        for (const item of given) writer.take(item);
        unseen += given.length;
      } else {
        writer.take(given);
        unseen += 1;
      }
      if (unseen >= ROWS_PER_LOOK || writer.isFull) {
        unseen = 0;
        writer.pump();
      }
      while (writer.isFull && !writer.takesNoMore) await writer.changed();
      if (writer.takesNoMore) return;
    }
    writer.endInput();
  } catch (error) {
    writer.abandon(error);
  }
}

const isPage = (given: WriteItem | readonly WriteItem[]): given is readonly WriteItem[] => Array.isArray(given);
