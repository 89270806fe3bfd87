import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createCallSize } from '../../../../src/dataverse/bulk/call-size.ts';
import { measuredCost } from '../../../../src/dataverse/bulk/costs.ts';
import { freshPlan, type IsolationCosts, wayToIsolate } from '../../../../src/dataverse/bulk/isolation.ts';

/** Measured in milliseconds: a call, a row of a bulk message, an operation of a $batch. */
const costs = (call: number, row: number, operation: number): IsolationCosts => ({
  bulk: { call, row },
  refused: { call, row },
  batch: { call, row: operation },
});

describe('calls', () => {
  test('are as large as they may be while no row is bad', () => {
    expect(freshPlan(costs(12, 2, 8), 1e-9, 1000)).toEqual({ rows: 1000, form: 'bulk' });
  });

  test('are smaller the more rows are bad, until a $batch costs less', () => {
    const plans = [0.001, 0.01, 0.1, 0.5, 0.95].map((share) => freshPlan(costs(12, 2, 8), share, 1000));
    const bulk = plans.filter(({ form }) => form === 'bulk').map(({ rows }) => rows);
    expect(bulk).toEqual([...bulk].sort((a, b) => b - a));
    expect(plans[0]?.form).toBe('bulk');
    expect(plans.at(-1)?.form).toBe('batch');
  });

  test('of one bad row in a hundred cost at most a tenth more than the optimum', () => {
    // Computed by dynamic programming over all group sizes and splits: 3.74 ms a row, in groups of 19.
    const { rows } = freshPlan(costs(12, 2, 8), 0.01, 1000);
    expect(rows).toBeGreaterThanOrEqual(14);
    expect(rows).toBeLessThanOrEqual(32);
  });
});

describe('bad rows are found', () => {
  test.each([
    ['by halves in a large group with few of them', 500, 0.002, 'halves'],
    ['by a replay where most are bad', 100, 0.9, 'replay'],
    ['by halves where operations are dear', 16, 0.01, 'halves', 50],
    ['by a replay where operations are as cheap as rows', 16, 0.1, 'replay', 2],
  ] as const)('%s', (_, rows, share, expected, operation?: number) => {
    expect(wayToIsolate(costs(12, 2, operation ?? 8), share, rows)).toBe(expected);
  });

  test('by some way, whatever was measured', () => {
    const ms = fc.double({ min: 0.001, max: 10_000, noNaN: true });
    fc.assert(
      fc.property(
        ms,
        ms,
        ms,
        fc.double({ min: 1e-6, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 1000 }),
        (call, row, operation, share, rows) => {
          const plan = freshPlan(costs(call, row, operation), share, rows);
          expect(plan.rows).toBeGreaterThanOrEqual(1);
          expect(plan.rows).toBeLessThanOrEqual(rows);
          expect(['halves', 'replay']).toContain(wayToIsolate(costs(call, row, operation), share, rows));
        },
      ),
    );
  });
});

describe('measured costs', () => {
  test('tell a call from its rows', () => {
    const measured = measuredCost({ call: 20, row: 3 });
    for (const rows of [100, 400, 1000, 200, 1000]) measured.measure(rows, 12 + 2 * rows);
    expect(Math.abs(measured.cost.call - 12)).toBeLessThan(3);
    expect(measured.cost.row).toBeCloseTo(2, 1);
  });

  test('follow the environment when it slows down', () => {
    const measured = measuredCost({ call: 20, row: 3 });
    for (let call = 0; call < 20; call += 1) measured.measure(500, 1000);
    for (let call = 0; call < 30; call += 1) measured.measure(500, 4000);
    const { call, row } = measured.cost;
    expect(call + 500 * row).toBeGreaterThan(3500);
  });

  test('stay what is assumed where calls take no time', () => {
    const measured = measuredCost({ call: 20, row: 3 });
    measured.measure(100, 0);
    expect(measured.measured).toBeUndefined();
    expect(measured.cost.row).toBeCloseTo(3);
  });
});

describe('the size of calls', () => {
  const sizes = () => createCallSize({ first: 100, most: 1000, targetMs: 10_000 });

  test('grows by leaps to the most', () => {
    const size = sizes();
    const seen = [1, 2, 3].map(() => {
      const rows = size.rows({ call: 10, row: 1 });
      size.grew(rows);
      return rows;
    });
    expect(seen).toEqual([100, 400, 1000]);
  });

  test('aims at a time', () => {
    const size = sizes();
    for (let call = 0; call < 3; call += 1) size.grew(size.rows({ call: 0, row: 1 }));
    expect(size.rows({ call: 1000, row: 90 })).toBe(100);
    expect(size.rows({ call: 20_000, row: 90 })).toBe(1);
  });

  test('halves after a call that was too much, and then grows slowly', () => {
    const size = sizes();
    size.shrank(80);
    expect(size.rows({ call: 0, row: 1 })).toBe(40);
    size.grew(40);
    expect(size.rows({ call: 0, row: 1 })).toBe(44);
  });
});
