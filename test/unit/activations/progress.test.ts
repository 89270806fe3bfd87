import { describe, expect, test } from 'vitest';
import type { LedgerPart } from '../../../src/activations/ledger.ts';
import type { ChunkProgress } from '../../../src/activations/live-progress.ts';
import { countPart, withLive } from '../../../src/activations/progress.ts';
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

describe('a chunk that is being written', () => {
  const live = (chunk: number, changes: Partial<ChunkProgress> = {}): ChunkProgress => ({
    version: 1,
    chunk,
    instance: 'one',
    counts: { ...noOutcomes(), created: 10 },
    calls: 3,
    throttled: { count: 1, waitedMs: 250 },
    concurrency: 4,
    batchSize: 100,
    at: START + 4_000,
    ...changes,
  });

  test('counts into what is told of its run, and not into what is stored', () => {
    const run = withLive(record, [live(0), live(1)], START + 5_000);
    expect(run).toMatchObject({
      counts: { created: 20, unchanged: 40 },
      calls: 6,
      throttled: { count: 2, waitedMs: 500 },
      rowsPerSecond: 4,
      etaSeconds: 10,
    });
    expect(record.run.counts.created).toBe(0);
  });

  test('shares the pace of its instance with the other chunks there', () => {
    const chunks = [live(0), live(1, { concurrency: 5 }), live(2, { instance: 'two', batchSize: 400 })];
    const writing = { instances: 2, chunks: 3, concurrency: 9, batchSize: 400 };
    expect(withLive(record, chunks, START + 5_000).writing).toEqual(writing);
  });

  test('does not count twice once its ledger is counted', () => {
    const counted = countPart(record, 1, part, START + 4_000) ?? record;
    expect(withLive(counted, [live(0), live(1)], START + 5_000).counts.created).toBe(30);
  });

  test('of a worker that fell silent keeps its rows, and is nothing that goes on', () => {
    const run = withLive(record, [live(0)], START + 60_000);
    expect(run.counts.created).toBe(10);
    expect(run).not.toHaveProperty('writing');
  });
});
