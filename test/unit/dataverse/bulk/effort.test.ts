import { expect, test } from 'vitest';
import { Effort, noExperience } from '../../../../src/dataverse/bulk/effort.ts';

const LIMITS = { batchSize: 1000, targetMs: 10_000 };

test('one short batch does not make long ones look cheap', () => {
  const effort = new Effort(noExperience(LIMITS));
  for (const rows of [100, 50, 25]) effort.succeeded('create', 'bulk', rows, 12 + 2 * rows);
  effort.succeeded('create', 'batch', 8, 12 + 10 * 8);
  effort.judged(150, 8);
  expect(effort.next('create', 'bulk').form).toBe('bulk');
});

test('as long as no row was refused, none goes by batch or in a small call, whatever the clock could tell', () => {
  const effort = new Effort(noExperience(LIMITS));
  expect(effort.next('create', 'bulk')).toEqual({ rows: 100, form: 'bulk' });
  effort.succeeded('create', 'bulk', 1, 5);
  effort.succeeded('create', 'bulk', 30, 150);
  effort.succeeded('create', 'bulk', 30, 90);
  effort.succeeded('create', 'bulk', 30, 1);
  effort.succeeded('create', 'batch', 100, 1);
  effort.judged(160, 0);
  const { rows, form } = effort.next('create', 'bulk');
  expect(form).toBe('bulk');
  expect(rows).toBeGreaterThanOrEqual(100);
  effort.judged(100, 60);
  expect(effort.next('create', 'bulk').form).toBe('batch');
});

test('a write begins with calls as an earlier one has come to, unless many rows were bad there', () => {
  const experience = noExperience(LIMITS);
  const rowsOfCalls = (calls: number): number[] => {
    const effort = new Effort(experience);
    return Array.from({ length: calls }, () => {
      const { rows } = effort.next('create', 'bulk');
      effort.succeeded('create', 'bulk', rows, 12 + 2 * rows);
      effort.judged(rows, 0);
      return rows;
    });
  };
  const [first, ...later] = rowsOfCalls(40);
  expect(first).toBe(100);
  expect(later.at(-1)).toBeGreaterThanOrEqual(500);
  expect(rowsOfCalls(1)[0]).toBeGreaterThanOrEqual(250);
  new Effort(experience).judged(100_000, 90_000);
  expect(rowsOfCalls(1)).toEqual([100]);
  expect(new Effort(experience).judgedRows).toBe(0);
});
