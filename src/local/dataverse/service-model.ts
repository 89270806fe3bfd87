import * as z from 'zod';
import type { Effort } from './effort.ts';

/** Milliseconds. */
const cost = z.number().min(0).max(600_000);

const PARTS = ['call', 'rows', 'batchOperations', 'reads'] as const;

const limitsSchema = z.strictObject({
  /** Length of the sliding window in milliseconds. */
  windowMs: z.int().min(1).max(86_400_000).default(300_000),
  /** HTTP requests in a window; null: as many as one likes. */
  requests: z.int().min(1).max(1_000_000).nullable().default(6000),
  /** Execution time of a window's requests together, in milliseconds; null: no limit. */
  executionMs: z.number().min(1).max(1e9).nullable().default(1_200_000),
  /** Requests at the same time; null: no limit. */
  concurrency: z.int().min(1).max(100_000).nullable().default(52),
  /** `Retry-After` where there are too many requests at the same time; null: the header is left out. UNCONFIRMED. */
  concurrencyRetryAfterSeconds: z.int().min(1).max(3600).nullable().default(1),
  /** How much longer a caller is kept out for each request that it sends nevertheless. UNCONFIRMED. */
  pushBackMs: z.int().min(0).max(600_000).default(1000),
});

/**
 * How fast the emulated service is and what it allows. Whatever is left out costs nothing; without `limits` nothing is
 * limited. Explained in this folder's README.
 */
export const serviceModelSchema = z.strictObject({
  /** For people. */
  description: z.string().optional(),
  /** Of every HTTP request. */
  callMs: cost.default(0),
  /** Of every row that is written, besides. */
  rowMs: z.strictObject({ create: cost.default(0), update: cost.default(0), delete: cost.default(0) }).prefault({}),
  /** What a row that an alternate key names costs, as a multiple of `rowMs`. */
  alternateKeyFactor: z.number().min(0).max(1000).default(1),
  /** Of every operation inside a `$batch`, besides its rows. */
  batchOperationMs: cost.default(0),
  /** Of every retrieval, of every row that it answers, and of every value by which it looks for rows. */
  read: z.strictObject({ queryMs: cost.default(0), rowMs: cost.default(0), keyMs: cost.default(0) }).prefault({}),
  /** Which parts of the time count as execution time. */
  executionTime: z.array(z.enum(PARTS)).default([...PARTS]),
  /** `x-ms-dop-hint` */
  dopHint: z.int().min(1).max(10_000).default(5),
  /** Servers behind the address; each has limits of its own. */
  webServers: z.int().min(1).max(1000).default(1),
  limits: limitsSchema.optional(),
});

export type ServiceModel = z.infer<typeof serviceModelSchema>;
export type ServiceLimits = z.infer<typeof limitsSchema>;

/** A service that takes no time and limits nothing. */
export const unboundedModel: ServiceModel = serviceModelSchema.parse({});

/** How long the modelled service takes for a request, in milliseconds. What the effort leaves out is 0. */
export function modelledMs(model: ServiceModel, effort: Partial<Effort>): number {
  const parts = partsOf(model, effort);
  return PARTS.reduce((sum, part) => sum + parts[part], 0);
}

/** How much of that counts towards the limit of execution time. */
export function executionMs(model: ServiceModel, effort: Partial<Effort>): number {
  const parts = partsOf(model, effort);
  return [...new Set(model.executionTime)].reduce((sum, part) => sum + parts[part], 0);
}

function partsOf(model: ServiceModel, effort: Partial<Effort>): Record<(typeof PARTS)[number], number> {
  const { rowMs, read, alternateKeyFactor: factor } = model;
  const rows = (byId = 0, byKey = 0, ms: number) => (byId + byKey * factor) * ms;
  return {
    call: model.callMs,
    rows:
      rows(effort.creates, effort.keyedCreates, rowMs.create) +
      rows(effort.updates, effort.keyedUpdates, rowMs.update) +
      rows(effort.deletes, effort.keyedDeletes, rowMs.delete),
    batchOperations: (effort.batchOperations ?? 0) * model.batchOperationMs,
    reads:
      (effort.queries ?? 0) * read.queryMs +
      (effort.rowsRead ?? 0) * read.rowMs +
      (effort.keysLookedUp ?? 0) * read.keyMs,
  };
}
