import { once } from 'node:events';
import { request } from 'node:http';
import { BlobServiceClient } from '@azure/storage-blob';
import { type QueueClient, QueueServiceClient } from '@azure/storage-queue';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type LocalHost, startHost } from '../../src/local/host/host.ts';
import type { Clock } from '../../src/shared/clock.ts';
import { type FreshStorage, freshStorage } from '../support/storage.ts';
import { ManualClock } from '../unit/local/host/manual-clock.ts';

const KEYS = { function: 'the-function-key', master: 'the-master-key' };
const entry = new URL('../fixtures/host-apps/storage-app.mjs', import.meta.url).pathname;
const HOST_JSON = {
  version: '2.0',
  functionTimeout: '00:12:00',
  logging: { logLevel: { default: 'Trace' } },
  extensions: { queues: { maxDequeueCount: 3, batchSize: 2, maxPollingInterval: '00:00:00.200' } },
};

// What the functions of the app kept of their calls.
const seenSchema = z.object({
  work: z.array(
    z.object({ message: z.looseObject({ n: z.number().optional() }), metadata: z.record(z.string(), z.unknown()) }),
  ),
  timers: z.array(z.unknown()),
  retries: z.array(z.unknown()),
});

const lines: string[] = [];
let storage: FreshStorage;
let host: LocalHost;

const start = (where: FreshStorage, clock?: Clock): Promise<LocalHost> =>
  startHost({
    entry,
    hostJson: HOST_JSON,
    port: 0,
    keys: KEYS,
    storage: where,
    log: (line) => lines.push(line),
    ...(clock ? { clock } : {}),
  });

beforeAll(async () => {
  storage = freshStorage();
  host = await start(storage);
});
afterAll(() => host.close());
beforeEach(() => {
  lines.length = 0;
});

const get = (path: string) => fetch(`${host.url}/api/${path}`);
const seen = async (at = host) => seenSchema.parse(await (await fetch(`${at.url}/api/seen`)).json());
const messagesSeen = async (n: number) => (await seen()).work.filter(({ message }) => message.n === n);
const admin = (path: string, init: RequestInit = {}, at = host) =>
  fetch(`${at.url}/admin/${path}`, { ...init, headers: { 'x-functions-key': KEYS.master } });
const run = (name: string, body: unknown, at = host) =>
  admin(`functions/${name}`, { method: 'POST', body: JSON.stringify(body) }, at);

function queueOf(name: string, where = storage): QueueClient {
  return new QueueServiceClient(where.queueServiceUri, where.credential).getQueueClient(name);
}

async function send(queue: QueueClient, message: unknown): Promise<void> {
  await queue.createIfNotExists();
  await queue.sendMessage(Buffer.from(JSON.stringify(message)).toString('base64'));
}

const count = async (queue: QueueClient): Promise<number | undefined> =>
  (await queue.getProperties()).approximateMessagesCount;

