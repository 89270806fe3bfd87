import {
  type AdministrationRequest,
  assignRole,
  createApplicationUser,
  createBusinessUnit,
  createRole,
  enableUser,
  moveUser,
  replacePrivileges,
  takeRole,
} from '../../dataverse/wire/administration.ts';
import type { EnvironmentState, Held, RoleState } from './environment-state.ts';
import type { UserFile } from './user-file.ts';

/** One thing that is not as the file says. */
export interface Difference {
  /** A sentence for the operator, and lines that go into detail. */
  readonly text: string;
  readonly details: readonly string[];
  /** What corrects it; undefined while something before it is missing, or when it is for a person to decide. */
  readonly correction: AdministrationRequest | undefined;
  /** Told, but never corrected. */
  readonly advice?: boolean;
}

export interface Wanted {
  readonly file: UserFile;
  readonly applicationId: string;
  readonly privileges: readonly Held[];
  /** Whether roles that the file does not name are taken from the user. */
  readonly exclusive: boolean;
  /** `https://org.crm4.dynamics.com/api/data/v9.2/` */
  readonly apiUrl: string;
}

/** Every new role holds these; Microsoft gives them for the apps, and they are no rights on rows of the company. */
const GIVEN_TO_EVERY_ROLE: ReadonlySet<string> = new Set([
  'prvReadSharePointData',
  'prvWriteSharePointData',
  'prvCreateSharePointData',
  'prvReadSharePointDocument',
  'prvReadSdkMessage',
  'prvReadSdkMessageProcessingStep',
  'prvReadSdkMessageProcessingStepImage',
  'prvReadPluginAssembly',
  'prvReadPluginType',
]);

/** What has to change, in the order in which it can: business unit, role, its privileges, user, its role. */
export function differencesOf(wanted: Wanted, state: EnvironmentState): Difference[] {
  return [...unitDifferences(wanted, state), ...roleDifferences(wanted, state), ...userDifferences(wanted, state)];
}

function unitDifferences({ file }: Wanted, { unit, rootUnitId }: EnvironmentState): Difference[] {
  if (unit || file.businessUnit === undefined) return [];
  return [
    {
      text: `The business unit '${file.businessUnit}' is missing.`,
      details: [],
      correction: createBusinessUnit(file.businessUnit, rootUnitId),
    },
  ];
}

function roleDifferences(wanted: Wanted, { unit, role }: EnvironmentState): Difference[] {
  const { file, privileges } = wanted;
  const found: Difference[] = [];
  if (!role) {
    found.push({
      text: `The role '${file.role}' is missing.`,
      details: [],
      correction: unit && createRole(file.role, unit.id),
    });
  }
  const details = privilegeDifferences(role, privileges);
  if (details.length === 0) return found;
  const kept = role?.privileges.filter(({ name }) => GIVEN_TO_EVERY_ROLE.has(name)) ?? [];
  const named = new Set(privileges.map(({ id }) => id));
  const all = [...privileges, ...kept.filter(({ id }) => !named.has(id))];
  found.push({
    text: `The role '${file.role}' does not hold what the file says.`,
    details,
    correction: role && unit && replacePrivileges(role.rootId, unit.id, all),
  });
  return found;
}

function privilegeDifferences(role: RoleState | undefined, wanted: readonly Held[]): string[] {
  const held = new Map(role?.privileges.map((one) => [one.id, one]));
  const lines: string[] = [];
  for (const { id, name, depth } of wanted) {
    const current = held.get(id);
    held.delete(id);
    if (!current) lines.push(`+ ${name} ${depth}`);
    else if (current.depth !== depth) lines.push(`~ ${name} ${current.depth} → ${depth}`);
  }
  for (const { name, depth } of held.values()) {
    if (!GIVEN_TO_EVERY_ROLE.has(name)) lines.push(`- ${name} ${depth}`);
  }
  return lines;
}

function userDifferences(wanted: Wanted, { unit, role, user }: EnvironmentState): Difference[] {
  const { file, applicationId } = wanted;
  const give = (userId: string | undefined): Difference => ({
    text: `The user does not have the role '${file.role}'.`,
    details: [],
    correction: userId !== undefined && role ? assignRole(userId, role.id, wanted.apiUrl) : undefined,
  });
  if (!user) {
    const name = { first: file.user.firstName, last: file.user.lastName };
    return [
      {
        text: `There is no application user for application ${applicationId}.`,
        details: [],
        correction: unit && createApplicationUser(applicationId, unit.id, name),
      },
      give(undefined),
    ];
  }
  const found: Difference[] = [];
  if (user.disabled) {
    found.push({ text: `The user '${user.name}' is disabled.`, details: [], correction: enableUser(user.id) });
  }
  const moves = unit?.id !== user.businessUnitId;
  if (moves) {
    found.push({
      text: `The user '${user.name}' is in another business unit; moving it takes all roles from it.`,
      details: [],
      correction: unit && moveUser(user.id, unit.id),
    });
  }
  if (moves || !user.roles.some(({ id }) => id === role?.id)) found.push(give(moves ? undefined : user.id));
  for (const other of moves ? [] : user.roles.filter(({ id }) => id !== role?.id)) {
    const warning = other.isAdministrator ? ' It lets the application do everything.' : '';
    found.push({
      text: `The user also has the role '${other.name}'.${warning}`,
      details: wanted.exclusive ? [] : ['Take it away by hand, or with --exclusive.'],
      correction: wanted.exclusive ? takeRole(user.id, other.id) : undefined,
      advice: !wanted.exclusive,
    });
  }
  return found;
}
