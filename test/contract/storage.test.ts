import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { ContainerClient } from '@azure/storage-blob';
import { QueueClient } from '@azure/storage-queue';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStorage, type Storage } from '../../src/storage/storage.ts';
import { freshStorage } from '../support/storage.ts';

const account = freshStorage();
const storage = openStorage(account, account.credential);

const all = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
};

describe('blobs', () => {
  test('finds nothing in a container that does not exist, and does not make it', async () => {
    const blobs = storage.blobs('never-made');
    expect(await blobs.read('a')).toBeUndefined();
    expect(await blobs.open('a')).toBeUndefined();
    expect(await blobs.download('a', join(tmpdir(), 'never-written'))).toBeUndefined();
    expect(await blobs.exists('a')).toBe(false);
    expect(await blobs.remove('a')).toBe(false);
    expect(await all(blobs.list(''))).toEqual([]);
    const container = new ContainerClient(`${account.blobServiceUri}/never-made`, account.credential);
    expect(await container.exists()).toBe(false);
  });

  test('makes the container once for many first writes', async () => {
    const blobs = storage.blobs('many-first-writes');
    await Promise.all(Array.from({ length: 8 }, (_, n) => blobs.write(`b${n}`, `text ${n}`)));
    expect((await blobs.read('b7'))?.body.toString()).toBe('text 7');
  });

  test('makes a container anew that was deleted while the app ran', async () => {
    const blobs = storage.blobs('deleted-meanwhile');
    await blobs.write('a', 'first');
    await new ContainerClient(`${account.blobServiceUri}/deleted-meanwhile`, account.credential).delete();
    await blobs.write('a', 'second');
    expect((await blobs.read('a'))?.body.toString()).toBe('second');
  });

  test('gives one ETag for a blob, however it is asked for', async () => {
    const blobs = storage.blobs('etags');
    const { etag } = await blobs.write('folder/a', 'text', { contentType: 'text/plain' });
    expect(etag).toMatch(/^".+"$/);
    expect((await blobs.read('folder/a'))?.etag).toBe(etag);
    const opened = await blobs.open('folder/a');
    opened?.stream.destroy();
    expect(opened).toMatchObject({ etag, size: 4 });
    expect(await all(blobs.list('folder/'))).toEqual([
      { path: 'folder/a', etag, size: 4, modifiedAt: expect.any(Date) },
    ]);
  });

  test('writes and removes under conditions, and says conflict where they do not hold', async () => {
    const blobs = storage.blobs('conditions');
    const first = await blobs.write('a', 'one', { ifNoneMatch: '*' });
    await expect(blobs.write('a', 'two', { ifNoneMatch: '*' })).rejects.toMatchObject({ code: 'conflict' });
    const second = await blobs.write('a', 'two', { ifMatch: first.etag });
    await expect(blobs.write('a', 'three', { ifMatch: first.etag })).rejects.toMatchObject({ code: 'conflict' });
    await expect(blobs.write('a', Readable.from(['x']), { ifMatch: first.etag })).rejects.toMatchObject({
      code: 'conflict',
    });
    await expect(blobs.remove('a', { ifMatch: first.etag })).rejects.toMatchObject({ code: 'conflict' });
    expect((await blobs.read('a'))?.body.toString()).toBe('two');
    expect(await blobs.remove('a', { ifMatch: second.etag })).toBe(true);
    expect(await blobs.remove('a')).toBe(false);
  });

  test('streams in and out, and keeps the bytes of packed content as they are', async () => {
    const blobs = storage.blobs('streams');
    const packed = gzipSync(Buffer.alloc(5_000_000, 'some text\n'));
    await blobs.write('packed', Readable.from([packed]), { contentEncoding: 'gzip', contentType: 'text/plain' });
    expect((await blobs.read('packed'))?.body.equals(packed)).toBe(true);
    const large = Buffer.alloc(9_000_000, 'abcdefg');
    await blobs.write('large', Readable.from([large.subarray(0, 5), large.subarray(5)]));
    const opened = await blobs.open('large');
    expect(Buffer.concat(await all(opened?.stream ?? Readable.from([]))).equals(large)).toBe(true);
  });

  test.each([
    ['fails', () => Readable.from(brokenParts())],
    ['is destroyed', () => cutOff()],
  ])('writes nothing from a stream that %s', async (_, source) => {
    const blobs = storage.blobs('broken-streams');
    await expect(blobs.write('a', source())).rejects.toThrow();
    expect(await blobs.exists('a')).toBe(false);
  });

  describe('and files', () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'storage-test-'));
    });
    afterAll(() => rm(folder, { recursive: true }));

    test('uploads a file into a new container and downloads it again', async () => {
      const blobs = storage.blobs('files');
      await writeFile(join(folder, 'in'), Buffer.alloc(5_000_000, 'row\n'));
      const { etag } = await blobs.upload('a', join(folder, 'in'), { ifNoneMatch: '*' });
      expect(await blobs.download('a', join(folder, 'out'))).toEqual({ etag, size: 5_000_000 });
      expect((await readFile(join(folder, 'out'))).equals(await readFile(join(folder, 'in')))).toBe(true);
      await expect(blobs.upload('a', join(folder, 'in'), { ifNoneMatch: '*' })).rejects.toMatchObject({
        code: 'conflict',
      });
    });
  });
});

