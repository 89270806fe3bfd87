import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { TokenCredential } from '@azure/core-auth';
import { ContainerClient } from '@azure/storage-blob';
import { QueueClient } from '@azure/storage-queue';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/shared/clock.ts';
import { newGuid } from '../../src/shared/ids.ts';
import { openStorage } from '../../src/storage/storage.ts';
import { createEventStore } from '../../src/webhooks/events.ts';
import { createWebhookReceiver } from '../../src/webhooks/receive.ts';
import { freshStorage } from '../support/storage.ts';

const FOLDER = new URL('../fixtures/webhooks/', import.meta.url);
const fixture = (file: string): string => readFileSync(new URL(file, FOLDER), 'utf8');
const CONTACT = fixture('update-contact-async-msdocs.json');
const ROW = '6d81597f-0f9f-e711-8122-000d3aa2331c';
const NOW = Date.parse('2026-11-21T12:00:00Z');

const clock: Clock = { now: () => NOW, sleep: () => new Promise(() => {}) };
const endpoints = new Map(
  ['events', 'other'].map((name) => [
    name,
    { name, connection: 'default', secretName: 'hook', header: 'x-bridge-key', query: undefined },
  ]),
);

/** The contact's context, changed where given: the wire name of a member and its value. */
const contact = (changes: Record<string, unknown> = {}) => JSON.stringify({ ...JSON.parse(CONTACT), ...changes });
const at = (ms: number) => `/Date(${ms})/`;
const guid = (number: number) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;

