import { expect, test } from 'vitest';
import type { LedgerPart } from '../../../src/activations/ledger.ts';
import { countPart } from '../../../src/activations/progress.ts';
import type { RunRecord } from '../../../src/activations/runs.ts';
import { noOutcomes } from '../../../src/dataverse/bulk/outcomes.ts';
import { START } from './world.ts';

const record: RunRecord = {
  version: 1,
  run: {
    id: '20260701090000000-test',
    activation: 'companies',
    connection: 'default',
    state: 'writing',
    startedBy: 'test',
    input: 100,
    counts: { ...noOutcomes(), unchanged: 40 },
    left: 0,
    calls: 0,
    throttled: { count: 0, waitedMs: 0 },
    rowsPerSecond: 0,
    startedAt: '2026-07-01T09:00:00.000Z',
  },
  fullRefresh: false,
  plan: { folder: 'x', chunks: 3, committedAt: START, scope: 'x' },
  changedAt: START,
  done: '000',
};

const part: LedgerPart = {
  rows: Array.from({ length: 20 }, (_, index) => ({ index, key: { accountnumber: `N${index}` }, outcome: 'created' })),
  summary: { calls: 2, throttled: { count: 1, waitedMs: 500 } },
};

test('a chunk moves a run’s counts, cost, pace and time left', () => {
  const counted = countPart(record, 1, part, START + 4_000);
  expect(counted?.done).toBe('010');
  expect(counted?.run).toMatchObject({
    counts: { created: 20, unchanged: 40 },
    calls: 2,
    throttled: { count: 1, waitedMs: 500 },
    rowsPerSecond: 5,
    etaSeconds: 8,
  });
});

test('a chunk that is delivered again is not counted again', () => {
  const counted = countPart(record, 1, part, START + 4_000);
  expect(counted && countPart(counted, 1, part, START + 5_000)).toBeUndefined();
  expect(counted && countPart(counted, 2, part, START + 8_000)?.run.counts.created).toBe(40);
});
