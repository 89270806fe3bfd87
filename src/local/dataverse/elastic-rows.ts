import { computeColumns, fillChangedRow, fillNewRow } from './derive.ts';
import { countWrite } from './effort.ts';
import { alreadyExists, duplicateId, invalidArgument, keyNotDefined, notEmulated, rowNotFound } from './errors.ts';
import { raiseCreate, raiseDelete, raiseUpdate } from './event-source.ts';
import type { JsonObject } from './json-object.ts';
import type { Table } from './metadata.ts';
import type { Predicate } from './odata/ast.ts';
import { formatKey } from './odata/format.ts';
import { type RowChange, readRow } from './payload.ts';
import { checkVersion, requireReferences, requireRight } from './records.ts';
import type { Conditions } from './request.ts';
import {
  ETAG_COLUMN,
  EXPIRY_COLUMN,
  identifier,
  PARTITION_COLUMN,
  type StoredRow,
  type StoredValue,
  UniqueViolation,
} from './store.ts';
import { readValue } from './values.ts';
import type { Work } from './work.ts';

/**
 * How a row of an elastic table is named: by its id in a partition. A row that is made without a partition gets one of its
 * own, named like its id (documentation, "Elastic tables for developers").
 */
export interface ElasticAddress {
  readonly id: string;
  readonly partition: string;
}

/** Reads the parentheses behind the entity set; `partition` counts where they name none. Throws WireError 400. */
export function elasticAddress(table: Table, predicate: Predicate, partition: string | undefined): ElasticAddress {
  if (predicate.kind === 'positional' && predicate.value.kind === 'guid') {
    return addressed(predicate.value.value, partition);
  }
  if (predicate.kind !== 'named') throw keyNotDefined(table.logicalName);
  // The documentation writes both partitionid and partitionId.
  const parts = new Map([...predicate.values].map(([name, value]) => [name.toLowerCase(), value]));
  const id = parts.get(table.primaryId);
  const named = parts.get(PARTITION_COLUMN);
  if (id?.kind !== 'guid' || parts.size > (named ? 2 : 1)) throw keyNotDefined(table.logicalName);
  if (named && named.kind !== 'string') throw keyNotDefined(table.logicalName);
  return addressed(id.value, named?.value ?? partition);
}

/** The row that a target of a bulk message names by its columns; undefined when it has no id. */
export function targetAddress(table: Table, target: JsonObject): ElasticAddress | undefined {
  const column = table.columns.get(table.primaryId);
  const id = target[table.primaryId] ?? null;
  if (id === null || !column) return undefined;
  return addressed(String(readValue(table, column, id)), partitionIn(table, target));
}

/** The partition that a body names. Throws WireError 400 when it is no text. */
export function partitionIn(table: Table, body: JsonObject): string | undefined {
  const column = table.columns.get(PARTITION_COLUMN);
  const value = column ? readValue(table, column, body[PARTITION_COLUMN] ?? null) : null;
  return value === null ? undefined : String(value);
}

function addressed(id: string, partition: string | undefined): ElasticAddress {
  const lower = id.toLowerCase();
  return { id: lower, partition: partition ?? lower };
}

/** The row's address for `OData-EntityId`: the composite form where the partition is not the row's own. */
export function elasticKey(table: Table, { id, partition }: ElasticAddress): string {
  const guid = { kind: 'guid', value: id } as const;
  if (partition === id) return formatKey({ kind: 'positional', value: guid });
  return formatKey({
    kind: 'named',
    values: new Map<string, typeof guid | { kind: 'string'; value: string }>([
      [table.primaryId, guid],
      [PARTITION_COLUMN, { kind: 'string', value: partition }],
    ]),
  });
}

const where = (table: Table): string => `${identifier(table.primaryId)} = ? AND ${identifier(PARTITION_COLUMN)} = ?`;

export function findElastic(work: Work, table: Table, { id, partition }: ElasticAddress): StoredRow | undefined {
  const { store } = work.env;
  store.ensure(table);
  return store.get(`SELECT * FROM ${identifier(table.logicalName)} WHERE ${where(table)}`, [id, partition]);
}

/** The same, with the service's 404 when there is none. */
export function existingElastic(work: Work, table: Table, address: ElasticAddress): StoredRow {
  const row = findElastic(work, table, address);
  if (!row) throw rowNotFound(table.logicalName, address.id);
  return row;
}

/** Reads a new row, without rows below it. */
export function readElastic(work: Work, table: Table, body: JsonObject): RowChange {
  const change = readRow(work, table, body, 'create', 'nested');
  if (change.parents.length + change.children.length + change.links.length > 0) {
    throw notEmulated('Deep insert into an elastic table');
  }
  return change;
}

