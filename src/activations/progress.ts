import type { OutcomeCounts } from '../dataverse/bulk/outcomes.ts';
import type { Finish } from './finish.ts';
import { countOutcomes, type LedgerPart } from './ledger.ts';
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
