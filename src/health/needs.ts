import type { Table } from '../dataverse/table.ts';

export const RIGHTS = ['create', 'read', 'write', 'delete', 'append', 'appendTo'] as const;

/** A right on the rows of a table, as security roles know them. */
export type Right = (typeof RIGHTS)[number];

/** An activation that sends rows through the connection under test. */
export interface ConnectionUse {
  readonly activation: string;
  readonly table: string;
  readonly mode: 'create' | 'update' | 'upsert';
  /** Columns that it writes. */
  readonly columns: readonly string[];
  /** Columns of the alternate key that rows are addressed by; empty where they are addressed by id. */
  readonly keyColumns: readonly string[];
}

/** Rights by table that a connection needs for what it is told to do. */
export type Needs = ReadonlyMap<string, ReadonlySet<Right>>;

const BY_MODE: Readonly<Record<ConnectionUse['mode'], readonly Right[]>> = {
  // Keys are resolved to row ids by reading, in every mode.
  create: ['create', 'read'],
  update: ['write', 'read'],
  upsert: ['create', 'write', 'read'],
};

/**
 * What the allowed tables (to be read) and the activations need. A lookup that is written needs Append on the table and
 * AppendTo on each table that it may point at (Dataverse documentation, "Security roles and privileges").
 */
export function needsOf(
  allowedTables: Iterable<string>,
  uses: readonly ConnectionUse[],
  tables: ReadonlyMap<string, Table>,
): Needs {
  const needs = new Map<string, Set<Right>>();
  const need = (table: string, ...rights: readonly Right[]): void => {
    const known = needs.get(table) ?? new Set<Right>();
    for (const right of rights) known.add(right);
    needs.set(table, known);
  };
  for (const table of allowedTables) need(table, 'read');
  for (const use of uses) {
    need(use.table, ...BY_MODE[use.mode]);
    for (const column of use.columns) {
      for (const target of tables.get(use.table)?.columns.get(column)?.targets?.keys() ?? []) {
        need(use.table, 'append');
        need(target, 'appendTo');
      }
    }
  }
  return needs;
}
