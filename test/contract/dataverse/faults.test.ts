import { expect, test } from 'vitest';
import { fakeClock } from '../../support/clock.ts';
import { type Call, openEnvironment } from './environment.ts';

const TYPE = { '@odata.type': 'Microsoft.Dynamics.CRM.account' };
const MULTIPART = { 'Content-Type': 'multipart/mixed; boundary=b', Prefer: 'odata.continue-on-error' };

const batchOf = (names: readonly string[]): string =>
  [
    ...names.map(
      (name) =>
        '--b\r\nContent-Type: application/http\r\n\r\nPOST accounts HTTP/1.1\r\nContent-Type: application/json\r\n\r\n' +
        `${JSON.stringify({ name })}\r\n`,
    ),
    '--b--\r\n',
  ].join('');

const changeSetOf = (names: readonly string[]): string =>
  `--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n${batchOf(names)
    .replaceAll('--b', '--c')
    .replaceAll('application/http\r\n', 'application/http\r\nContent-ID: 1\r\n')}--b--\r\n`;

async function open() {
  const clock = fakeClock();
  const { call, url } = await openEnvironment({ clock });
  const rule = async (action: unknown, more: Record<string, unknown> = {}): Promise<void> => {
    await call('DELETE', `${url}/emulator/rules`);
    const answer = await call('POST', `${url}/emulator/rules`, { ...more, action });
    if (answer.status !== 201) throw new Error(answer.text);
  };
  return { call, clock, rule, url };
}

const names = async (call: Call): Promise<string[]> =>
  (await call('GET', 'accounts?$select=name&$orderby=name')).json.value.map(({ name }: { name: string }) => name);

test('an answer that is reset in its middle is lost although the row is there', async () => {
  const { call, rule } = await open();
  await rule({ reset: 'body' }, { match: { message: 'Create' } });
  await expect(call('POST', 'accounts', { name: 'no body' })).rejects.toThrow();
  await expect(call('POST', 'accounts', { name: 'with body' }, { Prefer: 'return=representation' })).rejects.toThrow(
    'terminated',
  );
  expect(await names(call)).toEqual(['no body', 'with body']);
});

test('a multipart answer ends behind as many parts or bytes as the rule says, and all operations are done', async () => {
  const { call, rule } = await open();
  const parts = (text: string): number => text.split('HTTP/1.1 204').length - 1;
  await rule({ truncate: { parts: 2 } }, { match: { message: 'Batch' } });
  const cut = await call('POST', '$batch', batchOf(['a', 'b', 'c']), MULTIPART);
  expect([cut.status, parts(cut.text)]).toEqual([200, 2]);
  expect(cut.text).not.toMatch(/--\r\n$/);
  expect(cut.headers.get('content-length')).toBe(String(cut.text.length));

  await rule({ truncate: { bytes: 30 } }, { match: { message: 'Batch' } });
  expect((await call('POST', '$batch', batchOf(['d']), MULTIPART)).text).toHaveLength(30);
  await rule({ truncate: { parts: 9 } }, { match: { message: 'Batch' } });
  expect((await call('POST', '$batch', batchOf(['e']), MULTIPART)).text).toMatch(/--\r\n$/);
  await rule({ truncate: { parts: 1 }, end: 'reset' }, { match: { message: 'Batch' } });
  await expect(call('POST', '$batch', batchOf(['f', 'g']), MULTIPART)).rejects.toThrow('terminated');
  expect(await names(call)).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g']);
});

test('an answer is late, or comes in pieces, after the work is done', async () => {
  const { call, clock, rule } = await open();
  await rule({ delayMs: 5000, when: 'after' });
  expect((await call('POST', 'accounts', { name: 'late' })).status).toBe(204);
  expect(clock.waits).toEqual([5000]);
  await rule({ trickle: { pieces: 4, pauseMs: 250 } }, { match: { path: 'accounts' } });
  expect(await names(call)).toEqual(['late']);
  expect(clock.waits).toEqual([5000, 250, 250, 250, 250]);
  expect((await call('POST', 'accounts', { name: 'nothing to send' })).status).toBe(204);
});

