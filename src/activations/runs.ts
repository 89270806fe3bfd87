import * as z from 'zod';
import type { Clock } from '../shared/clock.ts';
import { StorageError } from '../storage/errors.ts';
import type { Storage } from '../storage/storage.ts';
import type { StoredEntity, TableCondition, TableEntity } from '../storage/tables.ts';
import { ActivationError } from './errors.ts';

export const runStateSchema = z.enum([
  'queued',
  'planning',
  'writing',
  'finishing',
  'succeeded',
  'completedWithRejections',
  'failed',
]);
export type RunState = z.infer<typeof runStateSchema>;

export const isEnded = (state: RunState): boolean =>
  state === 'succeeded' || state === 'completedWithRejections' || state === 'failed';

/** Why a run failed. */
export const runProblem = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().exactOptional(),
  errors: z.array(z.object({ path: z.string(), code: z.string(), message: z.string() })).exactOptional(),
});
export type RunProblem = z.infer<typeof runProblem>;

const count = z.int().nonnegative();

/** How many rows came to what. */
export const outcomeCounts = z.object({
  created: count,
  updated: count,
  unchanged: count,
  deleted: count,
  rejected: count,
  skipped: count,
});

/** A run as callers see it. Times are ISO 8601 UTC. */
export const runSchema = z.object({
  id: z.string(),
  activation: z.string(),
  connection: z.string(),
  state: runStateSchema,
  startedBy: z.string(),
  input: count.describe('Rows that the model yields, and rows of the source that cannot be read.'),
  counts: outcomeCounts,
  left: count.describe('Rows that left the segment and stay in the table.'),
  calls: count.describe('Requests that read or wrote rows.'),
  throttled: z.object({ count, waitedMs: z.number() }),
  rowsPerSecond: z
    .number()
    .describe('Rows created and updated a second since the plan was made, by all workers together.'),
  etaSeconds: z.number().exactOptional().describe('What the other rows take at that pace.'),
  writing: z
    .object({
      instances: count.describe('Instances of the app that write.'),
      chunks: count.describe('Chunks that they write.'),
      concurrency: count.describe('Requests that they may have under way at the same time, all together.'),
      batchSize: count.describe('Rows that one request may have, where it is most.'),
    })
    .exactOptional()
    .describe('What goes on at the moment; not there before it is known, nor at the end.'),
  startedAt: z.string(),
  endedAt: z.string().exactOptional(),
  problem: runProblem.exactOptional(),
});
export type Run = z.infer<typeof runSchema>;

const recordSchema = z.object({
  version: z.literal(1),
  run: runSchema,
  fullRefresh: z.boolean(),
  /** Blob of the rows that the caller sent along, in our own container. */
  input: z.object({ path: z.string(), format: z.enum(['csv', 'ndjson', 'json']), size: count }).exactOptional(),
  /** Set once a plan is taken on; nothing of another plan counts. */
  plan: z
    .object({
      /** Folder of the plan's blobs, its ledger among them. */
      folder: z.string(),
      chunks: count,
      /** Milliseconds since 1970. */
      committedAt: z.number(),
      /** The snapshot that the plan compared with. */
      snapshot: z.string().exactOptional(),
      scope: z.string(),
    })
    .exactOptional(),
  /** The snapshot to compare with after this run. */
  snapshot: z.string().exactOptional(),
  /** The failure of the last try, kept for the case that there is no further one. */
  lastProblem: runProblem.exactOptional(),
  /** Milliseconds since 1970. */
  changedAt: z.number(),
});
type StoredRecord = z.infer<typeof recordSchema>;

/** A run with what its workers need; `done` has a character a chunk, `1` where the chunk's ledger is counted. */
export type RunRecord = StoredRecord & { readonly done: string };

/**
 * The runs, as rows of a table: the one kind of storage that lists newest first and updates by ETag. A row's key is
 * the run's id with its time inverted.
 */
export interface RunStore {
  /** False where there is a run of this id already. */
  insert(record: RunRecord, signal?: AbortSignal): Promise<boolean>;
  get(activation: string, id: string, signal?: AbortSignal): Promise<RunRecord | undefined>;
  /**
   * Changes a run on top of whatever others change at the same time: `change` may be called several times and returns
   * undefined to leave the run alone. Throws ActivationError `runUnknown`.
   */
  change(
    activation: string,
    id: string,
    change: (record: RunRecord) => RunRecord | undefined,
    signal?: AbortSignal,
  ): Promise<RunRecord>;
  list(
    activation: string,
    query: { pageSize: number; page?: string | undefined },
    signal?: AbortSignal,
  ): Promise<RunPage>;
  /** Runs that wait, oldest first. */
  queued(activation: string, signal?: AbortSignal): Promise<readonly RunRecord[]>;
}

