import * as z from 'zod';
import { isoTime } from '../shared/clock.ts';
import type { BlobStore } from '../storage/blobs.ts';
import { StorageError } from '../storage/errors.ts';
import type { Storage } from '../storage/storage.ts';
import type { ConnectionTest } from './connection-test.ts';
import { WARNING_DAYS } from './credential-check.ts';

const CONTAINER = 'health';
const FOLDER = 'connections/';
const QUEUES = 'queues.json';

const record = z.object({
  version: z.literal(1),
  connection: z.string(),
  status: z.enum(['passed', 'failed']),
  /** The stage that failed, with code, sentence and next step. */
  failed: z.object({ stage: z.string(), code: z.string(), detail: z.string(), hint: z.string().optional() }).optional(),
  warnings: z.array(z.string()),
  checkedAt: z.iso.datetime(),
  /** Since when the status, or the stage that fails, is what it is. */
  since: z.iso.datetime(),
  credential: z.object({ version: z.string().optional(), expiresAt: z.number().optional() }),
  /** The smallest of `WARNING_DAYS` that this version of the credential was warned of. */
  warnedAtDays: z.number().optional(),
});

/** What the last check of a connection found, as it is kept from one to the next. */
export type CheckRecord = z.infer<typeof record>;

const queueRecord = z.object({
  version: z.literal(1),
  checkedAt: z.iso.datetime(),
  counts: z.record(z.string(), z.number()),
});

/** Messages in the poison queues, as the service estimates them. */
export type QueueRecord = z.infer<typeof queueRecord>;

/** Something that an operator wants to be told once. */
export type HealthEvent =
  | { readonly kind: 'broken'; readonly stage: string; readonly detail: string; readonly hint?: string | undefined }
  | { readonly kind: 'recovered'; readonly since: string }
  | { readonly kind: 'expires'; readonly daysLeft: number; readonly expiresAt: string };

export interface HealthRecords {
  /** Keeps what a test found and resolves with the events that follow from it: nothing where nothing changed. */
  note(test: ConnectionTest, now: number, signal?: AbortSignal): Promise<readonly HealthEvent[]>;
  /** Keeps counts by queue and resolves with the queues whose count has grown. */
  noteQueues(counts: Readonly<Record<string, number>>, now: number, signal?: AbortSignal): Promise<readonly string[]>;
  connection(name: string, signal?: AbortSignal): Promise<CheckRecord | undefined>;
  queues(signal?: AbortSignal): Promise<QueueRecord | undefined>;
}

/** One blob for each connection and one for the queues. Throws StorageError. */
export function openHealthRecords(storage: Storage): HealthRecords {
  const blobs = storage.blobs(CONTAINER);
  const pathOf = (name: string): string => `${FOLDER}${name}.json`;
  return {
    async note(test, now, signal) {
      const path = pathOf(test.connection);
      const before = await readRecord(blobs, path, record, signal);
      const after = nextRecord(before?.value, test, now);
      // Of two instances that check at once the one that comes second neither keeps nor tells anything.
      if (!(await replace(blobs, path, after, before?.etag, signal))) return [];
      return eventsOf(before?.value, after, now);
    },
    async noteQueues(counts, now, signal) {
      const before = await readRecord(blobs, QUEUES, queueRecord, signal);
      const after: QueueRecord = { version: 1, checkedAt: isoTime(now), counts: { ...counts } };
      if (!(await replace(blobs, QUEUES, after, before?.etag, signal))) return [];
      return Object.keys(counts).filter((name) => (counts[name] ?? 0) > (before?.value?.counts[name] ?? 0));
    },
    connection: async (name, signal) => (await readRecord(blobs, pathOf(name), record, signal))?.value,
    queues: async (signal) => (await readRecord(blobs, QUEUES, queueRecord, signal))?.value,
  };
}

/** A record that cannot be read, of another version of the app perhaps, is as good as none; it is overwritten. */
async function readRecord<T>(
  blobs: BlobStore,
  path: string,
  schema: z.ZodType<T>,
  signal: AbortSignal | undefined,
): Promise<{ value: T | undefined; etag: string } | undefined> {
  const blob = await blobs.read(path, signal);
  if (!blob) return undefined;
  try {
    return { value: schema.parse(JSON.parse(blob.body.toString('utf8'))), etag: blob.etag };
  } catch {
    return { value: undefined, etag: blob.etag };
  }
}

async function replace(
  blobs: BlobStore,
  path: string,
  value: unknown,
  etag: string | undefined,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const condition = etag === undefined ? { ifNoneMatch: '*' as const } : { ifMatch: etag };
  try {
    await blobs.write(path, JSON.stringify(value), { contentType: 'application/json', ...condition }, signal);
    return true;
  } catch (error) {
    if (error instanceof StorageError && error.code === 'conflict') return false;
    throw error;
  }
}

const credentialFacts = z.object({ version: z.string().optional(), expiresAt: z.number().optional() });

/** The record after a test, from the one before it. */
export function nextRecord(before: CheckRecord | undefined, test: ConnectionTest, now: number): CheckRecord {
  const broken = test.stages.find(({ status }) => status === 'failed');
  const facts = credentialFacts.safeParse(test.stages.find(({ name }) => name === 'credential')?.facts ?? {});
  const seen = facts.success && facts.data.version !== undefined;
  const credential = seen ? { ...facts.data } : (before?.credential ?? {});
  const same = before?.status === test.status && before.failed?.stage === broken?.name;
  const sameVersion = before?.credential.version === credential.version;
  const days = daysLeft(credential.expiresAt, now);
  const warnedBefore = sameVersion ? before?.warnedAtDays : undefined;
  const due = WARNING_DAYS.filter((each) => days !== undefined && days <= each).at(-1);
  const warnedAtDays = Math.min(due ?? Number.POSITIVE_INFINITY, warnedBefore ?? Number.POSITIVE_INFINITY);
  return {
    version: 1,
    connection: test.connection,
    status: test.status,
    ...(broken && {
      failed: {
        stage: broken.name,
        code: broken.code ?? 'unknown',
        detail: broken.detail,
        ...(broken.hint !== undefined && { hint: broken.hint }),
      },
    }),
    warnings: test.stages.flatMap(({ warnings = [] }) => warnings),
    checkedAt: isoTime(now),
    since: same ? before.since : isoTime(now),
    credential,
    ...(Number.isFinite(warnedAtDays) && { warnedAtDays }),
  };
}

/** What changed from one record to the next. A connection that has always worked is no event. */
export function eventsOf(before: CheckRecord | undefined, after: CheckRecord, now: number): HealthEvent[] {
  const events: HealthEvent[] = [];
  if (after.failed && before?.failed?.stage !== after.failed.stage) {
    const { stage, detail, hint } = after.failed;
    events.push({ kind: 'broken', stage, detail, hint });
  }
  if (before?.status === 'failed' && after.status === 'passed') events.push({ kind: 'recovered', since: before.since });
  const { expiresAt } = after.credential;
  const days = daysLeft(expiresAt, now);
  const sameVersion = before?.credential.version === after.credential.version;
  const warned = sameVersion ? before?.warnedAtDays : undefined;
  if (
    expiresAt !== undefined &&
    days !== undefined &&
    after.warnedAtDays !== undefined &&
    after.warnedAtDays !== warned
  ) {
    events.push({ kind: 'expires', daysLeft: days, expiresAt: isoTime(expiresAt) });
  }
  return events;
}

const DAY_MS = 86_400_000;

const daysLeft = (expiresAt: number | undefined, now: number): number | undefined =>
  expiresAt === undefined ? undefined : Math.floor((expiresAt - now) / DAY_MS);
