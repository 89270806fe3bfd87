import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ServiceModel } from '../../../src/local/dataverse/service-model.ts';

/** A server in a process of its own. */
export interface Server {
  /** `http://127.0.0.1:PORT/api/data/v9.2/` */
  readonly apiUrl: string;
  close(): Promise<void>;
}

const program = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The emulator of this project with a model, which it reads from a file in `folder`. */
export function startEmulator(model: ServiceModel, folder: string): Promise<Server> {
  const file = join(folder, `model-${process.hrtime.bigint()}.json`);
  writeFileSync(file, JSON.stringify(model));
  return started([program('../../../src/local/dataverse/main.ts'), '--port', '0', '--model', file]);
}

/** The emulator as `npm run emulator` starts it; its database is in `folder`, or in memory. */
export const startPlainEmulator = (folder?: string): Promise<Server> =>
  started([
    program('../../../src/local/dataverse/main.ts'),
    '--port',
    '0',
    ...(folder === undefined ? [] : ['--data', folder]),
  ]);

/** A server that reads what it is sent, and answers at once without doing anything. */
export const startSink = (): Promise<Server> => started([program('sink.ts')]);

/** Starts a program that prints `ready URL`. */
async function started(args: readonly string[]): Promise<Server> {
  const child = spawn(process.execPath, [...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  // A benchmark that fails leaves no server behind.
  process.once('exit', () => child.kill('SIGTERM'));
  for await (const line of createInterface({ input: child.stdout })) {
    const apiUrl = /^ready (\S+)$/.exec(line)?.[1];
    if (apiUrl !== undefined) return { apiUrl, close: () => stop(child) };
  }
  throw new Error(`${args[0]} did not start.`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}