export function createElastic(work: Work, table: Table, change: RowChange): ElasticAddress {
  countWrite(work.effort, 'create', false);
  work.env.guard.require(work.caller, table, 'Create');
  const sent = new Set(change.values.keys());
  const address = insert(work, table, change);
  raiseCreate(work, table, address.id, sent);
  return address;
}

/** Replaces the whole row or makes it; raises no event (documentation, "Elastic table upsert"). */
export function upsertElastic(
  work: Work,
  table: Table,
  address: ElasticAddress,
  change: RowChange,
  conditions: Conditions = {},
): { created: boolean } {
  const current = findElastic(work, table, address);
  if (current && conditions.ifNoneMatch === '*') throw alreadyExists();
  countWrite(work.effort, current ? 'update' : 'create', false);
  change.values.set(table.primaryId, address.id).set(PARTITION_COLUMN, address.partition);
  work.env.guard.require(work.caller, table, 'Create');
  if (current) {
    requireRight(work, table, 'Write', current);
    remove(work, table, address);
  }
  insert(work, table, change);
  return { created: !current };
}

export function updateElastic(
  work: Work,
  table: Table,
  address: ElasticAddress,
  change: RowChange,
  conditions: Conditions = {},
): void {
  countWrite(work.effort, 'update', false);
  const current = existingElastic(work, table, address);
  requireRight(work, table, 'Write', current);
  checkVersion(table, current, conditions.ifMatch);
  requireReferences(work, table, change);
  const { values } = change;
  const partition = values.get(PARTITION_COLUMN);
  if (partition != null && partition !== address.partition) {
    throw invalidArgument('The partitionid of a record cannot be changed.');
  }
  values.delete(table.primaryId);
  values.delete(PARTITION_COLUMN);
  work.env.checkRow(table.logicalName, values);
  const sent = new Set(values.keys());
  fillChangedRow(work, table, values, current);
  stamp(values, current);
  const names = [...values.keys()];
  work.env.store.run(
    `UPDATE ${identifier(table.logicalName)} SET ${names.map((name) => `${identifier(name)} = ?`).join(', ')} ` +
      `WHERE ${where(table)}`,
    [...values.values(), address.id, address.partition],
  );
  raiseUpdate(work, table, address.id, sent, current);
}

export function deleteElastic(work: Work, table: Table, address: ElasticAddress, conditions: Conditions = {}): void {
  countWrite(work.effort, 'delete', false);
  const current = existingElastic(work, table, address);
  requireRight(work, table, 'Delete', current);
  checkVersion(table, current, conditions.ifMatch);
  remove(work, table, address);
  raiseDelete(work, table, address.id, current);
}

/** Drops the rows whose time is over. */
export function dropExpired({ env }: Pick<Work, 'env'>, table: Table): void {
  env.store.ensure(table);
  env.store.run(`DELETE FROM ${identifier(table.logicalName)} WHERE ${identifier(EXPIRY_COLUMN)} <= ?`, [
    Math.floor(env.clock.now()),
  ]);
}

function insert(work: Work, table: Table, change: RowChange): ElasticAddress {
  const { store } = work.env;
  store.ensure(table);
  requireReferences(work, table, change);
  const { values } = change;
  work.env.checkRow(table.logicalName, values);
  fillNewRow(work, table, values);
  computeColumns(work, table, values);
  const id = String(values.get(table.primaryId));
  const address = addressed(id, values.get(PARTITION_COLUMN)?.toString());
  values.set(PARTITION_COLUMN, address.partition);
  stamp(values, {});
  const names = [...values.keys()];
  try {
    store.run(
      `INSERT INTO ${identifier(table.logicalName)} (${names.map(identifier).join(', ')}) ` +
        `VALUES (${names.map(() => '?').join(', ')})`,
      [...values.values()],
    );
  } catch (error) {
    throw error instanceof UniqueViolation ? duplicateId() : error;
  }
  return address;
}

function remove({ env }: Work, table: Table, { id, partition }: ElasticAddress): void {
  env.store.run(`DELETE FROM ${identifier(table.logicalName)} WHERE ${where(table)}`, [id, partition]);
}

/**
 * Sets what follows from a write: an ETag in Cosmos DB's form, whose third part is the time in seconds, and when the row
 * ceases to be, counted from this change.
 */
function stamp(values: Map<string, StoredValue>, current: StoredRow): void {
  const modified = Number(values.get('modifiedon'));
  const hex = (value: number): string => value.toString(16).padStart(8, '0').slice(-8);
  values.set(ETAG_COLUMN, `${hex(Number(values.get('versionnumber')))}-0000-0200-0000-${hex(modified / 1000)}0000`);
  const seconds = values.has('ttlinseconds') ? values.get('ttlinseconds') : current['ttlinseconds'];
  values.set(EXPIRY_COLUMN, seconds == null ? null : modified + Number(seconds) * 1000);
}
