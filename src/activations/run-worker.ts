import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { type Clock, isoTime } from '../shared/clock.ts';
import { unreachable } from '../shared/errors.ts';
import type { NewId } from '../shared/ids.ts';
import type { Storage } from '../storage/storage.ts';
import type { Log } from '../telemetry/log.ts';
import { noTelemetry, type Telemetry } from '../telemetry/telemetry.ts';
import { type Chunk, type FollowChunk, giveUpChunkRows, writeChunkRows } from './chunks.ts';
import { type ActivationDefinition, tableNeeds } from './definition.ts';
import { CONTAINER, readDefinition } from './definitions.ts';
import { type Engine, openEngine } from './engine.ts';
import { ActivationError } from './errors.ts';
import { mergeLedger } from './finish.ts';
import { openLedger } from './ledger.ts';
import type { LiveProgress } from './live-progress.ts';
import { snapshotScope } from './mapping.ts';
import { makePlan, type Plan } from './plan.ts';
import { isTransient, problemOf } from './problems.ts';
import { countPart, ended } from './progress.ts';
import { CHUNK_QUEUE } from './queues.ts';
import { isEnded, type RunProblem, type RunRecord, type RunStore } from './runs.ts';
import { snapshotPath } from './snapshot.ts';
import { downloadSource, findSource, type SourceBlob } from './source.ts';
import type { StateStore } from './states.ts';
import type { OpenTarget } from './target.ts';
import { tellRun } from './tell-run.ts';
import type { Turns } from './turns.ts';

/** What the queues carry. Who a message is about is read from here, never from the trigger's metadata. */
const runMessage = z.object({ activation: z.string(), run: z.string() });
const chunkMessage = runMessage.extend({ chunk: z.int().nonnegative() });

export interface RunWorkerTools {
  readonly storage: Storage;
  readonly runs: RunStore;
  readonly states: StateStore;
  readonly turns: Turns;
  readonly progress: LiveProgress;
  readonly target: OpenTarget;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  readonly telemetry?: Telemetry;
  /** Temporary files go below it and are gone when the work ends. */
  readonly workFolder: string;
  readonly chunkRows: number;
  readonly modelTimeoutMs: number;
}

/**
 * The handlers of the queues. Each may be called any number of times with one message, on several instances at once,
 * and may die anywhere: what it finds decides what is left to do. They throw where the queue is to try again.
 */
export interface RunWorker {
  planRun(message: unknown, signal?: AbortSignal): Promise<void>;
  writeChunk(message: unknown, signal?: AbortSignal): Promise<void>;
  abandonRun(message: unknown, signal?: AbortSignal): Promise<void>;
  abandonChunk(message: unknown, signal?: AbortSignal): Promise<void>;
}

export const runFolder = (activation: string, run: string): string => `runs/${activation}/${run}`;
export const definitionPath = (activation: string, run: string): string =>
  `${runFolder(activation, run)}/definition.json`;

/** Chunk messages sent at the same time. */
const PARALLEL_SENDS = 8;

