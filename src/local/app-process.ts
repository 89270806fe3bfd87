import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BridgeError } from '../shared/errors.ts';

/** The function app did not come up; `hint` names its log. */
export class AppProcessError extends BridgeError<'appNotStarted'> {}

export interface AppProcess {
  /** `http://localhost:<port>` */
  readonly url: string;
  /** Drains the host and ends the process. */
  stop(): Promise<void>;
  /** Resolves with the exit code when the process ends by itself. */
  readonly ended: Promise<number | null>;
}

const HOST = fileURLToPath(new URL('./host/main.ts', import.meta.url));
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;

/**
 * Starts the function app of a packaged folder in a process of its own, as the Functions host would: settings in its
 * environment, its log in a file. The process goes when this one does, killed or not. Throws AppProcessError.
 */
export async function startAppProcess(options: {
  /** What `packageApp` has made. */
  appFolder: string;
  env: Readonly<Record<string, string>>;
  logFile: string;
}): Promise<AppProcess> {
  const log = createWriteStream(options.logFile, { flags: 'a', mode: 0o600 });
  const child = spawn(process.execPath, [HOST, join(options.appFolder, 'main.mjs')], {
    cwd: options.appFolder,
    env: { ...process.env, ...options.env },
    // Ctrl-C must reach this process only, which then drains the other.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  child.stdout?.pipe(log);
  child.stderr?.pipe(log);
  let lastWords = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    lastWords = chunk.toString().trim().split('\n').at(-1) ?? '';
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const url = await ready(child, ended, options.logFile, () => lastWords);
  return {
    url: url.replace('127.0.0.1', 'localhost'),
    ended,
    async stop() {
      if (child.connected) child.send('shutdown', () => {});
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await ended;
      clearTimeout(timer);
      log.end();
    },
  };
}

function ready(
  child: ChildProcess,
  ended: Promise<number | null>,
  logFile: string,
  lastWords: () => string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(
        new AppProcessError('appNotStarted', `The function app did not start: ${lastWords() || why}`, {
          hint: `Its log is ${logFile}.`,
        }),
      );
    };
    const timer = setTimeout(() => fail('no answer in a minute'), START_TIMEOUT_MS);
    child.on('message', (message) => {
      if (typeof message !== 'object' || message === null || !('url' in message)) return;
      clearTimeout(timer);
      resolve(String(message.url));
    });
    child.once('error', (error) => fail(error.message));
    ended.then((code) => fail(`it ended with code ${code}`), fail);
  });
}
