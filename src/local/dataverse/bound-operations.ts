import * as z from 'zod';
import { requireOwnRole } from './directory.ts';
import { invalidArgument, methodNotAllowed, notEmulated, rowNotFound, unknownPrivilege } from './errors.ts';
import type { Table } from './metadata.ts';
import type { Predicate } from './odata/ast.ts';
import { DEPTHS, type Depth, type Privilege, type Right } from './privileges.ts';
import { reaches } from './reach.ts';
import { requireRight } from './records.ts';
import { readStored, rowOfUrl } from './references.ts';
import { jsonReply, noContent, type Reply } from './reply.ts';
import { jsonObjectBody, type Operation, type OperationFacts } from './request.ts';
import type { Grant } from './roles.ts';
import type { RowReference, Work } from './work.ts';

/** A function or action behind a row: `systemusers(id)/Microsoft.Dynamics.CRM.RetrieveUserPrivileges()`. */
export interface BoundCall {
  readonly row: RowReference;
  readonly name: string;
  readonly predicate: Predicate | undefined;
}

interface BoundOperation {
  /** Functions are asked by GET, actions are told by POST. */
  readonly method: 'GET' | 'POST';
  run(work: Work, call: BoundCall, operation: Operation): Reply;
}

/** By table and name. */
const OPERATIONS: ReadonlyMap<string, BoundOperation> = new Map<string, BoundOperation>([
  [
    'systemuser/RetrieveUserPrivilegeByPrivilegeName',
    {
      method: 'GET',
      run: (work, call) => privilegesNamed(work, call, [z.string().parse(parameter(call, 'PrivilegeName'))]),
    },
  ],
  [
    'systemuser/RetrieveUserSetOfPrivilegesByNames',
    {
      method: 'GET',
      run: (work, call) => privilegesNamed(work, call, z.array(z.string()).parse(parameter(call, 'PrivilegeNames'))),
    },
  ],
  ['systemuser/RetrieveUserPrivileges', { method: 'GET', run: userPrivileges }],
  ['systemuser/RetrievePrincipalAccess', { method: 'GET', run: principalAccess }],
  ['role/AddPrivilegesRole', { method: 'POST', run: (...given) => changeRole(...given, false) }],
  ['role/ReplacePrivilegesRole', { method: 'POST', run: (...given) => changeRole(...given, true) }],
  ['role/RemovePrivilegeRole', { method: 'POST', run: removePrivilege }],
]);

/** Answers a function or action that is bound to a row of a user or role. */
export function routeBound(work: Work, operation: Operation, call: BoundCall, facts: OperationFacts): Reply {
  const bound = OPERATIONS.get(`${call.row.table.logicalName}/${call.name}`);
  if (!bound) throw notEmulated(`The bound operation ${call.name}`);
  if (operation.method !== bound.method) throw methodNotAllowed(`${operation.method} of ${call.name}`);
  facts.message = call.name;
  try {
    return bound.run(work, call, operation);
  } catch (error) {
    if (error instanceof z.ZodError) throw invalidArgument(`Invalid parameters of ${call.name}.`);
    throw error;
  }
}

function parameter({ predicate }: BoundCall, name: string): unknown {
  const literal = predicate?.kind === 'named' ? predicate.values.get(name) : undefined;
  return literal && 'value' in literal ? literal.value : undefined;
}

/** UNCONFIRMED: everybody may ask for its own privileges, those of others need the right to read users. */
function requireUser(work: Work, { table, id }: RowReference): { userId: string; businessUnitId: string } {
  const row = readStored(work, table, id);
  if (!row) throw rowNotFound(table.logicalName, id);
  if (id !== work.caller.userId) requireRight(work, table, 'Read', row);
  return { userId: id, businessUnitId: String(row['businessunitid']) };
}

function privilegesNamed(work: Work, call: BoundCall, names: readonly string[]): Reply {
  const { userId } = requireUser(work, call.row);
  const wanted = new Set(names.map((name) => knownPrivilege(work, name).name));
  const withoutTeamBasic = parameter(call, 'ExcludeTeamBasic') === true;
  const grants = work.env.roles
    .grantsOf(userId)
    .filter(({ name }) => wanted.has(name))
    .filter(({ throughTeam, depth }) => !(withoutTeamBasic && throughTeam && depth === 'Basic'));
  return privilegesReply(work, call.name, grants);
}

function knownPrivilege(work: Work, name: string): Privilege {
  const found = work.env.privileges.byName(name);
  if (!found) throw unknownPrivilege(name);
  return found;
}

