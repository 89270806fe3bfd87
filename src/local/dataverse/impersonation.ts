import { isGuid } from '../../shared/ids.ts';
import { cannotActOnBehalf, invalidArgument, notAMember, rowNotFound } from './errors.ts';
import { DEPTHS, type Depth } from './privileges.ts';
import type { Permissions } from './roles.ts';
import type { Caller } from './security.ts';
import type { StoredRow } from './store.ts';
import type { Environment } from './work.ts';

/** Headers in lower case, the preferred one first, with the column of the user that they name. */
const HEADERS = [
  ['callerobjectid', 'azureactivedirectoryobjectid'],
  ['mscrmcallerid', 'systemuserid'],
] as const;

const PRIVILEGE = 'prvActOnBehalfOfAnotherUser';

export const IMPERSONATION_HEADERS: readonly string[] = HEADERS.map(([header]) => header);

/**
 * The user as whom a request is carried out: the one that its headers name, with what both users may, else the caller.
 * Throws WireError 403 without the privilege to act for others, and for a user that there is not (UNCONFIRMED which
 * error the service has for the latter).
 */
export function actingUser(env: Environment, caller: Caller, headers: ReadonlyMap<string, string>): Caller {
  for (const [header, column] of HEADERS) {
    const value = headers.get(header)?.trim();
    if (value === undefined || value === '') continue;
    if (!isGuid(value)) throw invalidArgument(`The header ${header} must hold the id of a user.`);
    if (!mayActForOthers(env, caller)) throw cannotActOnBehalf();
    const id = value.toLowerCase();
    const user = env.store.get(
      `SELECT systemuserid, businessunitid, azureactivedirectoryobjectid, isdisabled FROM systemuser WHERE ${column} = ?`,
      [id],
    );
    if (!user && column === 'systemuserid') throw rowNotFound('systemuser', id);
    if (!user || user['isdisabled'] === 1) throw notAMember();
    return onBehalfOf(env, caller, user);
  }
  return caller;
}

/** Documented: the privilege counts only when it is in a role of the user's own, not in one of a team. */
const mayActForOthers = (env: Environment, caller: Caller): boolean =>
  caller.privileges === 'all' ||
  env.roles.grantsOf(caller.userId).some(({ name, throughTeam }) => name === PRIVILEGE && !throughTeam);

function onBehalfOf(env: Environment, caller: Caller, user: StoredRow): Caller {
  const userId = String(user['systemuserid']);
  const objectId = user['azureactivedirectoryobjectid'];
  const { userId: realUserId, objectId: realObjectId } = caller;
  return {
    userId,
    objectId: typeof objectId === 'string' ? objectId : undefined,
    businessUnitId: String(user['businessunitid']),
    ...heldByBoth(env.roles.permissionsOf(userId), caller),
    ...(userId === realUserId ? {} : { actor: { userId: realUserId, objectId: realObjectId } }),
  };
}

/** Documented: what both may. At the smaller depth, which counts from the user that is acted for. */
function heldByBoth(user: Permissions, caller: Permissions): Permissions {
  const { roleCount } = user;
  if (caller.privileges === 'all') return { roleCount, privileges: user.privileges };
  if (user.privileges === 'all') return { roleCount, privileges: caller.privileges };
  const privileges = new Map<string, Depth>();
  for (const [name, depth] of user.privileges) {
    const other = caller.privileges.get(name);
    if (other) privileges.set(name, DEPTHS.indexOf(other) < DEPTHS.indexOf(depth) ? other : depth);
  }
  return { roleCount, privileges };
}
