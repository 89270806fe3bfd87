import { APPLICATION_ACCESS_MODE } from './directory.ts';
import { writeMessages } from './messages.ts';
import type { Catalog } from './metadata.ts';
import { ADMINISTRATOR_ID, rowWriter, type WriteRow } from './platform-rows.ts';
import {
  ACCESS_RIGHTS,
  CUSTOMIZER_PRIVILEGES,
  type Depth,
  NEW_ROLE_PRIVILEGES,
  type Privilege,
  type PrivilegeCatalog,
} from './privileges.ts';
import { ADMINISTRATOR_TEMPLATE, type Roles } from './roles.ts';
import { derivedGuid, type Store, type StoredRow } from './store.ts';
import type { Organization } from './work.ts';

/** A role's privileges: `prvCreateAccount` → depth. */
export type RolePrivileges = Readonly<Record<string, Depth>>;

/** A user that an application registration signs in as. */
export interface ApplicationUser {
  /** The registration's client id. */
  readonly clientId: string;
  readonly systemUserId: string;
  readonly name?: string;
  /** In Entra; by it a request can act for the user. */
  readonly objectId?: string;
  /** Names of roles. */
  readonly roles: readonly string[];
  readonly disabled?: boolean;
}

/** What {@link seed} writes into, and what it takes from the options. */
export interface Seed {
  readonly store: Store;
  readonly catalog: Catalog;
  readonly privileges: PrivilegeCatalog;
  readonly roles: Roles;
  readonly organization: Organization;
  readonly users: readonly ApplicationUser[];
  /** By the role's name. */
  readonly rolePrivileges: Readonly<Record<string, RolePrivileges>>;
  readonly now: number;
}

export const SYSTEM_ADMINISTRATOR = 'System Administrator';
export const SYSTEM_CUSTOMIZER = 'System Customizer';

/**
 * Writes the rows that every organization has. Rows that are there already are kept, privileges of roles included;
 * application users are renewed.
 */
export function seed(seed: Seed): void {
  const { store, catalog, organization, users, rolePrivileges, now } = seed;
  store.transaction(() => {
    const write = rowWriter(store, catalog, now);
    const { businessUnitId } = organization;
    write('organization', { organizationid: organization.id, name: organization.name, languagecode: 1033 });
    write('businessunit', { businessunitid: businessUnitId, name: organization.name, isdisabled: 0 });
    write('transactioncurrency', {
      transactioncurrencyid: organization.baseCurrencyId,
      currencyname: 'US Dollar',
      isocurrencycode: 'USD',
      currencysymbol: '$',
      currencyprecision: 2,
      exchangerate: 1,
      statecode: 0,
      statuscode: 1,
    });
    const names = new Set([SYSTEM_ADMINISTRATOR, SYSTEM_CUSTOMIZER, ...Object.keys(rolePrivileges)]);
    for (const user of users) for (const role of user.roles) names.add(role);
    const given = new Map([...names].map((name) => [name, privilegesOfRole(seed, name)]));
    for (const { name } of store.all('SELECT name FROM privilege')) seed.privileges.named(String(name));
    writePrivileges(seed.privileges.all(), write);
    for (const [name, privileges] of given) seedRole(seed, write, name, privileges);
    write('systemuser', userRow(organization, { systemuserid: ADMINISTRATOR_ID, fullname: 'System Administrator' }));
    giveRole(write, ADMINISTRATOR_ID, SYSTEM_ADMINISTRATOR);
    for (const user of users) seedUser(store, write, organization, user);
    for (const { logicalName } of catalog.names) writeMessages(logicalName, write);
    writeSolutions(organization, write);
  });
}

/** The role that the service brings along or that `startDataverse` was given. */
export const roleId = (name: string): string => derivedGuid(`role/${name}`);

/** A privilege's id with the depth at which a role has it. */
type Given = readonly [privilegeId: string, depth: Depth];

function privilegesOfRole({ privileges, rolePrivileges }: Seed, name: string): Given[] {
  if (name === SYSTEM_ADMINISTRATOR) return privileges.all().map(({ id, depths }) => [id, depths.at(-1) ?? 'Global']);
  const always = [...NEW_ROLE_PRIVILEGES, ...(name === SYSTEM_CUSTOMIZER ? CUSTOMIZER_PRIVILEGES : [])];
  const standard = name === SYSTEM_CUSTOMIZER ? undefined : privileges.standardRole(name);
  return [
    ...always.map((one): Given => [privileges.named(one).id, 'Global']),
    ...Object.entries(rolePrivileges[name] ?? standard?.privileges ?? {}).map(
      ([one, depth]): Given => [privileges.named(one).id, depth],
    ),
  ];
}

