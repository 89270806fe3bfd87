import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { openStorage } from '../../src/storage/storage.ts';
import { freshStorage } from '../support/storage.ts';

const account = freshStorage();
const leases = openStorage(account, account.credential).leases('pace');
const [mine, yours] = [randomUUID(), randomUUID()];

test('one holds a thing at a time, which is made when it is first taken', async () => {
  expect(await leases.list('once/')).toEqual([]);
  expect(await leases.acquire('once/a', mine, 15)).toBe(true);
  expect(await leases.acquire('once/a', yours, 15)).toBe(false);
  expect(await leases.acquire('once/a', mine, 15)).toBe(true);
  expect(await leases.list('once/')).toEqual([{ path: 'once/a', held: true, notes: {} }]);
  await leases.release('once/a', yours);
  expect((await leases.list('once/'))[0]?.held).toBe(true);
  await leases.release('once/a', mine);
  await leases.release('once/a', mine);
  expect((await leases.list('once/'))[0]?.held).toBe(false);
  expect(await leases.acquire('once/a', yours, 15)).toBe(true);
});

test('of many who take a new thing at once, one gets it', async () => {
  const got = await Promise.all(Array.from({ length: 6 }, () => leases.acquire('race/a', randomUUID(), 15)));
  expect(got.filter(Boolean)).toHaveLength(1);
});

test('only the holder renews it and writes notes on it', async () => {
  await leases.acquire('notes/a', mine, 15);
  expect(await leases.renew('notes/a', mine)).toBe(true);
  expect(await leases.renew('notes/a', yours)).toBe(false);
  expect(await leases.renew('notes/nothing', mine)).toBe(false);
  expect(await leases.annotate('notes/a', mine, { wants: '3' })).toBe(true);
  expect(await leases.annotate('notes/a', yours, { wants: '9' })).toBe(false);
  expect(await leases.list('notes/')).toEqual([{ path: 'notes/a', held: true, notes: { wants: '3' } }]);
});

test('notes that several change at once are changed by each on top of the others', async () => {
  const addOne = () => leases.change('count', ({ n = '0' }) => ({ n: String(Number(n) + 1) }));
  await Promise.all([addOne(), addOne(), addOne(), addOne()]);
  await leases.change('count', () => undefined);
  expect((await leases.list('count'))[0]?.notes).toEqual({ n: '4' });
});

test('a storage account that is not there is unavailable, and an aborted call throws the signal’s reason', async () => {
  const nowhere = openStorage({ ...account, blobServiceUri: 'https://localhost:1/none' }, account.credential);
  await expect(nowhere.leases('pace').acquire('a', mine, 15)).rejects.toMatchObject({ code: 'unavailable' });
  await expect(leases.list('', AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
});
