import { request } from 'node:http';
import { expect, test } from 'vitest';
import { fakeClock } from '../../support/clock.ts';
import { openEnvironment } from './environment.ts';

test('the call log tells what was asked, by whom, and how it ended', async () => {
  const { call, url } = await openEnvironment({ clock: fakeClock() });
  const type = { '@odata.type': 'Microsoft.Dynamics.CRM.account' };
  await call(
    'POST',
    'accounts/Microsoft.Dynamics.CRM.CreateMultiple',
    { Targets: [type, type] },
    { 'x-ms-client-request-id': 'mine' },
  );
  await call('GET', 'accounts?$select=name');
  await call('GET', 'accounts(00000000-0000-4000-8000-000000000000)');
  await call('PATCH', 'accounts(00000000-0000-4000-8000-000000000000)', { name: 'x' });
  const { json: me } = await call('GET', 'WhoAmI');
  const { json } = await call('GET', `${url}/emulator/calls`);
  expect(json).toEqual([
    expect.objectContaining({
      message: 'CreateMultiple',
      table: 'account',
      rows: 2,
      status: 200,
      clientRequestId: 'mine',
      userId: me.UserId,
      inBatch: false,
    }),
    expect.objectContaining({
      method: 'GET',
      path: '/api/data/v9.2/accounts?$select=name',
      message: 'RetrieveMultiple',
      rows: 2,
    }),
    expect.objectContaining({ message: 'Retrieve', status: 404, time: expect.stringMatching(/Z$/) }),
    expect.objectContaining({ message: 'Upsert', status: 204 }),
    expect.objectContaining({ message: 'WhoAmI' }),
  ]);
  expect((await call('DELETE', `${url}/emulator/calls`)).status).toBe(204);
  expect((await call('GET', `${url}/emulator/calls`)).json).toEqual([]);
  expect((await call('GET', `${url}/emulator/tables/accounts/count`)).json).toEqual({ count: 3 });
});

test('rules answer in the service’s place, for as long and as often as they say', async () => {
  const { call, url } = await openEnvironment();
  const rules = `${url}/emulator/rules`;
  const error = {
    error: {
      code: '0x80072322',
      message: 'Number of requests exceeded the limit of 6000 over time window of 300 seconds.',
    },
  };
  const rule = {
    match: { table: 'account', message: 'Create' },
    after: 1,
    times: 1,
    action: { status: 429, headers: { 'Retry-After': '7' }, body: error },
  };
  expect((await call('POST', rules, rule)).status).toBe(201);
  const statuses: number[] = [];
  for (const name of ['a', 'b', 'c']) {
    const answer = await call('POST', 'accounts', { name });
    statuses.push(answer.status);
    if (answer.status === 429) {
      expect(answer.headers.get('retry-after')).toBe('7');
      expect(answer.json).toEqual(error);
    }
  }
  expect(statuses).toEqual([204, 429, 204]);
  expect((await call('GET', 'accounts/$count')).text).toBe('2');
  expect((await call('GET', rules)).json).toMatchObject([{ seen: 3, acted: 1 }]);

  await call('DELETE', rules);
  await call('POST', rules, { match: { path: '/WhoAmI$/' }, action: { html: 503 } });
  const page = await call('GET', 'WhoAmI');
  expect(page.status).toBe(503);
  expect(page.headers.get('content-type')).toBe('text/html');
  expect((await call('GET', 'RetrieveVersion')).status).toBe(200);
});

test('a reset loses the answer, before or after the commit', async () => {
  const { call, url } = await openEnvironment();
  const rules = `${url}/emulator/rules`;
  for (const [reset, rows] of [
    ['before', '0'],
    ['after', '1'],
  ] as const) {
    await call('POST', rules, { match: { method: 'post', path: 'accounts' }, times: 1, action: { reset } });
    await expect(call('POST', 'accounts', { name: reset })).rejects.toThrow('fetch failed');
    expect((await call('GET', 'accounts/$count')).text).toBe(rows);
  }
  const { json } = await call('GET', `${url}/emulator/calls`);
  expect(json.filter(({ status }: { status: number }) => status === 0)).toHaveLength(2);
});