test('faults that pass have the service’s own codes and texts', async () => {
  const { call, rule } = await open();
  for (const [action, status, code, text] of [
    [{ fault: 'deadlock' }, 500, '0x80044150', 'Sql Number: 1205'],
    [{ fault: 'sqlTimeout' }, 500, '0x80044151', 'SQL timeout expired.'],
    [{ fault: 'lockTimeout' }, 500, '0x80044339', 'Please retry the request.'],
    [{ fault: 'rolledBack' }, 500, '0x80040255', 'already rolled back'],
    [{ fault: 'customizationRunning' }, 400, '0x80090412', 'an entity customization running'],
    [{ fault: 'requests', retryAfterSeconds: 9 }, 429, '0x80072322', 'the limit of 6000 over'],
    [{ fault: 'executionTime', retryAfterSeconds: 9 }, 429, '0x80072321', 'limit of 1,200,000 milliseconds'],
    [{ fault: 'concurrency', retryAfterSeconds: 9 }, 429, '0x80072326', 'the limit of 52.'],
  ] as const) {
    await rule(action, { times: 1 });
    const answer = await call('POST', 'accounts', {});
    expect([answer.status, answer.json.error.code]).toEqual([status, code]);
    expect(answer.json.error.message).toContain(text);
    expect(answer.headers.get('retry-after')).toBe(status === 429 ? '9' : null);
  }
  expect(await names(call)).toEqual([]);
});

test('a row that a rule refuses fails alone, in a batch, in a change set and in bulk, created or changed', async () => {
  const { call, rule } = await open();
  const rowFault = { table: 'account', column: 'name', contains: 'BAD', message: 'The name is bad.' };
  await rule({ rowFault });
  const error = { code: '0x80040265', message: 'The name is bad.' };
  const alone = await call('POST', 'accounts', { name: 'a BAD one' });
  expect([alone.status, alone.json.error]).toEqual([400, error]);
  const batch = await call('POST', '$batch', batchOf(['a', 'BAD', 'b']), MULTIPART);
  expect(batch.text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 204', 'HTTP/1.1 400', 'HTTP/1.1 204']);
  const changeSet = await call('POST', '$batch', changeSetOf(['BAD']), MULTIPART);
  expect(changeSet.text).toContain(JSON.stringify({ error }));
  const Targets = ['c', 'BAD', 'd'].map((name) => ({ ...TYPE, name }));
  const bulk = await call('POST', 'accounts/Microsoft.Dynamics.CRM.CreateMultiple', { Targets });
  expect([bulk.status, bulk.json.error]).toEqual([400, error]);
  const id = '11111111-1111-4111-8111-111111111111';
  expect((await call('PATCH', `accounts(${id})`, { name: 'BAD' })).status).toBe(400);
  expect((await call('PATCH', `accounts(${id})`, { name: 'e' })).status).toBe(204);
  expect((await call('PATCH', `accounts(${id})`, { name: 'BAD' })).status).toBe(400);
  expect((await call('PATCH', `accounts(${id})`, { telephone1: 'BAD' })).status).toBe(204);
  expect(await names(call)).toEqual(['a', 'b', 'e']);
});

test('a refused row can be told by its whole value, for a while only, with an error of one’s own', async () => {
  const { call, rule } = await open();
  const deadlock = { status: 500, code: '0x80044150', message: 'Sql Number: 1205' };
  for (const [column, equals, other] of [
    ['numberofemployees', 7, 8],
    ['donotphone', true, false],
    ['name', 'x', 'X'],
  ] as const) {
    await rule({ rowFault: { table: 'account', column, equals, ...deadlock } }, { after: 1, times: 1 });
    const statuses: number[] = [];
    for (const value of [equals, other, equals, equals]) {
      statuses.push((await call('POST', 'accounts', { [column]: value })).status);
    }
    expect(statuses).toEqual([204, 204, 500, 204]);
  }
});

test('faults that are none, or without bounds, are refused', async () => {
  const { call, url } = await open();
  const rowFault = { table: 'account', column: 'name' };
  for (const rule of [
    { action: { fault: 'lost' } },
    { action: { truncate: {} } },
    { action: { truncate: { parts: -1 } } },
    { action: { truncate: { parts: 1, bytes: 1 } } },
    { action: { trickle: { pieces: 1, pauseMs: 1e9 } } },
    { action: { rowFault } },
    { action: { rowFault: { ...rowFault, contains: 'a', equals: 'b' } } },
    { action: { rowFault: { ...rowFault, contains: 'a', code: 'mine' } } },
    { match: { table: 'account' }, action: { rowFault: { ...rowFault, contains: 'a' } } },
  ]) {
    const answer = await call('POST', `${url}/emulator/rules`, rule);
    expect({ rule, status: answer.status }).toEqual({ rule, status: 400 });
  }
});
