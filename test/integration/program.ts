import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** A program started from the project's folder, as a user would start it. */
export interface Program {
  readonly child: ChildProcess;
  /** All lines so far, of both outputs. */
  readonly lines: readonly string[];
  /** Resolves with the first line that fits; rejects, with the output, when the program ends without one. */
  line(pattern: RegExp): Promise<string>;
  /** Resolves with the exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
}

export function start(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Program {
  // The tests' own authority and storage are not the program's.
  const { NODE_EXTRA_CA_CERTS: _, ...env } = process.env;
  const child = spawn(command, args, {
    cwd: options.cwd ?? root,
    env: { ...env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const waiting = new Set<(line: string) => void>();
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      lines.push(line);
      for (const look of waiting) look(line);
    });
  }
  const ended = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals | null);
  return {
    child,
    lines,
    ended,
    line(pattern) {
      const found = lines.find((line) => pattern.test(line));
      if (found !== undefined) return Promise.resolve(found);
      return new Promise((resolve, reject) => {
        const look = (line: string): void => {
          if (!pattern.test(line)) return;
          waiting.delete(look);
          resolve(line);
        };
        waiting.add(look);
        ended.then((code) =>
          reject(new Error(`The program ended with ${code} and without ${pattern}:\n${lines.join('\n')}`)),
        );
      });
    },
  };
}

/** Runs a command line in a shell, as it would be pasted, and resolves with what it printed. */
export async function paste(
  command: string,
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number | NodeJS.Signals | null; output: string }> {
  const program = start('bash', ['-c', command], { env });
  return { code: await program.ended, output: program.lines.join('\n') };
}
