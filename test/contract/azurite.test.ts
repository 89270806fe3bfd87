import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { TableClient } from '@azure/data-tables';
import { BlobServiceClient } from '@azure/storage-blob';
import { QueueServiceClient } from '@azure/storage-queue';
import { expect, inject, test } from 'vitest';
import { z } from 'zod';
import { startAzurite } from '../../src/local/azurite.ts';
import { freshStorage, storageCredential } from '../support/storage.ts';

test('the storage SDKs reach blobs, queues and tables over TLS with a bearer token', async () => {
  const storage = freshStorage();

  const container = new BlobServiceClient(storage.blobServiceUri, storage.credential).getContainerClient('things');
  await container.create();
  await container.getBlockBlobClient('a.txt').upload('hello', 5);
  expect((await container.getBlockBlobClient('a.txt').downloadToBuffer()).toString()).toBe('hello');

  const queue = new QueueServiceClient(storage.queueServiceUri, storage.credential).getQueueClient('things');
  await queue.create();
  await queue.sendMessage('hello');
  expect((await queue.receiveMessages()).receivedMessageItems.map((item) => item.messageText)).toEqual(['hello']);

  const table = new TableClient(storage.tableServiceUri, 'things', storage.credential);
  await table.createTable();
  await table.createEntity({ partitionKey: 'p', rowKey: 'r', greeting: 'hello' });
  expect((await table.getEntity('p', 'r'))['greeting']).toBe('hello');
});

test('each fresh storage is a world of its own', async () => {
  const [first, second] = [freshStorage(), freshStorage()];
  expect(first.blobServiceUri).not.toBe(second.blobServiceUri);
  await new BlobServiceClient(first.blobServiceUri, first.credential).createContainer('mine');
  const others: string[] = [];
  for await (const { name } of new BlobServiceClient(second.blobServiceUri, second.credential).listContainers()) {
    others.push(name);
  }
  expect(others).toEqual([]);
});

test('Azurite goes when the process that started it is killed', async () => {
  const { certFile, keyFile } = inject('authority');
  const program = `
    import { startAzurite } from ${JSON.stringify(new URL('../../src/local/azurite.ts', import.meta.url).href)};
    const { blobServiceUri } = await startAzurite({ tls: ${JSON.stringify({ certFile, keyFile })} });
    process.stdout.write(blobServiceUri + '\\n');
    setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(createInterface({ input: parent.stdout }), 'line');
  const blobServiceUri = z.url().parse(line);
  const answers = () => fetch(blobServiceUri).then(Boolean, () => false);
  expect(await answers()).toBe(true);

  parent.kill('SIGKILL');
  await expect.poll(answers).toBe(false);
});

test('Azurite keeps what it has in its folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'azurite-folder-'));
  const options = { tls: inject('authority'), folder, accounts: ['kept'] };
  const first = await startAzurite(options);
  await new BlobServiceClient(first.blobServiceUri, storageCredential()).createContainer('kept');
  await first.stop();

  const second = await startAzurite(options);
  const container = new BlobServiceClient(second.blobServiceUri, storageCredential()).getContainerClient('kept');
  expect(await container.exists()).toBe(true);
  await second.stop();
  await rm(folder, { recursive: true });
});

test('Azurite that cannot start says why', async () => {
  const tls = { certFile: '/nowhere/cert.pem', keyFile: '/nowhere/key.pem' };
  await expect(startAzurite({ tls })).rejects.toMatchObject({
    code: 'azuriteNotStarted',
    message: expect.stringContaining('/nowhere/cert.pem'),
  });
});
