import { accessModeFixed, alreadyExists, duplicateApplicationUser, notEmulated } from './errors.ts';
import type { Table } from './metadata.ts';
import { NEW_ROLE_PRIVILEGES } from './privileges.ts';
import { derivedGuid, type StoredRow, type StoredValue } from './store.ts';
import type { Work } from './work.ts';

type Values = Map<string, StoredValue>;

/** 4: Non-interactive, which every application user is. */
export const APPLICATION_ACCESS_MODE = 4;

/** Adds to a new user, role or business unit what the service sets. Throws WireError for one that exists already. */
export function prepareDirectoryRow(work: Work, table: Table, values: Values): void {
  if (table.logicalName === 'systemuser') prepareUser(work, values);
  if (table.logicalName === 'businessunit') {
    fill(values, 'parentbusinessunitid', work.env.organization.businessUnitId);
    fill(values, 'isdisabled', 0);
    requireNew(work, 'SELECT 1 FROM businessunit WHERE name = ?', [values.get('name') ?? null]);
  }
  if (table.logicalName === 'team') fill(values, 'businessunitid', work.caller.businessUnitId);
  if (table.logicalName === 'role') {
    fill(values, 'roleid', work.env.newId());
    fill(values, 'businessunitid', work.caller.businessUnitId);
    fill(values, 'isinherited', 1);
    fill(values, 'ismanaged', 0);
    fill(values, 'organizationid', work.env.organization.id);
    fill(values, 'parentrootroleid', values.get('roleid') ?? null);
    requireNew(work, 'SELECT 1 FROM role WHERE name = ? AND businessunitid = ?', [
      values.get('name') ?? null,
      values.get('businessunitid') ?? null,
    ]);
  }
}

function prepareUser(work: Work, values: Values): void {
  fill(values, 'businessunitid', work.env.organization.businessUnitId);
  fill(values, 'organizationid', work.env.organization.id);
  fill(values, 'userlicensetype', -1);
  for (const flag of ['isdisabled', 'isintegrationuser', 'islicensed', 'issyncwithdirectory', 'setupuser']) {
    fill(values, flag, 0);
  }
  const application = values.get('applicationid');
  if (typeof application !== 'string') return;
  values.set('accessmode', APPLICATION_ACCESS_MODE);
  fill(values, 'fullname', `# ${application}`);
  if (work.env.store.get('SELECT 1 FROM systemuser WHERE applicationid = ?', [application])) {
    throw duplicateApplicationUser(application);
  }
}

function fill(values: Values, name: string, value: StoredValue): void {
  if (values.get(name) == null) values.set(name, value);
}

/** UNCONFIRMED: the code with which the service refuses a name that a role of the business unit, or a unit, has. */
function requireNew(work: Work, sql: string, parameters: readonly StoredValue[]): void {
  if (work.env.store.get(sql, parameters)) throw alreadyExists();
}

/** A new role holds some privileges and has copies in the business units below; a new unit copies its parent's roles. */
export function directoryRowCreated(work: Work, table: Table, id: string): void {
  const { env } = work;
  if (table.logicalName === 'role') {
    const privileges = NEW_ROLE_PRIVILEGES.map((name) => env.privileges.named(name).id);
    env.roles.grant(
      id,
      privileges.map((privilege) => [privilege, 'Global'] as const),
    );
    const unit = env.store.get('SELECT businessunitid FROM role WHERE roleid = ?', [id])?.['businessunitid'];
    if (typeof unit === 'string') copyBelow(work, id, unit);
  }
  if (table.logicalName !== 'businessunit') return;
  const roles = env.store.all(
    'SELECT role.roleid FROM role JOIN businessunit AS unit ON unit.parentbusinessunitid = role.businessunitid ' +
      'WHERE unit.businessunitid = ?',
    [id],
  );
  for (const role of roles) copyRole(work, String(role['roleid']), id);
}

function copyBelow(work: Work, roleId: string, unitId: string): void {
  const units = work.env.store.all('SELECT businessunitid FROM businessunit WHERE parentbusinessunitid = ?', [unitId]);
  for (const { businessunitid } of units) {
    const unit = String(businessunitid);
    copyBelow(work, copyRole(work, roleId, unit), unit);
  }
}

function copyRole({ env, caller }: Work, roleId: string, unitId: string): string {
  const copy = derivedGuid(`role/${roleId}/${unitId}`);
  const now = Math.floor(env.clock.now() / 1000) * 1000;
  env.store.run(
    'INSERT INTO role (roleid, name, businessunitid, parentroleid, parentrootroleid, roletemplateid, isinherited, ' +
      'ismanaged, organizationid, createdon, modifiedon, createdby, modifiedby, versionnumber) ' +
      'SELECT ?, name, ?, roleid, parentrootroleid, roletemplateid, isinherited, ismanaged, organizationid, ?, ?, ?, ?, ? ' +
      'FROM role WHERE roleid = ?',
    [copy, unitId, now, now, caller.userId, caller.userId, env.store.nextVersion(), roleId],
  );
  env.roles.grant(
    copy,
    env.roles.grantsOfRole(roleId).map(({ privilegeId, depth }) => [privilegeId, depth] as const),
  );
  return copy;
}

/** Checks a change of a user or role, and does what comes with it. Throws WireError. */
export function directoryRowChanging(work: Work, table: Table, id: string, values: Values, current: StoredRow): void {
  const { store } = work.env;
  const changes = (name: string) => values.has(name) && values.get(name) !== current[name];
  if (table.logicalName === 'systemuser') {
    if (current['applicationid'] !== null && changes('accessmode')) throw accessModeFixed();
    // Documented: a user that moves to another business unit loses its roles.
    if (changes('businessunitid')) store.run('DELETE FROM systemuserroles WHERE systemuserid = ?', [id]);
  }
  if (table.logicalName === 'role' && changes('name')) {
    requireOwnRole(current);
    store.run('UPDATE role SET name = ? WHERE parentrootroleid = ?', [values.get('name') ?? null, id]);
  }
}

/** Deletes what belongs to a role that is deleted: its copies, its privileges, its assignments. */
export function directoryRowDeleted(work: Work, table: Table, id: string, current: StoredRow): void {
  if (table.logicalName !== 'role') return;
  requireOwnRole(current);
  const { store } = work.env;
  for (const intersect of ['roleprivileges', 'systemuserroles', 'teamroles']) {
    store.run(`DELETE FROM ${intersect} WHERE roleid IN (SELECT roleid FROM role WHERE parentrootroleid = ?)`, [id]);
  }
  store.run('DELETE FROM role WHERE parentrootroleid = ?', [id]);
}

/** Throws WireError 501 for a role's copy in another business unit, which changes only with its original. */
export function requireOwnRole(role: StoredRow): void {
  if (role['parentrootroleid'] !== role['roleid']) {
    throw notEmulated('Changing the copy of a role in another business unit');
  }
}
