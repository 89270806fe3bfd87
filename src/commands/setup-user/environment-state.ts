import * as z from 'zod';
import type { DataverseClient } from '../../dataverse/client.ts';
import { DataverseError } from '../../dataverse/errors.ts';
import {
  applicationUsersPath,
  businessUnitsPath,
  privilegesNamedPath,
  rolePrivilegesPath,
  rolesNamedPath,
  rolesOfUserPath,
  tablePrivilegeDepthsPath,
} from '../../dataverse/wire/administration.ts';
import { DEPTHS, type Depth, RIGHTS, type Right, SetupError, type UserFile } from './user-file.ts';

/** One privilege as a role has it or is to have it. */
export interface Held {
  readonly id: string;
  readonly name: string;
  readonly depth: Depth;
}

export interface RoleState {
  readonly id: string;
  /** The role that it is a copy of, itself when it is none. Privileges change there. */
  readonly rootId: string;
  readonly privileges: readonly Held[];
}

export interface UserState {
  readonly id: string;
  readonly name: string;
  readonly disabled: boolean;
  readonly businessUnitId: string;
  readonly roles: readonly { readonly id: string; readonly name: string; readonly isAdministrator: boolean }[];
}

/** What stands in the environment of what the file describes. */
export interface EnvironmentState {
  readonly rootUnitId: string;
  /** Undefined when the unit is missing. */
  readonly unit: { readonly id: string; readonly name: string } | undefined;
  readonly role: RoleState | undefined;
  readonly user: UserState | undefined;
}

/** `roletemplateid` of System Administrator, the same in every organization. */
const ADMINISTRATOR_TEMPLATE = '627090ff-40a3-4053-8790-584edc5be201';

const rows = <Row extends z.ZodType>(row: Row) => z.object({ value: z.array(row) });

const units = rows(
  z.object({ businessunitid: z.string(), name: z.string(), _parentbusinessunitid_value: z.string().nullable() }),
);
const roles = rows(
  z.object({
    roleid: z.string(),
    _businessunitid_value: z.string(),
    _parentrootroleid_value: z.string().nullish(),
    _roletemplateid_value: z.string().nullish(),
  }),
);
const grants = z.object({
  RolePrivileges: z.array(z.object({ PrivilegeId: z.string(), PrivilegeName: z.string(), Depth: z.enum(DEPTHS) })),
});
const users = rows(
  z.object({
    systemuserid: z.string(),
    fullname: z.string().nullish(),
    isdisabled: z.boolean(),
    _businessunitid_value: z.string(),
  }),
);
const userRoles = rows(z.object({ roleid: z.string(), name: z.string(), _roletemplateid_value: z.string().nullish() }));

async function read<Shape extends z.ZodType>(
  client: DataverseClient,
  path: string,
  shape: Shape,
): Promise<z.infer<Shape>> {
  const answer = await client.send({ method: 'GET', path });
  const parsed = shape.safeParse(answer.json());
  if (parsed.success) return parsed.data;
  throw new SetupError(`The environment’s answer to GET ${path} has another form than expected.`, {
    cause: parsed.error,
  });
}

/** Reads what there is. Throws SetupError when the role is one that this command must not touch. */
export async function readEnvironment(
  client: DataverseClient,
  wanted: UserFile,
  applicationId: string,
): Promise<EnvironmentState> {
  const all = (await read(client, businessUnitsPath, units)).value;
  const root = all.find((unit) => unit._parentbusinessunitid_value === null);
  if (!root) throw new SetupError('The organization’s own business unit was not found.');
  const found =
    wanted.businessUnit === undefined ? root : all.find((unit) => sameName(unit.name, wanted.businessUnit ?? ''));
  const unit = found && { id: found.businessunitid, name: found.name };
  return {
    rootUnitId: root.businessunitid,
    unit,
    role: unit && (await readRole(client, wanted.role, unit.id)),
    user: await readUser(client, applicationId),
  };
}

const sameName = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

async function readRole(client: DataverseClient, name: string, unitId: string): Promise<RoleState | undefined> {
  const named = (await read(client, rolesNamedPath(name), roles)).value;
  const role = named.find((one) => one._businessunitid_value === unitId);
  if (!role) return undefined;
  if (role._roletemplateid_value) {
    throw new SetupError(`The role '${name}' is one that the service brings along; it must stay as it is.`, {
      hint: 'Name a role of your own in the file.',
    });
  }
  const { RolePrivileges } = await read(client, rolePrivilegesPath(role.roleid), grants);
  return {
    id: role.roleid,
    rootId: role._parentrootroleid_value ?? role.roleid,
    privileges: RolePrivileges.map((one) => ({ id: one.PrivilegeId, name: one.PrivilegeName, depth: one.Depth })),
  };
}

