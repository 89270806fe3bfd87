import {
  badQuery,
  duplicateId,
  methodNotAllowed,
  notEmulated,
  readOnlyColumn,
  roleOfOtherUnit,
  rowNotFound,
  segmentNotFound,
} from './errors.ts';
import { isJsonObject } from './json-object.ts';
import type { Association, Column, Table } from './metadata.ts';
import type { Predicate } from './odata/ast.ts';
import { newChange, setLookup } from './payload.ts';
import { requireRight, updateRow } from './records.ts';
import { existingRow, readStored, rowAddress, rowOfUrl } from './references.ts';
import { noContent, type Reply } from './reply.ts';
import { jsonBody, type Operation } from './request.ts';
import { hasTypeColumn, identifier, typeColumn } from './store.ts';
import type { RowReference, Work } from './work.ts';

/** A collection below a row with what a URL says behind its name: `systemuserroles_association(<id>)`. */
interface LinkTarget {
  readonly row: RowReference;
  readonly name: string;
  readonly predicate: Predicate | undefined;
}

/** Their links are set whether they are there or not; those of other tables are refused a second time. */
const REPEATABLE: ReadonlySet<string> = new Set(['systemuserroles', 'teamroles', 'teammembership', 'queuemembership']);

/** `POST` and `DELETE` of `<collection>/$ref`: links and unlinks rows. */
export function changeLinks(work: Work, operation: Operation, given: LinkTarget): Reply {
  const { row, name } = given;
  const { method } = operation;
  if (method !== 'POST' && method !== 'DELETE') throw methodNotAllowed(`${method} on a reference`);
  const other = tableBehind(work, row.table, name);
  const target = targetNamed(work, operation, given, other);
  if (method === 'POST') link(work, row, name, target);
  else unlink(work, row, name, target);
  return noContent();
}

/** The table whose rows a collection holds. Throws WireError 501 where the metadata lacks it. */
export function tableBehind(work: Work, table: Table, name: string): Table {
  const logicalName = table.associations.get(name)?.otherTable ?? table.collectionTargets.get(name)?.table ?? '';
  const found = work.env.catalog.table(logicalName);
  if (!found) throw notEmulated(`The collection ${name}`);
  return found;
}

/** The lookup of the rows in a one-to-many collection that points back. */
export function lookupBehind(work: Work, table: Table, name: string): Column {
  const column = tableBehind(work, table, name).columns.get(table.collectionTargets.get(name)?.column ?? '');
  if (column?.kind !== 'lookup') throw notEmulated(`The collection ${name}`);
  return column;
}

/** The other row: in the body of a POST; in parentheses or in `$id` of a DELETE. */
function targetNamed(work: Work, operation: Operation, { name, predicate }: LinkTarget, other: Table): RowReference {
  let target: RowReference;
  if (operation.method === 'POST') {
    const body = jsonBody(operation, other.entitySetName);
    const url = isJsonObject(body) ? body['@odata.id'] : undefined;
    if (typeof url !== 'string') throw badQuery("The body must hold '@odata.id'.");
    target = rowOfUrl(work, url);
  } else if (predicate) {
    target = { table: other, id: existingRow(work.env, other, rowAddress(work.env, other, predicate)) };
  } else if (operation.options.id !== undefined) target = rowOfUrl(work, operation.options.id);
  else throw segmentNotFound(name);
  if (target.table !== other) {
    throw badQuery(`${name} links rows of ${other.logicalName}, not ${target.table.logicalName}.`);
  }
  return target;
}

/** Puts a row into a collection of another. Throws WireError, 412 for a pair that is linked already. */
export function link(work: Work, row: RowReference, name: string, target: RowReference): void {
  const association = row.table.associations.get(name);
  if (!association) {
    setBackLookup(work, row.table, name, target, row);
    return;
  }
  requireLinkRight(work, association, row, target);
  const { pair, where, values } = pairOf(work, association, row, target);
  const { store } = work.env;
  if (store.get(`SELECT 1 FROM ${pair} WHERE ${where}`, values)) {
    if (REPEATABLE.has(association.intersect)) return;
    throw duplicateId();
  }
  const columns = [intersectOf(work, association).primaryId, association.ownColumn, association.otherColumn];
  store.run(`INSERT INTO ${pair} (${columns.map(identifier).join(', ')}, versionnumber) VALUES (?, ?, ?, ?)`, [
    work.env.newId(),
    ...values,
    store.nextVersion(),
  ]);
}

/** Takes a row out of a collection; one that is not in it stays as it is (UNCONFIRMED). */
function unlink(work: Work, row: RowReference, name: string, target: RowReference): void {
  const association = row.table.associations.get(name);
  if (association) {
    requireLinkRight(work, association, row, target);
    const { pair, where, values } = pairOf(work, association, row, target);
    work.env.store.run(`DELETE FROM ${pair} WHERE ${where}`, values);
    return;
  }
  const column = lookupBehind(work, row.table, name);
  const stored = readStored(work, target.table, target.id) ?? {};
  const isLinked =
    stored[column.logicalName] === row.id &&
    (!hasTypeColumn(column) || stored[typeColumn(column.logicalName)] === row.table.logicalName);
  if (isLinked) setBackLookup(work, row.table, name, target, undefined);
}

function setBackLookup(work: Work, table: Table, name: string, target: RowReference, value: RowReference | undefined) {
  const column = lookupBehind(work, table, name);
  if (!column.validForUpdate) throw readOnlyColumn(target.table.logicalName, column.logicalName);
  const change = newChange();
  setLookup(change, { column, target: table.logicalName }, value && { table: value.table.logicalName, id: value.id });
  updateRow(work, target.table, target.id, change);
}

/** The table that holds a many-to-many relationship's pairs. */
export function intersectOf(work: Work, { intersect }: Association): Table {
  const table = work.env.catalog.table(intersect);
  if (!table) throw notEmulated(`The table ${intersect}`);
  work.env.store.ensure(table);
  return table;
}

function pairOf(work: Work, association: Association, row: RowReference, target: RowReference) {
  return {
    pair: identifier(intersectOf(work, association).logicalName),
    where: `${identifier(association.ownColumn)} = ? AND ${identifier(association.otherColumn)} = ?`,
    values: [row.id, target.id],
  };
}

/** UNCONFIRMED which privileges the service asks for besides prvAssignRole. */
function requireLinkRight(work: Work, { intersect }: Association, one: RowReference, other: RowReference): void {
  const { guard } = work.env;
  if (intersect === 'teammembership') {
    const team = one.table.logicalName === 'team' ? one : other;
    guard.require(work.caller, team.table, 'Write');
    return;
  }
  if (intersect === 'systemuserroles' || intersect === 'teamroles') {
    guard.requireNamed(work.caller, 'prvAssignRole');
    const [role, principal] = one.table.logicalName === 'role' ? [one, other] : [other, one];
    const unitOf = ({ table, id }: RowReference) => readStored(work, table, id)?.['businessunitid'];
    if (unitOf(role) !== unitOf(principal)) throw roleOfOtherUnit();
    return;
  }
  // A role's privileges have actions of their own.
  if (intersect === 'roleprivileges') throw notEmulated(`Linking through ${intersect}`);
  for (const [{ table, id }, right] of [
    [one, 'Append'],
    [other, 'AppendTo'],
  ] as const) {
    const stored = readStored(work, table, id);
    if (!stored) throw rowNotFound(table.logicalName, id);
    requireRight(work, table, right, stored);
  }
}
