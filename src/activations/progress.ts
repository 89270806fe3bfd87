import type { OutcomeCounts } from '../dataverse/bulk/outcomes.ts';
import type { Finish } from './finish.ts';
import { countOutcomes, type LedgerPart } from './ledger.ts';
import type { ChunkProgress } from './live-progress.ts';
import type { Run, RunProblem, RunRecord } from './runs.ts';

/** Counts a chunk's ledger into the run, once: undefined where it is counted already. */
export function countPart(record: RunRecord, chunk: number, part: LedgerPart, now: number): RunRecord | undefined {
  const { run, plan, done } = record;
  if (!plan || run.state !== 'writing' || done[chunk] === '1') return undefined;
  const counts = sumOf(run.counts, countOutcomes(part.rows));
  const { calls, throttled } = part.summary;
  return {
    ...record,
    done: `${done.slice(0, chunk)}1${done.slice(chunk + 1)}`,
    run: {
      ...withPace({ ...run, counts }, plan.committedAt, now),
      calls: run.calls + calls,
      throttled: {
        count: run.throttled.count + throttled.count,
        waitedMs: run.throttled.waitedMs + throttled.waitedMs,
      },
    },
  };
}

/** What a worker told so long ago does not go on at the moment. */
const OLD_MS = 15_000;

/** The run with what chunks have come to that are still being written; counts and cost never go down by it. */
export function withLive({ run, plan, done }: RunRecord, live: readonly ChunkProgress[], now: number): Run {
  if (!plan || run.state !== 'writing') return run;
  const open = live.filter(({ chunk }) => done[chunk] === '0');
  const sum = (of: (each: ChunkProgress) => number): number => open.reduce((total, each) => total + of(each), 0);
  const sofar: Run = {
    ...run,
    counts: open.reduce((counts, each) => sumOf(counts, each.counts), run.counts),
    calls: run.calls + sum(({ calls }) => calls),
    throttled: {
      count: run.throttled.count + sum(({ throttled }) => throttled.count),
      waitedMs: run.throttled.waitedMs + sum(({ throttled }) => throttled.waitedMs),
    },
  };
  const current = open.filter(({ at }) => at > now - OLD_MS);
  // Chunks of one instance share its pace.
  const paces = new Map<string, number>();
  for (const { instance, concurrency } of current) paces.set(instance, Math.max(concurrency, paces.get(instance) ?? 0));
  const writing = {
    instances: paces.size,
    chunks: current.length,
    concurrency: [...paces.values()].reduce((total, each) => total + each, 0),
    batchSize: Math.max(0, ...current.map(({ batchSize }) => batchSize)),
  };
  return { ...withPace(sofar, plan.committedAt, now), ...(current.length > 0 && { writing }) };
}

/** The run at its end: as its ledger has it, or failed before there was one. */
export function ended(
  record: RunRecord,
  endedAt: string,
  finish: Finish | { readonly problem: RunProblem },
): RunRecord {
  const { etaSeconds: _, ...run } = record.run;
  const { lastProblem: __, ...rest } = record;
  if (!('counts' in finish)) return { ...rest, run: { ...run, state: 'failed', endedAt, ...finish } };
  const { counts } = finish;
  const state = finish.problem ? 'failed' : counts.rejected > 0 ? 'completedWithRejections' : 'succeeded';
  return { ...rest, run: { ...run, ...finish, state, endedAt } };
}

const sumOf = (a: OutcomeCounts, b: OutcomeCounts): OutcomeCounts => ({
  created: a.created + b.created,
  updated: a.updated + b.updated,
  unchanged: a.unchanged + b.unchanged,
  deleted: a.deleted + b.deleted,
  rejected: a.rejected + b.rejected,
  skipped: a.skipped + b.skipped,
});

/** Rows written a second since the plan was made, and how long the others take at that pace. */
function withPace(run: Run, since: number, now: number): Run {
  const { counts, input } = run;
  const seconds = Math.max(now - since, 1) / 1000;
  const written = counts.created + counts.updated;
  const settled = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const rowsPerSecond = Math.round((written / seconds) * 10) / 10;
  const etaSeconds = rowsPerSecond > 0 ? Math.round((input - settled) / rowsPerSecond) : undefined;
  const { etaSeconds: _, ...rest } = run;
  return { ...rest, rowsPerSecond, ...(etaSeconds !== undefined && { etaSeconds }) };
}
