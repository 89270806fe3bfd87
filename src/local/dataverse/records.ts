import { computeColumns, fillChangedRow, fillNewRow } from './derive.ts';
import { directoryRowChanging, directoryRowCreated, directoryRowDeleted, prepareDirectoryRow } from './directory.ts';
import { countWrite } from './effort.ts';
import {
  alreadyExists,
  concurrencyNotEnabled,
  deleteRestricted,
  duplicateId,
  duplicateKey,
  requiredMissing,
  rightMissing,
  rowNotFound,
  versionMismatch,
} from './errors.ts';
import { raiseCreate, raiseDelete, raiseUpdate } from './event-source.ts';
import type { Column, Table } from './metadata.ts';
import { type RowChange, setLookup } from './payload.ts';
import type { Right } from './privileges.ts';
import { reaches } from './reach.ts';
import { etagOf, existingRow, findRow, type RowAddress, readStored } from './references.ts';
import type { Conditions } from './request.ts';
import { checkRegistration, STEP_TABLES } from './steps.ts';
import { hasTypeColumn, identifier, type StoredRow, type StoredValue, typeColumn, UniqueViolation } from './store.ts';
import { factsOfTable } from './table-facts.ts';
import { readValue } from './values.ts';
import type { Work } from './work.ts';

/** Creates a row and answers its id. `byKey`: an alternate key names it. */
export function createRow(work: Work, table: Table, change: RowChange, byKey = false): string {
  const { env, caller } = work;
  countWrite(work.effort, 'create', byKey);
  env.store.ensure(table);
  const depth = env.guard.require(caller, table, 'Create');
  requireReferences(work, table, change);
  const sent = new Set(change.values.keys());
  const values = change.values;
  env.checkRow(table.logicalName, values);
  prepareDirectoryRow(work, table, values);
  fillNewRow(work, table, values);
  computeColumns(work, table, values);
  checkRequired(table, values);
  if (STEP_TABLES.has(table.logicalName)) checkRegistration(table.logicalName, Object.fromEntries(values));
  const names = [...values.keys()];
  keepUnique(work, table, () =>
    env.store.run(
      `INSERT INTO ${identifier(table.logicalName)} (${names.map(identifier).join(', ')}) ` +
        `VALUES (${names.map(() => '?').join(', ')})`,
      [...values.values()],
    ),
  );
  const id = String(values.get(table.primaryId));
  if (!reaches(env.store, caller, table, depth, id)) throw rightMissing(caller.userId, 'Create', table.logicalName, id);
  directoryRowCreated(work, table, id);
  noteRegistration(work, table);
  raiseCreate(work, table, id, sent);
  return id;
}

/** Writes columns into a row that exists. `byKey`: an alternate key names it. Throws WireError 404, 412 or 403. */
export function updateRow(
  work: Work,
  table: Table,
  id: string,
  change: RowChange,
  conditions: Conditions = {},
  byKey = false,
): void {
  const { env, caller } = work;
  countWrite(work.effort, 'update', byKey);
  const current = readStored(work, table, id);
  if (!current) throw rowNotFound(table.logicalName, id);
  requireRight(work, table, 'Write', current);
  checkVersion(table, current, conditions.ifMatch);
  requireReferences(work, table, change);
  const { values } = change;
  values.delete(table.primaryId);
  const sent = new Set(values.keys());
  env.checkRow(table.logicalName, values);
  if (values.has('ownerid') && values.get('ownerid') !== current['ownerid']) {
    env.guard.require(caller, table, 'Assign');
  }
  directoryRowChanging(work, table, id, values, current);
  fillChangedRow(work, table, values, current);
  computeColumns(work, table, values, current);
  if (STEP_TABLES.has(table.logicalName)) {
    checkRegistration(table.logicalName, { ...current, ...Object.fromEntries(values) });
  }
  const names = [...values.keys()];
  keepUnique(work, table, () =>
    env.store.run(
      `UPDATE ${identifier(table.logicalName)} SET ${names.map((name) => `${identifier(name)} = ?`).join(', ')} ` +
        `WHERE ${identifier(table.primaryId)} = ?`,
      [...values.values(), id],
    ),
  );
  noteRegistration(work, table);
  raiseUpdate(work, table, id, sent, current);
}

