import { type Entry, type EntryContext, prepareEntries } from './entries.ts';
import { chainsOf, lanesOf, type PackingLimits } from './lanes.ts';
import type { BatchOutcome } from './outcome.ts';
import { type SendContext, sendEntries } from './send.ts';

/** A `$batch` runs its operations one after the other, so that more of them only hold its answer back. */
const LIMITS: PackingLimits = { entries: 100, bytes: 8 * 1024 * 1024 };

export type BatchContext = Omit<EntryContext & SendContext, 'laneOf' | 'now'>;

/**
 * Carries out entries that are independent of each other and resolves with one outcome for each, in order. Entries that
 * concern one row keep their order; what else there is runs side by side. Throws nothing that concerns entries.
 */
export async function runBatch(context: BatchContext, values: readonly unknown[]): Promise<readonly BatchOutcome[]> {
  const { clock } = context;
  const prepared = await prepareEntries({ ...context, now: clock.now }, values);
  const entries = prepared.filter((each) => !('outcome' in each)) as Entry[];
  const settled = prepared.filter((each) => 'outcome' in each);
  const lanes = lanesOf(entries);
  const numbers = new Map(lanes.flatMap((lane, number) => lane.map(({ index }) => [index, number])));
  const sending: SendContext = { ...context, laneOf: ({ index }) => numbers.get(index) };
  const sent = await Promise.all(
    chainsOf(lanes, LIMITS).map(async (chain) => {
      const outcomes: BatchOutcome[] = [];
      for (const batch of chain) outcomes.push(...(await sendEntries(sending, batch)));
      return outcomes;
    }),
  );
  return [...settled, ...sent.flat()].sort((a, b) => a.index - b.index);
}
