import { join } from 'node:path';
import { noOutcomes, type OutcomeCounts } from '../dataverse/bulk/outcomes.ts';
import type { BlobStore } from '../storage/blobs.ts';
import { type Engine, sqlText } from './engine.ts';
import { ActivationError } from './errors.ts';
import { chunkPart, countOutcomes, type Ledger } from './ledger.ts';
import type { RunProblem, RunRecord } from './runs.ts';
import { loadSnapshot, planRowsPath, writeSnapshot } from './snapshot.ts';

/** What a run came to, read from its ledger alone. */
export interface Finish {
  readonly counts: OutcomeCounts;
  readonly calls: number;
  readonly throttled: { readonly count: number; readonly waitedMs: number };
  /** Why chunks were given up. */
  readonly problem?: RunProblem;
}

/**
 * Merges the ledger of a run whose chunks are all settled, writes the rejected rows and the new snapshot to
 * `snapshot`. May be done twice and gives the same then. Throws ActivationError `ledgerIncomplete` where the outcomes
 * are not exactly the input's rows.
 */
export async function mergeLedger(
  record: RunRecord,
  snapshot: string,
  {
    engine,
    blobs,
    ledger,
    signal,
  }: { engine: Engine; blobs: BlobStore; ledger: Ledger; signal?: AbortSignal | undefined },
): Promise<Finish> {
  const { plan } = record;
  if (!plan) throw new ActivationError('ledgerIncomplete', 'The run has no plan.');
  await engine.run('create table bridge.outcome ("index" integer, outcome varchar, id varchar)');
  const counts = noOutcomes();
  const throttled = { count: 0, waitedMs: 0 };
  const problems: RunProblem[] = [];
  let calls = 0;
  const appender = await engine.appender('bridge', 'outcome');
  try {
    for await (const name of partsOf(plan.chunks, ledger, signal)) {
      const part = await ledger.read(name, signal);
      if (!part) throw new ActivationError('ledgerIncomplete', `The part ${name} of the ledger is missing.`);
      for (const { index, outcome, id } of part.rows) {
        appender.appendInteger(index);
        appender.appendVarchar(outcome);
        if (id === undefined) appender.appendNull();
        else appender.appendVarchar(id);
        appender.endRow();
      }
      for (const [kind, number] of Object.entries(countOutcomes(part.rows)) as [keyof OutcomeCounts, number][]) {
        counts[kind] += number;
      }
      calls += part.summary.calls;
      throttled.count += part.summary.throttled.count;
      throttled.waitedMs += part.summary.throttled.waitedMs;
      if (part.summary.problem) problems.push(part.summary.problem);
    }
  } finally {
    appender.closeSync();
  }
  await requireExact(engine, record.run.input);
  if (counts.rejected > 0) await ledger.writeRejected(signal);
  if (!(await loadSnapshot(engine, blobs, plan.snapshot, signal))) {
    throw new ActivationError('ledgerIncomplete', 'The snapshot that the plan compared with is gone.');
  }
  await loadPlanned(engine, blobs, plan.folder, signal);
  await writeSnapshot(engine, blobs, snapshot, signal);
  const problem = problems[0] && givenUp(problems[0], problems.length, plan.chunks);
  return { counts, calls, throttled, ...(problem && { problem }) };
}

/** The plan's parts as they are listed, then every chunk's by number, so that a missing one is noticed. */
async function* partsOf(chunks: number, ledger: Ledger, signal: AbortSignal | undefined): AsyncGenerator<string> {
  const firstChunk = chunkPart(0);
  for await (const name of ledger.parts(signal)) {
    if (name >= firstChunk) break;
    yield name;
  }
  for (let chunk = 0; chunk < chunks; chunk += 1) yield chunkPart(chunk);
}

async function requireExact(engine: Engine, input: number): Promise<void> {
  const [found] = await engine.all(
    `select count(*)::integer as outcomes, count(distinct "index")::integer as "rows" from bridge.outcome`,
  );
  if (Number(found?.['outcomes']) === input && Number(found?.['rows']) === input) return;
  throw new ActivationError(
    'ledgerIncomplete',
    `The ledger holds ${found?.['outcomes']} outcomes of ${found?.['rows']} rows; the input has ${input}.`,
  );
}

async function loadPlanned(engine: Engine, blobs: BlobStore, folder: string, signal?: AbortSignal): Promise<void> {
  const file = join(engine.folder, 'planned.parquet');
  if (!(await blobs.download(planRowsPath(folder), file, signal))) {
    throw new ActivationError('ledgerIncomplete', 'The keys of the plan are gone.');
  }
  await engine.run(`create table bridge.planned as select * from read_parquet(${sqlText(file)})`);
}

const givenUp = (cause: RunProblem, count: number, chunks: number): RunProblem => ({
  ...cause,
  message: `${count} of ${chunks} chunks could not be written: ${cause.message}`,
  hint: `${cause.hint ? `${cause.hint} ` : ''}Rows marked notWritten are sent again by the next run.`,
});
