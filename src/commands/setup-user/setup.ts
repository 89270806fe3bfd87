import type { DataverseClient } from '../../dataverse/client.ts';
import { type Difference, differencesOf, type Wanted } from './differences.ts';
import { readEnvironment, wantedPrivileges } from './environment-state.ts';
import { SetupError, type UserFile } from './user-file.ts';

export interface SetupOptions {
  /** Signed in as somebody who may administrate users and roles. */
  readonly client: DataverseClient;
  readonly apiUrl: string;
  readonly file: UserFile;
  /** The client id of the registration that signs in as the user. */
  readonly applicationId: string;
  readonly apply: boolean;
  readonly exclusive: boolean;
  print(line: string): void;
}

/** Corrections of one user at most; more mean that the environment does not keep what it is told. */
const MOST_CORRECTIONS = 20;

/**
 * Compares the environment with the file, prints what differs and, when told to, corrects one difference after another,
 * reading anew after each: what one correction brings along (a new business unit has copies of the roles above it) is
 * seen before the next. Answers how many corrections were made. Throws SetupError, DataverseError and what the
 * client's token source throws.
 */
export async function setUpUser(options: SetupOptions): Promise<number> {
  const { client, file, applicationId, print } = options;
  const wanted: Wanted = {
    file,
    applicationId,
    privileges: await wantedPrivileges(client, file),
    exclusive: options.exclusive,
    apiUrl: options.apiUrl,
  };
  const read = async (): Promise<Difference[]> =>
    differencesOf(wanted, await readEnvironment(client, file, applicationId));

  let differences = await read();
  for (const difference of differences) printDifference(difference, print);
  const open = (): Difference[] => differences.filter(({ advice }) => advice !== true);
  if (open().length === 0) {
    print('Everything is as the file says.');
    return 0;
  }
  if (!options.apply) {
    print('Nothing was changed. Run it again with --apply to correct this.');
    return 0;
  }
  for (let made = 0; made < MOST_CORRECTIONS; made += 1) {
    const next = open().find(({ correction }) => correction !== undefined);
    if (!next?.correction) {
      if (open().length > 0) break;
      print(`Done: ${made} ${made === 1 ? 'correction' : 'corrections'}.`);
      return made;
    }
    print(`Correcting: ${next.text}`);
    await client.send(next.correction);
    differences = await read();
  }
  throw new SetupError(`The environment does not keep the corrections: ${open()[0]?.text ?? ''}`, {
    hint: 'Look at the user and its role in the Power Platform admin center, then run this again.',
  });
}

function printDifference({ text, details, advice }: Difference, print: (line: string) => void): void {
  print(`${advice ? 'Note: ' : ''}${text}`);
  for (const line of details) print(`    ${line}`);
}

/** The same by the Power Platform CLI, which can give a role but not make or correct one. */
export function pacCommands(environment: string, applicationId: string, file: UserFile): string[] {
  const unit = file.businessUnit === undefined ? '' : ' --business-unit <id of the business unit>';
  return [
    'The user alone can be set up by the Power Platform CLI too, once the role exists:',
    `    pac auth create --environment ${environment}`,
    `    pac admin assign-user --environment ${environment} --user ${applicationId} --role "${file.role}" --application-user${unit}`,
  ];
}
