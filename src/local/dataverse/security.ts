import { createLocalJWKSet, createRemoteJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { z } from 'zod';
import type { Clock } from '../../shared/clock.ts';
import { notAMember, notAuthenticated, privilegeMissing, WireError } from './errors.ts';
import { readMetadataFile, type Table } from './metadata.ts';
import { derivedGuid, type Store } from './store.ts';

/** How far a privilege reaches: own rows, the business unit's, those below it, all. */
export type Depth = 'Basic' | 'Local' | 'Deep' | 'Global';

export type Right = 'Create' | 'Read' | 'Write' | 'Delete' | 'Append' | 'AppendTo' | 'Assign' | 'Share';

/** A role's privileges: `prvCreateAccount` → depth. */
export type RolePrivileges = Readonly<Record<string, Depth>>;

/** The signed-in user with what its roles allow. */
export interface Caller {
  readonly userId: string;
  readonly objectId: string | undefined;
  readonly businessUnitId: string;
  readonly roleCount: number;
  /** By name in lower case; `all` for a System Administrator. */
  readonly privileges: ReadonlyMap<string, Depth> | 'all';
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

export interface Privileges {
  /** The privilege for a right on a table. */
  of(table: Table, right: Right): { name: string; id: string };
  /** Answers how far the caller's right reaches; throws WireError 403 when it has none. */
  require(caller: Caller, table: Table, right: Right): Depth;
  /** The same for a privilege that belongs to no table, such as `prvCreateEntityKey`. */
  requireNamed(caller: Caller, name: string): void;
}

/** Rights to define tables, which System Customizer has besides System Administrator. */
const CUSTOMIZER = [
  'prvCreateEntity',
  'prvReadEntity',
  'prvWriteEntity',
  'prvDeleteEntity',
  'prvCreateAttribute',
  'prvReadAttribute',
  'prvWriteAttribute',
  'prvDeleteAttribute',
  'prvCreateEntityKey',
  'prvReadEntityKey',
  'prvDeleteEntityKey',
  'prvCreateRelationship',
  'prvReadRelationship',
  'prvWriteRelationship',
  'prvDeleteRelationship',
  'prvPublishCustomization',
  'prvCreateSdkMessageProcessingStep',
  'prvReadSdkMessageProcessingStep',
  'prvWriteSdkMessageProcessingStep',
  'prvDeleteSdkMessageProcessingStep',
  'prvAppendSdkMessageProcessingStep',
  'prvAppendToSdkMessageProcessingStep',
  'prvCreateSdkMessageProcessingStepImage',
  'prvReadSdkMessageProcessingStepImage',
  'prvWriteSdkMessageProcessingStepImage',
  'prvDeleteSdkMessageProcessingStepImage',
  'prvAppendSdkMessageProcessingStepImage',
  'prvCreateServiceEndpoint',
  'prvReadServiceEndpoint',
  'prvWriteServiceEndpoint',
  'prvDeleteServiceEndpoint',
  'prvAppendServiceEndpoint',
  'prvAppendToServiceEndpoint',
  'prvReadSdkMessage',
  'prvAppendToSdkMessage',
];

/** What every new role of the service holds already. */
const NEW_ROLE = [
  'prvReadSharePointData',
  'prvWriteSharePointData',
  'prvCreateSharePointData',
  'prvReadSharePointDocument',
  'prvReadSdkMessage',
  'prvReadSdkMessageProcessingStep',
  'prvReadSdkMessageProcessingStepImage',
  'prvReadPluginAssembly',
  'prvReadPluginType',
];

export const SYSTEM_ADMINISTRATOR = 'System Administrator';
export const SYSTEM_CUSTOMIZER = 'System Customizer';

/** Tables whose privileges carry another table's name. */
const SHARED_PRIVILEGES: Readonly<Record<string, string>> = { sdkmessagefilter: 'SdkMessage' };

const DEPTHS: readonly Depth[] = ['Basic', 'Local', 'Deep', 'Global'];

const wider = (one: Depth | undefined, other: Depth): Depth =>
  one !== undefined && DEPTHS.indexOf(one) > DEPTHS.indexOf(other) ? one : other;

const privilegesFile = z.looseObject({
  Privileges: z.record(
    z.string(),
    z.array(z.looseObject({ Name: z.string(), PrivilegeId: z.string(), PrivilegeType: z.string() })),
  ),
});

export function createPrivileges(): Privileges {
  const known = privilegesFile.parse(readMetadataFile('privileges.json')).Privileges;

  const of = (table: Table, right: Right): { name: string; id: string } => {
    const found = known[table.logicalName]?.find((one) => one.PrivilegeType === right);
    if (found) return { name: found.Name, id: found.PrivilegeId };
    const suffix = table.isActivity ? 'Activity' : (SHARED_PRIVILEGES[table.logicalName] ?? table.schemaName);
    const name = `prv${right}${suffix}`;
    return { name, id: derivedGuid(`privilege/${name}`) };
  };
  return {
    of,
    require(caller, table, right) {
      if (caller.privileges === 'all') return 'Global';
      const { name, id } = of(table, right);
      const depth = caller.privileges.get(name.toLowerCase());
      if (depth === undefined) throw missing(caller, name, id, table);
      return depth;
    },
    requireNamed(caller, name) {
      if (caller.privileges === 'all' || caller.privileges.has(name.toLowerCase())) return;
      throw missing(caller, name, derivedGuid(`privilege/${name}`));
    },
  };
}

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
  roles: Readonly<Record<string, RolePrivileges>>;
  clock: Clock;
  /** Of the environment; the token's audience, with or without a slash at the end. */
  origin(): string;
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
    const caller = typeof clientId === 'string' ? callerOf(options, clientId, objectId) : undefined;
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
  const roles = options.store
    .all(
      'SELECT role.name FROM systemuserroles JOIN role ON role.roleid = systemuserroles.roleid WHERE systemuserid = ?',
      [userId],
    )
    .map((row) => String(row['name']));
  return {
    userId,
    objectId: typeof objectId === 'string' ? objectId : undefined,
    businessUnitId: String(user['businessunitid']),
    roleCount: roles.length,
    privileges: privilegesOf(roles, options.roles),
  };
}

function privilegesOf(
  names: readonly string[],
  roles: Readonly<Record<string, RolePrivileges>>,
): ReadonlyMap<string, Depth> | 'all' {
  if (names.includes(SYSTEM_ADMINISTRATOR)) return 'all';
  const held = new Map<string, Depth>();
  const add = (privilege: string, depth: Depth) =>
    held.set(privilege.toLowerCase(), wider(held.get(privilege.toLowerCase()), depth));
  for (const name of names) {
    for (const privilege of NEW_ROLE) add(privilege, 'Global');
    if (name === SYSTEM_CUSTOMIZER) for (const privilege of CUSTOMIZER) add(privilege, 'Global');
    for (const [privilege, depth] of Object.entries(roles[name] ?? {})) add(privilege, depth);
  }
  return held;
}
