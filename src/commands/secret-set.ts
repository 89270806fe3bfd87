import { systemClock } from '../shared/clock.ts';
import { runSecretSet } from './secret-set/command.ts';

process.exitCode = await runSecretSet(process.argv.slice(2), {
  env: process.env,
  input: process.stdin,
  print: (line) => process.stdout.write(`${line}\n`),
  clock: systemClock,
});
