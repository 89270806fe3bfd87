import { isGuid } from '../../shared/ids.ts';
import {
  badQuery,
  keyNotDefined,
  keyNotFound,
  notEmulated,
  rowNotFound,
  segmentNotFound,
  unknownContentId,
  unusableCharacter,
} from './errors.ts';
import type { Column, Table } from './metadata.ts';
import type { Literal, PathSegment, Predicate } from './odata/ast.ts';
import { formatLiteral } from './odata/format.ts';
import { parsePath, splitUrl } from './odata/path.ts';
import { percentDecode } from './odata/percent.ts';
import { parseQuery } from './odata/query.ts';
import {
  comparable,
  ETAG_COLUMN,
  fold,
  hasTypeColumn,
  identifier,
  type StoredRow,
  type StoredValue,
  typeColumn,
} from './store.ts';
import type { Environment, RowReference, Work } from './work.ts';

/** How a URL names a row: by its id, or by the values of an active alternate key. */
export type RowAddress =
  | { kind: 'id'; id: string }
  | { kind: 'key'; columns: readonly { column: Column; value: StoredValue }[]; written: Predicate };

/** Their OData key is `ownerid`, inherited from `principal`, so that their own id cannot be named. */
const PRINCIPALS = new Set(['systemuser', 'team']);

/** Reads the parentheses behind an entity set. Throws WireError 400 when they name no key of the table. */
export function rowAddress(env: Environment, table: Table, predicate: Predicate): RowAddress {
  if (predicate.kind === 'positional') {
    if (predicate.value.kind !== 'guid') throw keyNotDefined(table.logicalName);
    return { kind: 'id', id: predicate.value.value.toLowerCase() };
  }
  if (predicate.kind === 'empty') throw keyNotDefined(table.logicalName);
  const names = [...predicate.values.keys()];
  const keyName = PRINCIPALS.has(table.logicalName) ? 'ownerid' : table.primaryId;
  const only = names.length === 1 ? predicate.values.get(keyName) : undefined;
  if (only?.kind === 'guid') return { kind: 'id', id: only.value.toLowerCase() };

  const columns = names.map((name) => table.properties.get(name));
  const wanted = columns.map((column) => column?.logicalName ?? '').sort();
  const key = env.keys
    .of(table.logicalName)
    .find((one) => one.status === 'Active' && [...one.columns].sort().join() === wanted.join());
  if (!key) throw keyNotDefined(table.logicalName);
  return {
    kind: 'key',
    written: predicate,
    columns: names.map((name) => {
      const column = table.properties.get(name);
      const literal = predicate.values.get(name);
      if (!column || !literal) throw keyNotDefined(table.logicalName);
      const value = literalValue(column, literal);
      // Rows without a value in a key column cannot be addressed by that key.
      if (value === null) throw keyNotDefined(table.logicalName);
      return { column, value };
    }),
  };
}

/** Documented: an alternate key with one of these in a value works neither for reading nor for writing, encoded or not. */
const UNUSABLE = /[/<>*%&:\\?+]/;

/**
 * Throws WireError 400 for a text in a key of the path that the service does not take there; as a parameter alias or in a
 * body it may stand. Only for paths that a request is addressed to.
 */
export function refuseKeyCharacters(env: Environment, path: string, predicate: Predicate): void {
  if (predicate.kind !== 'named' || env.assumptions.keyCharacters === 'taken') return;
  for (const literal of predicate.values.values()) {
    if (literal.kind !== 'string') continue;
    const found = UNUSABLE.exec(literal.value)?.[0];
    if (found !== undefined && percentDecode(path).includes(formatLiteral(literal))) throw unusableCharacter(found);
  }
}

/** The id of the row at an address; undefined when there is none. */
export function findRow(env: Environment, table: Table, address: RowAddress): string | undefined {
  env.store.ensure(table);
  const conditions =
    address.kind === 'id'
      ? [`${identifier(table.primaryId)} = ?`]
      : address.columns.map(({ column }) => `${comparable(column, identifier(column.logicalName))} = ?`);
  const values =
    address.kind === 'id' ? [address.id] : address.columns.map(({ column, value }) => folded(column, value));
  const row = env.store.get(
    `SELECT ${identifier(table.primaryId)} AS id FROM ${identifier(table.logicalName)} WHERE ${conditions.join(' AND ')}`,
    values,
  );
  return row ? String(row['id']) : undefined;
}

