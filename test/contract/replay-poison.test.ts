import { QueueServiceClient } from '@azure/storage-queue';
import { beforeAll, expect, test } from 'vitest';
import { replayPoison } from '../../infra/scripts/replay-poison.ts';
import { freshStorage, storageCredential } from '../support/storage.ts';

const { queueServiceUri } = freshStorage();
const credential = storageCredential();
const service = new QueueServiceClient(queueServiceUri, credential);
const lines: string[] = [];
const replay = (apply: boolean, queue = 'webhook-events') =>
  replayPoison({ queueServiceUri, credential, queue, apply, say: (line) => lines.push(line) });

const textsOf = async (queue: string): Promise<string[]> => {
  const { peekedMessageItems } = await service.getQueueClient(queue).peekMessages({ numberOfMessages: 32 });
  return peekedMessageItems.map(({ messageText }) => messageText);
};

beforeAll(async () => {
  for (const queue of ['webhook-events', 'webhook-events-poison']) await service.createQueue(queue);
});

test('nothing is moved before it is asked for', async () => {
  await service.getQueueClient('webhook-events-poison').sendMessage('one');
  await service.getQueueClient('webhook-events-poison').sendMessage('two');
  expect(await replay(false)).toBe(0);
  expect(lines.at(-1)).toBe('webhook-events-poison: about 2 messages; --apply moves them to webhook-events');
  expect(await textsOf('webhook-events-poison')).toEqual(['one', 'two']);
});

test('messages go back to their queue, byte for byte and once', async () => {
  expect(await replay(true)).toBe(2);
  expect((await textsOf('webhook-events')).sort()).toEqual(['one', 'two']);
  expect(await textsOf('webhook-events-poison')).toEqual([]);
  expect(await replay(true)).toBe(0);
});

test('more than one call takes are all moved', async () => {
  const poison = service.getQueueClient('webhook-events-poison');
  await Promise.all(Array.from({ length: 40 }, (_, number) => poison.sendMessage(`message ${number}`)));
  expect(await replay(true)).toBe(40);
});

test('a queue from which nothing was ever given up is no fault', async () => {
  expect(await replay(true, 'activation-runs')).toBe(0);
  expect(lines.at(-1)).toContain('there is no such queue');
});
