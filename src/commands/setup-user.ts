import { runSetupUser } from './setup-user/command.ts';

process.exitCode = await runSetupUser(process.argv.slice(2), process.env, (line) => process.stdout.write(`${line}\n`));
