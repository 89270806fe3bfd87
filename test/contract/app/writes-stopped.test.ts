import { afterAll, beforeAll, expect, test } from 'vitest';
import { KEYS, startApp, type TestApp } from '../../support/app.ts';

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

test.each([
  ['POST', 'tables/account/rows', { name: 'A' }],
  ['PATCH', 'tables/account/rows/6d81597f-0f9f-4711-8122-000d3aa2331c', { name: 'A' }],
  ['PUT', 'tables/account/rows/6d81597f-0f9f-4711-8122-000d3aa2331c', { name: 'A' }],
  ['PUT', 'tables/account/row?key=6d81597f-0f9f-4711-8122-000d3aa2331c', { name: 'A' }],
  ['DELETE', 'tables/account/rows/6d81597f-0f9f-4711-8122-000d3aa2331c', undefined],
  ['POST', 'batch', [{ collection: 'accounts', action: 'create', data: { name: 'A' } }]],
  ['POST', 'raw', { path: 'accounts', method: 'POST', data: { name: 'A' } }],
  ['POST', 'tables/account/columns', { SchemaName: 'new_Balance', AttributeType: 'Money' }],
  ['PUT', 'tables/account/columns/name', { MaxLength: 20 }],
  ['POST', 'tables/account/keys', { schemaName: 'new_Key', columns: ['name'] }],
])('with BRIDGE_WRITES=stopped %s %s is refused before anything is sent', async (method, path, body) => {
  await app.forgetCalls();
  const options = { key: KEYS.master, type: 'application/json', body: JSON.stringify(body) };
  expect((await app.call(method, path, options)).json).toMatchObject({ status: 503, code: 'writesStopped' });
  expect(await app.calls()).toEqual([]);
});

test('with BRIDGE_WRITES=stopped raw requests can still read', async () => {
  const options = { key: KEYS.master, type: 'application/json', body: '{"path":"accounts","method":"GET"}' };
  expect((await app.call('POST', 'raw', options)).json.status).toBe(200);
});

test('with BRIDGE_WRITES=stopped the connection can still be tested', async () => {
  await app.forgetCalls();
  expect((await app.call('POST', 'connections/default/test?probe=forced')).json.status).toBe('passed');
  expect((await app.calls()).filter(({ inBatch, method }) => inBatch && method !== 'GET')).toEqual([]);
});
