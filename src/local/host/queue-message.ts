import type { ReceivedMessageItem } from '@azure/storage-queue';
import * as z from 'zod';
import type { TypedData } from './functions-core.ts';
import type { QueueSettings } from './host-json.ts';

/** The text that a function gets for a message; undefined if it is not in the encoding that host.json names. */
export function messageText(messageText: string, encoding: QueueSettings['messageEncoding']): string | undefined {
  if (encoding === 'none') return messageText;
  const compact = messageText.replace(/\s/g, '');
  const decoded = Buffer.from(compact, 'base64');
  return decoded.toString('base64') === compact ? decoded.toString() : undefined;
}

type MessageFacts = Pick<ReceivedMessageItem, 'messageId' | 'popReceipt' | 'dequeueCount'> &
  Partial<Pick<ReceivedMessageItem, 'expiresOn' | 'insertedOn' | 'nextVisibleOn'>>;

/**
 * The trigger metadata of a message: first its own, then, without regard to case, every top-level property of a JSON
 * message that is neither an array nor null. So a message with a property `id` hides the message's id, under the name
 * `Id`. After `ApplyBindingData` of the Functions host; its text forms are .NET's (`True`).
 */
export function queueMetadata(text: string, message: MessageFacts): Record<string, TypedData> {
  const metadata: Record<string, TypedData> = {
    QueueTrigger: { string: text },
    DequeueCount: { int: message.dequeueCount },
    ExpirationTime: time(message.expiresOn),
    Id: { string: message.messageId },
    InsertionTime: time(message.insertedOn),
    NextVisibleTime: time(message.nextVisibleOn),
    PopReceipt: { string: message.popReceipt },
  };
  for (const [name, value] of Object.entries(jsonObject(text))) {
    if (value === null || Array.isArray(value)) continue;
    const taken = Object.keys(metadata).find((key) => key.toLowerCase() === name.toLowerCase());
    metadata[taken ?? name] =
      typeof value === 'object' ? { json: JSON.stringify(value) } : { string: dotNetText(value) };
  }
  return metadata;
}

const time = (date: Date | undefined): TypedData => ({ json: JSON.stringify(date?.toISOString() ?? null) });

const objectSchema = z.record(z.string(), z.unknown());

function jsonObject(text: string): Record<string, unknown> {
  try {
    return objectSchema.parse(JSON.parse(text));
  } catch {
    return {};
  }
}

function dotNetText(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return String(value);
}

const SHORTEST_POLL_MS = 100;

/**
 * How long to wait before the next look at a queue that was found empty `emptyPolls` times in a row: 100 ms, then
 * doubling with up to a fifth of jitter, up to the maximum. After the `RandomizedExponentialBackoffStrategy` of the
 * storage extension. `random` is from 0 to 1.
 */
export function pollDelay(emptyPolls: number, maximumMs: number, random: number): number {
  const growth = emptyPolls === 0 ? 0 : (2 ** Math.min(emptyPolls, 30) - 1) * (0.8 + 0.4 * random);
  return Math.min(maximumMs, Math.round(SHORTEST_POLL_MS * (1 + growth)));
}
