import { expect, test } from 'vitest';
import { type RawRequest, sendRaw } from '../../../../src/actions/raw/send.ts';
import type { VerbatimRequest } from '../../../../src/dataverse/client.ts';
import { DataverseError } from '../../../../src/dataverse/errors.ts';
import { fakeClock } from '../../../support/clock.ts';
import { fakeMetadata } from '../../dataverse/fake-metadata.ts';

type Reply = number | Error;
const network = new DataverseError('network', 'No answer.');
const timeout = new DataverseError(
  'network',
  'No answer.',
  {},
  { cause: Object.assign(new Error(), { name: 'TimeoutError' }) },
);

/** Sends a request to a service that gives these replies in turn, each after a second. */
async function run(changes: Partial<RawRequest>, replies: Reply[], { body = '{}', deadline = 200_000 } = {}) {
  const clock = fakeClock();
  const sent: VerbatimRequest[] = [];
  const startedAt = clock.now();
  const answer = sendRaw(
    {
      client: {
        async exchange(request) {
          const reply = replies[sent.length];
          sent.push(request);
          clock.advance(1_000);
          if (typeof reply !== 'number') throw reply;
          return { status: reply, headers: { 'x-a': 'b' }, body: Buffer.from(body) };
        },
      },
      metadata: fakeMetadata({}),
      apiUrl: 'https://org.example/api/data/v9.2/',
      allowedTables: undefined,
      clock,
      random: () => 0,
      newId: () => 'boundary',
      deadline: startedAt + deadline,
    },
    {
      path: 'accounts',
      method: 'GET',
      query: {},
      headers: {},
      form: {},
      files: [],
      responseType: 'json',
      debug: false,
      maxRetries: 0,
      retryDelayMs: 0,
      exponentialBackoff: false,
      retryOnAllErrors: false,
      ...changes,
    },
  );
  return { answer: await answer, sent, waits: clock.waits, startedAt };
}

test('a request is sent once unless more tries are wanted', async () => {
  expect((await run({}, [503])).answer.status).toBe(503);
  await expect(run({}, [network])).rejects.toMatchObject({ code: 'network' });
  const { answer, waits } = await run({ maxRetries: 3, retryDelayMs: 70 }, [503, network, 200]);
  expect([answer.status, waits]).toEqual([200, [70, 70]]);
});

test('each try has the time that the caller gives, within that of the request', async () => {
  const { sent, startedAt } = await run({ maxRetries: 1, timeoutMs: 5_000 }, [503, 200]);
  expect(sent.map(({ deadline = 0 }) => deadline - startedAt)).toEqual([5_000, 6_000]);
  const short = await run({ timeoutMs: 5_000 }, [200], { deadline: 3_000 });
  expect(short.sent.map(({ deadline = 0 }) => deadline - short.startedAt)).toEqual([3_000]);
});

test('a time-out is told as one, and tried again only after all errors', async () => {
  await expect(run({ timeoutMs: 500, maxRetries: 3 }, [timeout])).rejects.toMatchObject({
    code: 'timeout',
    status: 504,
  });
  expect((await run({ maxRetries: 3, retryOnAllErrors: true }, [timeout, 200])).answer.status).toBe(200);
});

test('a try for which no time is left is not made', async () => {
  const { answer, sent } = await run({ maxRetries: 5, retryDelayMs: 10_000 }, [503, 503], { deadline: 12_500 });
  expect([answer.status, sent.length]).toEqual([503, 2]);
});

test('what ended before Dataverse could answer is passed on', async () => {
  const limit = new DataverseError('limitExceeded', 'Limits hold.');
  await expect(run({ maxRetries: 3, retryOnAllErrors: true }, [limit])).rejects.toBe(limit);
});

test('the version in the path is the one that is asked', async () => {
  expect((await run({ path: '/api/data/v9.0/accounts' }, [200])).sent[0]?.path).toBe('../v9.0/accounts');
  expect((await run({ path: '/api/data/v9.2/accounts' }, [200])).sent[0]?.path).toBe('../v9.2/accounts');
});

test('a body is sent as JSON, as it is, or as a form', async () => {
  const post = async (changes: Partial<RawRequest>) => (await run({ method: 'POST', ...changes }, [200])).sent[0];
  expect(await post({ data: { a: 1 } })).toMatchObject({
    body: '{"a":1}',
    headers: { 'content-type': 'application/json; charset=utf-8' },
  });
  expect(await post({ data: 'a', headers: { 'Content-Type': 'text/plain' } })).toMatchObject({
    body: 'a',
    headers: { 'content-type': 'text/plain' },
  });
  expect(await post({ form: { a: 'b' } })).toMatchObject({
    headers: { 'content-type': 'multipart/form-data; boundary=boundary' },
  });
  expect(await post({ data: null })).toMatchObject({ body: 'null' });
  expect(await post({})).not.toHaveProperty('body');
});

test('a body is read as it is wanted, and as a text where it is no JSON', async () => {
  const read = async (responseType: RawRequest['responseType'], body: string) =>
    (await run({ responseType }, [200], { body })).answer.body;
  expect(await read('json', '{"a":0.12345678901234567891}')).toMatchObject({
    a: { rawJSON: '0.12345678901234567891' },
  });
  expect(await read('json', '<html>')).toBe('<html>');
  expect(await read('json', '')).toBeNull();
  expect(await read('text', '\ufeff12')).toBe('12');
  expect(await read('binary', 'ä')).toBe(Buffer.from('ä').toString('base64'));
});