/** Writes the rows of privileges. */
export function writePrivileges(privileges: readonly Privilege[], write: WriteRow): void {
  for (const { id, name, right, depths } of privileges) {
    write('privilege', {
      privilegeid: id,
      name,
      accessright: right ? ACCESS_RIGHTS[right] : 0,
      canbebasic: Number(depths.includes('Basic')),
      canbelocal: Number(depths.includes('Local')),
      canbedeep: Number(depths.includes('Deep')),
      canbeglobal: Number(depths.includes('Global')),
    });
  }
}

function seedRole(
  { store, privileges, roles, organization }: Seed,
  write: WriteRow,
  name: string,
  given: Given[],
): void {
  const roleid = roleId(name);
  const roletemplateid =
    name === SYSTEM_ADMINISTRATOR ? ADMINISTRATOR_TEMPLATE : (privileges.standardRole(name)?.templateId ?? NO_TEMPLATE);
  write('role', {
    roleid,
    name,
    businessunitid: organization.businessUnitId,
    parentrootroleid: roleid,
    roletemplateid: roletemplateid === NO_TEMPLATE ? null : roletemplateid,
    isinherited: 1,
    ismanaged: 0,
    organizationid: organization.id,
  });
  // Databases of earlier versions lack these.
  store.run('UPDATE role SET parentrootroleid = roleid, roletemplateid = ? WHERE roleid = ?', [
    roletemplateid === NO_TEMPLATE ? null : roletemplateid,
    roleid,
  ]);
  const has = store.get('SELECT 1 FROM roleprivileges WHERE roleid = ?', [roleid]);
  if (!has) roles.grant(roleid, given);
}

const NO_TEMPLATE = '00000000-0000-0000-0000-000000000000';

const userRow = (organization: Organization, values: StoredRow): StoredRow => ({
  businessunitid: organization.businessUnitId,
  organizationid: organization.id,
  isdisabled: 0,
  accessmode: APPLICATION_ACCESS_MODE,
  ...values,
});

function seedUser(store: Store, write: WriteRow, organization: Organization, user: ApplicationUser): void {
  const systemuserid = user.systemUserId.toLowerCase();
  const applicationid = user.clientId.toLowerCase();
  const isdisabled = user.disabled ? 1 : 0;
  const fullname = user.name ?? `# ${applicationid}`;
  const azureactivedirectoryobjectid = user.objectId?.toLowerCase() ?? null;
  write(
    'systemuser',
    userRow(organization, {
      systemuserid,
      applicationid,
      azureactivedirectoryobjectid,
      isdisabled,
      fullname,
      lastname: fullname,
    }),
  );
  store.run(
    'UPDATE systemuser SET applicationid = ?, azureactivedirectoryobjectid = coalesce(?, azureactivedirectoryobjectid), ' +
      'isdisabled = ? WHERE systemuserid = ?',
    [applicationid, azureactivedirectoryobjectid, isdisabled, systemuserid],
  );
  for (const role of user.roles) giveRole(write, systemuserid, role);
}

function giveRole(write: WriteRow, systemuserid: string, role: string): void {
  write('systemuserroles', {
    systemuserroleid: derivedGuid(`systemuserroles/${systemuserid}/${role}`),
    systemuserid,
    roleid: roleId(role),
  });
}

// The ids are the same in every organization.
const DEFAULT_PUBLISHER = 'd21aab71-79e7-11dd-8874-00188b01e34f';
const SOLUTIONS = { Active: 'fd140aae-4df4-11dd-bd17-0019b9312238', Default: 'fd140aaf-4df4-11dd-bd17-0019b9312238' };

/** The publisher and the two solutions that every organization has. */
function writeSolutions(organization: Organization, write: WriteRow): void {
  write('publisher', {
    publisherid: DEFAULT_PUBLISHER,
    uniquename: `DefaultPublisher${organization.name}`,
    friendlyname: `Default Publisher for ${organization.name}`,
    customizationprefix: 'new',
    customizationoptionvalueprefix: 10_000,
    isreadonly: 0,
    organizationid: organization.id,
  });
  for (const [uniquename, solutionid] of Object.entries(SOLUTIONS)) {
    write('solution', {
      solutionid,
      uniquename,
      friendlyname: `${uniquename} Solution`,
      version: '1.0',
      ismanaged: 0,
      isvisible: uniquename === 'Default' ? 1 : 0,
      publisherid: DEFAULT_PUBLISHER,
      organizationid: organization.id,
    });
  }
}
