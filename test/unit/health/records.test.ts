import { describe, expect, test } from 'vitest';
import type { ConnectionTest } from '../../../src/health/connection-test.ts';
import { type CheckRecord, eventsOf, nextRecord, openHealthRecords } from '../../../src/health/records.ts';
import { isoTime } from '../../../src/shared/clock.ts';
import { memoryStorage } from '../activations/memory-storage.ts';

const DAY_MS = 86_400_000;
const START = Date.parse('2026-11-21T00:00:00Z');

/** A test of a connection whose credential ends in `days` from START, failing at the stage that is named. */
function testAt(failing?: 'token' | 'user', { version = 'v1', days = 90 } = {}): ConnectionTest {
  const credential = { name: 'credential', status: 'passed', ms: 1, detail: 'Fine.' } as const;
  return {
    connection: 'default',
    environment: 'https://contoso.crm4.dynamics.com',
    status: failing ? 'failed' : 'passed',
    stages: [
      { ...credential, facts: { version, expiresAt: START + days * DAY_MS } },
      ...(failing
        ? [{ name: failing, status: 'failed' as const, ms: 1, code: 'some', detail: 'It broke.', hint: 'Mend it.' }]
        : []),
    ],
  };
}

/** What is told of tests that follow each other by a day. */
function eventsOfDays(tests: readonly ConnectionTest[]) {
  let before: CheckRecord | undefined;
  return tests.map((each, day) => {
    const now = START + day * DAY_MS;
    const after = nextRecord(before, each, now);
    const events = eventsOf(before, after, now);
    before = after;
    return events.map((event) => (event.kind === 'expires' ? `${event.kind} ${event.daysLeft}` : event.kind));
  });
}

describe('the events of checks', () => {
  test('are changes of the state, not each check', () => {
    expect(eventsOfDays([testAt(), testAt(), testAt('token'), testAt('token'), testAt(), testAt()])).toEqual([
      [],
      [],
      ['broken'],
      [],
      ['recovered'],
      [],
    ]);
  });

  test('tell of a connection that was broken from the start, and of another stage that breaks', () => {
    expect(eventsOfDays([testAt('token'), testAt('user'), testAt('user')])).toEqual([['broken'], ['broken'], []]);
  });

  test('warn of the end of a credential once each at 30, 14, 7 and 1 days', () => {
    const told = eventsOfDays(Array.from({ length: 36 }, () => testAt(undefined, { days: 33 }))).flat();
    expect(told).toEqual(['expires 30', 'expires 14', 'expires 7', 'expires 1']);
  });

  test('warn once where several of these days passed unseen, and anew for the next version', () => {
    const soon = { days: 5 };
    expect(
      eventsOfDays([
        testAt(undefined, soon),
        testAt(undefined, soon),
        testAt(undefined, { version: 'v2', days: 300 }),
        testAt(undefined, { version: 'v3', days: 6 }),
      ]),
    ).toEqual([['expires 5'], [], [], ['expires 3']]);
  });

  test('keep what is known of the credential while the vault cannot be read', () => {
    const first = nextRecord(undefined, testAt(), START);
    const unread: ConnectionTest = { ...testAt('token'), stages: testAt('token').stages.slice(1) };
    const second = nextRecord(first, unread, START + DAY_MS);
    expect(second.credential).toEqual(first.credential);
    expect(second).toMatchObject({ status: 'failed', since: isoTime(START + DAY_MS), failed: { stage: 'token' } });
  });
});

describe('the records of checks', () => {
  test('tell an event to one of two instances that check at once', async () => {
    const storage = memoryStorage(() => START);
    const records = openHealthRecords(storage);
    await records.note(testAt(), START);
    const told = await Promise.all([1, 2].map(() => records.note(testAt('token'), START + 1)));
    expect(told.flat().map(({ kind }) => kind)).toEqual(['broken']);
    expect(await records.connection('default')).toMatchObject({ status: 'failed', checkedAt: isoTime(START + 1) });
  });

  test('name the queues that have grown', async () => {
    const records = openHealthRecords(memoryStorage(() => START));
    expect(await records.noteQueues({ one: 0, two: 3 }, START)).toEqual(['two']);
    expect(await records.noteQueues({ one: 0, two: 3 }, START)).toEqual([]);
    expect(await records.noteQueues({ one: 1, two: 2 }, START)).toEqual(['one']);
    expect(await records.queues()).toEqual({ version: 1, checkedAt: isoTime(START), counts: { one: 1, two: 2 } });
  });

  test('that cannot be read are as good as none', async () => {
    const storage = memoryStorage(() => START);
    await storage.blobs('health').write('connections/default.json', '{"version":7}');
    const records = openHealthRecords(storage);
    expect(await records.connection('default')).toBeUndefined();
    await records.note(testAt(), START);
    expect(await records.connection('default')).toMatchObject({ status: 'passed' });
  });
});
