import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { openWorld } from './world.ts';

const sample = (name: string): Buffer => readFileSync(new URL(`../../../src/local/sample/${name}`, import.meta.url));

test('the NASDAQ listing of June creates every company, and that of July sends only what changed', async () => {
  const world = openWorld();
  const { activations, storage, target } = world;
  await activations.put('nasdaq-accounts', JSON.parse(sample('nasdaq-accounts.json').toString()));

  await storage.blobs('inbox').write('nasdaq-listed-2026-06.csv', sample('nasdaq-listed-2026-06.csv'));
  const june = await world.runToEnd('nasdaq-accounts');
  expect(june).toMatchObject({ state: 'succeeded', input: 5472, left: 0, calls: 6 });
  expect(june.counts).toEqual({ created: 5472, updated: 0, unchanged: 0, deleted: 0, rejected: 0, skipped: 0 });

  world.later(60_000);
  await storage.blobs('inbox').write('nasdaq-listed-2026-07.csv', sample('nasdaq-listed-2026-07.csv'));
  const july = await world.runToEnd('nasdaq-accounts');
  expect(july).toMatchObject({ state: 'succeeded', input: 5524, left: 70, calls: 1 });
  expect(july.counts).toEqual({ created: 122, updated: 14, unchanged: 5388, deleted: 0, rejected: 0, skipped: 0 });
  expect(target.sent).toEqual({ created: 5472 + 122, updated: 14 });
  expect(target.rows.size).toBe(5472 + 122);

  const rows = await world.allRows('nasdaq-accounts', july.id);
  expect(rows.map((row) => row.index)).toEqual(Array.from({ length: 5524 }, (_, index) => index));
  expect(rows.every((row) => row.id !== undefined && target.rows.has(row.id))).toBe(true);

  const again = await world.runToEnd('nasdaq-accounts');
  expect(again).toMatchObject({ state: 'succeeded', left: 0, calls: 0, counts: { unchanged: 5524 } });
});
