import { expect, test } from 'vitest';
import { executionMs, modelledMs, serviceModelSchema } from '../../../../src/local/dataverse/service-model.ts';

const model = serviceModelSchema.parse({
  callMs: 12,
  rowMs: { create: 2, update: 2.4, delete: 1 },
  alternateKeyFactor: 2.4,
  batchOperationMs: 8,
  read: { queryMs: 5, rowMs: 0.1, keyMs: 0.5 },
});

test.each([
  ['an empty call', {}, 12],
  ['1000 rows that are created in one call', { creates: 1000 }, 2012],
  ['100 rows that are updated by alternate key', { keyedUpdates: 100 }, 12 + 100 * 2.4 * 2.4],
  [
    'rows of all kinds',
    { creates: 1, updates: 2, deletes: 3, keyedCreates: 1, keyedDeletes: 1 },
    12 + 2 + 4.8 + 3 + 4.8 + 2.4,
  ],
  ['a batch of ten', { creates: 10, batchOperations: 10 }, 12 + 80 + 20],
  ['a page of rows that are looked for by key', { queries: 1, rowsRead: 90, keysLookedUp: 100 }, 12 + 5 + 9 + 50],
])('%s takes the sum of its parts', (_, effort, ms) => {
  expect(modelledMs(model, effort)).toBeCloseTo(ms, 9);
  expect(executionMs(model, effort)).toBeCloseTo(ms, 9);
});

test('only the parts that the model names count as execution time', () => {
  const rowsOnly = { ...model, executionTime: ['rows' as const, 'reads' as const] };
  const effort = { creates: 5, batchOperations: 5, queries: 1 };
  expect(modelledMs(rowsOnly, effort)).toBe(12 + 10 + 40 + 5);
  expect(executionMs(rowsOnly, effort)).toBe(10 + 5);
});

test('a model that says nothing costs nothing and limits nothing', () => {
  const free = serviceModelSchema.parse({});
  expect(modelledMs(free, { creates: 1000, batchOperations: 10, queries: 3 })).toBe(0);
  expect(free.limits).toBeUndefined();
});

test('limits that are asked for without numbers are the documented ones', () => {
  expect(serviceModelSchema.parse({ limits: {} }).limits).toMatchObject({
    windowMs: 300_000,
    requests: 6000,
    executionMs: 1_200_000,
    concurrency: 52,
  });
});

test.each([
  ['a member that it does not know', { callMS: 12 }],
  ['a member below that it does not know', { rowMs: { upsert: 1 } }],
  ['a negative cost', { callMs: -1 }],
  ['a cost that is no number', { rowMs: { create: '2' } }],
  ['no web server', { webServers: 0 }],
  ['a window without length', { limits: { windowMs: 0 } }],
])('a model with %s is refused', (_, json) => {
  expect(serviceModelSchema.safeParse(json).success).toBe(false);
});
