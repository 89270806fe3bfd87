import { type QueueClient, type QueueServiceClient, type ReceivedMessageItem, RestError } from '@azure/storage-queue';
import type { Clock } from '../../shared/clock.ts';
import { messageOf } from '../../shared/errors.ts';
import type { FunctionDefinition, QueueTrigger } from './function-definitions.ts';
import type { QueueSettings } from './host-json.ts';
import type { HostLog } from './host-log.ts';
import type { Invoker } from './invoker.ts';
import { messageText, pollDelay, queueMetadata } from './queue-message.ts';
import type { Listener } from './timer-listener.ts';

export interface QueueListenerOptions {
  readonly definition: FunctionDefinition;
  readonly trigger: QueueTrigger;
  readonly queues: QueueServiceClient;
  readonly settings: QueueSettings;
  readonly invoker: Invoker;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: HostLog;
  /** Told the name of each queue that got a message. */
  onEnqueued(queueName: string): void;
}

export interface QueueListener extends Listener {
  /** Ends the wait for the next poll if this is the queue's name. */
  wake(queueName: string): void;
}

// How long a message stays invisible while its function runs; renewed at half of it (QueueListener.cs).
const LEASE_MS = 10 * 60_000;

/**
 * Polls one queue and runs its function for each message, as the host's storage extension does: batches, back-off while
 * the queue is empty, renewal of the lease of long calls, release of failed messages, and a poison queue.
 * A queue that does not exist is an empty one; nobody creates it here.
 */
export function createQueueListener(options: QueueListenerOptions): QueueListener {
  const stopping = new AbortController();
  const processing = new Set<Promise<void>>();
  let wait = new AbortController();
  let polling: Promise<void> = Promise.resolve();

  const poll = async (): Promise<void> => {
    let emptyPolls = 0;
    while (!stopping.signal.aborted) {
      wait = new AbortController();
      const messages = await receive(options, stopping.signal);
      for (const message of messages) track(processing, processMessage(options, message));
      if (messages.length > 0) {
        emptyPolls = 0;
        while (processing.size > options.settings.newBatchThreshold) await Promise.race(processing);
      } else {
        const delay = pollDelay(emptyPolls, options.settings.maxPollingIntervalMs, options.random());
        emptyPolls += 1;
        await options.clock.sleep(delay, AbortSignal.any([stopping.signal, wait.signal])).catch(() => {});
      }
    }
  };

  return {
    async start() {
      polling = poll();
    },
    async stop() {
      stopping.abort();
      await polling;
      await Promise.all(processing);
    },
    wake(queueName) {
      if (queueName === options.trigger.queueName) wait.abort();
    },
  };
}

function track(running: Set<Promise<void>>, work: Promise<void>): void {
  const tracked = work.finally(() => running.delete(tracked));
  running.add(tracked);
}

async function receive(options: QueueListenerOptions, stopping: AbortSignal): Promise<ReceivedMessageItem[]> {
  const { queues, trigger, settings, log } = options;
  try {
    const { receivedMessageItems } = await queues.getQueueClient(trigger.queueName).receiveMessages({
      numberOfMessages: settings.batchSize,
      visibilityTimeout: LEASE_MS / 1000,
      abortSignal: stopping,
    });
    return receivedMessageItems;
  } catch (error) {
    if (!stopping.aborted && !isStatus(error, 404)) {
      log('error', `The queue '${trigger.queueName}' cannot be read: ${messageOf(error)}`);
    }
    return [];
  }
}

