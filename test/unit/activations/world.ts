import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type Activations, createActivations } from '../../../src/activations/activations.ts';
import type { Run } from '../../../src/activations/runs.ts';
import type { RowOutcome } from '../../../src/dataverse/bulk/outcomes.ts';
import type { Storage } from '../../../src/storage/storage.ts';
import { type FakeTarget, fakeTarget } from './fake-target.ts';
import { type MemoryStorage, memoryStorage, type QueuedMessage } from './memory-storage.ts';

/** A time of no meaning, from which the clock of a world is moved by hand. */
export const START = Date.parse('2026-07-01T09:00:00Z');

export interface World {
  readonly storage: MemoryStorage;
  readonly target: FakeTarget;
  readonly activations: Activations;
  readonly logged: string[];
  now(): number;
  /** Moves the clock. */
  later(ms: number): void;
  /** Another process on the same storage and target. */
  process(storage?: Storage): Activations;
  /** Delivers messages until there are none, five times each and then to the poison handlers, as the host does. */
  settle(): Promise<void>;
  /** Starts a run and settles it. */
  runToEnd(name: string, options?: Partial<Parameters<Activations['start']>[1]>): Promise<Run>;
  allRows(name: string, run: string): Promise<readonly RowOutcome[]>;
}

const MOST_DELIVERIES = 5;

export function openWorld(options: { chunkRows?: number; modelTimeoutMs?: number } = {}, from?: World): World {
  let now = from?.now() ?? START;
  // Ids of a fork begin where those of its origin cannot reach.
  let ids = from ? 1_000_000 : 0;
  const workFolder = mkdtempSync(join(tmpdir(), 'activations-test-'));
  onTestFinished(() => rmSync(workFolder, { recursive: true, force: true }));
  const clock = (): number => now;
  const storage = from?.storage.fork(clock) ?? memoryStorage(clock);
  const target = fakeTarget();
  for (const [id, row] of from?.target.rows ?? []) target.rows.set(id, row);
  const logged: string[] = [];
  const process = (seen: Storage = storage): Activations =>
    createActivations({
      storage: seen,
      target: (...args) => target.open(...args),
      clock: {
        now: () => now,
        // Only time-outs and pauses between tries sleep: the former never come, the latter need not be waited for.
        sleep: (ms, signal) => (ms < 1000 ? Promise.resolve() : aborted(signal)),
      },
      newId: () => {
        ids += 1;
        return `00000000-0000-4000-8000-${String(ids).padStart(12, '0')}`;
      },
      log: (message) => logged.push(message),
      workFolder,
      ...options,
    });
  const activations = process();
  const world: World = {
    storage,
    target,
    activations,
    logged,
    process,
    now: clock,
    later: (ms) => {
      now += ms;
    },
    async settle() {
      for (let next = storage.messages.shift(); next; next = storage.messages.shift()) {
        await deliver(activations, next);
      }
    },
    async runToEnd(name, startOptions = {}) {
      now += 1;
      const { id } = await activations.start(name, { startedBy: 'test', ...startOptions });
      await world.settle();
      return activations.run(name, id);
    },
    async allRows(name, run) {
      const rows: RowOutcome[] = [];
      let page: string | undefined;
      do {
        const part = await activations.rows(name, run, { page, pageSize: 1000 });
        rows.push(...part.value);
        page = part.nextPage;
      } while (page !== undefined);
      return rows.sort((a, b) => a.index - b.index);
    },
  };
  return world;
}

/** One delivery of a message, without repetition. */
export const handle = (activations: Activations, { queue, message }: QueuedMessage): Promise<void> =>
  queue === 'activation-runs' ? activations.planRun(message) : activations.writeChunk(message);

async function deliver(activations: Activations, queued: QueuedMessage): Promise<void> {
  for (let attempt = 1; attempt <= MOST_DELIVERIES; attempt += 1) {
    try {
      return await handle(activations, queued);
    } catch {
      if (attempt < MOST_DELIVERIES) continue;
      await (queued.queue === 'activation-runs'
        ? activations.abandonRun(queued.message)
        : activations.abandonChunk(queued.message));
      return;
    }
  }
}

const aborted = (signal: AbortSignal | undefined): Promise<void> =>
  new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

/** A definition over `inbox/rows.csv` with the columns number, name and employees. */
export const definition = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  name: 'companies',
  source: { kind: 'blob', path: 'inbox/rows*.csv' },
  table: 'account',
  key: { kind: 'alternateKey', columns: ['accountnumber'] },
  mapping: { accountnumber: 'number', name: 'name', numberofemployees: 'employees' },
  ...changes,
});

/** Puts a source where the definition looks for it. */
export const putSource = (world: World, text: string | Buffer, path = 'rows.csv'): Promise<unknown> =>
  world.storage.blobs('inbox').write(path, text);
