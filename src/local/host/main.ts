import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ManagedIdentityCredential } from '@azure/identity';
import * as z from 'zod';
import { messageOf } from '../../shared/errors.ts';
import { startHost } from './host.ts';

/**
 * Runs the app named by the first argument with the host.json of the working folder:
 * `node src/local/host/main.ts src/index.ts`. Its settings are environment variables, listed in the README.
 *
 * Prints `ready <url>` and tells a parent that has an IPC channel. SIGTERM, SIGINT and the message `shutdown` drain it;
 * when its parent is gone it goes too.
 */

const settingsSchema = z.object({
  BRIDGE_LOCAL_PORT: z.coerce.number().int().min(0).max(65_535).default(7071),
  BRIDGE_LOCAL_FUNCTION_KEY: z.string().min(1),
  BRIDGE_LOCAL_MASTER_KEY: z.string().min(1),
  AzureWebJobsStorage__blobServiceUri: z.url(),
  AzureWebJobsStorage__queueServiceUri: z.url(),
  AzureWebJobsStorage__clientId: z.string().min(1).optional(),
});

async function main(): Promise<void> {
  const [entry] = process.argv.slice(2);
  if (!entry) throw new Error('Name the app: node src/local/host/main.ts <entry>');
  const parsed = settingsSchema.safeParse(process.env);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new Error(`The environment is not complete. ${faults.join('; ')}`);
  }
  const settings = parsed.data;
  const clientId = settings.AzureWebJobsStorage__clientId;
  const host = await startHost({
    entry: resolve(entry),
    hostJson: JSON.parse(readFileSync(join(process.cwd(), 'host.json'), 'utf8')),
    port: settings.BRIDGE_LOCAL_PORT,
    keys: { function: settings.BRIDGE_LOCAL_FUNCTION_KEY, master: settings.BRIDGE_LOCAL_MASTER_KEY },
    storage: {
      blobServiceUri: settings.AzureWebJobsStorage__blobServiceUri,
      queueServiceUri: settings.AzureWebJobsStorage__queueServiceUri,
      credential: new ManagedIdentityCredential(clientId ? { clientId } : {}),
    },
  });

  let stopping = false;
  const shutdown = async (): Promise<void> => {
    if (stopping) return;
    stopping = true;
    await host.drain();
    await host.close();
    // The library's own server is never closed and would keep the process alive.
    process.exit(0);
  };
  process.on('SIGTERM', shutdown);
  process.on('SIGINT', shutdown);
  process.on('message', (message) => {
    if (message === 'shutdown') void shutdown();
  });
  process.send?.({ kind: 'ready', url: host.url, functions: host.functions });
  process.stdout.write(`ready ${host.url}\n`);
}

// A parent that was killed cannot say goodbye: the broken channel is all there is.
process.on('disconnect', () => process.exit(1));
await main().catch((error: unknown) => {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exit(1);
});
