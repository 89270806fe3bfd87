import { beforeEach, describe, expect, test } from 'vitest';
import { changeSet, operation, post, statuses } from './batch-body.ts';
import { queryEnvironment } from './query-environment.ts';

const environment = queryEnvironment({}, async () => undefined);
const call = (...given: Parameters<typeof environment.call>) => environment.call(...given);

const LIMIT = {
  code: '0x80072322',
  message: 'Number of requests exceeded the limit of 6000 over time window of 300 seconds.',
};
const tooMany = { status: 429, headers: { 'Retry-After': '7' }, body: { error: LIMIT } };

const rule = async (given: unknown) => {
  const answer = await call('POST', '/emulator/rules', given);
  expect(answer.status).toBe(201);
};
const names = async (): Promise<string[]> =>
  (await call('GET', 'accounts?$select=name&$orderby=name')).json.value.map(({ name }: { name: string }) => name);
const logged = async (): Promise<[string, string, number][]> =>
  (await call('GET', '/emulator/calls')).json
    .filter(({ inBatch }: { inBatch: boolean }) => inBatch)
    .map(({ method, path, status }: { method: string; path: string; status: number }) => [method, path, status]);

const account = (name: string, url = 'accounts') => ({ method: 'POST', url, body: { name } });

beforeEach(async () => {
  await call('DELETE', '/emulator/rules');
  for (const { accountid } of (await call('GET', 'accounts?$select=accountid')).json.value) {
    await call('DELETE', `accounts(${accountid})`);
  }
  await call('DELETE', '/emulator/calls');
});

describe('a rule for an operation inside a $batch', () => {
  test('gives that operation its answer and leaves the others alone', async () => {
    await rule({ match: { table: 'account', message: 'Create' }, after: 1, times: 1, action: tooMany });
    const answer = await post(
      call,
      ['a', 'b', 'c'].map((name) => operation(account(name))),
      {
        Prefer: 'odata.continue-on-error',
      },
    );
    expect(answer.status).toBe(200);
    expect(statuses(answer.text)).toEqual([204, 429, 204]);
    expect(answer.text).toMatch(
      /429 Too Many Requests\r\nREQ_ID: [^\r]*\r\nContent-Type: [^\r]*\r\nOData-Version: 4.0\r\nRetry-After: 7\r\n/,
    );
    expect(answer.text).toContain(JSON.stringify({ error: LIMIT }));
    expect(await names()).toEqual(['a', 'c']);
    expect(await logged()).toEqual([
      ['POST', 'accounts', 204],
      ['POST', 'accounts', 429],
      ['POST', 'accounts', 204],
    ]);
  });

  test('ends a batch that is to stop at the first failure', async () => {
    await rule({ match: { table: 'account' }, after: 1, action: { status: 500, body: 'x' } });
    const answer = await post(
      call,
      ['a', 'b', 'c'].map((name) => operation(account(name))),
    );
    expect(answer.status).toBe(500);
    expect(statuses(answer.text)).toEqual([204, 500]);
    await call('DELETE', '/emulator/rules');
    expect(await names()).toEqual(['a']);
  });

  test('undoes the change set that the operation belongs to', async () => {
    await rule({ match: { message: 'Create' }, after: 1, times: 1, action: tooMany });
    const parts = [
      { ...account('a'), contentId: '1' },
      { ...account('b'), contentId: '2' },
    ];
    const answer = await post(call, [changeSet(parts), operation(account('c'))], { Prefer: 'odata.continue-on-error' });
    expect(statuses(answer.text)).toEqual([429, 204]);
    expect(await names()).toEqual(['c']);
  });

  test('sees the path as it would be outside, in whatever form the operation has it', async () => {
    const origin = new URL(environment.apiUrl).origin;
    await rule({ match: { path: '/^\\/api\\/data\\/v9.2\\/accounts\\?x=1$/' }, action: { status: 503 } });
    const urls = [
      'accounts?x=1',
      '/api/data/v9.2/accounts?x=1',
      `${origin}/api/data/v9.2/accounts?x=1`,
      'accounts?x=2',
    ];
    const answer = await post(
      call,
      urls.map((url) => operation(account('a', url))),
      {
        Prefer: 'odata.continue-on-error',
      },
    );
    expect(statuses(answer.text)).toEqual([503, 503, 503, 204]);
  });

  test('can stand beside one for the batch as a whole', async () => {
    await rule({ match: { message: 'Batch' }, times: 1, action: { html: 503 } });
    await rule({ match: { message: 'Create' }, times: 1, action: tooMany });
    expect((await post(call, [operation(account('a'))])).status).toBe(503);
    expect((await post(call, [operation(account('a'))])).status).toBe(429);
    expect((await post(call, [operation(account('a'))])).status).toBe(200);
  });

  test.each<['before' | 'after', string[]]>([
    ['before', ['a']],
    ['after', ['a', 'b']],
  ])('resets the connection %s the operation is done, and those behind it are not', async (reset, done) => {
    await rule({ match: { message: 'Create' }, after: 1, times: 1, action: { reset } });
    await expect(
      post(
        call,
        ['a', 'b', 'c'].map((name) => operation(account(name))),
      ),
    ).rejects.toThrow();
    expect(await names()).toEqual(done);
    expect((await logged()).map(([, , status]) => status)).toEqual([204, 0]);
  });

  test.each<['before' | 'after', string[]]>([
    ['before', []],
    ['after', ['a', 'b']],
  ])('resets the connection %s a whole change set', async (reset, done) => {
    await rule({ match: { message: 'Create' }, times: 1, action: { reset } });
    const parts = [
      { ...account('a'), contentId: '1' },
      { ...account('b'), contentId: '2' },
    ];
    await expect(post(call, [changeSet(parts), operation(account('c'))])).rejects.toThrow();
    expect(await names()).toEqual(done);
  });
});