describe('a queue message', () => {
  test('runs its function with parsed content and is deleted after it', async () => {
    await send(queueOf('work'), { n: 1, table: 'lead' });
    await expect.poll(() => messagesSeen(1)).toHaveLength(1);
    const [call] = await messagesSeen(1);
    expect(call?.message).toEqual({ n: 1, table: 'lead' });
    expect(call?.metadata).toMatchObject({
      dequeueCount: 1,
      table: 'lead',
      insertionTime: expect.stringContaining('T'),
    });
    await expect.poll(() => count(queueOf('work'))).toBe(0);
    expect(lines.join('\n')).toMatch(
      /Executing 'Functions.work' \(Reason='New queue message detected on 'work'.', Id=.*\n.*Trigger Details: MessageId: .*, DequeueCount: 1, InsertedOn: /,
    );
  });

  test('hides its own metadata by properties of the same name', async () => {
    await send(queueOf('work'), { n: 2, id: 'mine', DequeueCount: 'other' });
    await expect.poll(() => messagesSeen(2)).toHaveLength(1);
    expect((await messagesSeen(2))[0]?.metadata).toMatchObject({ id: 'mine', dequeueCount: 'other' });
  });

  test('that is a number arrives as one', async () => {
    await send(queueOf('copies'), 7);
    const copied = queueOf('copied');
    await expect.poll(() => count(copied).catch(() => 0)).toBe(1);
    const { receivedMessageItems } = await copied.receiveMessages();
    expect(Buffer.from(receivedMessageItems[0]?.messageText ?? '', 'base64').toString()).toBe('copy of 7');
  });

  test('that fails is tried as often as host.json says and then moved to the poison queue as it was', async () => {
    const text = Buffer.from('{"n":3,"do":"fail"}').toString('base64');
    await queueOf('work').sendMessage(text);
    const poison = queueOf('work-poison');
    await expect.poll(() => count(poison).catch(() => 0)).toBe(1);
    expect((await messagesSeen(3)).map(({ metadata }) => metadata['dequeueCount'])).toEqual([1, 2, 3]);
    await expect.poll(() => count(queueOf('work'))).toBe(0);
    const { receivedMessageItems } = await poison.receiveMessages();
    expect(receivedMessageItems[0]?.messageText).toBe(text);
    await poison.clearMessages();
  });

  test('that is not in the expected encoding goes to the poison queue without a call', async () => {
    await queueOf('work').sendMessage('{"n":4}');
    const poison = queueOf('work-poison');
    await expect.poll(() => count(poison)).toBe(1);
    expect(await messagesSeen(4)).toEqual([]);
    expect(lines.join('\n')).toMatch(/Message Id '.*' is not base64. Moving message to queue 'work-poison'/);
  });
});

describe('output bindings', () => {
  test('write each element of an array as a message, which wakes the listener, and a blob', async () => {
    const sent = [{ n: 5 }, { n: 6 }, { n: 7 }];
    const response = await fetch(`${host.url}/api/send/order`, { method: 'POST', body: JSON.stringify(sent) });
    expect(response.status).toBe(202);
    await expect
      .poll(async () => [await messagesSeen(5), await messagesSeen(6), await messagesSeen(7)].flat())
      .toHaveLength(3);
    const container = new BlobServiceClient(storage.blobServiceUri, storage.credential).getContainerClient('outbox');
    const blobs = await all(container.listBlobsFlat());
    expect(blobs.map(({ name }) => name)).toEqual([expect.stringMatching(/^order-[0-9a-f-]{36}\.json$/)]);
    const content = await container.getBlobClient(blobs[0]?.name ?? '').downloadToBuffer();
    expect(JSON.parse(content.toString())).toEqual({ sent });
  });
});

describe('the operator', () => {
  test('needs the master key', async () => {
    for (const path of ['functions', 'host/status', 'functions/tick', 'nowhere']) {
      expect((await fetch(`${host.url}/admin/${path}?code=${KEYS.function}`)).status).toBe(401);
    }
  });

  test('lists functions and sees the state of the host', async () => {
    const functions = await (await admin('functions')).json();
    expect(functions).toContainEqual(
      expect.objectContaining({
        name: 'show',
        invoke_url_template: `${host.url}/api/show/{name}`,
        config: { name: 'show', bindings: expect.arrayContaining([expect.objectContaining({ type: 'httpTrigger' })]) },
      }),
    );
    expect(await (await admin('host/status')).json()).toMatchObject({ state: 'Running', id: 'local' });
    expect(await (await admin('host/drain/status')).json()).toMatchObject({ state: 'Disabled' });
    expect((await admin('host/ping')).status).toBe(200);
  });

  test('runs a timer, which gets its object in camel case', async () => {
    expect((await run('tick', { input: '' })).status).toBe(202);
    await expect
      .poll(async () => (await seen()).timers)
      .toEqual([{ schedule: { adjustForDST: true }, scheduleStatus: null, isPastDue: false }]);
  });

  test('runs a queue function with a text', async () => {
    expect((await run('WORK', { input: '{"n":8}' })).status).toBe(202);
    await expect.poll(() => messagesSeen(8)).toHaveLength(1);
  });

  test('is told what cannot be run', async () => {
    expect((await run('nobody', {})).status).toBe(404);
    expect((await run('show', { input: '' })).status).toBe(400);
    expect((await run('tick', { input: {} })).status).toBe(400);
    expect((await admin('functions/tick', { method: 'POST', body: 'no json' })).status).toBe(400);
  });
});

test('a failing timer is retried by its policy and told so from the second attempt on', async () => {
  await run('retried', {});
  await expect
    .poll(async () => (await seen()).retries)
    .toEqual([
      null,
      expect.objectContaining({ retryCount: 1, maxRetryCount: 2 }),
      expect.objectContaining({
        retryCount: 2,
        maxRetryCount: 2,
        exception: { message: expect.stringContaining('again') },
      }),
    ]);
});

test('the status of a timer is kept where the Functions host keeps it', async () => {
  const container = new BlobServiceClient(storage.blobServiceUri, storage.credential).getContainerClient(
    'azure-webjobs-hosts',
  );
  const blob = container.getBlobClient('timers/local/Host.Functions.tick/status');
  const next = `${new Date().getUTCFullYear() + 1}-01-01T00:00:00.000+00:00`;
  expect(JSON.parse((await blob.downloadToBuffer()).toString())).toMatchObject({
    Last: '0001-01-01T00:00:00+00:00',
    Next: next,
  });
});

describe('without streaming', () => {
  test('a request comes whole, with route values alone in params', async () => {
    const response = await fetch(`${host.url}/api/show/me?name=other&x=1&x=2`, { method: 'POST', body: 'grüße' });
    expect(await response.json()).toEqual({
      params: { name: 'me' },
      query: { name: 'other', x: '1,2' },
      body: 'grüße',
    });
    expect(response.headers.getSetCookie()).toEqual([
      'a=x%20y; max-age=60; path=/; secure; samesite=strict',
      'b=2; expires=Fri, 20 Nov 2026 10:00:00 GMT; samesite=none',
    ]);
  });

  test('the body of a GET is dropped', async () => {
    const sent = request(`${host.url}/api/show/me`, { method: 'GET', headers: { 'content-length': 4 } });
    sent.end('body');
    const [response] = await once(sent, 'response');
    const chunks: Buffer[] = await all(response);
    expect(JSON.parse(Buffer.concat(chunks).toString())).toMatchObject({ body: '' });
  });

  test('bytes come out as they are', async () => {
    const response = await get('bytes');
    expect([response.status, response.headers.get('x-own')]).toEqual([203, 'yes']);
    expect([...new Uint8Array(await response.arrayBuffer())]).toEqual([0, 255, 1]);
  });

  test.each([
    ['nothing', 204],
    ['throwsUndefined', 204],
    ['throws', 500],
    ['text', 500],
    ['bigint', 500],
  ])('a handler that %s is answered with an empty %i', async (name, status) => {
    const response = await get(name);
    expect([response.status, await response.text()]).toEqual([status, '']);
  });
});

describe('a drain', () => {
  test('asked for by the operator takes no further message and ends when the running calls have', async () => {
    const where = freshStorage();
    const queue = queueOf('work', where);
    const draining = await start(where);
    await send(queue, { n: 10, do: 'wait' });
    const state = async () => (await admin('host/drain/status', {}, draining)).json();
    await expect.poll(() => messagesSeen(10)).toHaveLength(1);
    expect((await admin('host/drain', { method: 'POST' }, draining)).status).toBe(202);
    expect(await state()).toMatchObject({ state: 'InProgress', outstandingInvocations: 1 });
    await send(queue, { n: 11 });
    await fetch(`${draining.url}/api/letWaiting`);
    await expect.poll(state).toMatchObject({ state: 'Completed', outstandingInvocations: 0 });
    expect(await count(queue)).toBe(1);
    expect(await messagesSeen(11)).toEqual([]);
    await draining.close();
  });

  test('waits no longer than 30 seconds for a call', async () => {
    const clock = new ManualClock('2026-11-20T10:00:00Z');
    const stuck = await start(freshStorage(), clock);
    const responding = fetch(`${stuck.url}/api/hangs`).catch(() => 'cut off');
    await expect.poll(() => lines.join('\n')).toContain("Executing 'Functions.hangs'");
    const drained = stuck.drain();
    await clock.advance(30_000);
    await drained;
    expect(lines.join('\n')).toContain('Not all work was done in time; 1 calls still run.');
    await stuck.close();
    expect(await responding).toBe('cut off');
  });
});

describe('on a clock that is moved by hand', () => {
  test('a message from an output binding is taken at once, without the next poll', async () => {
    const polling = await start(freshStorage(), new ManualClock('2026-11-20T10:00:00Z'));
    await fetch(`${polling.url}/api/send/now`, { method: 'POST', body: '{"n":12}' });
    await expect.poll(() => messagesSeen(12)).toHaveLength(1);
    await polling.close();
  });

  test('the lease of a message is renewed while its function runs, and the last receipt deletes it', async () => {
    const where = freshStorage();
    const clock = new ManualClock('2026-11-20T10:00:00Z');
    const queue = queueOf('work', where);
    await send(queue, { n: 9, do: 'hold' });
    const holding = await start(where, clock);
    await expect.poll(async () => (await seen(holding)).work.some(({ message }) => message.n === 9)).toBe(true);
    const renewals = () => lines.filter((line) => line.includes('lease renewed')).length;
    for (const expected of [1, 2]) {
      await clock.advance(5 * 60_000);
      await expect.poll(renewals).toBe(expected);
    }
    await fetch(`${holding.url}/api/letGo`);
    await expect.poll(() => count(queue)).toBe(0);
    await holding.close();
  });

  test('a call is failed at functionTimeout', async () => {
    const clock = new ManualClock('2026-11-20T10:00:00Z');
    const slow = await start(freshStorage(), clock);
    const responding = fetch(`${slow.url}/api/hangs`);
    await expect.poll(() => lines.join('\n')).toContain("Executing 'Functions.hangs'");
    await clock.advance(12 * 60_000);
    expect((await responding).status).toBe(500);
    expect(lines.join('\n')).toContain('Timeout value of 00:12:00 was exceeded by function: Functions.hangs');
    await slow.close();
  });
});

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
