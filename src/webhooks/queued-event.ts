import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import * as z from 'zod';
import { WebhookError } from './errors.ts';
import { type ExecutionContext, isNestedDeeper, parseExecutionContext } from './execution-context.ts';

/** The queue between the receiver and the worker. */
export const EVENT_QUEUE = 'webhook-events';
/** Bodies that fit neither a queue message nor a property of a table row: `<event id>.json.gz`. */
export const BODY_CONTAINER = 'webhook-bodies';
/** Larger bodies are refused; Dataverse cuts its own at 256 KB. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** A body this long, gzip in base64, fits both a queue message (48 KiB of JSON) and a table's text (32 Ki units). */
const MAX_INLINE_LENGTH = 30_000;

/** One delivery, on its way to the worker. Its format carries a version: a deployment meets messages of the one before. */
export type QueuedEvent = z.infer<typeof queuedEvent>;

const queuedEvent = z.object({
  version: z.literal(1),
  /** Made by the receiver; the identity of a body that says nothing of itself. */
  delivery: z.string().min(1),
  endpoint: z.string().min(1),
  /** ISO 8601. */
  receivedAt: z.iso.datetime(),
  /** The body as it came: gzip in base64, or the path of its blob. */
  body: z.union([z.object({ inline: z.string() }), z.object({ blob: z.string() })]),
});

/** Throws `WebhookError` `messageUnreadable`, upon which the host tries again and then keeps it in the poison queue. */
export function parseQueuedEvent(message: unknown): QueuedEvent {
  const parsed = queuedEvent.safeParse(message);
  if (parsed.success) return parsed.data;
  throw new WebhookError(
    'messageUnreadable',
    `The message in the queue ${EVENT_QUEUE} is none of this app’s, or of another version of it: ${z.prettifyError(parsed.error)}`,
    { cause: parsed.error },
  );
}

/** Packs a body as it came; `inline` is undefined where it is too long for a message. */
export async function packBody(bytes: Uint8Array): Promise<{ packed: Buffer; inline: string | undefined }> {
  const packed = await promisify(gzip)(bytes);
  const inline = packed.toString('base64');
  return { packed, inline: inline.length <= MAX_INLINE_LENGTH ? inline : undefined };
}

/** The JSON in a packed body; throws `WebhookError` `messageUnreadable` where it is none. */
export async function unpackBody(packed: Buffer): Promise<ReceivedBody> {
  try {
    const body = parseBody(await promisify(gunzip)(packed, { maxOutputLength: MAX_BODY_BYTES }));
    if (body) return body;
  } catch (cause) {
    throw new WebhookError('messageUnreadable', 'A stored webhook body is damaged: it cannot be unpacked.', { cause });
  }
  throw new WebhookError('messageUnreadable', 'A stored webhook body is damaged: it is not JSON.');
}

/** A body that is JSON, and the context in it if it has the shape of one. */
export interface ReceivedBody {
  readonly context: ExecutionContext | undefined;
  /** The JSON; its text where it is nested too deep for what would read or write it. */
  readonly json: unknown;
}

const MAX_NESTING = 500;

/** Undefined for what is not JSON in UTF-8. */
export function parseBody(bytes: Uint8Array): ReceivedBody | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const json: unknown = JSON.parse(text);
    return isNestedDeeper(json, MAX_NESTING)
      ? { context: undefined, json: text }
      : { context: parseExecutionContext(json), json };
  } catch {
    return undefined;
  }
}

/**
 * The id of an event: the time counted down, so that ids in order are events newest first, and a hash of what makes
 * two deliveries one event. An unrecognised body is an event of its own with each delivery.
 */
export function eventId(
  event: Pick<QueuedEvent, 'endpoint' | 'receivedAt' | 'delivery'>,
  context: ExecutionContext | undefined,
): string {
  const identity = context
    ? [context.operationId, context.correlationId, context.step?.id ?? '', context.row, context.message]
    : [event.delivery];
  const hash = createHash('sha256').update(JSON.stringify([event.endpoint, ...identity]));
  return `${countdown(Date.parse(context?.operationCreatedOn ?? event.receivedAt))}-${hash.digest('hex').slice(0, 32)}`;
}

const EVENT_ID = /^\d{15}-[0-9a-f]{32}$/;
export const isEventId = (text: string): boolean => EVENT_ID.test(text);

const LAST_MOMENT = 999_999_999_999_999;
const LAST_DAY = 9_999_999;
const DAY_MS = 86_400_000;

/** What ids of events at `ms` begin with: later moments sort first. Moments before 1970 count as its beginning. */
export const countdown = (ms: number): string =>
  String(LAST_MOMENT - Math.min(Math.max(ms, 0), LAST_MOMENT)).padStart(15, '0');

/** The table partition of an id: its UTC day, later days first. */
export function partitionOf(id: string): string {
  const ms = LAST_MOMENT - Number(id.slice(0, 15));
  return String(LAST_DAY - Math.floor(ms / DAY_MS)).padStart(7, '0');
}
