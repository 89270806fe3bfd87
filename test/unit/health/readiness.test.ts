import { expect, test } from 'vitest';
import { createReadiness } from '../../../src/health/readiness.ts';
import type { CheckRecord, HealthRecords, QueueRecord } from '../../../src/health/records.ts';
import { isoTime } from '../../../src/shared/clock.ts';
import { fakeClock } from '../../support/clock.ts';

const NOW = Date.parse('2026-11-21T12:00:00Z');
const MINUTE_MS = 60_000;

const recordOf = (changes: Partial<CheckRecord> = {}): CheckRecord => ({
  version: 1,
  connection: 'default',
  status: 'passed',
  warnings: [],
  checkedAt: isoTime(NOW - MINUTE_MS),
  since: isoTime(NOW - MINUTE_MS),
  credential: {},
  ...changes,
});

const broken: Partial<CheckRecord> = {
  status: 'failed',
  failed: { stage: 'token', code: 'tokenRefused', detail: 'It broke.', hint: 'Mend it.' },
};

function readinessOf(found: Readonly<Record<string, CheckRecord | undefined>>, counts?: Record<string, number>) {
  const queues: QueueRecord | undefined = counts && { version: 1, checkedAt: isoTime(NOW), counts };
  const records: HealthRecords = {
    note: async () => [],
    noteQueues: async () => [],
    connection: async (name) => found[name],
    queues: async () => queues,
  };
  return createReadiness({ records, connections: Object.keys(found), clock: fakeClock(NOW) }).read();
}

test('all that works passes', async () => {
  const { status, checks } = await readinessOf({ default: recordOf() }, { 'webhook-events-poison': 0 });
  expect(status).toBe('pass');
  expect(checks).toEqual({
    'connection:default': [{ componentType: 'component', status: 'pass', time: isoTime(NOW - MINUTE_MS) }],
    'webhook-events-poison:messages': [
      { componentType: 'system', status: 'pass', time: isoTime(NOW), observedValue: 0, observedUnit: 'messages' },
    ],
  });
});

test('one broken connection fails, with cause and next step', async () => {
  const { status, checks } = await readinessOf({ default: recordOf(), other: recordOf(broken) });
  expect(status).toBe('fail');
  expect(checks['connection:other']?.[0]).toMatchObject({
    status: 'fail',
    output: `Failed at token since ${isoTime(NOW - MINUTE_MS)}: It broke. Mend it.`,
  });
});

test.each([
  ['never checked', undefined, /not been checked/],
  ['checked long ago', recordOf({ checkedAt: isoTime(NOW - 41 * MINUTE_MS) }), /long ago/],
  ['about to lose its credential', recordOf({ warnings: ['It ends.'] }), /It ends/],
])('a connection that was %s is a warning', async (_, record, output) => {
  const { status, checks } = await readinessOf({ default: record });
  expect(status).toBe('warn');
  expect(checks['connection:default']?.[0]?.output).toMatch(output);
});

test('a message in a poison queue is a warning', async () => {
  expect((await readinessOf({}, { 'activation-runs-poison': 2 })).status).toBe('warn');
});

test('twenty who ask at once cost one reading, which is made anew after a check or a few seconds', async () => {
  let readings = 0;
  const clock = fakeClock(NOW);
  const records: HealthRecords = {
    note: async () => [],
    noteQueues: async () => [],
    connection: async () => recordOf(),
    queues: async () => {
      readings += 1;
      return undefined;
    },
  };
  const readiness = createReadiness({ records, connections: ['default'], clock });
  await Promise.all(Array.from({ length: 20 }, () => readiness.read()));
  expect(readings).toBe(1);
  clock.advance(5_000);
  await readiness.read();
  readiness.forget();
  await readiness.read();
  expect(readings).toBe(3);
});

test('a reading that failed is not kept', async () => {
  let fails = true;
  const records: HealthRecords = {
    note: async () => [],
    noteQueues: async () => [],
    connection: async () => recordOf(),
    queues: async () => {
      if (fails) throw new Error('no storage');
      return undefined;
    },
  };
  const readiness = createReadiness({ records, connections: ['default'], clock: fakeClock(NOW) });
  await expect(readiness.read()).rejects.toThrow('no storage');
  fails = false;
  expect((await readiness.read()).status).toBe('pass');
});