describe('queues', () => {
  test('makes the queue and sends base64 JSON that never expires', async () => {
    await storage.queue('first-message').send({ text: 'grüße' });
    const queue = new QueueClient(`${account.queueServiceUri}/first-message`, account.credential);
    const [message] = (await queue.receiveMessages()).receivedMessageItems;
    expect(Buffer.from(message?.messageText ?? '', 'base64').toString()).toBe('{"text":"grüße"}');
    expect(message?.expiresOn.getUTCFullYear()).toBeGreaterThan(9000);
  });

  test('hides a delayed message', async () => {
    await storage.queue('delayed').send(1, { delaySeconds: 60 });
    const queue = new QueueClient(`${account.queueServiceUri}/delayed`, account.credential);
    expect((await queue.receiveMessages()).receivedMessageItems).toEqual([]);
    expect((await queue.getProperties()).approximateMessagesCount).toBe(1);
  });

  test('takes 48 KiB of JSON and not a byte more', async () => {
    const fits = 'x'.repeat(48 * 1024 - 2);
    await storage.queue('large').send(fits);
    await expect(storage.queue('large').send(`${fits}x`)).rejects.toMatchObject({ code: 'messageTooLarge' });
  });
});

describe('tables', () => {
  const entity = { partition: 'p', row: 'r', properties: { text: 'it’s "a" text', whole: 5, half: 0.5, yes: true } };

  test('finds nothing in a table that does not exist', async () => {
    const table = storage.table('nevermade');
    expect(await table.get('p', 'r')).toBeUndefined();
    expect(await table.query({ limit: 10 })).toEqual({ entities: [] });
    expect(await table.remove('p', 'r')).toBe(false);
    await expect(table.replace(entity, '*')).rejects.toMatchObject({ code: 'notFound' });
  });

  test('gives back what was inserted, numbers beyond 32 bits included', async () => {
    const table = storage.table('values');
    const large = { ...entity, properties: { ...entity.properties, large: 1_737_031_936_000, below: -(2 ** 31) } };
    const { etag } = await table.insert(large);
    expect(await table.get('p', 'r')).toEqual({ ...large, etag });
  });

  test('inserts a key once', async () => {
    const table = storage.table('once');
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => table.insert(entity)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    await expect(table.insert(entity)).rejects.toMatchObject({ code: 'conflict' });
  });

  test('puts a row in the place of whatever is there', async () => {
    const table = storage.table('puts');
    await table.put(entity);
    await table.put({ ...entity, properties: { only: 'this' } });
    expect((await table.get('p', 'r'))?.properties).toEqual({ only: 'this' });
  });

  test('replaces and removes a version only', async () => {
    const table = storage.table('versions');
    const first = await table.insert(entity);
    const second = await table.replace({ ...entity, properties: { only: 'this' } }, first.etag);
    await expect(table.replace(entity, first.etag)).rejects.toMatchObject({ code: 'conflict' });
    expect(await table.get('p', 'r')).toEqual({ ...entity, properties: { only: 'this' }, etag: second.etag });
    await expect(table.remove('p', 'r', first.etag)).rejects.toMatchObject({ code: 'conflict' });
    expect(await table.remove('p', 'r', second.etag)).toBe(true);
    expect(await table.remove('p', 'r')).toBe(false);
  });

  test('pages a query by conditions, in the order of keys', async () => {
    const table = storage.table('pages');
    const rows = ['r3', 'r1', 'r5', 'r2', 'r4'];
    await Promise.all(
      rows.map((row) => table.insert({ partition: 'p', row, properties: { odd: Number(row[1]) % 2 === 1 } })),
    );
    const where = [
      { name: 'partition', is: 'eq', value: 'p' },
      { name: 'row', is: 'gt', value: 'r1' },
    ] as const;
    const first = await table.query({ where, limit: 3 });
    expect(first.entities.map(({ row }) => row)).toEqual(['r2', 'r3', 'r4']);
    const rest = await table.query({ where, limit: 3, continuation: first.continuation ?? 'none' });
    expect(rest).toMatchObject({ entities: [{ row: 'r5' }] });
    expect(rest.continuation).toBeUndefined();
    const odd = await table.query({ where: [{ name: 'odd', is: 'eq', value: true }], limit: 3 });
    expect(odd.entities.map(({ row }) => row)).toEqual(['r1', 'r3', 'r5']);
  });

  test('keeps a value in a condition a value, and refuses a name that is none', async () => {
    const table = storage.table('quotes');
    await table.insert({ partition: 'p', row: 'r', properties: { text: "o'neil" } });
    const found = await table.query({ where: [{ name: 'text', is: 'eq', value: "o'neil" }], limit: 10 });
    expect(found.entities).toHaveLength(1);
    const escaped = await table.query({ where: [{ name: 'text', is: 'eq', value: "x' or 'a' eq 'a" }], limit: 10 });
    expect(escaped.entities).toEqual([]);
    const where = [{ name: "a eq 'b' or text", is: 'ne', value: '' }] as const;
    await expect(table.query({ where, limit: 10 })).rejects.toMatchObject({ code: 'refused' });
  });
});

