import type { Table } from './metadata.ts';
import type { Depth } from './privileges.ts';
import type { Sql } from './sql.ts';
import { identifier, type Store } from './store.ts';

/** A user as the owner of rows. */
export interface Principal {
  readonly userId: string;
  readonly businessUnitId: string;
}

const UNITS_BELOW = `
  WITH RECURSIVE below(id) AS (SELECT ? UNION
    SELECT businessunitid FROM businessunit JOIN below ON businessunit.parentbusinessunitid = below.id)
  SELECT id FROM below`;

/** The rows of a table, known to SQL as `alias`, that a privilege of this depth reaches; undefined for all of them. */
export function reach(
  { userId, businessUnitId }: Principal,
  table: Table,
  depth: Depth,
  alias = 't0',
): Sql | undefined {
  if (depth === 'Global' || !table.userOwned) return undefined;
  const own =
    `${alias}.ownerid = ? OR ` + `${alias}.ownerid IN (SELECT teamid FROM teammembership WHERE systemuserid = ?)`;
  if (depth === 'Basic') return { text: own, values: [userId, userId] };
  const unit = `${alias}.owningbusinessunit ${depth === 'Local' ? '= ?' : `IN (${UNITS_BELOW})`}`;
  return { text: `${own} OR ${unit}`, values: [userId, userId, businessUnitId] };
}

/** Whether it reaches one row. */
export function reaches(store: Store, principal: Principal, table: Table, depth: Depth, id: string): boolean {
  const condition = reach(principal, table, depth);
  if (!condition) return true;
  const row = store.get(
    `SELECT 1 FROM ${identifier(table.logicalName)} AS t0 WHERE ${identifier(table.primaryId)} = ? AND (${condition.text})`,
    [id, ...condition.values],
  );
  return row !== undefined;
}
