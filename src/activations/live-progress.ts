import * as z from 'zod';
import type { Clock } from '../shared/clock.ts';
import type { Storage } from '../storage/storage.ts';
import { outcomeCounts } from './runs.ts';

const count = z.int().nonnegative();

/** How far the writing of a chunk has come that has no ledger yet. */
const chunkProgress = z.object({
  version: z.literal(1),
  chunk: count,
  /** The process that writes it. */
  instance: z.string(),
  counts: outcomeCounts,
  calls: count,
  throttled: z.object({ count, waitedMs: z.number() }),
  /** Calls that the instance may have at the same time, and rows that a call may have. */
  concurrency: count,
  batchSize: count,
  /** Milliseconds since 1970. */
  at: z.number(),
});
export type ChunkProgress = z.infer<typeof chunkProgress>;

/** A chunk that is being written, as its worker sees it at any moment. */
export interface ChunkInWork extends Omit<ChunkProgress, 'version' | 'instance' | 'at'> {
  readonly activation: string;
  readonly run: string;
}

/** A run's progress between the ends of its chunks, a row a chunk. */
export interface LiveProgress {
  /** Writes down how far a chunk is, every two seconds, until `stop` is called. A failure to do so is nobody's concern. */
  follow(look: () => ChunkInWork): { stop(): Promise<void> };
  of(activation: string, run: string, signal?: AbortSignal): Promise<readonly ChunkProgress[]>;
  /** Forgets a chunk, whose ledger counts from now on. */
  forget(activation: string, run: string, chunk: number): Promise<void>;
}

/** Chunks take minutes where tables are slow; a glance at a run need not be newer than this. */
const WRITE_EVERY_MS = 2_000;
const PAGE = 1_000;

const partitionOf = (activation: string, run: string): string => `${activation}.${run}`;
const rowOf = (chunk: number): string => String(chunk).padStart(6, '0');

export function openLiveProgress(storage: Storage, clock: Clock, instance: string): LiveProgress {
  const table = storage.table('activationprogress');
  const write = ({ activation, run, ...progress }: ChunkInWork): Promise<void> => {
    const document: ChunkProgress = { version: 1, ...progress, instance, at: clock.now() };
    const properties = { document: JSON.stringify(document) };
    return table.put({ partition: partitionOf(activation, run), row: rowOf(progress.chunk), properties });
  };
  return {
    follow(look) {
      const stopping = new AbortController();
      const following = (async () => {
        while (!stopping.signal.aborted) {
          await clock.sleep(WRITE_EVERY_MS, stopping.signal);
          await write(look()).catch(() => undefined);
        }
      })().catch(() => undefined);
      return {
        stop() {
          stopping.abort();
          return following;
        },
      };
    },
    async of(activation, run, signal) {
      const where = [{ name: 'partition', is: 'eq', value: partitionOf(activation, run) }] as const;
      const { entities } = await table.query({ where, limit: PAGE }, signal);
      return entities.flatMap(({ properties }) => {
        const { data } = chunkProgress.safeParse(JSON.parse(String(properties['document'])));
        return data ? [data] : [];
      });
    },
    async forget(activation, run, chunk) {
      await table.remove(partitionOf(activation, run), rowOf(chunk)).catch(() => undefined);
    },
  };
}