async function* chunks(text: string | Buffer, size = 16_384) {
  const bytes = Buffer.from(text);
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

/** The whole path on a storage account of its own; `ports` stands in for services of it that are down. */
function world(ports: { blobs?: string; queue?: string; credential?: TokenCredential; clock?: Clock } = {}) {
  const account = freshStorage();
  const storage = openStorage(account, account.credential);
  const reached = openStorage(
    {
      ...account,
      blobServiceUri: ports.blobs ?? account.blobServiceUri,
      queueServiceUri: ports.queue ?? account.queueServiceUri,
    },
    ports.credential ?? account.credential,
  );
  const log = () => {};
  const secrets = { newestEnabled: async () => ['the secret'] };
  const receiver = createWebhookReceiver({
    endpoints,
    secrets,
    storage: reached,
    clock: ports.clock ?? clock,
    newId: newGuid,
    log,
  });
  const queue = new QueueClient(`${account.queueServiceUri}/webhook-events`, account.credential);
  const bodies = new ContainerClient(`${account.blobServiceUri}/webhook-bodies`, account.credential);
  const events = createEventStore({ storage });

  /** Posts as Dataverse does. */
  const post = (
    body: string | Buffer | AsyncIterable<Uint8Array>,
    options: { endpoint?: string; secret?: string; length?: number; signal?: AbortSignal } = {},
  ) => {
    const { endpoint = 'events', secret = 'the secret', length, signal } = options;
    const headers = new Headers();
    if (secret) headers.set('x-bridge-key', secret);
    if (length !== undefined) headers.set('content-length', String(length));
    const parts = typeof body === 'string' || Buffer.isBuffer(body) ? chunks(body) : body;
    return receiver.receive(endpoint, { headers, query: new URLSearchParams(), body: parts }, signal);
  };
  /** Takes the messages from the queue, as the Functions host hands them to the worker. */
  const queued = async (): Promise<unknown[]> => {
    const taken: unknown[] = [];
    if (!(await queue.exists())) return taken;
    for (;;) {
      const { receivedMessageItems: items } = await queue.receiveMessages({ numberOfMessages: 32 });
      if (items.length === 0) return taken;
      for (const item of items) taken.push(JSON.parse(Buffer.from(item.messageText, 'base64').toString()));
    }
  };
  const work = async (): Promise<string[]> => {
    const outcomes: string[] = [];
    for (const message of await queued()) outcomes.push(await events.record(message));
    return outcomes.sort();
  };
  const isEmpty = async (): Promise<boolean> =>
    (await queued()).length === 0 && (await events.list({ pageSize: 1 })).value.length === 0;
  return { events, bodies, post, queued, work, isEmpty };
}

describe('a delivery', () => {
  test('is an event once the worker has stored it', async () => {
    const { post, work, events, queued } = world();
    const accepted = await post(CONTACT);
    expect(accepted).toEqual({ accepted: true, recognised: true, id: expect.any(String) });
    expect(await work()).toEqual(['stored']);
    const event = await events.get(accepted.id);
    expect(event).toMatchObject({
      id: accepted.id,
      endpoint: 'events',
      table: 'contact',
      row: ROW,
      message: 'Update',
      state: 'received',
      operationCreatedOn: '2017-09-26T00:04:08.000Z',
      receivedAt: '2026-11-21T12:00:00.000Z',
      context: { message: 'Update', inputParameters: { Target: { columns: { firstname: 'James' } } } },
    });
    expect(await events.list({ pageSize: 10 })).toEqual({ value: [event] });
    expect(await queued()).toEqual([]);
  });

  test('is one event however often it is posted or worked on', async () => {
    const { post, work, events, queued } = world();
    await post(CONTACT);
    const [message] = await queued();
    const outcomes = await Promise.all([events.record(message), events.record(message), events.record(message)]);
    expect(outcomes.sort()).toEqual(['duplicate', 'duplicate', 'stored']);
    await post(CONTACT);
    expect(await work()).toEqual(['duplicate']);
    expect((await events.list({ pageSize: 10 })).value).toHaveLength(1);
  });

  test.each([
    ['operation', { OperationId: guid(1) }],
    ['correlation', { CorrelationId: guid(1) }],
    ['step', { OwningExtension: { Id: guid(1), LogicalName: 'sdkmessageprocessingstep' } }],
    ['row', { PrimaryEntityId: guid(1) }],
    ['message', { MessageName: 'Delete' }],
    ['time', { OperationCreatedOn: at(NOW) }],
  ])('of another %s is another event', async (_, changes) => {
    const { post, work } = world();
    await post(CONTACT);
    await post(contact(changes));
    expect(await work()).toEqual(['stored', 'stored']);
  });

  test('to another endpoint is another event', async () => {
    const { post, work, events } = world();
    await post(CONTACT);
    await post(CONTACT, { endpoint: 'other' });
    expect(await work()).toEqual(['stored', 'stored']);
    const { value } = await events.list({ pageSize: 10 });
    expect(value.map(({ endpoint }) => endpoint).sort()).toEqual(['events', 'other']);
  });

  test('of 300 KB that pack badly is kept whole, once', async () => {
    const { post, work, events, queued, bodies } = world();
    const text = randomBytes(225_000).toString('base64');
    const parameters = [{ key: 'Target', value: text }];
    const { id } = await post(contact({ InputParameters: parameters }));
    await post(contact({ InputParameters: parameters }));
    const messages = await queued();
    expect(JSON.stringify(messages[0]).length).toBeLessThan(1000);
    expect([await events.record(messages[0]), await events.record(messages[1])]).toEqual(['stored', 'duplicate']);
    expect(await work()).toEqual([]);
    expect(await events.get(id)).toMatchObject({ context: { inputParameters: { Target: text } } });
    expect((await events.list({ pageSize: 10 })).value).toMatchObject([
      { id, context: { inputParameters: { Target: text } } },
    ]);
    const blobs: string[] = [];
    for await (const blob of bodies.listBlobsFlat()) blobs.push(blob.name);
    expect(blobs).toEqual([`${id}.json.gz`]);
  });

  test('of JSON without the shape of a context is kept as it came', async () => {
    const { post, work, events } = world();
    const json = { hello: ['world', { __type: 'Entity:x' }], MessageName: 'Create' };
    const accepted = await post(JSON.stringify(json));
    expect(accepted.recognised).toBe(false);
    await post('[1,2,3]');
    await post('null');
    expect(await work()).toEqual(['stored', 'stored', 'stored']);
    expect(await events.get(accepted.id)).toEqual({
      id: accepted.id,
      endpoint: 'events',
      table: null,
      row: null,
      message: null,
      state: 'unrecognised',
      operationCreatedOn: null,
      receivedAt: '2026-11-21T12:00:00.000Z',
      context: json,
    });
    const { value } = await events.list({ state: 'unrecognised', pageSize: 10 });
    expect(value.map(({ context }) => JSON.stringify(context)).sort()).toEqual([
      '[1,2,3]',
      'null',
      JSON.stringify(json),
    ]);
  });

  test('of JSON nested without end is kept as text, so that it can be shown', async () => {
    const { post, work, events } = world();
    const deep = `${'['.repeat(400_000)}${']'.repeat(400_000)}`;
    const { id, recognised } = await post(deep);
    expect(recognised).toBe(false);
    expect(await work()).toEqual(['stored']);
    expect((await events.get(id))?.context).toBe(deep);
  });
});

describe('a delivery that is refused', () => {
  const unread = (): AsyncIterable<Uint8Array> => ({
    [Symbol.asyncIterator]: () => {
      throw new Error('the body was read');
    },
  });

  test('says that the endpoint is unknown', async () => {
    const it = world();
    await expect(it.post(unread(), { endpoint: 'none' })).rejects.toMatchObject({
      code: 'endpointUnknown',
      status: 404,
    });
  });

  test.each(['', 'wrong', 'the secret!'])('reads nothing of the body with the secret %j', async (secret) => {
    const it = world();
    await expect(it.post(unread(), { secret })).rejects.toMatchObject({ code: 'secretWrong', status: 401 });
    expect(await it.isEmpty()).toBe(true);
  });

  test('names no secret, presented or expected', async () => {
    const error: unknown = await world()
      .post(CONTACT, { secret: 'presented' })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'secretWrong' });
    expect(JSON.stringify(error) + String(error)).not.toMatch(/presented|the secret/);
  });

  test.each([
    ['no body', ''],
    ['text', 'hello'],
    ['JSON cut off', CONTACT.slice(0, -20)],
    ['bytes that are no UTF-8', Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), Buffer.from('"}')])],
  ])('has no JSON: %s', async (_, body) => {
    const it = world();
    await expect(it.post(body)).rejects.toMatchObject({ code: 'bodyNotJson', status: 400 });
    expect(await it.isEmpty()).toBe(true);
  });

  test('announces more than 1 MB, of which nothing is read', async () => {
    const it = world();
    await expect(it.post(unread(), { length: 1024 * 1024 + 1 })).rejects.toMatchObject({ code: 'bodyTooLarge' });
  });

  test('broke off midway', async () => {
    async function* broken() {
      yield Buffer.from(CONTACT.slice(0, 100));
      throw new Error('reset');
    }
    const it = world();
    await expect(it.post(broken())).rejects.toMatchObject({ code: 'bodyNotJson' });
    expect(await it.isEmpty()).toBe(true);
  });

  test('has more than 1 MB, of which no more is read', async () => {
    let given = 0;
    async function* large() {
      while (given < 8 * 1024 * 1024) {
        given += 65_536;
        yield Buffer.alloc(65_536, ' ');
      }
    }
    const it = world();
    await expect(it.post(large())).rejects.toMatchObject({ code: 'bodyTooLarge', status: 413 });
    expect(given).toBeLessThanOrEqual(1024 * 1024 + 65_536);
    const exactly = `"${'x'.repeat(1024 * 1024 - 2)}"`;
    expect(await it.post(exactly)).toMatchObject({ accepted: true });
  });
});

