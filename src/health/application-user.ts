import * as z from 'zod';
import type { DataverseClient } from '../dataverse/client.ts';
import { DataverseError } from '../dataverse/errors.ts';
import { businessUnitPath, rolesPath, userPath } from '../dataverse/wire/principal.ts';
import { type Finding, StageError } from './stages.ts';

/** Whom a connection acts as. */
export interface WhoAmI {
  readonly userId: string;
  readonly businessUnitId: string;
  readonly organizationId: string;
}

export interface Role {
  readonly id: string;
  readonly name: string;
  /** A role that can do far more than any integration needs. */
  readonly isBroad: boolean;
}

/** The application user as far as its own role lets it be read. */
export interface ApplicationUser extends WhoAmI {
  readonly name: string | undefined;
  readonly applicationId: string | undefined;
  readonly disabled: boolean | undefined;
  readonly businessUnit: string | undefined;
  /** Undefined where the user may not read roles. */
  readonly roles: readonly Role[] | undefined;
}

/** Role templates, the same in every environment (Dataverse documentation, "Predefined security roles"). */
const BROAD_TEMPLATES = new Set([
  '627090ff-40a3-4053-8790-584edc5be201', // System Administrator
  '119f245c-3cc8-4b62-b31c-d1a046ced15d', // System Customizer
]);
const BROAD_NAMES = /^(system administrator|system customizer|support user)$/i;

const whoAmIAnswer = z.object({ UserId: z.guid(), BusinessUnitId: z.guid(), OrganizationId: z.guid() });
const userAnswer = z.object({
  fullname: z.string().nullish(),
  applicationid: z.string().nullish(),
  isdisabled: z.boolean().nullish(),
});
const rolesAnswer = z.object({
  value: z.array(z.object({ name: z.string(), roleid: z.guid(), _roletemplateid_value: z.string().nullish() })),
});
const businessUnitAnswer = z.object({ name: z.string() });

/** Throws DataverseError. */
export async function whoAmI(client: DataverseClient, signal?: AbortSignal): Promise<WhoAmI> {
  const answer = await client.send({ method: 'GET', path: 'WhoAmI', signal });
  const parsed = whoAmIAnswer.safeParse(answer.json());
  if (!parsed.success) {
    throw new DataverseError('notDataverse', 'The answer to WhoAmI is not that of Dataverse.', {
      status: answer.status,
    });
  }
  const { UserId: userId, BusinessUnitId: businessUnitId, OrganizationId: organizationId } = parsed.data;
  return { userId, businessUnitId, organizationId };
}

/** The user's name; undefined where the user may not read its own row. Throws DataverseError. */
export async function userName(
  client: DataverseClient,
  userId: string,
  signal?: AbortSignal,
): Promise<string | undefined> {
  return (await readable(client, userPath(userId), userAnswer, signal))?.fullname ?? undefined;
}

/** Throws DataverseError. */
export async function readApplicationUser(client: DataverseClient, signal: AbortSignal): Promise<ApplicationUser> {
  const who = await whoAmI(client, signal);
  const [user, unit, roles] = await Promise.all([
    readable(client, userPath(who.userId), userAnswer, signal),
    readable(client, businessUnitPath(who.businessUnitId), businessUnitAnswer, signal),
    readable(client, rolesPath(who.userId), rolesAnswer, signal),
  ]);
  return {
    ...who,
    name: user?.fullname ?? undefined,
    applicationId: user?.applicationid ?? undefined,
    disabled: user?.isdisabled ?? undefined,
    businessUnit: unit?.name,
    roles: roles?.value.map(({ name, roleid, _roletemplateid_value: template }) => ({
      id: roleid,
      name,
      isBroad: BROAD_TEMPLATES.has(template?.toLowerCase() ?? '') || BROAD_NAMES.test(name),
    })),
  };
}

/** What a role need not allow to be read: undefined where it does not. */
async function readable<T>(
  client: DataverseClient,
  path: string,
  schema: z.ZodType<T>,
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  try {
    return schema.parse((await client.send({ method: 'GET', path, signal })).json());
  } catch (error) {
    if (error instanceof DataverseError && error.code === 'forbidden') return undefined;
    throw error;
  }
}

/** Judges the application user. Throws StageError `userDisabled`, `applicationMismatch` or `noRoles`. */
export function judgeUser(user: ApplicationUser, clientId: string): Finding {
  const facts = { ...user };
  const where =
    'Power Platform admin centre, Environments, the environment, Settings, Users + permissions, Application users';
  if (user.disabled) {
    throw new StageError('userDisabled', `The application user ${user.name ?? user.userId} is disabled.`, {
      hint: `Activate it: ${where}.`,
      facts,
    });
  }
  if (user.applicationId !== undefined && user.applicationId.toLowerCase() !== clientId) {
    throw new StageError(
      'applicationMismatch',
      `Dataverse takes the token for another application, ${user.applicationId}.`,
      {
        hint: 'Check the client id of the connection and that of the application user.',
        facts,
      },
    );
  }
  if (user.roles?.length === 0) {
    throw new StageError(
      'noRoles',
      `The application user ${user.name ?? user.userId} has no security role of its own.`,
      {
        hint: `Assign the connection’s role: npm run setup-user, or ${where}, Edit security roles. A role that comes through a team only is not seen here.`,
        facts,
      },
    );
  }
  const broad = (user.roles ?? []).filter(({ isBroad }) => isBroad).map(({ name }) => name);
  const roles = user.roles ? user.roles.map(({ name }) => name).join(', ') : 'not readable for it';
  return {
    detail:
      `Application user ${user.name ?? ''} ${user.userId}, business unit ${user.businessUnit ?? user.businessUnitId}, organization ${user.organizationId}; roles: ${roles}.`.replace(
        '  ',
        ' ',
      ),
    ...(broad.length > 0 && {
      warnings: [
        `The application user has the role ${broad.join(', ')}, which may do far more than a connection needs: give it a role of its own (npm run setup-user).`,
      ],
    }),
    facts,
  };
}