/** Deletes a row, and does with the rows that point to it what their relationships say. */
export function deleteRow(work: Work, table: Table, id: string, conditions: Conditions = {}, byKey = false): void {
  countWrite(work.effort, 'delete', byKey);
  const current = readStored(work, table, id);
  if (!current) throw rowNotFound(table.logicalName, id);
  requireRight(work, table, 'Delete', current);
  checkVersion(table, current, conditions.ifMatch);
  directoryRowDeleted(work, table, id, current);
  detachRelated(work, table, id);
  work.env.store.run(`DELETE FROM ${identifier(table.logicalName)} WHERE ${identifier(table.primaryId)} = ?`, [id]);
  noteRegistration(work, table);
  raiseDelete(work, table, id, current);
}

/** Updates the row at the address or creates it; see the reference of the service's upsert for what becomes of keys. */
export function upsertRow(
  work: Work,
  table: Table,
  address: RowAddress,
  read: (operation: 'create' | 'update') => RowChange,
  conditions: Conditions = {},
): { id: string; created: boolean } {
  const found =
    conditions.ifMatch === undefined ? findRow(work.env, table, address) : existingRow(work.env, table, address);
  if (found !== undefined) {
    if (conditions.ifNoneMatch === '*') throw alreadyExists();
    const change = read('update');
    dropKeyColumns(change, address);
    updateRow(work, table, found, change, conditions, address.kind === 'key');
    return { id: found, created: false };
  }
  const change = read('create');
  if (address.kind === 'id') change.values.set(table.primaryId, address.id);
  else {
    for (const { column, value } of address.columns) {
      // The body wins over the URL, even where they differ.
      if (change.values.has(column.logicalName)) continue;
      // Times of a URL are in their stored form already; the rest has to pass as if it stood in the body.
      const isTime = column.kind === 'datetime' || column.kind === 'dateonly';
      if (column.kind === 'lookup') copyLookup(work, column, String(value), change);
      else change.values.set(column.logicalName, isTime ? value : readValue(table, column, value));
    }
  }
  return { id: createRow(work, table, change, address.kind === 'key'), created: true };
}

/** A lookup that only a key in the URL names; of several tables, the first that has the row. */
function copyLookup(work: Work, column: Column, id: string, change: RowChange): void {
  const target = column.targets.find((name) => {
    const table = work.env.catalog.table(name);
    return table && readStored(work, table, id);
  });
  if (target === undefined) throw rowNotFound(column.targets[0] ?? column.logicalName, id);
  setLookup(change, { column, target }, { table: target, id });
}

/** Documented: the columns of the key that a row was found by are dropped from what is written into it. */
export function dropKeyColumns(change: RowChange, address: RowAddress): void {
  if (address.kind !== 'key') return;
  for (const { column } of address.columns) {
    change.values.delete(column.logicalName);
    change.values.delete(typeColumn(column.logicalName));
  }
}

/** Throws WireError 403 when the caller lacks the right, or has it for rows of others only up to its own. */
export function requireRight(work: Work, table: Table, right: Right, row: StoredRow): void {
  const depth = work.env.guard.require(work.caller, table, right);
  const id = String(row[table.primaryId]);
  if (!reaches(work.env.store, work.caller, table, depth, id)) {
    throw rightMissing(work.caller.userId, right, table.logicalName, id);
  }
}

/** Throws WireError 403 when the caller may not let rows of the table point to those that the change names. */
export function requireReferences(work: Work, table: Table, change: RowChange): void {
  if (change.references.size === 0) return;
  const { env, caller } = work;
  for (const target of change.references) {
    const referenced = env.catalog.table(target);
    // Naming an owner is assigning, which has its own right.
    if (!referenced || target === 'systemuser' || target === 'team') continue;
    env.guard.require(caller, table, 'Append');
    env.guard.require(caller, referenced, 'AppendTo');
  }
}

