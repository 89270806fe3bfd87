import { expect, test } from 'vitest';
import { serviceModelSchema } from '../../../src/local/dataverse/service-model.ts';
import type { Clock } from '../../../src/shared/clock.ts';
import { fakeClock } from '../../support/clock.ts';
import { type Answer, defineKey, openEnvironment } from './environment.ts';

const TYPE = { '@odata.type': 'Microsoft.Dynamics.CRM.account' };

const model = (json: Record<string, unknown>) => serviceModelSchema.parse(json);

/** A clock that stands still until it is moved on. */
function heldClock(): Clock & { readonly waiting: number; advance(ms: number): void } {
  let now = Date.parse('2026-11-21T10:00:00Z');
  const sleepers = new Set<{ until: number; wake: () => void }>();
  return {
    get waiting() {
      return sleepers.size;
    },
    now: () => now,
    advance(ms) {
      now += ms;
      for (const sleeper of sleepers) {
        if (sleeper.until > now) continue;
        sleepers.delete(sleeper);
        sleeper.wake();
      }
    },
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        sleepers.add({ until: now + ms, wake: resolve });
        signal?.addEventListener('abort', () => reject(signal.reason));
      }),
  };
}

const MULTIPART = { 'Content-Type': 'multipart/mixed; boundary=b' };

const batchOf = (operations: readonly string[]): string =>
  [...operations.map((text) => `--b\r\nContent-Type: application/http\r\n\r\n${text}\r\n`), '--b--\r\n'].join('');

test('every operation takes the time that the model gives to what it does', async () => {
  const clock = fakeClock();
  const environment = await openEnvironment({
    clock,
    model: model({
      callMs: 12,
      rowMs: { create: 2, update: 3, delete: 1 },
      alternateKeyFactor: 10,
      batchOperationMs: 8,
      read: { queryMs: 5, rowMs: 0.25, keyMs: 0.5 },
    }),
  });
  const { call } = environment;
  await defineKey(environment, 'account', ['accountnumber']);
  const took = async (method: string, path: string, body?: unknown, headers?: Record<string, string>) => {
    const before = clock.now();
    const answer = await call(method, path, body, headers);
    expect(answer.status).toBeLessThan(300);
    return { ms: clock.now() - before, answer };
  };
  const id = '11111111-1111-4111-8111-111111111111';
  const key = "accounts(accountnumber='A')";

  expect((await took('GET', 'WhoAmI')).ms).toBe(12);
  expect((await took('POST', 'accounts', { accountid: id })).ms).toBe(12 + 2);
  expect((await took('PATCH', `accounts(${id})`, { name: 'a' })).ms).toBe(12 + 3);
  expect((await took('PATCH', key, { name: 'b' })).ms).toBe(12 + 20);
  expect((await took('PATCH', key, { name: 'c' })).ms).toBe(12 + 30);
  const Targets = Array.from({ length: 100 }, () => TYPE);
  const { ms, answer } = await took('POST', 'accounts/Microsoft.Dynamics.CRM.CreateMultiple', { Targets });
  expect(ms).toBe(12 + 200);
  const known = answer.json.Ids.slice(0, 3).map((accountid: string) => ({ ...TYPE, accountid }));
  const named = { ...TYPE, '@odata.id': key };
  const update = await took('POST', 'accounts/Microsoft.Dynamics.CRM.UpdateMultiple', { Targets: [...known, named] });
  expect(update.ms).toBe(12 + 9 + 30);
  const upsert = { Targets: [{ ...TYPE, '@odata.id': "accounts(accountnumber='B')" }, named, ...known] };
  expect((await took('POST', 'accounts/Microsoft.Dynamics.CRM.UpsertMultiple', upsert)).ms).toBe(12 + 20 + 30 + 9);
  const parts = [`DELETE accounts(${id}) HTTP/1.1\r\n`, `GET ${key} HTTP/1.1\r\n`];
  expect((await took('POST', '$batch', batchOf(parts), MULTIPART)).ms).toBe(12 + 2 * 8 + 1 + (5 + 0.25 + 0.5));

  expect((await took('GET', 'accounts?$top=10')).ms).toBe(12 + 5 + 2.5);
  const keys = "accountnumber eq 'A' or (accountnumber eq 'C' and name ne 'x')";
  expect((await took('GET', `accounts?$filter=${keys}`)).ms).toBe(12 + 5 + 0.25 + 1);
  const list = "Microsoft.Dynamics.CRM.In(PropertyName='accountnumber',PropertyValues=['A','B','C','D'])";
  expect((await took('GET', `accounts?$filter=${list}`)).ms).toBe(12 + 5 + 0.5 + 2);
  expect((await took('DELETE', key)).ms).toBe(12 + 10);
});