/** The same, with the service's 404 when there is none. */
export function existingRow(env: Environment, table: Table, address: RowAddress): string {
  const id = findRow(env, table, address);
  if (id !== undefined) return id;
  throw address.kind === 'id' ? rowNotFound(table.logicalName, address.id) : keyNotFound(table.logicalName);
}

/** A value as {@link comparable} gives it. */
export const folded = (column: Column, value: StoredValue): StoredValue =>
  typeof value === 'string' && (column.kind === 'text' || column.kind === 'memo' || column.kind === 'entityname')
    ? fold(value)
    : value;

/** The row that a URL in a body names (`@odata.bind`, `@odata.id`). Throws WireError when there is none. */
export function rowOfUrl(work: Work, url: string): RowReference {
  const { path, query } = splitUrl(url);
  const segments = parsePath(path, query === '' ? undefined : parseQuery(query).aliases);
  const [first, ...rest] = segments;
  if (!first || rest.length > 0) throw badQuery(`The URI '${url}' does not name a row.`);
  return rowOfSegment(work, first);
}

function rowOfSegment(work: Work, segment: PathSegment): RowReference {
  if (segment.kind === 'contentId') {
    const made = work.contentIds?.get(segment.id);
    if (!made) throw unknownContentId(`$${segment.id}`);
    return made;
  }
  if (segment.kind !== 'name') throw segmentNotFound(segment.name);
  const table = work.env.catalog.tableOfSet(segment.name);
  if (!table) throw segmentNotFound(segment.name);
  if (!segment.predicate) throw keyNotDefined(table.logicalName);
  return { table, id: existingRow(work.env, table, rowAddress(work.env, table, segment.predicate)) };
}

/** The ETag of a row. */
export const etagOf = (row: StoredRow): string => `W/"${row[ETAG_COLUMN] ?? row['versionnumber'] ?? 0}"`;

/** The whole row, or undefined. No privilege is checked. */
export function readStored(work: Work, table: Table, id: string): StoredRow | undefined {
  work.env.store.ensure(table);
  return work.env.store.get(`SELECT * FROM ${identifier(table.logicalName)} WHERE ${identifier(table.primaryId)} = ?`, [
    id,
  ]);
}

/** The table that a row's lookup points to. */
export function targetOf(column: Column, row: StoredRow): string | undefined {
  if (!hasTypeColumn(column)) return column.targets[0];
  const type = row[typeColumn(column.logicalName)];
  return typeof type === 'string' ? type : undefined;
}

/** A literal of a URL in the stored form of a column. Throws WireError when the types do not fit. */
export function literalValue(column: Column, literal: Literal): StoredValue {
  const value = literalFor(column, literal);
  if (value !== undefined) return value;
  throw badQuery(
    `A binary operator with incompatible types was detected. Found operand types '${column.kind}' and '${literal.kind}' ` +
      `for '${column.property}'.`,
  );
}

/** The same; undefined when the types do not fit. */
export function literalFor(column: Column, literal: Literal): StoredValue | undefined {
  if (literal.kind === 'null') return null;
  switch (column.kind) {
    case 'text':
    case 'memo':
    case 'entityname':
    case 'choices':
      return literal.kind === 'string' ? literal.value : undefined;
    case 'guid':
    case 'lookup':
      return guidOf(literal);
    case 'boolean':
    case 'managed':
      return literal.kind === 'boolean' ? Number(literal.value) : undefined;
    case 'datetime':
    case 'dateonly':
      return timeOf(literal);
    case 'unsupported':
      throw notEmulated(`A condition on ${column.logicalName}`);
    default:
      return numberOf(literal);
  }
}

function guidOf(literal: Literal): string | undefined {
  if (literal.kind === 'guid') return literal.value.toLowerCase();
  return literal.kind === 'string' && isGuid(literal.value) ? literal.value.toLowerCase() : undefined;
}

function timeOf(literal: Literal): number | undefined {
  if (literal.kind === 'dateTimeOffset') return literal.value;
  return literal.kind === 'date' ? Date.parse(`${literal.value}T00:00:00Z`) : undefined;
}

function numberOf(literal: Literal): number | undefined {
  if (literal.kind === 'integer') return Number(literal.value);
  return literal.kind === 'decimal' || literal.kind === 'double' ? literal.value : undefined;
}
