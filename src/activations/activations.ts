import { noOutcomes, type RowOutcome } from '../dataverse/bulk/outcomes.ts';
import type { Clock } from '../shared/clock.ts';
import { isoTime } from '../shared/clock.ts';
import type { NewId } from '../shared/ids.ts';
import type { Storage } from '../storage/storage.ts';
import type { Log } from '../telemetry/log.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { ActivationDefinition } from './definition.ts';
import {
  CONTAINER,
  definitionDocument,
  openDefinitions,
  type StoredDefinition,
  unknownActivation,
} from './definitions.ts';
import { ActivationError } from './errors.ts';
import { type LedgerPage, openLedger, readLedger } from './ledger.ts';
import { openLiveProgress } from './live-progress.ts';
import { withLive } from './progress.ts';
import { RUN_QUEUE } from './queues.ts';
import { type RunInput, storeInput } from './run-input.ts';
import { createRunWorker, definitionPath, type RunWorker, runFolder } from './run-worker.ts';
import { openRuns, type Run, type RunPage, type RunRecord, runId } from './runs.ts';
import { runTick, STARTED_BY_SCHEDULE, type Tick } from './scheduler.ts';
import { openStates } from './states.ts';
import type { OpenTarget } from './target.ts';
import { createTurns } from './turns.ts';

export interface ActivationsOptions {
  readonly storage: Storage;
  readonly target: OpenTarget;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  readonly telemetry?: Telemetry;
  /** Temporary files go below it. */
  readonly workFolder: string;
  /** Rows of a chunk, which one message carries out. */
  readonly chunkRows?: number;
  /** Longest time that a model may take. */
  readonly modelTimeoutMs?: number;
}

export interface StartOptions {
  /** Who or what started the run, as the run tells it: a name, never a secret. */
  readonly startedBy: string;
  /** Rows to take for the source. */
  readonly input?: RunInput | undefined;
  /** Send every row, also those that the service has accepted as they are. */
  readonly fullRefresh?: boolean | undefined;
}

/** Activations and their runs. Whatever fails on purpose throws ActivationError, StorageError or DataverseError. */
export interface Activations extends RunWorker {
  list(signal?: AbortSignal): Promise<readonly StoredDefinition[]>;
  /** Throws `activationUnknown`. */
  get(name: string, signal?: AbortSignal): Promise<StoredDefinition>;
  /** Throws `definitionInvalid` with every fault, `definitionConflict` where a condition does not hold. */
  put(
    name: string,
    body: unknown,
    conditions?: { ifMatch?: string | undefined; ifNoneMatch?: '*' | undefined },
    signal?: AbortSignal,
  ): Promise<{ etag: string; created: boolean }>;
  /** Runs that wait or go on are not stopped. Throws `activationUnknown`, `definitionConflict`. */
  remove(name: string, conditions?: { ifMatch?: string | undefined }, signal?: AbortSignal): Promise<void>;
  /** Rests the schedule; runs can still be started. Throws `activationUnknown`. */
  pause(name: string, signal?: AbortSignal): Promise<void>;
  /** Goes on with the schedule; slots in the pause are not made up for. Throws `activationUnknown`. */
  resume(name: string, signal?: AbortSignal): Promise<void>;
  /** Queues a run of the definition as it is now. Throws `activationUnknown` or what `storeInput` throws. */
  start(name: string, options: StartOptions, signal?: AbortSignal): Promise<Run>;
  /** Newest first. Throws `activationUnknown` where there is neither a definition nor a run. */
  runs(name: string, query?: { page?: string | undefined; pageSize?: number }, signal?: AbortSignal): Promise<RunPage>;
  /** As far as it has come, two seconds ago at most. Throws `runUnknown`. */
  run(name: string, id: string, signal?: AbortSignal): Promise<Run>;
  /** What became of each row, as far as it is settled. Throws `runUnknown`, `pageUnknown`. */
  rows(
    name: string,
    id: string,
    query?: { outcome?: RowOutcome['outcome'] | undefined; page?: string | undefined; pageSize?: number },
    signal?: AbortSignal,
  ): Promise<LedgerPage>;
  /** Starts what is due; called each minute, on however many instances. */
  tick(signal?: AbortSignal): Promise<Tick>;
}

const CHUNK_ROWS = 1_000;
const MODEL_TIMEOUT_MS = 5 * 60_000;
const RUNS_PAGE = 100;
const ROWS_PAGE = 1_000;

