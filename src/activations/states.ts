import * as z from 'zod';
import type { Clock } from '../shared/clock.ts';
import { StorageError } from '../storage/errors.ts';
import type { Storage } from '../storage/storage.ts';

const stateSchema = z.object({
  version: z.literal(1),
  /** The one run that may plan and write. */
  activeRun: z.string().exactOptional(),
  /** What the service accepted before, for the connection, table and key that `scope` stands for. */
  snapshot: z.object({ path: z.string(), scope: z.string() }).exactOptional(),
  /** The schedule is at rest; runs can still be started by hand. */
  paused: z.boolean(),
  /** The last slot of the schedule that was dealt with; milliseconds since 1970. */
  lastSlot: z.number().exactOptional(),
});

/** What changes about an activation while its definition stays: who runs, what was accepted, where the schedule is. */
export type ActivationState = z.infer<typeof stateSchema>;

export interface StateStore {
  get(activation: string, signal?: AbortSignal): Promise<ActivationState>;
  /** As `RunStore.change`. */
  change(
    activation: string,
    change: (state: ActivationState) => ActivationState | undefined,
    signal?: AbortSignal,
  ): Promise<ActivationState>;
  /** Names of all activations that ever were, also of those removed while a run of theirs goes on. */
  names(signal?: AbortSignal): Promise<readonly string[]>;
}

const PARTITION = 'state';
const FRESH: ActivationState = { version: 1, paused: false };
const MOST_TRIES = 30;
const RETRY_MS = 20;
const PAGE = 1000;

export function openStates(storage: Storage, clock: Clock): StateStore {
  const table = storage.table('activationstates');
  const parse = (text: unknown): ActivationState => stateSchema.parse(JSON.parse(String(text)));

  return {
    async get(activation, signal) {
      const entity = await table.get(PARTITION, activation, signal);
      return entity ? parse(entity.properties['document']) : FRESH;
    },
    async change(activation, change, signal) {
      for (let attempt = 1; ; attempt += 1) {
        const entity = await table.get(PARTITION, activation, signal);
        const before = entity ? parse(entity.properties['document']) : FRESH;
        const after = change(before);
        if (!after) return before;
        const row = { partition: PARTITION, row: activation, properties: { document: JSON.stringify(after) } };
        try {
          await (entity ? table.replace(row, entity.etag, signal) : table.insert(row, signal));
          return after;
        } catch (error) {
          if (!(error instanceof StorageError) || error.code !== 'conflict' || attempt === MOST_TRIES) throw error;
        }
        await clock.sleep(RETRY_MS * attempt, signal);
      }
    },
    async names(signal) {
      const names: string[] = [];
      let continuation: string | undefined;
      do {
        const page = await table.query(
          {
            where: [{ name: 'partition', is: 'eq', value: PARTITION }],
            limit: PAGE,
            ...(continuation !== undefined && { continuation }),
          },
          signal,
        );
        names.push(...page.entities.map((entity) => entity.row));
        continuation = page.continuation;
      } while (continuation !== undefined);
      return names;
    },
  };
}