test('a refused row costs as much as one that is taken, and the rows behind it nothing', async () => {
  const clock = fakeClock();
  const { call } = await openEnvironment({ clock, model: model({ rowMs: { create: 10 } }) });
  const Targets = [TYPE, { ...TYPE, accountid: 'aaaaaaaa-0000-4000-8000-000000000001' }, TYPE];
  await call('POST', 'accounts', { accountid: 'aaaaaaaa-0000-4000-8000-000000000001' });
  clock.waits.length = 0;
  expect((await call('POST', 'accounts/Microsoft.Dynamics.CRM.CreateMultiple', { Targets })).status).toBe(412);
  expect(clock.waits).toEqual([20]);
});

test('requests take their time side by side', async () => {
  const clock = heldClock();
  const { call } = await openEnvironment({ clock, model: model({ callMs: 100, rowMs: { create: 50 } }) });
  const slow = [1, 2, 3].map(() => call('POST', 'accounts', {}));
  const quick = call('GET', 'WhoAmI');
  await expect.poll(() => clock.waiting).toBe(4);
  clock.advance(100);
  expect((await quick).status).toBe(200);
  expect(clock.waiting).toBe(3);
  clock.advance(50);
  expect((await Promise.all(slow)).map(({ status }) => status)).toEqual([204, 204, 204]);
});

test('a user who sends too much is refused with 429 and told what is left, and the refused request did nothing', async () => {
  const clock = fakeClock();
  const { call } = await openEnvironment({
    clock,
    model: model({ callMs: 150, dopHint: 7, limits: { requests: 3, executionMs: 1_000, windowMs: 30_000 } }),
  });
  const first = await call('POST', 'accounts', { name: 'a' });
  expect(first.headers.get('x-ms-dop-hint')).toBe('7');
  expect(first.headers.get('x-ms-ratelimit-burst-remaining-xrm-requests')).toBe('2');
  expect(first.headers.get('x-ms-ratelimit-time-remaining-xrm-requests')).toBe('0.85');
  expect(first.headers.get('x-ms-utilization-percent')).toBe('33');
  await call('POST', 'accounts', { name: 'b' });
  await call('POST', 'accounts', { name: 'c' });
  const refused = await call('POST', 'accounts', { name: 'd' });
  expect(refused.status).toBe(429);
  expect(refused.headers.get('retry-after')).toBe('30');
  expect(refused.headers.get('x-ms-ratelimit-burst-remaining-xrm-requests')).toBe('0');
  expect(refused.json).toEqual({
    error: {
      code: '0x80072322',
      message: 'Number of requests exceeded the limit of 3 over time window of 30 seconds.',
    },
  });
  clock.advance(30_000);
  expect((await call('GET', 'accounts/$count')).text).toBe('3');
});

test('requests beyond the number at the same time are refused while the others go on', async () => {
  const clock = heldClock();
  const { call } = await openEnvironment({ clock, model: model({ callMs: 10, limits: { concurrency: 2 } }) });
  const running = [call('GET', 'WhoAmI'), call('GET', 'WhoAmI')];
  await expect.poll(() => clock.waiting).toBe(2);
  const refused = await call('GET', 'WhoAmI');
  expect([refused.status, refused.json.error.code]).toEqual([429, '0x80072326']);
  clock.advance(10);
  expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200]);
});

test('requests are spread over the web servers unless the client keeps the affinity cookie', async () => {
  const { call } = await openEnvironment({
    clock: fakeClock(),
    model: model({ webServers: 3, limits: { requests: 2 } }),
  });
  const server = (answer: Answer) =>
    /ARRAffinity=([0-9a-f]{64});/.exec(answer.headers.get('set-cookie') ?? '')?.[1] ?? '';
  const spread: Answer[] = [];
  for (let index = 0; index < 6; index += 1) spread.push(await call('GET', 'WhoAmI'));
  expect(spread.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
  expect(new Set(spread.map(server)).size).toBe(3);
  expect((await call('GET', 'WhoAmI')).status).toBe(429);

  const kept = await openEnvironment({ clock: fakeClock(), model: model({ webServers: 3, limits: { requests: 2 } }) });
  const cookie = `ReqClientId=x; ARRAffinity=${server(await kept.call('GET', 'WhoAmI'))}`;
  expect((await kept.call('GET', 'WhoAmI', undefined, { Cookie: cookie })).status).toBe(200);
  const refused = await kept.call('GET', 'WhoAmI', undefined, { Cookie: cookie });
  expect([refused.status, server(refused)]).toEqual([429, cookie.slice(-64)]);
  expect((await kept.call('GET', 'WhoAmI', undefined, { Cookie: 'ARRAffinity=mine' })).status).toBe(200);
});
