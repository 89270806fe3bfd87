import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { serviceModelSchema } from '../../../src/local/dataverse/service-model.ts';
import { leastMs, leastWork, optimumWithBadRows } from '../../bench/writer/theory.ts';

const model = serviceModelSchema.parse(
  JSON.parse(readFileSync(new URL('../../bench/service-model.json', import.meta.url), 'utf8')),
);
const { limits: _, ...unlimited } = model;

describe('the least work of an upsert', () => {
  test('is a look-up of each key in full pages, and full bulk messages by id', () => {
    // 20 queries of 12 ms, 5 creates and 5 updates of a thousand rows.
    const serverMs = 20 * 12 + 5 * (12 + 2000) + 5 * (12 + 2400);
    expect(leastWork(model, { fresh: 5000, known: 5000 })).toEqual({ requests: 30, serverMs, executionMs: serverMs });
  });

  test('takes its time divided by the recommended concurrency', () => {
    const work = leastWork(unlimited, { fresh: 5000, known: 5000 });
    expect(leastMs(unlimited, work)).toBe(work.serverMs / 5);
  });

  test('waits for windows, of which the last one is not waited out', () => {
    const work = { requests: 10, serverMs: 300_000, executionMs: 300_000 };
    // Two windows of 120 s are used up after 60 s, the last 60 s of work take 12 s more at five calls at a time.
    expect(leastMs(model, work)).toBe(2 * 30_000 + 12_000);
    expect(leastMs(model, { ...work, requests: 1500 })).toBe(2 * 30_000 + 12_000);
  });
});

describe('the optimum with bad rows', () => {
  test('is a full $batch where most are, or where calls are dear', () => {
    expect(optimumWithBadRows(unlimited, 'creates', 0.8)).toEqual({ rowMs: 10.012, callRows: 1000 });
    const dear = serviceModelSchema.parse({ callMs: 1000, rowMs: { create: 1 }, batchOperationMs: 1 });
    expect(optimumWithBadRows(dear, 'creates', 0.5)).toEqual({ rowMs: 3, callRows: 1000 });
  });

  test('costs more the more rows are bad, in smaller calls', () => {
    const optima = [0.005, 0.01, 0.05].map((share) => optimumWithBadRows(unlimited, 'creates', share));
    expect(optima.map(({ rowMs }) => rowMs)).toEqual(optima.map(({ rowMs }) => rowMs).toSorted((a, b) => a - b));
    expect(optima.map(({ callRows }) => callRows)).toEqual(
      optima.map((each) => each.callRows).toSorted((a, b) => b - a),
    );
  });
});