export function createActivations(options: ActivationsOptions): Activations {
  const { storage, clock, newId, log } = options;
  const blobs = storage.blobs(CONTAINER);
  const definitions = openDefinitions(storage);
  const runs = openRuns(storage, clock);
  const states = openStates(storage, clock);
  const turns = createTurns({ runs, states, blobs, queue: storage.queue(RUN_QUEUE), log });
  const { chunkRows = CHUNK_ROWS, modelTimeoutMs = MODEL_TIMEOUT_MS } = options;
  const progress = openLiveProgress(storage, clock, newId());
  const worker = createRunWorker({ ...options, runs, states, turns, progress, chunkRows, modelTimeoutMs });

  /** Undefined where there is a run of this id already. */
  const queueRun = async (
    id: string,
    definition: ActivationDefinition,
    { startedBy, input, fullRefresh = false }: StartOptions,
    signal?: AbortSignal,
  ): Promise<Run | undefined> => {
    const { name } = definition;
    const stored = input && (await storeInput(blobs, runFolder(name, id), input, signal));
    await blobs.write(definitionPath(name, id), definitionDocument(definition), {}, signal);
    const run = newRun(id, definition, startedBy, clock.now());
    const record: RunRecord = { version: 1, run, fullRefresh, changedAt: clock.now(), done: '' };
    // From here on the run exists and will end, whether or not its message can be sent now.
    if (!(await runs.insert({ ...record, ...(stored && { input: stored }) }, signal))) return undefined;
    await turns.wake(name, id, signal);
    return run;
  };

  const recordOf = async (name: string, id: string, signal?: AbortSignal): Promise<RunRecord> => {
    const record = await runs.get(name, id, signal);
    if (record) return record;
    throw new ActivationError('runUnknown', `The activation '${name}' has no run '${id}'.`);
  };

  return {
    ...worker,
    list: (signal) => definitions.list(signal),
    get: (name, signal) => definitions.get(name, signal),
    async put(name, body, conditions = {}, signal) {
      const { etag, created, before, after } = await definitions.put(name, body, conditions, signal);
      // A new schedule begins now: the slots that it would have had before are not made up for.
      if (JSON.stringify(before?.schedule) !== JSON.stringify(after.schedule) || created) {
        await states.change(name, (state) => ({ ...state, lastSlot: clock.now() }), signal);
      }
      return { etag, created };
    },
    remove: (name, conditions = {}, signal) => definitions.remove(name, conditions, signal),
    async pause(name, signal) {
      await definitions.get(name, signal);
      await states.change(name, (state) => (state.paused ? undefined : { ...state, paused: true }), signal);
    },
    async resume(name, signal) {
      await definitions.get(name, signal);
      const now = clock.now();
      const resumed = { paused: false, lastSlot: now };
      await states.change(name, (state) => (state.paused ? { ...state, ...resumed } : undefined), signal);
    },
    async start(name, startOptions, signal) {
      const { definition } = await definitions.get(name, signal);
      const id = runId(clock.now(), newId().replaceAll('-', '').slice(0, 12));
      const run = await queueRun(id, definition, startOptions, signal);
      if (!run) throw new ActivationError('definitionConflict', `There is a run '${id}' already.`);
      return run;
    },
    async runs(name, { page, pageSize = RUNS_PAGE } = {}, signal) {
      const found = await runs.list(name, { page, pageSize }, signal);
      if (found.value.length === 0 && !(await definitions.find(name, signal))) throw unknownActivation(name);
      return found;
    },
    async run(name, id, signal) {
      const record = await recordOf(name, id, signal);
      if (record.run.state !== 'writing') return record.run;
      return withLive(record, await progress.of(name, id, signal), clock.now());
    },
    async rows(name, id, { outcome, page, pageSize = ROWS_PAGE } = {}, signal) {
      const { plan } = await recordOf(name, id, signal);
      if (!plan) return { value: [] };
      return readLedger(openLedger(blobs, plan.folder), { outcome, page, pageSize }, signal);
    },
    tick: (signal) =>
      runTick(
        {
          definitions,
          runs,
          states,
          turns,
          clock,
          log,
          async startSlot({ definition }, slot, within) {
            const id = runId(slot, STARTED_BY_SCHEDULE);
            return (await queueRun(id, definition, { startedBy: STARTED_BY_SCHEDULE }, within))?.id;
          },
        },
        signal,
      ),
  };
}

const newRun = (id: string, { name, connection }: ActivationDefinition, startedBy: string, now: number): Run => ({
  id,
  activation: name,
  connection,
  state: 'queued',
  startedBy,
  input: 0,
  counts: noOutcomes(),
  left: 0,
  calls: 0,
  throttled: { count: 0, waitedMs: 0 },
  rowsPerSecond: 0,
  startedAt: isoTime(now),
});