describe('while storage is away', () => {
  // Port 9 is "discard", which nothing here serves.
  const NOWHERE = 'https://127.0.0.1:9/account';
  const large = contact({ InputParameters: [{ key: 'Target', value: randomBytes(60_000).toString('hex') }] });

  test.each([
    ['the queue', CONTACT, { queue: NOWHERE }],
    ['the queue, for a large body', large, { queue: NOWHERE }],
    ['the blobs, for a large body', large, { blobs: NOWHERE }],
    ['the right to any of it', CONTACT, { credential: { getToken: () => Promise.reject(new Error('no identity')) } }],
  ])('a delivery is refused with 503 and is no event: %s', async (_, body, ports) => {
    const it = world(ports);
    await expect(it.post(body)).rejects.toMatchObject({ code: 'notQueued', status: 503, hint: expect.any(String) });
    expect(await it.isEmpty()).toBe(true);
  });

  describe('so that it takes a call and gives no answer', () => {
    const silent = createServer();
    const port = () => {
      const address = silent.address();
      return typeof address === 'object' ? address?.port : undefined;
    };
    beforeAll(() => new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve)));
    afterAll(() => silent.close());

    test('a delivery is refused in time for Dataverse to post it again', async () => {
      const called = once(silent, 'connection');
      let waited = 0;
      const sleep = async (ms: number) => {
        waited = ms;
        await called;
      };
      const it = world({ queue: `https://127.0.0.1:${port()}/account`, clock: { now: () => NOW, sleep } });
      await expect(it.post(CONTACT)).rejects.toMatchObject({ code: 'notQueued', status: 503 });
      expect(waited).toBeLessThan(60_000);
    });

    test('a delivery whose caller has gone ends with the caller’s reason', async () => {
      const reason = new Error('gone');
      const caller = new AbortController();
      silent.once('connection', () => caller.abort(reason));
      const it = world({ queue: `https://127.0.0.1:${port()}/account` });
      await expect(it.post(CONTACT, { signal: caller.signal })).rejects.toBe(reason);
    });
  });

  test('a delivery that needs no blob does without the blobs', async () => {
    const it = world({ blobs: NOWHERE });
    expect(await it.post(CONTACT)).toMatchObject({ accepted: true });
    expect(await it.work()).toEqual(['stored']);
  });
});