/** Throws WireError 412 when the row is not, or no more, the one that `If-Match` names. */
export function checkVersion(table: Table, current: StoredRow, ifMatch: string | undefined): void {
  if (ifMatch === undefined || ifMatch === '*') return;
  if (!table.optimisticConcurrency) throw concurrencyNotEnabled(table.logicalName);
  if (!ifMatch.split(',').some((one) => one.trim() === etagOf(current))) throw versionMismatch();
}

/** Of these tables the platform sets the rest by itself. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  serviceendpoint: ['name', 'contract', 'authtype', 'url'],
  sdkmessageprocessingstep: ['mode', 'stage', 'sdkmessageid', 'eventhandler'],
  sdkmessageprocessingstepimage: ['entityalias', 'imagetype', 'messagepropertyname', 'sdkmessageprocessingstepid'],
};

function checkRequired(table: Table, values: ReadonlyMap<string, StoredValue>): void {
  const names = REQUIRED[table.logicalName] ?? factsOfTable(table).required;
  for (const name of names) {
    if (values.get(name) == null && !SET_BY_PLATFORM.has(name)) throw requiredMissing(name);
  }
}

/** SystemRequired columns that the platform sets by itself; UNCONFIRMED, a list of those that samples leave out. */
const SET_BY_PLATFORM: ReadonlySet<string> = new Set([
  'accessmode',
  'administratorid',
  'businessunitid',
  'caltype',
  'domainname',
  'incomingemaildeliverymethod',
  'incomingemailfilteringmethod',
  'incomingemailaccess',
  'internalemailaddress',
  'invitestatuscode',
  'invoicenumber',
  'isinherited',
  'membershiptype',
  'messageiddupcheck',
  'ordernumber',
  'outgoingemaildeliverymethod',
  'quotenumber',
  'queueviewtype',
  'revisionnumber',
  'teamtype',
]);

function keepUnique(work: Work, table: Table, write: () => void): void {
  try {
    write();
  } catch (error) {
    if (!(error instanceof UniqueViolation)) throw error;
    const key = work.env.keys.byIndex(error.index);
    if (!key) throw duplicateId();
    const names = key.columns.map((name) => table.columns.get(name)?.displayName ?? name);
    throw duplicateKey(key.displayName, names.join(', '));
  }
}

function noteRegistration(work: Work, table: Table): void {
  if (STEP_TABLES.has(table.logicalName)) work.env.steps.changed();
}

function detachRelated(work: Work, table: Table, id: string): void {
  const { env } = work;
  for (const name of env.store.tables()) {
    const other = env.catalog.table(name);
    if (!other) continue;
    for (const { column, target, onDelete } of other.lookupRelationships) {
      // What belongs to an activity hangs on the row that every activity has in activitypointer.
      const concerned = target === table.logicalName || (table.isActivity && target === 'activitypointer');
      if (!concerned || onDelete === 'NoCascade') continue;
      for (const related of rowsPointingTo(work, other, column, target, id)) {
        if (onDelete === 'Restrict') throw deleteRestricted();
        if (onDelete === 'Cascade') deleteRow(work, other, related);
        else clearLookup(work, other, column, related);
      }
    }
  }
}

function rowsPointingTo(work: Work, table: Table, columnName: string, target: string, id: string): string[] {
  const column = table.columns.get(columnName);
  if (column?.kind !== 'lookup') return [];
  const typed = hasTypeColumn(column) ? ` AND ${identifier(typeColumn(columnName))} = ?` : '';
  return work.env.store
    .all(
      `SELECT ${identifier(table.primaryId)} AS id FROM ${identifier(table.logicalName)} ` +
        `WHERE ${identifier(columnName)} = ?${typed}`,
      typed === '' ? [id] : [id, target],
    )
    .map((row) => String(row['id']));
}

function clearLookup(work: Work, table: Table, columnName: string, id: string): void {
  const column = table.columns.get(columnName);
  const typed = column && hasTypeColumn(column) ? `, ${identifier(typeColumn(columnName))} = NULL` : '';
  work.env.store.run(
    `UPDATE ${identifier(table.logicalName)} SET ${identifier(columnName)} = NULL${typed} ` +
      `WHERE ${identifier(table.primaryId)} = ?`,
    [id],
  );
}