async function readUser(client: DataverseClient, applicationId: string): Promise<UserState | undefined> {
  const [user] = (await read(client, applicationUsersPath(applicationId), users)).value;
  if (!user) return undefined;
  const held = (await read(client, rolesOfUserPath(user.systemuserid), userRoles)).value;
  return {
    id: user.systemuserid,
    name: user.fullname ?? applicationId,
    disabled: user.isdisabled,
    businessUnitId: user._businessunitid_value,
    roles: held.map((role) => ({
      id: role.roleid,
      name: role.name,
      isAdministrator: role._roletemplateid_value === ADMINISTRATOR_TEMPLATE,
    })),
  };
}

const tablePrivileges = z.object({
  Privileges: z.array(
    z.object({
      Name: z.string(),
      PrivilegeId: z.string(),
      PrivilegeType: z.string(),
      CanBeBasic: z.boolean(),
      CanBeLocal: z.boolean(),
      CanBeDeep: z.boolean(),
      CanBeGlobal: z.boolean(),
    }),
  ),
});
const namedPrivileges = rows(
  z.object({
    privilegeid: z.string(),
    name: z.string(),
    canbebasic: z.boolean(),
    canbelocal: z.boolean(),
    canbedeep: z.boolean(),
    canbeglobal: z.boolean(),
  }),
);

interface Possible {
  readonly id: string;
  readonly name: string;
  readonly depths: readonly Depth[];
}

/** The privileges that the file asks for, by the names of this environment. Throws SetupError with all that it cannot have. */
export async function wantedPrivileges(client: DataverseClient, wanted: UserFile): Promise<Held[]> {
  const faults: string[] = [];
  const held = new Map<string, Held>();
  const want = (privilege: Possible, depth: Depth): void => {
    if (!privilege.depths.includes(depth)) {
      faults.push(`${privilege.name} cannot be ${depth}, only ${privilege.depths.join(', ')}`);
      return;
    }
    // Activities share their privileges: the widest depth that any of them asks for counts.
    const known = held.get(privilege.id);
    if (known && DEPTHS.indexOf(known.depth) >= DEPTHS.indexOf(depth)) return;
    held.set(privilege.id, { id: privilege.id, name: privilege.name, depth });
  };
  for (const [table, rights] of Object.entries(wanted.tables)) {
    const possible = await privilegesOfTable(client, table);
    if (!possible) faults.push(`There is no table ${table}`);
    else {
      for (const right of RIGHTS) {
        const depth = rights[right];
        const privilege = possible.get(right);
        if (depth && privilege) want(privilege, depth);
        else if (depth) faults.push(`${table} has no privilege to ${right}`);
      }
    }
  }
  const named = await privilegesNamed(client, Object.keys(wanted.privileges));
  for (const [name, depth] of Object.entries(wanted.privileges)) {
    const privilege = named.get(name.toLowerCase());
    if (privilege) want(privilege, depth);
    else faults.push(`There is no privilege ${name}`);
  }
  if (faults.length > 0) {
    throw new SetupError(`The file asks for what this environment does not have:\n${faults.join('\n')}`);
  }
  return [...held.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}

async function privilegesOfTable(client: DataverseClient, table: string): Promise<Map<Right, Possible> | undefined> {
  try {
    const { Privileges } = await read(client, tablePrivilegeDepthsPath(table), tablePrivileges);
    return new Map(
      Privileges.flatMap((one): [Right, Possible][] => {
        const right = RIGHTS.find((name) => name.toLowerCase() === one.PrivilegeType.toLowerCase());
        const possible = [one.CanBeBasic, one.CanBeLocal, one.CanBeDeep, one.CanBeGlobal];
        const depths = DEPTHS.filter((_, index) => possible[index]);
        return right ? [[right, { id: one.PrivilegeId, name: one.Name, depths }]] : [];
      }),
    );
  } catch (error) {
    if (error instanceof DataverseError && error.facts.status === 404) return undefined;
    throw error;
  }
}

async function privilegesNamed(client: DataverseClient, names: readonly string[]): Promise<Map<string, Possible>> {
  if (names.length === 0) return new Map();
  const { value } = await read(client, privilegesNamedPath(names), namedPrivileges);
  return new Map(
    value.map((one) => {
      const possible = [one.canbebasic, one.canbelocal, one.canbedeep, one.canbeglobal];
      const depths = DEPTHS.filter((_, index) => possible[index]);
      return [one.name.toLowerCase(), { id: one.privilegeid, name: one.name, depths }];
    }),
  );
}
