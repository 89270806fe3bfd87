import { expect, test } from 'vitest';
import { createProgressLine } from '../../../src/local/progress-line.ts';
import { progressText } from '../../../src/local/summary.ts';
import { fakeClock } from '../../support/clock.ts';

function openLine(output: { isTTY?: boolean; columns?: number } = {}) {
  const clock = fakeClock();
  const written: string[] = [];
  return { clock, written, line: createProgressLine({ ...output, write: (text) => written.push(text) }, clock) };
}

test('a terminal has one line, rewritten when it changes, no longer than it is wide', () => {
  const { line, written } = openLine({ isTTY: true, columns: 11 });
  line.show('one');
  line.show('one');
  line.show('a line that is too long');
  line.clear();
  line.clear();
  expect(written).toEqual(['\r\x1b[Kone', '\r\x1b[Ka line tha', '\r\x1b[K']);
});

test('anything else has a line a second at most, and none that says nothing new', () => {
  const { line, written, clock } = openLine();
  line.show('one');
  clock.advance(900);
  line.show('two');
  clock.advance(200);
  line.show('three');
  clock.advance(2_000);
  line.show('three');
  expect(written).toEqual(['one\n', 'three\n']);
});

const run = {
  state: 'writing',
  input: 5472,
  counts: { created: 3000, updated: 0, rejected: 12 },
  left: 0,
  calls: 13,
  throttled: { count: 0, waitedMs: 0 },
  rowsPerSecond: 2181.6,
};

test.each([
  ['that is planned', { state: 'planning' }, 'planning'],
  ['as far as it is known', {}, '3,012 of 5,472 rows, 3,000 created, 12 rejected, 2,182 rows/s, 13 calls'],
  [
    'with all there is to know',
    {
      etaSeconds: 2,
      writing: { concurrency: 4, batchSize: 400 },
      throttled: { count: 2, waitedMs: 61_400 },
    },
    '3,012 of 5,472 rows, 3,000 created, 12 rejected, 2,182 rows/s, 2 s left, 13 calls, 4 at a time, 400 rows each, throttled 2 times, 61 s lost',
  ],
])('a run is told %s', (_, changes, text) => {
  expect(progressText('june.csv', { ...run, ...changes })).toBe(`  june.csv: ${text}`);
});
