import { TableClient } from '@azure/data-tables';
import { BlobServiceClient } from '@azure/storage-blob';
import { QueueServiceClient } from '@azure/storage-queue';
import { expect, test } from 'vitest';
import { freshStorage } from '../support/storage.ts';

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
