import { argv, exit, stderr, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DefaultAzureCredential, type TokenCredential } from '@azure/identity';
import { QueueServiceClient } from '@azure/storage-queue';

export interface ReplayOptions {
  /** `https://ACCOUNT.queue.core.windows.net` */
  readonly queueServiceUri: string;
  readonly credential: TokenCredential;
  /** The queue that the messages were given up of, without `-poison`. */
  readonly queue: string;
  /** Moves the messages; otherwise only says how many there are. */
  readonly apply: boolean;
  readonly say: (line: string) => void;
}

const BATCH = 32;
/** A message that could not be moved shows up again after this. */
const HIDDEN_S = 300;

/**
 * Moves the messages of a poison queue back to their queue, oldest first, and resolves with their number. Each is
 * written there before it is taken away here: whatever breaks off in between leaves it twice, which the workers bear,
 * and never nowhere.
 */
export async function replayPoison({ queueServiceUri, credential, queue, apply, say }: ReplayOptions): Promise<number> {
  const service = new QueueServiceClient(queueServiceUri, credential);
  const poison = service.getQueueClient(`${queue}-poison`);
  const target = service.getQueueClient(queue);
  if (!(await poison.exists())) {
    say(`${queue}-poison: there is no such queue, so nothing was given up`);
    return 0;
  }
  const { approximateMessagesCount = 0 } = await poison.getProperties();
  if (!apply) {
    say(`${queue}-poison: about ${approximateMessagesCount} messages; --apply moves them to ${queue}`);
    return 0;
  }
  let moved = 0;
  // No more than there were at the start: one that fails again at once must not go round for ever.
  while (moved < approximateMessagesCount) {
    const numberOfMessages = Math.min(BATCH, approximateMessagesCount - moved);
    const { receivedMessageItems } = await poison.receiveMessages({ numberOfMessages, visibilityTimeout: HIDDEN_S });
    if (receivedMessageItems.length === 0) break;
    for (const { messageId, popReceipt, messageText } of receivedMessageItems) {
      await target.sendMessage(messageText);
      await poison.deleteMessage(messageId, popReceipt);
      moved += 1;
    }
  }
  say(`${queue}-poison: ${moved} messages moved to ${queue}`);
  return moved;
}

const USAGE = `usage: node infra/scripts/replay-poison.ts --account STORAGE_ACCOUNT --queue activation-chunks [--apply]
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      account: { type: 'string' },
      suffix: { type: 'string', default: 'core.windows.net' },
      queue: { type: 'string' },
      apply: { type: 'boolean', default: false },
    },
  });
  const { account = '', suffix, queue = '', apply } = values;
  const names = [/^[a-z0-9]{3,24}$/.test(account), /^[a-z0-9.]+$/.test(suffix), /^[a-z0-9-]{3,56}$/.test(queue)];
  if (names.includes(false)) {
    stderr.write(USAGE);
    return 2;
  }
  await replayPoison({
    queueServiceUri: `https://${account}.queue.${suffix}`,
    credential: new DefaultAzureCredential(),
    queue,
    apply,
    say: (line) => stdout.write(`${line}\n`),
  });
  return 0;
}

if (argv[1] === fileURLToPath(import.meta.url)) exit(await main());
