import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { BridgeError } from '../shared/errors.ts';

/** Azurite did not come up; the message has what it printed. */
export class AzuriteError extends BridgeError<'azuriteNotStarted'> {}

/** The https addresses of one storage account, with the account's name as first path segment. */
export interface StorageUris {
  blobServiceUri: string;
  queueServiceUri: string;
  tableServiceUri: string;
}

export interface AzuriteOptions {
  /** PEM files for the three https listeners. */
  tls: { certFile: string; keyFile: string };
  /** Where to keep the data; in memory when left out. */
  folder?: string;
  /** 0, the default, is any free port. */
  ports?: { blob?: number; queue?: number; table?: number };
  /** Names of the accounts to serve; the first one is that of the returned addresses. */
  accounts?: readonly string[];
}

export interface Azurite extends StorageUris {
  /** The addresses of another of its accounts. */
  account(name: string): StorageUris;
  /** Resolves when the process is gone. */
  stop(): Promise<void>;
}

const SERVICES = ['Blob', 'Queue', 'Table'] as const;
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 5_000;

/** Node keeps what it has compiled here, which makes the next start a third shorter. */
const COMPILE_CACHE = fileURLToPath(new URL('../../node_modules/.cache/azurite', import.meta.url));

// The child runs detached, so that Ctrl-C does not reach it before the host has drained; it therefore watches the channel
// to its parent and goes when that breaks, which it also does when the parent is killed. Without unref the open channel
// would hold up each stop for five seconds.
const EXIT_WITH_PARENT = `data:text/javascript,${encodeURIComponent(
  'process.on("disconnect", () => process.exit(0)); setImmediate(() => process.channel?.unref());',
)}`;

/**
 * Starts Azurite as a child process that serves blobs, queues and tables over https to bearer tokens (`--oauth basic`).
 * The accounts' shared keys are random and told to nobody. Throws {@link AzuriteError}.
 */
export async function startAzurite(options: AzuriteOptions): Promise<Azurite> {
  const accounts = options.accounts ?? ['devstoreaccount1'];
  const key = randomBytes(12).toString('base64');
  if (options.folder) mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const child = spawn(process.execPath, ['--import', EXIT_WITH_PARENT, azuriteProgram(), ...argumentsFor(options)], {
    cwd: options.folder ?? tmpdir(),
    detached: true,
    env: {
      NODE_COMPILE_CACHE: COMPILE_CACHE,
      ...process.env,
      AZURITE_ACCOUNTS: accounts.map((name) => `${name}:${key}`).join(';'),
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  try {
    const origins = await listening(child);
    const account = (name: string): StorageUris => ({
      blobServiceUri: `${origins.Blob}/${name}`,
      queueServiceUri: `${origins.Queue}/${name}`,
      tableServiceUri: `${origins.Table}/${name}`,
    });
    return { ...account(accounts[0] ?? ''), account, stop: () => stop(child) };
  } catch (error) {
    await stop(child);
    throw error;
  }
}

const azuriteProgram = (): string => createRequire(import.meta.url).resolve('azurite/dist/src/azurite.js');

function argumentsFor({ tls, folder, ports }: AzuriteOptions): string[] {
  return [
    ...['--silent', '--disableTelemetry', '--oauth', 'basic', '--cert', tls.certFile, '--key', tls.keyFile],
    // @azure/storage-blob asks for a newer service version than Azurite knows.
    '--skipApiVersionCheck',
    ...(folder ? ['--location', folder] : ['--inMemoryPersistence']),
    ...['--blobPort', String(ports?.blob ?? 0), '--queuePort', String(ports?.queue ?? 0)],
    ...['--tablePort', String(ports?.table ?? 0)],
  ];
}

function listening(child: ChildProcess): Promise<Record<(typeof SERVICES)[number], string>> {
  return new Promise((resolve, reject) => {
    const printed: string[] = [];
    const found = new Map<string, string>();
    const fail = (reason: string) =>
      reject(new AzuriteError('azuriteNotStarted', `Azurite did not start: ${reason}. ${printed.join(' ')}`));
    const timer = setTimeout(() => fail('it was not ready in time'), START_TIMEOUT_MS);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code, signal) => fail(`it ended with ${signal ?? code}`));
    child.stderr?.on('data', (chunk: Buffer) => printed.push(chunk.toString().trim()));
    if (!child.stdout) return fail('its output cannot be read');
    createInterface({ input: child.stdout }).on('line', (line) => {
      const match = /^Azurite (\w+) service is successfully listening at (https:\S+)$/.exec(line.trim());
      if (!match?.[1] || !match[2]) {
        printed.push(line);
        return;
      }
      found.set(match[1], match[2]);
      const [Blob, Queue, Table] = SERVICES.map((service) => found.get(service));
      if (!Blob || !Queue || !Table) return;
      clearTimeout(timer);
      resolve({ Blob, Queue, Table });
    });
    child.once('exit', () => clearTimeout(timer));
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, 'exit');
  if (child.connected) child.send('shutdown', () => {});
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await gone;
  clearTimeout(timer);
}
