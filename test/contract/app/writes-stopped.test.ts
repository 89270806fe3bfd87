import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp, type TestApp } from '../../support/app.ts';

let app: TestApp;

beforeAll(async () => {
  app = await startApp({ settings: () => ({ BRIDGE_WRITES: 'stopped' }) });
});
afterAll(() => app.close());

test('with BRIDGE_WRITES=stopped an upsert is refused before anything is sent', async () => {
  const body = '[{"accountid":"6d81597f-0f9f-4711-8122-000d3aa2331c"}]';
  const answer = await app.call('POST', 'tables/account/upsert', { type: 'application/json', body });
  expect(answer.status).toBe(503);
  expect(answer.json).toMatchObject({ code: 'writesStopped', hint: expect.stringContaining('BRIDGE_WRITES') });
  expect(await app.calls()).toEqual([]);
});

test('with BRIDGE_WRITES=stopped the connection can still be tested', async () => {
  await app.forgetCalls();
  expect((await app.call('POST', 'connections/default/test?probe=forced')).json.status).toBe('passed');
  expect((await app.calls()).filter(({ inBatch, method }) => inBatch && method !== 'GET')).toEqual([]);
});
