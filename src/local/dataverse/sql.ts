import type { Column, Table } from './metadata.ts';
import type { StoredValue } from './store.ts';

/** A condition with its values in the order of its question marks. */
export interface Sql {
  readonly text: string;
  readonly values: readonly StoredValue[];
}

/** True when all conditions are; pairs within pairs, so that SQLite's limit on depth bounds no chain. */
export const allOf = (conditions: readonly Sql[]): Sql => chained(conditions, 'AND', '1');

/** True when one of the conditions is. */
export const anyOf = (conditions: readonly Sql[]): Sql => chained(conditions, 'OR', '0');

function chained(conditions: readonly Sql[], glue: 'AND' | 'OR', none: '0' | '1'): Sql {
  const [first] = conditions;
  if (!first) return { text: none, values: [] };
  if (conditions.length === 1) return first;
  const half = conditions.length >> 1;
  const left = chained(conditions.slice(0, half), glue, none);
  const right = chained(conditions.slice(half), glue, none);
  return { text: `(${left.text} ${glue} ${right.text})`, values: [...left.values, ...right.values] };
}

/** A column in the query, by the name that SQL knows it under. */
export interface ColumnInQuery {
  readonly table: Table;
  readonly column: Column;
  /** `t0` */
  readonly alias: string;
  /** `t0."name"` */
  readonly qualified: string;
  /** The same as it is compared. */
  readonly compared: string;
}