/** Documented: what comes through a team is shown with the depth Basic, whatever the team's role says. */
function userPrivileges(work: Work, call: BoundCall): Reply {
  const { userId } = requireUser(work, call.row);
  const grants = work.env.roles
    .grantsOf(userId)
    .map((grant): Grant => (grant.throughTeam ? { ...grant, depth: 'Basic' } : grant));
  return privilegesReply(work, call.name, grants);
}

/** `RetrieveRolePrivilegesRole(RoleId=…)`, which is bound to nothing. */
export function rolePrivileges(work: Work, predicate: Predicate | undefined): Reply {
  const literal = predicate?.kind === 'named' ? predicate.values.get('RoleId') : undefined;
  const table = work.env.catalog.table('role');
  if (literal?.kind !== 'guid' || !table) throw invalidArgument('Invalid parameters of RetrieveRolePrivilegesRole.');
  const id = literal.value.toLowerCase();
  const row = readStored(work, table, id);
  if (!row) throw rowNotFound('role', id);
  requireRight(work, table, 'Read', row);
  return privilegesReply(work, 'RetrieveRolePrivilegesRole', work.env.roles.grantsOfRole(id));
}

/** The six members of each entry as a real environment answers them. */
const privilegesReply = (work: Work, name: string, grants: readonly Grant[]): Reply =>
  jsonReply(200, {
    '@odata.context': `${work.root}$metadata#Microsoft.Dynamics.CRM.${name}Response`,
    RolePrivileges: grants.map((grant) => ({
      Depth: grant.depth,
      PrivilegeId: grant.privilegeId,
      BusinessUnitId: grant.businessUnitId,
      PrivilegeName: grant.name,
      RecordFilterId: '00000000-0000-0000-0000-000000000000',
      RecordFilterUniqueName: '',
    })),
  });

const ROW_RIGHTS: readonly Right[] = ['Read', 'Write', 'Append', 'AppendTo', 'Delete', 'Share', 'Assign'];

function principalAccess(work: Work, call: BoundCall): Reply {
  const user = requireUser(work, call.row);
  const { '@odata.id': url } = z.object({ '@odata.id': z.string() }).parse(parameter(call, 'Target'));
  const target = rowOfUrl(work, url);
  const rights = ROW_RIGHTS.filter((right) => holds(work, user, target.table, right, target.id));
  return jsonReply(200, {
    '@odata.context': `${work.root}$metadata#Microsoft.Dynamics.CRM.${call.name}Response`,
    AccessRights: rights.map((right) => `${right}Access`).join(', ') || 'None',
  });
}

function holds(
  { env }: Work,
  user: { userId: string; businessUnitId: string },
  table: Table,
  right: Right,
  id: string,
): boolean {
  const { privileges } = env.roles.permissionsOf(user.userId);
  if (privileges === 'all') return true;
  const depth = privileges.get(env.privileges.of(table, right)?.name.toLowerCase() ?? '');
  return depth !== undefined && reaches(env.store, user, table, depth, id);
}

const change = z.object({
  Privileges: z.array(z.looseObject({ PrivilegeId: z.guid(), Depth: z.enum(['Basic', 'Local', 'Deep', 'Global']) })),
});

function changeRole(work: Work, { row }: BoundCall, operation: Operation, replace: boolean): Reply {
  requireRoleWrite(work, row);
  const { Privileges: wanted } = change.parse(jsonObjectBody(operation, 'roles'));
  const given = wanted.map(({ PrivilegeId, Depth: depth }): [string, Depth] => {
    const privilege = work.env.privileges.byId(PrivilegeId);
    if (!privilege) throw rowNotFound('privilege', PrivilegeId);
    return [privilege.id, possibleDepth(privilege, depth)];
  });
  if (replace) work.env.roles.revoke(row.id);
  work.env.roles.grant(row.id, given);
  return noContent();
}

/** UNCONFIRMED what the service does with a depth that the privilege cannot have; the next wider one is taken. */
const possibleDepth = ({ depths }: Privilege, depth: Depth): Depth =>
  depths.find((one) => DEPTHS.indexOf(one) >= DEPTHS.indexOf(depth)) ?? depths.at(-1) ?? depth;

function removePrivilege(work: Work, { row }: BoundCall, operation: Operation): Reply {
  requireRoleWrite(work, row);
  const { PrivilegeId } = z.object({ PrivilegeId: z.guid() }).parse(jsonObjectBody(operation, 'roles'));
  work.env.roles.revoke(row.id, PrivilegeId.toLowerCase());
  return noContent();
}

function requireRoleWrite(work: Work, { table, id }: RowReference): void {
  const row = readStored(work, table, id);
  if (!row) throw rowNotFound(table.logicalName, id);
  requireRight(work, table, 'Write', row);
  requireOwnRole(row);
}