describe('the worker', () => {
  test.each([
    ['nothing', null],
    [
      'another version',
      { version: 2, delivery: 'd', endpoint: 'e', receivedAt: '2026-11-21T12:00:00Z', body: { inline: '' } },
    ],
    [
      'a damaged body',
      { version: 1, delivery: 'd', endpoint: 'e', receivedAt: '2026-11-21T12:00:00Z', body: { inline: 'AAAA' } },
    ],
  ])('cannot read a message of %s, and says why', async (_, message) => {
    await expect(world().events.record(message)).rejects.toMatchObject({
      code: 'messageUnreadable',
      message: expect.stringMatching(/version|damaged/),
    });
  });

  test('names the body that a message refers to in vain', async () => {
    const message = {
      version: 1,
      delivery: 'd',
      endpoint: 'e',
      receivedAt: '2026-11-21T12:00:00Z',
      body: { blob: 'gone.json.gz' },
    };
    await expect(world().events.record(message)).rejects.toThrow(/webhook-bodies\/gone\.json\.gz/);
  });
});

describe('the feed', () => {
  const DAY = 86_400_000;
  /** Events of accounts and contacts in turn, one each half day, the last at NOW. */
  async function filled(count: number) {
    const it = world();
    await Promise.all(
      Array.from({ length: count }, (_, number) =>
        it.post(
          contact({
            PrimaryEntityName: number % 2 === 0 ? 'account' : 'contact',
            PrimaryEntityId: guid(number),
            MessageName: number % 3 === 0 ? 'Create' : 'Update',
            OperationCreatedOn: at(NOW - (count - 1 - number) * (DAY / 2)),
          }),
        ),
      ),
    );
    expect(await it.work()).toEqual(Array(count).fill('stored'));
    const numbers = async (query: Parameters<typeof it.events.list>[0]) => {
      const { value, nextPage } = await it.events.list(query);
      return { numbers: value.map(({ row }) => Number(row?.slice(-12))), nextPage };
    };
    return { ...it, numbers };
  }

  test('gives events newest first, page by page, and none twice when more come in', async () => {
    const { numbers, post, work } = await filled(7);
    const first = await numbers({ pageSize: 3 });
    expect(first.numbers).toEqual([6, 5, 4]);
    expect(first.nextPage?.length).toBeLessThanOrEqual(512);
    await post(contact({ OperationCreatedOn: at(NOW + 1000), PrimaryEntityId: guid(99) }));
    await work();
    const second = await numbers({ pageSize: 3, page: first.nextPage });
    expect(second.numbers).toEqual([3, 2, 1]);
    expect(await numbers({ pageSize: 3, page: second.nextPage })).toEqual({ numbers: [0], nextPage: undefined });
  });

  test('is filtered by table, row, message, state and time', async () => {
    const { numbers } = await filled(6);
    const all = { pageSize: 10 };
    expect((await numbers({ ...all, table: 'account' })).numbers).toEqual([4, 2, 0]);
    expect((await numbers({ ...all, row: guid(3) })).numbers).toEqual([3]);
    expect((await numbers({ ...all, table: 'account', message: 'Create' })).numbers).toEqual([0]);
    expect((await numbers({ ...all, state: 'unrecognised' })).numbers).toEqual([]);
    expect((await numbers({ ...all, from: NOW - DAY, to: NOW })).numbers).toEqual([4, 3]);
    expect((await numbers({ ...all, from: 0, to: NOW - 2 * DAY + 1 })).numbers).toEqual([1, 0]);
    const paged = await numbers({ pageSize: 2, table: 'account', from: 0 });
    expect(paged.numbers).toEqual([4, 2]);
    expect((await numbers({ pageSize: 2, table: 'account', from: 0, page: paged.nextPage })).numbers).toEqual([0]);
  });

  test('takes the id of a row in upper case too', async () => {
    const { post, work, events } = world();
    await post(CONTACT);
    await work();
    expect((await events.list({ row: ROW.toUpperCase(), pageSize: 10 })).value).toHaveLength(1);
  });

  test('knows no event by another id, and no other page', async () => {
    const { events } = world();
    expect(await events.get('nothing')).toBeUndefined();
    expect(await events.get(`${'9'.repeat(15)}-${'a'.repeat(32)}`)).toBeUndefined();
    await expect(events.list({ page: "' or true", pageSize: 1 })).rejects.toMatchObject({
      code: 'pageUnknown',
      status: 400,
    });
  });
});