async function processMessage(options: QueueListenerOptions, received: ReceivedMessageItem): Promise<void> {
  const { definition, trigger, settings, queues, invoker, log } = options;
  const message = new LeasedMessage(queues.getQueueClient(trigger.queueName), received);
  try {
    const text = messageText(received.messageText, settings.messageEncoding);
    if (text === undefined || received.dequeueCount > settings.maxDequeueCount) {
      await moveToPoisonQueue(options, message, text === undefined);
      return;
    }
    const renewal = new AbortController();
    const renewing = renewLease(options, message, renewal.signal);
    const outcome = await invoker.run({
      definition,
      data: { string: text },
      triggerMetadata: queueMetadata(text, received),
      reason: `New queue message detected on '${trigger.queueName}'.`,
      details: `MessageId: ${received.messageId}, DequeueCount: ${received.dequeueCount}, InsertedOn: ${received.insertedOn.toISOString()}`,
    });
    renewal.abort();
    await renewing;
    if (outcome.ok) await message.delete();
    else if (received.dequeueCount >= settings.maxDequeueCount) await moveToPoisonQueue(options, message, false);
    else await message.release(settings.visibilityTimeoutMs);
  } catch (error) {
    log(
      'error',
      `The message ${received.messageId} of '${trigger.queueName}' cannot be completed: ${messageOf(error)}`,
    );
  }
}

/** Every half lease a new lease, one after the other: each renewal makes the pop receipt before it void. */
async function renewLease(
  { clock, log }: QueueListenerOptions,
  message: LeasedMessage,
  done: AbortSignal,
): Promise<void> {
  while (!done.aborted) {
    try {
      await clock.sleep(LEASE_MS / 2, done);
    } catch {
      return;
    }
    try {
      await message.renew();
      log('trace', `Message ${message.id}: lease renewed.`);
    } catch (error) {
      log('error', `The lease of message ${message.id} cannot be renewed: ${messageOf(error)}`);
      return;
    }
  }
}

async function moveToPoisonQueue(
  options: QueueListenerOptions,
  message: LeasedMessage,
  undecodable: boolean,
): Promise<void> {
  const { queues, trigger, settings, log } = options;
  const name = `${trigger.queueName}-poison`;
  const why = undecodable
    ? `is not ${settings.messageEncoding}`
    : `has reached MaxDequeueCount of ${settings.maxDequeueCount}`;
  log('warning', `Message Id '${message.id}' ${why}. Moving message to queue '${name}'.`);
  const poison = queues.getQueueClient(name);
  await poison.createIfNotExists();
  await poison.sendMessage(message.text);
  options.onEnqueued(name);
  await message.delete();
}

/** A received message and the pop receipt that is valid now. */
class LeasedMessage {
  readonly id: string;
  /** As it is in the queue, still encoded. */
  readonly text: string;
  readonly #queue: QueueClient;
  #popReceipt: string;

  constructor(queue: QueueClient, message: ReceivedMessageItem) {
    this.#queue = queue;
    this.id = message.messageId;
    this.text = message.messageText;
    this.#popReceipt = message.popReceipt;
  }

  async renew(): Promise<void> {
    await this.#setVisibility(LEASE_MS / 1000);
  }

  /** Gives the message back; somebody else may have taken it by now. */
  async release(visibilityTimeoutMs: number): Promise<void> {
    await unlessGone(this.#setVisibility(Math.ceil(visibilityTimeoutMs / 1000)));
  }

  async delete(): Promise<void> {
    await unlessGone(this.#queue.deleteMessage(this.id, this.#popReceipt));
  }

  async #setVisibility(seconds: number): Promise<void> {
    const { popReceipt } = await this.#queue.updateMessage(this.id, this.#popReceipt, undefined, seconds);
    this.#popReceipt = popReceipt ?? this.#popReceipt;
  }
}

/** A message that is gone, or that another worker holds now (its pop receipt does not match), is not ours to complete. */
async function unlessGone(step: Promise<unknown>): Promise<void> {
  try {
    await step;
  } catch (error) {
    if (!isStatus(error, 404) && !(error instanceof RestError && error.code === 'PopReceiptMismatch')) throw error;
  }
}

const isStatus = (error: unknown, status: number): boolean => error instanceof RestError && error.statusCode === status;
