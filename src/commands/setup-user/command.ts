import { readFile } from 'node:fs/promises';
import type { Environment } from '../../config/settings.ts';
import { SettingsError } from '../../config/settings.ts';
import { BridgeError, messageOf } from '../../shared/errors.ts';
import { openAdministration } from './administrator.ts';
import { readArguments, USAGE } from './arguments.ts';
import { pacCommands, setUpUser } from './setup.ts';
import { parseUserFile, SetupError } from './user-file.ts';

/** Runs the command and answers its exit code: 0 unless something went wrong, which is printed. */
export async function runSetupUser(
  args: readonly string[],
  env: Environment,
  print: (line: string) => void,
): Promise<0 | 1> {
  try {
    const given = readArguments(args);
    if (given === 'help') print(USAGE);
    else await setUp(given, env, print);
    return 0;
  } catch (error) {
    printError(error, print);
    return 1;
  }
}

async function setUp(
  given: Exclude<ReturnType<typeof readArguments>, 'help'>,
  env: Environment,
  print: (line: string) => void,
): Promise<void> {
  const text = await readFile(given.file, 'utf8').catch((error: unknown) => {
    throw new SetupError(`The file ${given.file} cannot be read.`, { cause: error });
  });
  const file = parseUserFile(text);
  const administration = openAdministration(given, env);
  const { environment, apiUrl, applicationId, client } = administration;
  try {
    print(`Application ${applicationId} in ${environment}`);
    await setUpUser({
      client,
      apiUrl,
      file,
      applicationId,
      apply: given.apply,
      exclusive: given.exclusive,
      print,
    });
    for (const line of pacCommands(environment, applicationId, file)) print(line);
  } finally {
    await administration.close();
  }
}

function printError(error: unknown, print: (line: string) => void): void {
  print(`Failed: ${messageOf(error)}`);
  if (error instanceof SettingsError) for (const one of error.faults) print(`    ${one.setting} ${one.message}`);
  if (error instanceof BridgeError && error.hint !== undefined) print(error.hint);
}