test('a delay holds the request back', async () => {
  const clock = fakeClock();
  const { call, url } = await openEnvironment({ clock });
  await call('POST', `${url}/emulator/rules`, { action: { delayMs: 12_345 } });
  expect((await call('GET', 'WhoAmI')).status).toBe(200);
  expect(clock.waits).toEqual([12_345]);
});

test('a rule that is none is refused with the reason', async () => {
  const { call, url } = await openEnvironment();
  for (const rule of [
    {},
    { action: { status: 'x' } },
    { match: { path: '/(/' }, action: { html: 503 } },
    { action: { html: 503 }, often: 2 },
  ]) {
    const answer = await call('POST', `${url}/emulator/rules`, rule);
    expect(answer.status).toBe(400);
    expect(answer.json.error).not.toBe('');
  }
  expect((await call('POST', `${url}/emulator/rules`, '{')).status).toBe(400);
  expect((await call('GET', `${url}/emulator/nothing`)).status).toBe(404);
});

test('a body over the limit is 413 and a URL over the limit is refused', async () => {
  const { call } = await openEnvironment({ bodyMax: 1000 });
  const answer = await call('POST', 'accounts', { description: 'x'.repeat(1000) });
  expect(answer.status).toBe(413);
  expect(answer.json.error).toEqual({ code: '0x8004418a', message: 'Request message length is too large.' });
  expect((await call('GET', `accounts?$filter=name eq '${'x'.repeat(33_000)}'`)).status).toBe(414);
});

test('the emulator’s own routes are closed to pages of other sites', async () => {
  const { url } = await openEnvironment();
  const status = await new Promise((resolve, reject) => {
    request(`${url}/emulator/calls`, { headers: { Host: 'evil.example' } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
  expect(status).toBe(403);
});

test('hostile input is answered, never a crash or a stack trace', async () => {
  const { call } = await openEnvironment();
  const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`;
  const inputs: [string, string, unknown?][] = [
    ['POST', 'accounts', '{"__proto__":{"name":"x"}}'],
    ['POST', 'accounts', '{"constructor":1}'],
    ['POST', 'accounts', `{"name":${deep}}`],
    ['POST', 'accounts', '\u0000'],
    ['POST', 'accounts/Microsoft.Dynamics.CRM.CreateMultiple', { Targets: [null] }],
    ['POST', 'accounts/Microsoft.Dynamics.CRM.CreateMultiple', { Targets: 'x' }],
    ['GET', `accounts?$filter=${'('.repeat(3000)}name eq 'x'${')'.repeat(3000)}`],
    ['GET', `accounts?$filter=contains(name,'${'%25a'.repeat(500)}')`],
    ['GET', "accounts(name='x';drop table account)"],
    ['GET', 'accounts(%zz)'],
    ['GET', '%2e%2e/%2e%2e/etc/passwd'],
    ['PATCH', 'accounts', {}],
    ['POST', '$batch', 'nothing'],
    ['POST', "EntityDefinitions(LogicalName='account')/Keys", { SchemaName: 'new_k', KeyAttributes: ['__proto__'] }],
    ['PROPFIND', 'accounts'],
  ];
  for (const [method, path, body] of inputs) {
    const answer = await call(method, path, body);
    expect({ method, path, status: answer.status }).toEqual({ method, path, status: expect.any(Number) });
    expect(answer.text).not.toMatch(/\n\s+at |\.ts:\d/);
    expect(answer.status === 200 || (answer.status >= 400 && answer.status <= 501)).toBe(true);
    expect(answer.status).not.toBe(500);
  }
  expect((await call('GET', 'accounts/$count')).text).toBe('0');
});

test('what no source confirms can be set otherwise', async () => {
  const { call } = await openEnvironment({
    assumptions: { readOnlyColumns: 'refused', duplicateTargets: { status: 412, code: '0x80040237' } },
  });
  const readOnly = await call('POST', 'accounts', { createdon: '2001-01-01T00:00:00Z' });
  expect(readOnly.json.error.message).toBe("The column 'createdon' of account cannot be written.");
  const target = { '@odata.type': 'Microsoft.Dynamics.CRM.account', accountid: '44444444-4444-4444-8444-444444444444' };
  const twice = await call('POST', 'accounts/Microsoft.Dynamics.CRM.UpsertMultiple', { Targets: [target, target] });
  expect([twice.status, twice.json.error.code]).toEqual([412, '0x80040237']);
});
