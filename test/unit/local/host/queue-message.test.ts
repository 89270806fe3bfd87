import { describe, expect, test } from 'vitest';
import { messageText, pollDelay, queueMetadata } from '../../../../src/local/host/queue-message.ts';

const message = {
  messageId: '11111111-2222-3333-4444-555555555555',
  popReceipt: 'receipt',
  dequeueCount: 2,
  insertedOn: new Date('2026-11-20T10:00:00Z'),
  expiresOn: new Date('2026-11-27T10:00:00Z'),
  nextVisibleOn: new Date('2026-11-20T10:10:00Z'),
};

describe('the metadata of a queue message', () => {
  test('holds the text, the id, the receipt, the count and the times', () => {
    expect(queueMetadata('plain', message)).toEqual({
      QueueTrigger: { string: 'plain' },
      DequeueCount: { int: 2 },
      ExpirationTime: { json: '"2026-11-27T10:00:00.000Z"' },
      Id: { string: message.messageId },
      InsertionTime: { json: '"2026-11-20T10:00:00.000Z"' },
      NextVisibleTime: { json: '"2026-11-20T10:10:00.000Z"' },
      PopReceipt: { string: 'receipt' },
    });
  });

  test('is hidden by the properties of a JSON message, whatever their case', () => {
    const metadata = queueMetadata('{"id":"mine","DEQUEUECOUNT":9,"table":"lead"}', message);
    expect(metadata).toMatchObject({
      Id: { string: 'mine' },
      DequeueCount: { string: '9' },
      table: { string: 'lead' },
    });
    expect(Object.keys(metadata)).not.toContain('id');
  });

  test('takes objects whole, and neither arrays nor null', () => {
    const metadata = queueMetadata('{"row":{"a":1},"rows":[1],"id":null,"ok":true}', message);
    expect(metadata).toMatchObject({
      row: { json: '{"a":1}' },
      Id: { string: message.messageId },
      ok: { string: 'True' },
    });
    expect(metadata).not.toHaveProperty('rows');
  });

  test('takes nothing from a JSON array', () => {
    expect(Object.keys(queueMetadata('["a"]', message))).toHaveLength(7);
  });
});

test('a message is decoded as host.json says, and undefined if that is not possible', () => {
  expect(messageText(Buffer.from('grüße').toString('base64'), 'base64')).toBe('grüße');
  expect(messageText('{"plain":1}', 'base64')).toBeUndefined();
  expect(messageText('{"plain":1}', 'none')).toBe('{"plain":1}');
});

test('polls of an empty queue back off from 100 ms to the maximum', () => {
  const delays = [0, 1, 2, 3, 4, 5, 60].map((emptyPolls) => pollDelay(emptyPolls, 2_000, 0.5));
  expect(delays).toEqual([100, 200, 400, 800, 1_600, 2_000, 2_000]);
  expect(pollDelay(2, 2_000, 0)).toBe(340);
  expect(pollDelay(2, 2_000, 1)).toBe(460);
  expect(pollDelay(0, 50, 0.5)).toBe(50);
});
