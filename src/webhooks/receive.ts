import type { WebhookEndpoint } from '../config/settings.ts';
import { type Clock, isoTime } from '../shared/clock.ts';
import { messageOf } from '../shared/errors.ts';
import type { NewId } from '../shared/ids.ts';
import { StorageError } from '../storage/errors.ts';
import type { Storage } from '../storage/storage.ts';
import type { Log } from '../telemetry/log.ts';
import { WebhookError } from './errors.ts';
import {
  BODY_CONTAINER,
  EVENT_QUEUE,
  eventId,
  MAX_BODY_BYTES,
  packBody,
  parseBody,
  type QueuedEvent,
} from './queued-event.ts';
import { createSecretVerifier, presentedSecrets, type RequestHead, type WebhookSecrets } from './verify.ts';

/** A POST to an endpoint, its body unread. */
export interface WebhookRequest extends RequestHead {
  readonly body: AsyncIterable<Uint8Array> | null;
}

export interface WebhookReceiver {
  /**
   * Verifies a delivery and queues it durably. Nothing of the body is read before the secret is known to be right.
   *
   * `recognised` is false for JSON that is no execution context, which is kept as it came; `id` is the event's once the
   * worker has stored it. Throws `WebhookError`, whose `status` answers the caller; an abort throws the signal's reason.
   */
  receive(
    endpoint: string,
    request: WebhookRequest,
    signal?: AbortSignal,
  ): Promise<{ accepted: true; recognised: boolean; id: string }>;
}

export function createWebhookReceiver(deps: {
  endpoints: ReadonlyMap<string, WebhookEndpoint>;
  secrets: WebhookSecrets;
  storage: Storage;
  clock: Clock;
  newId: NewId;
  log: Log;
}): WebhookReceiver {
  const verifier = createSecretVerifier(deps);
  const bodies = deps.storage.blobs(BODY_CONTAINER);
  const queue = deps.storage.queue(EVENT_QUEUE);

  const verify = async (endpoint: WebhookEndpoint, request: RequestHead): Promise<void> => {
    const presented = presentedSecrets(endpoint, request);
    if (presented.length > 0 && (await verifier.accepts(endpoint.secretName, presented))) return;
    throw new WebhookError('secretWrong', `The endpoint '${endpoint.name}' was called without its secret.`, {
      hint: `Register the webhook in Dataverse with what the setting Webhook__${endpoint.name}__secretName names in the vault.`,
    });
  };

  const enqueue = async (
    delivery: Omit<QueuedEvent, 'version' | 'body'>,
    id: string,
    bytes: Buffer,
    signal: AbortSignal | undefined,
  ): Promise<void> => {
    const { packed, inline } = await packBody(bytes);
    const path = `${id}.json.gz`;
    if (inline === undefined) {
      const options = { ifNoneMatch: '*', contentType: 'application/json', contentEncoding: 'gzip' } as const;
      // A repeated delivery finds the blob of the one before.
      await bodies.write(path, packed, options, signal).catch(unlessConflict);
    }
    const body = inline === undefined ? { blob: path } : { inline };
    await queue.send({ version: 1, ...delivery, body } satisfies QueuedEvent, {}, signal);
  };

  return {
    async receive(name, request, signal) {
      const endpoint = deps.endpoints.get(name);
      if (!endpoint) {
        throw new WebhookError('endpointUnknown', `There is no webhook endpoint '${name.slice(0, 60)}'.`, {
          hint: 'An endpoint is defined by the setting Webhook__<endpoint>__secretName.',
        });
      }
      await verify(endpoint, request);
      const bytes = await readBody(request, signal);
      const body = parseBody(bytes);
      if (!body) {
        throw new WebhookError('bodyNotJson', 'The body is not JSON in UTF-8.', {
          hint: 'Register the webhook with the message format JSON.',
        });
      }
      const delivery = { delivery: deps.newId(), endpoint: name, receivedAt: isoTime(deps.clock.now()) };
      const id = eventId(delivery, body.context);
      try {
        await withinDeadline(deps.clock, signal, (bounded) => enqueue(delivery, id, bytes, bounded));
      } catch (cause) {
        if (signal?.aborted) throw cause;
        throw new WebhookError('notQueued', `The event cannot be kept now: ${messageOf(cause)}`, {
          cause,
          hint: 'Dataverse posts once more; what it gives up on has to be read from the rows.',
        });
      }
      return { accepted: true, recognised: body.context !== undefined, id };
    },
  };
}

/** Storage that hangs has to become a 503, which Dataverse repeats, before its own 60 s are over. */
const STORAGE_MS = 20_000;

async function withinDeadline(
  clock: Clock,
  signal: AbortSignal | undefined,
  run: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const deadline = new AbortController();
  const over = new AbortController();
  clock.sleep(STORAGE_MS, over.signal).then(
    () => deadline.abort(new Error(`Storage gave no answer in ${STORAGE_MS / 1000} s.`)),
    () => {},
  );
  try {
    await run(signal ? AbortSignal.any([signal, deadline.signal]) : deadline.signal);
  } finally {
    over.abort();
  }
}

function unlessConflict(error: unknown): void {
  if (!(error instanceof StorageError && error.code === 'conflict')) throw error;
}

/** Stops reading as soon as there is too much. */
async function readBody({ headers, body }: WebhookRequest, signal: AbortSignal | undefined): Promise<Buffer> {
  if (Number(headers.get('content-length')) > MAX_BODY_BYTES) throw tooLarge();
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const part of body ?? []) {
      signal?.throwIfAborted();
      size += part.byteLength;
      if (size > MAX_BODY_BYTES) throw tooLarge();
      parts.push(part);
    }
  } catch (cause) {
    if (signal?.aborted || cause instanceof WebhookError) throw cause;
    throw new WebhookError('bodyNotJson', 'The body broke off before its end.', { cause });
  }
  return Buffer.concat(parts, size);
}

const tooLarge = (): WebhookError =>
  new WebhookError('bodyTooLarge', `The body has more than ${MAX_BODY_BYTES} bytes.`, {
    hint: 'Dataverse itself posts no more than 256 KB.',
  });
