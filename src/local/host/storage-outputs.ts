import type { BlobServiceClient } from '@azure/storage-blob';
import type { QueueServiceClient } from '@azure/storage-queue';
import * as z from 'zod';
import { type Clock, isoTime } from '../../shared/clock.ts';
import type { NewId } from '../../shared/ids.ts';
import type { StorageOutput } from './function-definitions.ts';
import type { InvocationResponse, TypedData } from './functions-core.ts';
import type { QueueSettings } from './host-json.ts';
import type { WriteOutputs } from './invoker.ts';

export interface OutputOptions {
  readonly queues: QueueServiceClient;
  readonly blobs: BlobServiceClient;
  readonly settings: QueueSettings;
  readonly clock: Clock;
  readonly newId: NewId;
  /** Told the name of each queue that got a message. */
  onEnqueued(queueName: string): void;
}

export function createOutputWriter(options: OutputOptions): WriteOutputs {
  return async (call, response) => {
    for (const output of call.definition.outputs) {
      const value = outputValue(response, output.binding);
      if (!value) continue;
      const target = resolveExpressions(output.target, call.triggerMetadata, options);
      if (output.kind === 'queue') await enqueue(options, target, value);
      else await writeBlob(options, target, value);
    }
  };
}

function outputValue(response: InvocationResponse, binding: StorageOutput['binding']): TypedData | null | undefined {
  if (binding === '$return') return response.returnValue;
  return response.outputData?.find(({ name }) => name === binding)?.data;
}

/** Each element of an array becomes a message of its own, as in the host's `QueueAsyncCollector`. */
async function enqueue({ queues, settings, onEnqueued }: OutputOptions, name: string, value: TypedData): Promise<void> {
  const queue = queues.getQueueClient(name);
  await queue.createIfNotExists();
  for (const message of messagesOf(value)) {
    const text = typeof message === 'string' ? Buffer.from(message) : Buffer.from(message);
    await queue.sendMessage(text.toString(settings.messageEncoding === 'base64' ? 'base64' : 'utf8'));
  }
  onEnqueued(name);
}

const arraySchema = z.array(z.unknown());

function messagesOf(value: TypedData): (string | Uint8Array)[] {
  const list = value.json === undefined ? undefined : arraySchema.safeParse(JSON.parse(value.json)).data;
  return list ? list.map((item) => (typeof item === 'string' ? item : JSON.stringify(item))) : [contentOf(value)];
}

async function writeBlob({ blobs }: OutputOptions, path: string, value: TypedData): Promise<void> {
  const [containerName = '', ...rest] = path.split('/');
  const container = blobs.getContainerClient(containerName);
  await container.createIfNotExists();
  await container.getBlockBlobClient(rest.join('/')).uploadData(Buffer.from(contentOf(value)));
}

const contentOf = (value: TypedData): string | Uint8Array =>
  value.bytes ?? value.string ?? value.json ?? String(value.int ?? value.double ?? '');

/**
 * Replaces `{name}` by a value of the trigger, and `{rand-guid}` and `{DateTime}`
 * (https://learn.microsoft.com/azure/azure-functions/functions-bindings-expressions-patterns). Throws if there is none.
 */
function resolveExpressions(
  text: string,
  triggerMetadata: Record<string, TypedData>,
  { clock, newId }: Pick<OutputOptions, 'clock' | 'newId'>,
): string {
  return text.replace(/\{([^{}]+)\}/g, (_, expression: string) => {
    const name = expression.toLowerCase();
    if (name === 'rand-guid') return newId();
    if (name === 'datetime') return isoTime(clock.now()).slice(0, 19).replaceAll(':', '-').concat('Z');
    const value = Object.entries(triggerMetadata).find(([key]) => key.toLowerCase() === name)?.[1];
    if (!value) throw new Error(`No value for named parameter '${expression}'.`);
    return Buffer.from(contentOf(value)).toString();
  });
}