test('several instances of the app make a container, queue or table at the same time', async () => {
  const instances = Array.from({ length: 4 }, () => openStorage(account, account.credential));
  await Promise.all(instances.map((it, n) => it.blobs('shared').write(`b${n}`, 'text')));
  await Promise.all(instances.map((it) => it.queue('shared').send('text')));
  await Promise.all(
    instances.map((it, n) => it.table('shared').insert({ partition: 'p', row: `r${n}`, properties: {} })),
  );
  expect(await all(storage.blobs('shared').list(''))).toHaveLength(4);
  expect((await storage.table('shared').query({ limit: 10 })).entities).toHaveLength(4);
});

describe('a storage account that does not do what it is asked', () => {
  const uses: [string, (storage: Storage, signal?: AbortSignal) => Promise<unknown>][] = [
    ['blobs', (it, signal) => it.blobs('some').write('a', 'text', {}, signal)],
    ['queues', (it, signal) => it.queue('some').send('text', {}, signal)],
    ['tables', (it, signal) => it.table('some').insert({ partition: 'p', row: 'r', properties: {} }, signal)],
  ];

  test.each(uses)('is unavailable where nobody listens: %s', async (_, use) => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    await new Promise((resolve) => server.close(resolve));
    const uri = `https://localhost:${port}/account`;
    const gone = openStorage({ blobServiceUri: uri, queueServiceUri: uri, tableServiceUri: uri }, account.credential);
    await expect(use(gone)).rejects.toMatchObject({ name: 'StorageError', code: 'unavailable' });
  });

  test.each(uses)('denies a token of another issuer: %s', async (_, use) => {
    const getToken = async () => {
      const { token, expiresOnTimestamp } = (await account.credential.getToken('')) ?? {
        token: '..',
        expiresOnTimestamp: 0,
      };
      const [head, claims = '', tail] = token.split('.');
      const other = { ...JSON.parse(Buffer.from(claims, 'base64url').toString()), iss: 'https://other.example/' };
      return {
        token: [head, Buffer.from(JSON.stringify(other)).toString('base64url'), tail].join('.'),
        expiresOnTimestamp,
      };
    };
    const error = await use(openStorage(account, { getToken })).then(undefined, (thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'StorageError', code: 'denied', hint: expect.stringContaining('roles') });
  });

  test.each(uses)('needs a credential with service addresses: %s', async (_, use) => {
    await expect(use(openStorage(account))).rejects.toMatchObject({ code: 'denied' });
  });

  test.each(uses)('throws the reason of an abort: %s', async (_, use) => {
    const reason = new Error('enough');
    await expect(use(storage, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});

async function* brokenParts() {
  yield Buffer.alloc(10);
  throw new Error('the source broke');
}

function cutOff(): Readable {
  return new Readable({
    read() {
      this.push(Buffer.alloc(10));
      this.destroy();
    },
  });
}
