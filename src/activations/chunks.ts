import * as z from 'zod';
import type { RowError, RowOutcome } from '../dataverse/bulk/outcomes.ts';
import type { RowToWrite } from '../dataverse/bulk/write-rows.ts';
import { newMeter } from '../dataverse/request.ts';
import type { BlobStore } from '../storage/blobs.ts';
import { type ActivationDefinition, tableNeeds } from './definition.ts';
import { ActivationError } from './errors.ts';
import { readLines } from './gzip-lines.ts';
import { chunkPart, countOutcomes, type Ledger, type LedgerPart } from './ledger.ts';
import type { ChunkProgress } from './live-progress.ts';
import { strategyOf } from './mapping.ts';
import { chunkPath } from './plan.ts';
import { problemOf } from './problems.ts';
import type { ActivationTarget } from './target.ts';

const rowToWrite: z.ZodType<RowToWrite> = z.object({
  index: z.int().nonnegative(),
  key: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  values: z.record(z.string(), z.unknown()),
  id: z.string().exactOptional(),
  newId: z.string(),
});

/** A chunk of a run: where its rows and their outcomes are. */
export interface Chunk {
  readonly blobs: BlobStore;
  readonly ledger: Ledger;
  /** The plan's folder. */
  readonly folder: string;
  readonly number: number;
}

/** What a chunk has come to while it is being written. */
export type ChunkState = Pick<ChunkProgress, 'counts' | 'calls' | 'throttled' | 'concurrency' | 'batchSize'>;

/** How the writing of a chunk is followed: `look` may be called at any moment until `stop` has been. */
export type FollowChunk = (look: () => ChunkState) => { stop(): Promise<void> };

/**
 * Writes a chunk's rows and then their ledger. Rows that an earlier try settled for certain are not sent again; a chunk
 * that has its ledger is left alone. `since` is when the run's first row may have been sent, in milliseconds since 1970.
 * On a failure keeps what is certain and throws.
 */
export async function writeChunkRows(
  chunk: Chunk,
  definition: ActivationDefinition,
  openTarget: () => Promise<ActivationTarget>,
  since: number,
  follow: FollowChunk,
  signal?: AbortSignal,
): Promise<LedgerPart> {
  const name = chunkPart(chunk.number);
  const existing = await chunk.ledger.read(name, signal);
  if (existing) return existing;
  const { rows, earlier, settled } = await readSoFar(chunk, name, signal);
  const meter = newMeter();
  const part = (): LedgerPart => ({ rows: [...settled.values()], summary: summed(earlier, meter) });
  let pace = { concurrency: 0, batchSize: 0 };
  const following = follow(() => {
    const { calls, throttled } = summed(earlier, meter);
    return { counts: countOutcomes([...settled.values()]), calls, throttled, ...pace };
  });
  try {
    const target = await openTarget();
    const table = await target.table(definition.table, tableNeeds(definition), signal);
    const { key, mode } = definition;
    const strategy = strategyOf(key, table);
    const unsettled = rows.filter((row) => !settled.has(row.index));
    const onProgress = ({ concurrency, batchSize }: typeof pace): void => {
      pace = { concurrency, batchSize };
    };
    const request = { table, strategy, mode, meter, signal, since, onProgress };
    const outcomes = target.writeRows(request, each(unsettled));
    for await (const outcome of outcomes) settled.set(outcome.index, outcome);
    requireAll(rows, settled);
  } catch (error) {
    const kept = part();
    // The failure counts, not whether a note of it could be left: without the note the rows are sent again.
    await chunk.ledger
      .keepAttempt(name, { ...kept, summary: { ...kept.summary, problem: problemOf(error) } })
      .catch(() => undefined);
    throw error;
  } finally {
    await following.stop();
  }
  const written = part();
  // Another worker on the same chunk may have been first; its ledger counts then.
  if (await chunk.ledger.write(name, written, signal)) return written;
  return (await chunk.ledger.read(name, signal)) ?? written;
}

/** The rows of a chunk, and what an earlier try settled for certain, by the rows' index. */
async function readSoFar(chunk: Chunk, name: string, signal: AbortSignal | undefined) {
  const rows = await readChunk(chunk, signal);
  const earlier = await chunk.ledger.attempt(name, signal);
  return { rows, earlier, settled: new Map((earlier?.rows ?? []).map((row) => [row.index, row])) };
}

/** Ends a chunk that cannot be written: rows without a certain outcome are skipped, and the ledger says why. */
export async function giveUpChunkRows(chunk: Chunk, signal?: AbortSignal): Promise<LedgerPart> {
  const name = chunkPart(chunk.number);
  const existing = await chunk.ledger.read(name, signal);
  if (existing) return existing;
  const { rows, earlier, settled } = await readSoFar(chunk, name, signal);
  const problem = earlier?.summary.problem ?? GIVEN_UP;
  const part: LedgerPart = {
    rows: rows.map(
      ({ index, key, id }): RowOutcome =>
        settled.get(index) ?? { index, key, outcome: 'skipped', ...(id !== undefined && { id }), error: NOT_WRITTEN },
    ),
    summary: { ...summed(earlier, newMeter()), problem },
  };
  if (await chunk.ledger.write(name, part, signal)) return part;
  return (await chunk.ledger.read(name, signal)) ?? part;
}

const NOT_WRITTEN: RowError = {
  code: 'notWritten',
  message: 'Writing was given up after several tries; whether the last of them reached this row is not known.',
  hint: 'The next run sends the row again; that is safe.',
};

const GIVEN_UP = { code: 'notWritten', message: 'The worker stopped at every try before it could say why.' };

async function readChunk({ blobs, folder, number }: Chunk, signal?: AbortSignal): Promise<readonly RowToWrite[]> {
  const lines = await readLines(blobs, chunkPath(folder, number), signal);
  if (!lines) throw new ActivationError('ledgerIncomplete', `The rows of chunk ${number} are gone.`);
  return lines.map((line) => rowToWrite.parse(line));
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

function requireAll(rows: readonly RowToWrite[], settled: ReadonlyMap<number, RowOutcome>): void {
  const missing = rows.filter((row) => !settled.has(row.index)).length;
  if (missing === 0 && settled.size === rows.length) return;
  throw new ActivationError('ledgerIncomplete', `Of ${rows.length} rows ${missing} came back without an outcome.`);
}

function summed(earlier: LedgerPart | undefined, meter: ReturnType<typeof newMeter>): LedgerPart['summary'] {
  const before = earlier?.summary ?? newMeter();
  return {
    calls: before.calls + meter.calls,
    throttled: {
      count: before.throttled.count + meter.throttled.count,
      waitedMs: before.throttled.waitedMs + meter.throttled.waitedMs,
    },
  };
}
