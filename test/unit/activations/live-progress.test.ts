import { expect, test } from 'vitest';
import { type ChunkInWork, openLiveProgress } from '../../../src/activations/live-progress.ts';
import { noOutcomes } from '../../../src/dataverse/bulk/outcomes.ts';
import { timeline } from '../dataverse/bulk/timeline.ts';
import { memoryStorage } from './memory-storage.ts';

const state = (created: number): ChunkInWork => ({
  activation: 'companies',
  run: '20260701090000000-test',
  chunk: 7,
  counts: { ...noOutcomes(), created },
  calls: created,
  throttled: { count: 0, waitedMs: 0 },
  concurrency: 2,
  batchSize: 100,
});

function openWorld() {
  const clock = timeline();
  const storage = memoryStorage(clock.now);
  const progress = openLiveProgress(storage, clock, 'this instance');
  const told = () => progress.of('companies', '20260701090000000-test');
  return { clock, storage, progress, told };
}

test('a chunk is told every two seconds as it is then, until it is followed no more', async () => {
  const { clock, progress, told } = openWorld();
  let rows = 0;
  const following = progress.follow(() => state(rows));
  rows = 10;
  await clock.run(clock.sleep(1_900));
  expect(await told()).toEqual([]);
  await clock.run(clock.sleep(200));
  const [first] = await told();
  expect(first).toMatchObject({ chunk: 7, instance: 'this instance', counts: { created: 10 }, calls: 10 });
  rows = 25;
  await clock.run(clock.sleep(2_000));
  expect(await told()).toMatchObject([{ counts: { created: 25 }, at: (first?.at ?? 0) + 2_000 }]);
  await following.stop();
  rows = 99;
  await clock.run(clock.sleep(10_000));
  expect(await told()).toMatchObject([{ counts: { created: 25 } }]);
});

test('a chunk is forgotten with its ledger, and one that nobody told of too', async () => {
  const { clock, progress, told } = openWorld();
  const following = progress.follow(() => state(1));
  await clock.run(clock.sleep(2_500));
  await following.stop();
  await progress.forget('companies', '20260701090000000-test', 8);
  expect(await told()).toHaveLength(1);
  await progress.forget('companies', '20260701090000000-test', 7);
  expect(await told()).toEqual([]);
});

test('storage that fails does not disturb the writing', async () => {
  const { clock, storage } = openWorld();
  const down = () => Promise.reject(new Error('down'));
  const table = { ...storage.table('any'), put: down, remove: down };
  const progress = openLiveProgress({ ...storage, table: () => table }, clock, 'this instance');
  const following = progress.follow(() => state(1));
  await clock.run(clock.sleep(5_000));
  await following.stop();
  await progress.forget('companies', '20260701090000000-test', 7);
});

test('what another version of the app wrote down is passed over', async () => {
  const { storage, told } = openWorld();
  const document = JSON.stringify({ version: 2 });
  const entity = { partition: 'companies.20260701090000000-test', row: '000001', properties: { document } };
  await storage.table('activationprogress').put(entity);
  expect(await told()).toEqual([]);
});
