import { expect, test } from 'vitest';
import { changeSet, operation, post, statuses } from './batch-body.ts';
import { defineKey, openEnvironment } from './environment.ts';

test('answers every operation in order', async () => {
  const { call } = await openEnvironment();
  const answer = await post(call, [
    operation({ method: 'POST', url: '/api/data/v9.2/accounts', body: { name: 'one' } }),
    operation({ method: 'GET', url: 'accounts?$select=name' }),
    operation({ method: 'POST', url: 'accounts', body: { name: 'two' }, headers: { Prefer: 'return=representation' } }),
  ]);
  expect(answer.status).toBe(200);
  expect(answer.headers.get('content-type')).toMatch(/^multipart\/mixed; boundary=batchresponse_[0-9a-f-]{36}$/);
  expect(statuses(answer.text)).toEqual([204, 200, 201]);
  expect(answer.text).toMatch(/\r\nLocation: http.*\/accounts\([0-9a-f-]{36}\)\r\nOData-EntityId: http/);
  expect(answer.text).toContain('"name":"one"');
});

const mixed = [
  operation({ method: 'POST', url: 'accounts', body: { name: 'one' } }),
  operation({ method: 'POST', url: 'accounts', body: { name: 'x'.repeat(161) } }),
  operation({ method: 'POST', url: 'accounts', body: { name: 'two' } }),
];

test('stops at the first failure, whose status is the batch’s, and keeps what went before', async () => {
  const { call } = await openEnvironment();
  const answer = await post(call, mixed);
  expect(answer.status).toBe(400);
  expect(statuses(answer.text)).toEqual([204, 400]);
  expect(answer.text).toContain('"code":"0x80044331"');
  expect((await call('GET', 'accounts/$count')).text).toBe('1');
});

test('goes on after a failure when asked to', async () => {
  const { call } = await openEnvironment();
  const answer = await post(call, mixed, { Prefer: 'odata.continue-on-error' });
  expect(answer.status).toBe(200);
  expect(statuses(answer.text)).toEqual([204, 400, 204]);
  expect((await call('GET', 'accounts/$count')).text).toBe('2');
});

test('a change set refers to its own rows by Content-ID', async () => {
  const { call } = await openEnvironment();
  const answer = await post(call, [
    changeSet([
      { method: 'POST', url: 'accounts', body: { name: 'parent' }, contentId: '1' },
      {
        method: 'POST',
        url: 'contacts',
        body: { lastname: 'child', 'parentcustomerid_account@odata.bind': '$1' },
        contentId: '2',
      },
      { method: 'PATCH', url: '$1', body: { 'primarycontactid@odata.bind': '$2' }, contentId: '3' },
      { method: 'PUT', url: '$2/firstname', body: { value: 'first' }, contentId: '4' },
    ]),
  ]);
  expect(statuses(answer.text)).toEqual([204, 204, 204, 204]);
  expect(answer.text).toMatch(/Content-Type: multipart\/mixed; boundary=changesetresponse_/);
  const { json } = await call('GET', 'accounts?$select=name&$expand=primarycontactid($select=fullname)');
  expect(json.value).toMatchObject([{ name: 'parent', primarycontactid: { fullname: 'first child' } }]);
});

test('a failing change set leaves nothing behind and is one answer', async () => {
  const environment = await openEnvironment();
  const { call } = environment;
  await defineKey(environment, 'account', ['accountnumber']);
  const answer = await post(
    call,
    [
      changeSet([
        { method: 'POST', url: 'accounts', body: { accountnumber: 'a' }, contentId: '1' },
        { method: 'POST', url: 'accounts', body: { accountnumber: 'A' }, contentId: '2' },
      ]),
      operation({ method: 'POST', url: 'accounts', body: { name: 'after' } }),
    ],
    { Prefer: 'odata.continue-on-error' },
  );
  expect(answer.status).toBe(200);
  expect(statuses(answer.text)).toEqual([412, 204]);
  expect(answer.text).not.toContain('changesetresponse_');
  expect((await call('GET', 'accounts?$select=name')).json.value).toMatchObject([{ name: 'after' }]);
});

test('a reference forward is refused by name', async () => {
  const { call } = await openEnvironment();
  const answer = await post(call, [
    changeSet([{ method: 'POST', url: 'accounts', body: { 'primarycontactid@odata.bind': '$1' }, contentId: '2' }]),
  ]);
  expect(answer.status).toBe(400);
  expect(answer.text).toContain("Content-ID Reference: '$1' does not exist in the batch context.");
});

test('a change set with a GET, a batch in a batch and line ends without CR are refused', async () => {
  const { call } = await openEnvironment();
  expect((await post(call, [changeSet([{ method: 'GET', url: 'accounts', contentId: '1' }])])).status).toBe(400);
  expect((await post(call, [operation({ method: 'POST', url: '$batch', body: {} })])).status).toBeGreaterThanOrEqual(
    400,
  );
  const answer = await call(
    'POST',
    '$batch',
    '--b\nContent-Type: application/http\n\nGET accounts HTTP/1.1\n\n--b--\n',
    {
      'Content-Type': 'multipart/mixed; boundary=b',
    },
  );
  expect(answer.status).toBe(400);
  expect(answer.json.error.code).toBe('0x80048d19');
});