export function createRunWorker(tools: RunWorkerTools): RunWorker {
  const { storage, runs, turns, progress, clock, log } = tools;
  const blobs = storage.blobs(CONTAINER);
  const chunkQueue = storage.queue(CHUNK_QUEUE);

  /** Takes a run on from where it is. */
  const advance = async (record: RunRecord, signal?: AbortSignal): Promise<void> => {
    const { activation, id, state } = record.run;
    switch (state) {
      case 'queued': {
        if (!(await turns.take(record, signal))) return;
        return advance(await changeState(record, 'queued', 'planning', signal), signal);
      }
      case 'planning':
        return plan(record, signal);
      case 'writing':
        await sendChunks(record, signal);
        return finishIfDone(record, signal);
      case 'finishing':
        return finish(record, signal);
      case 'succeeded':
      case 'completedWithRejections':
      case 'failed':
        log('A run has ended.', { activation, run: id, state });
        return turns.giveBack(record, signal);
      default:
        return unreachable(state);
    }
  };

  const changeState = (record: RunRecord, from: RunRecord['run']['state'], to: typeof from, signal?: AbortSignal) =>
    runs.change(
      record.run.activation,
      record.run.id,
      (now) => (now.run.state === from ? { ...now, run: { ...now.run, state: to } } : undefined),
      signal,
    );

  const end = async (
    record: RunRecord,
    change: (now: RunRecord) => RunRecord,
    signal?: AbortSignal,
  ): Promise<RunRecord> => {
    const { activation, id } = record.run;
    let isOurs = false;
    const after = await runs.change(
      activation,
      id,
      (now) => {
        isOurs = !isEnded(now.run.state);
        return isOurs ? change(now) : undefined;
      },
      signal,
    );
    if (isOurs) tellRun(tools.telemetry ?? noTelemetry, after.run, clock.now());
    await advance(after, signal);
    return after;
  };
  const fail = async (record: RunRecord, problem: RunProblem, signal?: AbortSignal): Promise<void> => {
    await end(record, (now) => ended(now, isoTime(clock.now()), { problem }), signal);
  };

  const plan = async (record: RunRecord, signal?: AbortSignal): Promise<void> => {
    const { activation, id } = record.run;
    const folder = `${runFolder(activation, id)}/${tools.newId()}`;
    let planned: PlannedRun;
    try {
      planned = await planInto(tools, record, folder, signal);
    } catch (error) {
      signal?.throwIfAborted();
      const problem = problemOf(error);
      log('A run could not be planned.', { activation, run: id, code: problem.code });
      if (!isTransient(error)) return fail(record, problem, signal);
      await runs.change(activation, id, (now) => ({ ...now, lastProblem: problem }), signal).catch(() => undefined);
      throw error;
    }
    // Of two plans of one run the first to get here counts; nothing of the other was sent.
    const committed = await runs.change(
      activation,
      id,
      (now) => (now.run.state === 'planning' ? withPlan(now, planned, folder, clock.now()) : undefined),
      signal,
    );
    await advance(committed, signal);
  };

  const sendChunks = async ({ run, plan, done }: RunRecord, signal?: AbortSignal): Promise<void> => {
    const open = Array.from({ length: plan?.chunks ?? 0 }, (_, chunk) => chunk).filter((chunk) => done[chunk] !== '1');
    for (let at = 0; at < open.length; at += PARALLEL_SENDS) {
      const messages = open.slice(at, at + PARALLEL_SENDS);
      await Promise.all(
        messages.map((chunk) => chunkQueue.send({ activation: run.activation, run: run.id, chunk }, {}, signal)),
      );
    }
  };

  const finishIfDone = async (record: RunRecord, signal?: AbortSignal): Promise<void> => {
    if (record.run.state !== 'writing') return advance(record, signal);
    if (record.done.includes('0')) return;
    await advance(await changeState(record, 'writing', 'finishing', signal), signal);
  };

  const finish = async (record: RunRecord, signal?: AbortSignal): Promise<void> => {
    const { activation, id } = record.run;
    const snapshot = snapshotPath(activation, id, tools.newId());
    const ledger = openLedger(blobs, record.plan?.folder ?? '');
    const merged = await withEngine(tools, signal, (engine) =>
      mergeLedger(record, snapshot, { engine, blobs, ledger, signal }),
    );
    const after = await end(record, (now) => ({ ...ended(now, isoTime(clock.now()), merged), snapshot }), signal);
    if (after.snapshot !== snapshot) await blobs.remove(snapshot, {}, signal);
  };

  const settleChunk = async (
    message: unknown,
    settle: (chunk: Chunk, record: RunRecord) => Promise<Parameters<typeof countPart>[2]>,
    signal?: AbortSignal,
  ): Promise<void> => {
    const { activation, run, chunk: number } = parsed(chunkMessage, message);
    const record = await runs.get(activation, run, signal);
    if (!record) return log('A chunk’s message names no run.', { activation, run });
    if (record.run.state !== 'writing' || !record.plan) return advance(record, signal);
    if (number >= record.plan.chunks) throw unreadable(`Run ${run} has no chunk ${number}.`);
    const { folder } = record.plan;
    const part = await settle({ blobs, ledger: openLedger(blobs, folder), folder, number }, record);
    const counted = await runs.change(activation, run, (now) => countPart(now, number, part, clock.now()), signal);
    await progress.forget(activation, run, number);
    await finishIfDone(counted, signal);
  };

  return {
    async planRun(message, signal) {
      const { activation, run } = parsed(runMessage, message);
      const record = await runs.get(activation, run, signal);
      if (!record) return log('A run’s message names no run.', { activation, run });
      await advance(record, signal);
    },
    writeChunk: (message, signal) =>
      settleChunk(
        message,
        async (chunk, { run, plan }) => {
          const definition = await frozenDefinition(tools, run.activation, run.id, signal);
          const open = () => tools.target(definition.connection, signal);
          const of = { activation: run.activation, run: run.id, chunk: chunk.number };
          const follow: FollowChunk = (look) => progress.follow(() => ({ ...of, ...look() }));
          return writeChunkRows(chunk, definition, open, plan?.committedAt ?? tools.clock.now(), follow, signal);
        },
        signal,
      ),
    async abandonChunk(message, signal) {
      const { activation, run } = parsed(chunkMessage, message);
      try {
        await settleChunk(message, (chunk) => giveUpChunkRows(chunk, signal), signal);
      } catch (error) {
        if (isTransient(error)) throw error;
        // What the run is made of is gone or does not add up; no further try would mend that.
        const record = await runs.get(activation, run, signal);
        if (record) await fail(record, problemOf(error), signal);
      }
    },
    async abandonRun(message, signal) {
      const { activation, run } = parsed(runMessage, message);
      const record = await runs.get(activation, run, signal);
      if (!record) return;
      // Rows may be on their way: a run that writes is taken on, and ends by its chunks.
      if (record.run.state === 'writing' || isEnded(record.run.state)) return advance(record, signal);
      await fail(record, record.lastProblem ?? GIVEN_UP, signal);
    },
  };
}

