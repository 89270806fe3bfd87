import { createLocalJWKSet, createRemoteJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import type { Clock } from '../../shared/clock.ts';
import { notAMember, notAuthenticated, privilegeMissing, WireError } from './errors.ts';
import type { Table } from './metadata.ts';
import type { Depth, PrivilegeCatalog, Right } from './privileges.ts';
import type { Permissions, Roles } from './roles.ts';
import type { Store } from './store.ts';
import type { Turn } from './turns.ts';

/** The signed-in user with what its roles allow. */
export interface Caller extends Permissions {
  readonly userId: string;
  readonly objectId: string | undefined;
  readonly businessUnitId: string;
  /** Who really asked, when it acts as this user. */
  readonly actor?: { readonly userId: string; readonly objectId: string | undefined };
}

export type Authentication =
  /** Everybody is a System Administrator. */
  | { kind: 'none' }
  | {
      kind: 'entra';
      tenantId: string;
      /** Accepted `iss` values. */
      issuers: readonly string[];
      /** The tenant's signing keys, or the address of its key document. */
      keys: JSONWebKeySet | URL;
      /** `https://login.microsoftonline.com`, for the challenge; without a slash at the end. */
      authorityUrl: string;
    };

/** What a caller may, and the refusals that name what it may not. */
export interface Guard {
  /** Answers how far the caller's right reaches; throws WireError 403 when there is a privilege for it that it lacks. */
  require(caller: Caller, table: Table, right: Right): Depth;
  /** The same for a privilege that belongs to no table, such as `prvCreateEntityKey`. */
  requireNamed(caller: Caller, name: string): void;
}

export const createGuard = (privileges: PrivilegeCatalog): Guard => ({
  require(caller, table, right) {
    if (caller.privileges === 'all') return 'Global';
    const privilege = privileges.of(table, right);
    if (!privilege) return 'Global';
    const { name, id } = privilege;
    const depth = caller.privileges.get(name.toLowerCase());
    if (depth === undefined) throw missing(caller, name, id, table);
    return depth;
  },
  requireNamed(caller, name) {
    if (caller.privileges === 'all' || caller.privileges.has(name.toLowerCase())) return;
    throw missing(caller, name, privileges.named(name).id);
  },
});

function missing(caller: Caller, privilege: string, privilegeId: string, table?: Table): WireError {
  if (caller.roleCount === 0) {
    return new WireError(
      403,
      '0x80042f09',
      `The user with id ${caller.userId} has not been assigned any roles. They need a role with the ${privilege} privilege.`,
    );
  }
  return privilegeMissing({
    userId: caller.userId,
    roleCount: caller.roleCount,
    privilegeCount: caller.privileges === 'all' ? 0 : caller.privileges.size,
    privilege,
    privilegeId,
    ...(table ? { table } : {}),
  });
}

/** Answers who a request's token stands for; throws WireError 401 or 403. */
export type Authenticator = (authorization: string | undefined) => Promise<Caller>;

export interface AuthenticatorOptions {
  authentication: Authentication;
  store: Store;
  roles: Roles;
  clock: Clock;
  /** Of the environment; the token's audience, with or without a slash at the end. */
  origin(): string;
  turn: Turn;
  /** Who everybody is without authentication. */
  administrator: Caller;
}

const CLOCK_SKEW_SECONDS = 300;

export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { authentication } = options;
  if (authentication.kind === 'none') return async () => options.administrator;
  const keys =
    authentication.keys instanceof URL
      ? createRemoteJWKSet(authentication.keys)
      : createLocalJWKSet(authentication.keys);

  return async (authorization) => {
    const origin = options.origin();
    const challenge =
      `Bearer authorization_uri=${authentication.authorityUrl}/${authentication.tenantId}/oauth2/authorize, ` +
      `resource_id=${origin}/`;
    const token = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1];
    if (!token) throw notAuthenticated(challenge);
    const verified = await jwtVerify(token, keys, {
      issuer: [...authentication.issuers],
      audience: [origin, `${origin}/`],
      currentDate: new Date(options.clock.now()),
      clockTolerance: CLOCK_SKEW_SECONDS,
      requiredClaims: ['exp', 'tid'],
      algorithms: ['RS256'],
    }).catch(() => undefined);
    if (verified?.payload['tid'] !== authentication.tenantId) throw notAuthenticated(challenge);
    // Version 1 tokens name the application in `appid`, version 2 tokens in `azp`.
    const clientId = verified.payload['appid'] ?? verified.payload['azp'];
    const objectId = verified.payload['oid'];
    if (typeof clientId !== 'string') throw notAMember();
    const caller = await options.turn(() => callerOf(options, clientId, objectId));
    if (!caller) throw notAMember();
    return caller;
  };
}

function callerOf(options: AuthenticatorOptions, clientId: string, objectId: unknown): Caller | undefined {
  const user = options.store.get(
    'SELECT systemuserid, businessunitid FROM systemuser WHERE applicationid = ? AND coalesce(isdisabled, 0) = 0',
    [clientId.toLowerCase()],
  );
  if (!user) return undefined;
  const userId = String(user['systemuserid']);
  return {
    userId,
    objectId: typeof objectId === 'string' ? objectId : undefined,
    businessUnitId: String(user['businessunitid']),
    ...options.roles.permissionsOf(userId),
  };
}
