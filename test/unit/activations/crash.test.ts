import { expect, test } from 'vitest';
import type { Activations } from '../../../src/activations/activations.ts';
import { mortalStorage } from './memory-storage.ts';
import { definition, handle, openWorld, putSource, type World } from './world.ts';

const FIRST = 'number,name,employees\nA,Alpha,1\nB,Beta,2\nC,Gamma,three\nD,Delta,4\nE,Echo,5\n';
const SECOND = 'number,name,employees\nA,Alpha,1\nB,Beta & Sons,2\nC,Gamma,3\nE,Echo,5\nF,Foxtrot,6\n';

const CHUNKS = { chunkRows: 2 };

/** Runs to the end in processes of which the first dies before its `fatal`th storage step. Resolves with its steps. */
async function runWithDeath(world: World, fatal: number): Promise<{ died: boolean; steps: readonly string[] }> {
  const mortal = mortalStorage(world.storage, fatal);
  const first = world.process(mortal.storage);
  const second = world.process();
  const alive = (): Activations => (mortal.isDead() ? second : first);
  const unlessItDied = (error: unknown): void => {
    if (!mortal.isDead()) throw error;
  };
  const pump = async (): Promise<void> => {
    const { messages } = world.storage;
    for (let next = messages[0]; next; next = messages[0]) {
      // A message is gone only after its handler has ended well, as the host deletes it then.
      const { length } = messages;
      await handle(alive(), next).then(() => messages.shift(), unlessItDied);
      if (messages.length > length + 10) throw new Error('Messages multiply.');
    }
  };
  await alive().start('companies', { startedBy: 'test' }).catch(unlessItDied);
  await pump();
  for (let tick = 0; tick < 2; tick += 1) {
    world.later(31 * 60_000);
    await alive().tick().catch(unlessItDied);
    await pump();
  }
  return { died: mortal.isDead(), steps: mortal.steps };
}

const READS = /^(get|query|read|open|download|exists|list|count) /;

/**
 * The steps to die at. What a death leaves behind is the same before all reads that stand between two changes, so one
 * death before each change covers them; but a chunk's rows are written between its last read and its ledger, and a
 * death there is another one before and after.
 */
const fatalSteps = (steps: readonly string[]): number[] =>
  steps.flatMap((step, at) => (!READS.test(step) || step.includes('/attempts/') ? [at + 1] : []));

// Dying right after a step is dying before the next one.
test('a run whose process dies before any of its storage steps loses nothing and doubles nothing', async () => {
  const origin = openWorld(CHUNKS);
  await origin.activations.put('companies', definition());
  await putSource(origin, FIRST);
  const { counts } = await origin.runToEnd('companies');
  expect(counts).toEqual({ created: 4, updated: 0, unchanged: 0, deleted: 0, rejected: 1, skipped: 0 });
  await putSource(origin, SECOND);
  origin.later(1);

  const { steps } = await runWithDeath(openWorld(CHUNKS, origin), Number.POSITIVE_INFINITY);
  const fatal = fatalSteps(steps);
  expect(fatal.length).toBeGreaterThan(24);
  for (const death of [...fatal, steps.length + 1]) {
    const world = openWorld(CHUNKS, origin);
    const at = `death before step ${death}, ${steps[death - 1]}`;
    const { died } = await runWithDeath(world, death);
    expect(died, at).toBe(death <= steps.length);
    const { value: runs } = await world.activations.runs('companies');
    const [run] = runs;
    if (!run || runs.length === 1) {
      // The start died before the run was stored: the caller had no answer, and nothing was sent.
      expect(world.target.sent, at).toEqual({ created: 0, updated: 0 });
      expect(death, at).toBeLessThan(4);
      continue;
    }
    expect(run, at).toMatchObject({ state: 'succeeded', input: 5, left: 1 });
    expect(run.counts, at).toEqual({ created: 2, updated: 1, unchanged: 2, deleted: 0, rejected: 0, skipped: 0 });
    const rows = await world.allRows('companies', run.id);
    expect(rows.map((row) => `${row.index} ${row.outcome}`).join(), at).toBe(
      '0 unchanged,1 updated,2 created,3 unchanged,4 created',
    );
    expect(world.target.rows.size, at).toBe(6);
    expect(world.target.sent.created, at).toBe(2);
    // The next run sees what this one left: nothing to send, and what left before has not left again.
    const next = await world.runToEnd('companies');
    expect(next, at).toMatchObject({ state: 'succeeded', calls: 0, left: 0, counts: { unchanged: 5 } });
  }
});