const GIVEN_UP: RunProblem = {
  code: 'runAbandoned',
  message: 'The worker stopped at every try before it could say why.',
  hint: 'See the app’s log at the time of the run; a source too large for the instance’s memory is a usual cause.',
};

const unreadable = (message: string): ActivationError => new ActivationError('messageUnreadable', message);

function parsed<T>(schema: z.ZodType<T>, message: unknown): T {
  const result = schema.safeParse(message);
  if (result.success) return result.data;
  throw new ActivationError('messageUnreadable', 'The message is not one of ours.', { cause: result.error });
}

interface PlannedRun extends Plan {
  readonly snapshot: string | undefined;
  readonly scope: string;
}

async function frozenDefinition(
  { storage }: RunWorkerTools,
  activation: string,
  run: string,
  signal?: AbortSignal,
): Promise<ActivationDefinition> {
  const blob = await storage.blobs(CONTAINER).read(definitionPath(activation, run), signal);
  if (!blob) throw new ActivationError('runAbandoned', 'The definition that the run was started with is gone.');
  return readDefinition(blob.body);
}

async function planInto(
  tools: RunWorkerTools,
  record: RunRecord,
  folder: string,
  signal?: AbortSignal,
): Promise<PlannedRun> {
  const { storage, states } = tools;
  const { activation, id } = record.run;
  const definition = await frozenDefinition(tools, activation, id, signal);
  const target = await tools.target(definition.connection, signal);
  const table = await target.table(definition.table, tableNeeds(definition), signal);
  const scope = snapshotScope(definition);
  const { snapshot: known } = await states.get(activation, signal);
  // A snapshot that is gone costs this run its incremental start and nothing else: rows are written by key.
  const isKnown = known?.scope === scope && (await storage.blobs(CONTAINER).exists(known.path, signal));
  const snapshot = isKnown ? known.path : undefined;
  const source: SourceBlob = record.input
    ? { container: CONTAINER, ...record.input }
    : await findSource(storage, definition.source, signal);
  const plan = await withEngine(tools, signal, async (engine) => {
    const file = await downloadSource(storage, source, engine.folder, signal);
    const { chunkRows, modelTimeoutMs } = tools;
    const request = { definition, table, file, format: source.format, snapshot, folder, chunkRows, modelTimeoutMs };
    const blobs = storage.blobs(CONTAINER);
    return makePlan({ ...request, fullRefresh: record.fullRefresh }, { ...tools, engine, blobs, signal });
  });
  return { ...plan, snapshot, scope };
}

const withPlan = (now: RunRecord, plan: PlannedRun, folder: string, committedAt: number): RunRecord => ({
  ...now,
  run: { ...now.run, state: 'writing', input: plan.input, counts: plan.counts, left: plan.left },
  plan: {
    folder,
    chunks: plan.chunks,
    committedAt,
    scope: plan.scope,
    ...(plan.snapshot !== undefined && { snapshot: plan.snapshot }),
  },
  done: '0'.repeat(plan.chunks),
});

/** Runs `work` with an engine and a folder of its own, both gone afterwards. */
async function withEngine<T>(
  { workFolder }: RunWorkerTools,
  signal: AbortSignal | undefined,
  work: (engine: Engine) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(workFolder, 'activation-'));
  try {
    const engine = await openEngine(folder, signal);
    try {
      return await work(engine);
    } finally {
      engine.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
