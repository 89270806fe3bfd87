import { z } from 'zod';
import { type Catalog, readMetadataFile, type Table } from './metadata.ts';
import { type RolePrivileges, SYSTEM_ADMINISTRATOR, SYSTEM_CUSTOMIZER } from './security.ts';
import { derivedGuid, hasTypeColumn, identifier, type Store, type StoredValue, typeColumn } from './store.ts';
import type { Organization } from './work.ts';

/** A user that an application registration signs in as. */
export interface ApplicationUser {
  /** The registration's client id. */
  readonly clientId: string;
  readonly systemUserId: string;
  readonly name?: string;
  /** Names of roles. */
  readonly roles: readonly string[];
  readonly disabled?: boolean;
}

/** Who signs in where nobody has to. */
export const ADMINISTRATOR_ID = derivedGuid('user/administrator');

// Messages of the bulk kind are newer than the documentation that the list of messages is from. The service never lists
// UpsertMultiple; a table has it when it has these two.
const BULK_MESSAGES = ['CreateMultiple', 'UpdateMultiple'];
const ROW_MESSAGES = ['Create', 'Update', 'Delete', 'Retrieve', 'RetrieveMultiple', 'Assign', 'Upsert'];

/** Writes the rows that every organization has. Rows that are there already are kept, application users are renewed. */
export function seed(
  store: Store,
  catalog: Catalog,
  organization: Organization,
  users: readonly ApplicationUser[],
  roles: Readonly<Record<string, RolePrivileges>>,
  now: number,
): void {
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
    const names = new Set([SYSTEM_ADMINISTRATOR, SYSTEM_CUSTOMIZER, ...Object.keys(roles)]);
    for (const user of users) for (const role of user.roles) names.add(role);
    for (const name of names) {
      write('role', { roleid: roleId(name), name, businessunitid: businessUnitId });
    }
    write('systemuser', userRow(organization, { systemuserid: ADMINISTRATOR_ID, fullname: 'System Administrator' }));
    for (const user of users) seedUser(store, write, organization, user);
    seedMessages(catalog, write);
  });
}

const roleId = (name: string): string => derivedGuid(`role/${name}`);

type Values = Readonly<Record<string, StoredValue>>;
type WriteRow = (table: string, values: Values) => void;

function rowWriter(store: Store, catalog: Catalog, now: number): WriteRow {
  return (name, values) => {
    const table = catalog.table(name);
    if (!table) throw new Error(`The metadata has no table ${name}`);
    store.ensure(table);
    const row = complete(store, table, values, now);
    store.run(
      `INSERT OR IGNORE INTO ${identifier(name)} (${[...row.keys()].map(identifier).join(', ')}) ` +
        `VALUES (${[...row.keys()].map(() => '?').join(', ')})`,
      [...row.values()],
    );
  };
}

function complete(store: Store, table: Table, values: Values, now: number): Map<string, StoredValue> {
  const row = new Map<string, StoredValue>();
  const set = (name: string, value: StoredValue) => {
    const column = table.columns.get(name);
    if (!column || column.kind === 'unsupported') return;
    row.set(name, value);
    const target = column.targets[0];
    if (hasTypeColumn(column) && target !== undefined) row.set(typeColumn(name), target);
  };
  set('createdon', Math.floor(now / 1000) * 1000);
  set('modifiedon', Math.floor(now / 1000) * 1000);
  set('createdby', ADMINISTRATOR_ID);
  set('modifiedby', ADMINISTRATOR_ID);
  set('versionnumber', store.nextVersion());
  for (const [name, value] of Object.entries(values)) set(name, value);
  return row;
}

const userRow = (organization: Organization, values: Values): Values => ({
  businessunitid: organization.businessUnitId,
  organizationid: organization.id,
  isdisabled: 0,
  // 4: Non-interactive, which application users are.
  accessmode: 4,
  ...values,
});

function seedUser(store: Store, write: WriteRow, organization: Organization, user: ApplicationUser): void {
  const systemuserid = user.systemUserId.toLowerCase();
  const applicationid = user.clientId.toLowerCase();
  const isdisabled = user.disabled ? 1 : 0;
  const fullname = user.name ?? `# ${applicationid}`;
  write('systemuser', userRow(organization, { systemuserid, applicationid, isdisabled, fullname, lastname: fullname }));
  store.run('UPDATE systemuser SET applicationid = ?, isdisabled = ? WHERE systemuserid = ?', [
    applicationid,
    isdisabled,
    systemuserid,
  ]);
  for (const role of user.roles) {
    write('systemuserroles', {
      systemuserroleid: derivedGuid(`systemuserroles/${systemuserid}/${role}`),
      systemuserid,
      roleid: roleId(role),
    });
  }
}

const messagesFile = z.record(z.string(), z.record(z.string(), z.unknown()));

function seedMessages(catalog: Catalog, write: WriteRow): void {
  const documented = messagesFile.parse(readMetadataFile('sdkmessages.json'));
  const messages = new Set<string>();
  for (const { logicalName } of catalog.names) {
    const names = new Set(Object.keys(documented[logicalName] ?? {}));
    const custom = documented[logicalName] === undefined;
    if (custom) for (const name of ROW_MESSAGES) names.add(name);
    if (names.has('Create') && names.has('Update')) for (const name of BULK_MESSAGES) names.add(name);
    for (const name of names) {
      if (!messages.has(name)) {
        messages.add(name);
        write('sdkmessage', { sdkmessageid: messageId(name), name, isactive: 1, isprivate: 0 });
      }
      write('sdkmessagefilter', {
        sdkmessagefilterid: derivedGuid(`sdkmessagefilter/${logicalName}/${name}`),
        sdkmessageid: messageId(name),
        primaryobjecttypecode: logicalName,
        secondaryobjecttypecode: 'none',
        iscustomprocessingstepallowed: 1,
      });
    }
  }
}

const messageId = (name: string): string => derivedGuid(`sdkmessage/${name}`);
