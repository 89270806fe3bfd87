import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openArena } from './arena.ts';
import { runTrial } from './trial.ts';

/** `npm run soak -- --seed N` runs one of them alone, and `--seeds COUNT` any number. */
const SEEDS = Array.from({ length: 25 }, (_, index) => index + 1);

let arena: Awaited<ReturnType<typeof openArena>>;
beforeAll(async () => {
  arena = await openArena();
});
afterAll(() => arena.close());

describe('a writer under fire loses, doubles and misreports no row', () => {
  test.each(SEEDS)('with seed %i', async (seed) => {
    const { faults, description } = await runTrial(arena, seed);
    expect(faults, description).toEqual([]);
  });
});
