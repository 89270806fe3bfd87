import type { QueueClient } from '@azure/storage-queue';
import { abortable, createOnFirstUse } from './create-on-first-use.ts';
import { isMissing, StorageError, storageError } from './errors.ts';

/** Where messages for the Functions queue triggers go. The first message makes the queue. */
export interface QueueSender {
  /**
   * Sends `message` as JSON; it appears after `delaySeconds` (0 to 604,800) and never expires. Throws `StorageError`,
   * with `messageTooLarge` above `MAX_MESSAGE_BYTES`; an aborted call throws the signal's reason.
   */
  send(message: unknown, options?: { delaySeconds?: number }, signal?: AbortSignal): Promise<void>;
  /** How many messages wait, as the service estimates it; 0 where there is no queue. Throws `StorageError`. */
  count(signal?: AbortSignal): Promise<number>;
}

/** Bytes of JSON that fit: a message holds 64 KiB, and base64, which the Functions host expects, takes a third more. */
export const MAX_MESSAGE_BYTES = 48 * 1024;

export function queueSender(name: string, queue: () => Promise<QueueClient>): QueueSender {
  const withHome = createOnFirstUse(async () => (await queue()).create());
  return {
    async send(message, { delaySeconds } = {}, signal) {
      const json = Buffer.from(JSON.stringify(message));
      if (json.length > MAX_MESSAGE_BYTES) {
        throw new StorageError(
          'messageTooLarge',
          `A message for the queue ${name} has ${json.length} bytes of JSON; ${MAX_MESSAGE_BYTES} fit.`,
        );
      }
      try {
        signal?.throwIfAborted();
        const client = await queue();
        await withHome(() =>
          client.sendMessage(json.toString('base64'), {
            // The default is seven days, after which work would be gone without a trace.
            messageTimeToLive: -1,
            ...(delaySeconds === undefined ? {} : { visibilityTimeout: delaySeconds }),
            ...abortable(signal),
          }),
        );
      } catch (error) {
        throw storageError(error, `Cannot send a message to the queue ${name}`, signal);
      }
    },
    async count(signal) {
      try {
        signal?.throwIfAborted();
        const { approximateMessagesCount = 0 } = await (await queue()).getProperties(abortable(signal));
        return approximateMessagesCount;
      } catch (error) {
        if (isMissing(error)) return 0;
        throw storageError(error, `Cannot count the messages of the queue ${name}`, signal);
      }
    },
  };
}
