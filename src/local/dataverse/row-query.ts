import type { Table } from './metadata.ts';
import type { QueryOptions } from './odata/ast.ts';
import type { Preferences } from './preferences.ts';
import type { Sql } from './sql.ts';

/** What a request asks of the rows of one table. */
export interface RowQuery {
  readonly table: Table;
  readonly options: QueryOptions;
  readonly preferences: Preferences;
  /** The request's own path and query below the service root, percent-encoded, for `@odata.nextLink`. */
  readonly path: string;
  readonly rawQuery: string;
  /** Of a collection below a row: which rows belong to it, `t0` being the table. */
  readonly within?: Sql;
}
