import { relatedCollection } from './collections.ts';
import { rowNotFound, segmentNotFound } from './errors.ts';
import type { Table } from './metadata.ts';
import type { PathSegment } from './odata/ast.ts';
import { requireRight } from './records.ts';
import { existingRow, type RowAddress, readStored, rowAddress, targetOf } from './references.ts';
import type { Operation } from './request.ts';
import { identifier } from './store.ts';
import type { RowReference, Work } from './work.ts';

/**
 * Where the path of a GET goes on behind another row, such as `accounts(id)/primarycontactid/fullname` or
 * `accounts(id)/Account_Tasks(id)`: the table of that row and the path as it begins there. Undefined for other paths.
 * Throws WireError 403 and 404.
 */
export function pathThrough(
  work: Work,
  { method, segments }: Operation,
  table: Table,
  address: RowAddress,
): { table: Table; segments: readonly PathSegment[] } | undefined {
  const [, second, ...rest] = segments;
  if (method !== 'GET' || second?.kind !== 'name' || second.qualified) return undefined;
  const [third] = rest;
  const { name, predicate } = second;
  const navigation = table.navigations.get(name);
  if (navigation ? predicate || third?.kind !== 'name' : !predicate || !table.collections.has(name)) return undefined;
  if (third?.kind === 'system') return undefined;

  const id = existingRow(work.env, table, address);
  const row = readStored(work, table, id) ?? {};
  requireRight(work, table, 'Read', row);
  let target: RowReference | undefined;
  if (predicate) target = memberOf(work, { table, id }, name, predicate);
  else if (navigation) {
    const type = row[navigation.column.logicalName] === null ? undefined : targetOf(navigation.column, row);
    const other = type === undefined ? undefined : work.env.catalog.table(type);
    const wanted = navigation.target === undefined || navigation.target === type;
    if (other && wanted) target = { table: other, id: String(row[navigation.column.logicalName]) };
  }
  if (!target) throw segmentNotFound(name);
  const key = { kind: 'positional', value: { kind: 'guid', value: target.id } } as const;
  const first = { kind: 'name', name: target.table.entitySetName, qualified: false, predicate: key } as const;
  return { table: target.table, segments: [first, ...rest] };
}

/** The row of a collection with this key. Throws WireError 404 when it is no member. */
function memberOf(
  work: Work,
  owner: RowReference,
  name: string,
  predicate: NonNullable<Extract<PathSegment, { kind: 'name' }>['predicate']>,
): RowReference {
  const related = relatedCollection(work, owner.table, name);
  const { table } = related;
  const id = existingRow(work.env, table, rowAddress(work.env, table, predicate));
  const { text, values } = related.belongs('t0', { text: '?', values: [owner.id] });
  const found = work.env.store.get(
    `SELECT 1 FROM ${identifier(table.logicalName)} AS t0 WHERE t0.${identifier(table.primaryId)} = ? AND ${text}`,
    [id, ...values],
  );
  if (!found) throw rowNotFound(table.logicalName, id);
  return { table, id };
}
