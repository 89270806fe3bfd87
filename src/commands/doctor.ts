import { spawn } from 'node:child_process';
import { runDoctor } from './doctor/command.ts';
import { settingsFile } from './doctor/settings-file.ts';

const args = process.argv.slice(2);
const print = (line: string): void => void process.stdout.write(`${line}\n`);
const colour = (process.env['NO_COLOR'] ?? '') === '' && process.stdout.isTTY === true;

process.exitCode = await main();

/**
 * Settings of a file become the environment of a second process: Node reads NODE_EXTRA_CA_CERTS, and the SDKs read the
 * identity's address, when they start.
 */
async function main(): Promise<number> {
  const file = await settingsFile(args, process.cwd());
  if (file === undefined) return runDoctor(args, process.env, { print, colour });
  if ('fault' in file) {
    print(`Failed: ${file.fault}`);
    return 1;
  }
  // Settings of the environment win, save this one: the local cloud's file holds the machine's own authorities too.
  const { NODE_EXTRA_CA_CERTS: authorities = process.env['NODE_EXTRA_CA_CERTS'] } = file.values;
  const child = spawn(
    process.execPath,
    [...process.execArgv, import.meta.filename, ...file.remaining, '--environment'],
    {
      env: { ...file.values, ...process.env, ...(authorities !== undefined && { NODE_EXTRA_CA_CERTS: authorities }) },
      stdio: 'inherit',
    },
  );
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}
