import { expect, test } from 'vitest';
import { SettingsError } from '../../../src/config/settings.ts';
import { testConnection } from '../../../src/health/connection-test.ts';
import { STAGES } from '../../../src/health/stages.ts';
import { newGuid } from '../../../src/shared/ids.ts';
import { fakeClock } from '../../support/clock.ts';

/** Tests a connection that cannot even be had, for the reason given. */
async function testOf(reason: unknown, signal: AbortSignal = new AbortController().signal) {
  const log: unknown[] = [];
  const fail = (): never => {
    throw reason;
  };
  const result = await testConnection('default', fail, {
    clock: fakeClock(),
    newId: newGuid,
    probe: 'careful',
    uses: async () => [],
    signal,
    log: (message, facts) => log.push([message, facts]),
  });
  return { ...result, log };
}

test('what nobody foresaw is told in the log and not to the caller', async () => {
  const { status, stages, log } = await testOf(new Error('the inner detail'));
  expect(status).toBe('failed');
  expect(stages[0]).toMatchObject({
    name: 'settings',
    status: 'failed',
    detail: expect.stringContaining('see the log'),
  });
  expect(stages.map(({ name }) => name)).toEqual([...STAGES]);
  expect(
    stages.slice(1).every(({ status: each, detail }) => each === 'skipped' && /settings failed/.test(detail)),
  ).toBe(true);
  expect(JSON.stringify(stages)).not.toContain('inner detail');
  expect(log).toEqual([
    ['connection test failed unforeseen', { connection: 'default', stage: 'settings', reason: 'the inner detail' }],
  ]);
});

test('a test that runs out of time says where', async () => {
  const { stages, log } = await testOf(new Error('aborted'), AbortSignal.abort());
  expect(stages[0]).toMatchObject({ status: 'failed', detail: 'The test ran out of time here.' });
  expect(log).toEqual([]);
});

test('an unknown connection has no test', async () => {
  const unknown = new SettingsError('connectionUnknown', 'There is none.');
  await expect(testOf(unknown)).rejects.toBe(unknown);
});