export interface RunPage {
  readonly value: readonly Run[];
  readonly nextPage?: string;
}

/** Sorts by time; a scheduled run is named after its slot, so that a slot has one run however many claim it. */
export const runId = (ms: number, suffix: string): string =>
  `${new Date(ms).toISOString().replace(/\D/g, '').slice(0, 17)}-${suffix}`;

const RUN_ID = /^\d{17}-[a-z0-9]{1,40}$/;

/** Digits inverted, so that the table's ascending order is newest first. */
const rowOf = (id: string): string => {
  const [time = '', suffix = ''] = id.split('-');
  return `${time.replace(/\d/g, (digit) => String(9 - Number(digit)))}-${suffix}`;
};

function requireRunId(page: string): string {
  if (RUN_ID.test(page)) return page;
  throw new ActivationError('pageUnknown', 'This page is not one that was given out.', {
    hint: 'Start without `page` and follow `nextPage`.',
  });
}

const PAGE_OF_QUEUED = 1000;
const MOST_TRIES = 30;
const RETRY_MS = 20;

export function openRuns(storage: Storage, clock: Clock): RunStore {
  const table = storage.table('activationruns');
  const find = async (activation: string, id: string, signal?: AbortSignal): Promise<StoredEntity | undefined> =>
    RUN_ID.test(id) ? table.get(activation, rowOf(id), signal) : undefined;

  return {
    async insert(record, signal) {
      try {
        await table.insert(entityOf(record), signal);
        return true;
      } catch (error) {
        if (error instanceof StorageError && error.code === 'conflict') return false;
        throw error;
      }
    },
    async get(activation, id, signal) {
      const entity = await find(activation, id, signal);
      return entity && recordOf(entity);
    },
    async change(activation, id, change, signal) {
      for (let attempt = 1; ; attempt += 1) {
        const entity = await find(activation, id, signal);
        if (!entity) throw new ActivationError('runUnknown', `The activation '${activation}' has no run '${id}'.`);
        const before = recordOf(entity);
        const after = change(before);
        if (!after) return before;
        const record = { ...after, changedAt: clock.now() };
        try {
          await table.replace(entityOf(record), entity.etag, signal);
          return record;
        } catch (error) {
          if (!(error instanceof StorageError) || error.code !== 'conflict' || attempt === MOST_TRIES) throw error;
        }
        await clock.sleep(RETRY_MS * attempt, signal);
      }
    },
    async list(activation, { pageSize, page }, signal) {
      const where: TableCondition[] = [{ name: 'partition', is: 'eq', value: activation }];
      if (page !== undefined) where.push({ name: 'row', is: 'gt', value: rowOf(requireRunId(page)) });
      const found = await table.query({ where, limit: pageSize }, signal);
      const value = found.entities.map((entity) => recordOf(entity).run);
      const last = found.continuation === undefined ? undefined : value.at(-1)?.id;
      return { value, ...(last !== undefined && { nextPage: last }) };
    },
    async queued(activation, signal) {
      const where = [
        { name: 'partition', is: 'eq', value: activation },
        { name: 'state', is: 'eq', value: 'queued' },
      ] as const;
      const records: RunRecord[] = [];
      let continuation: string | undefined;
      do {
        const page = await table.query(
          { where, limit: PAGE_OF_QUEUED, ...(continuation !== undefined && { continuation }) },
          signal,
        );
        records.push(...page.entities.map(recordOf));
        continuation = page.continuation;
      } while (continuation !== undefined);
      return records.reverse();
    },
  };
}

// A text property takes 32 Ki characters: the bitmap, which grows with the run, has one to itself.
function entityOf({ done, ...stored }: RunRecord): TableEntity {
  const { activation, id, state } = stored.run;
  return { partition: activation, row: rowOf(id), properties: { state, document: JSON.stringify(stored), done } };
}

function recordOf({ properties }: StoredEntity): RunRecord {
  const stored = recordSchema.parse(JSON.parse(String(properties['document'])));
  return { ...stored, done: String(properties['done'] ?? '') };
}
