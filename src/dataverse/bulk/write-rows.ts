import type { RowKey } from '../table.ts';

/** How the rows of a write are addressed: by their GUID, or by the columns of an active alternate key. */
export type KeyStrategy =
  | { readonly kind: 'id' }
  | { readonly kind: 'alternateKey'; readonly columns: readonly string[] };

export type WriteMode = 'create' | 'update' | 'upsert' | 'delete';

/** A row ready to be sent. */
export interface RowToWrite {
  readonly index: number;
  /** `{ id }`, or the values of the key's columns. */
  readonly key: RowKey;
  /** Columns in the Web API's own form, without the key's columns; from `toWireRow`. */
  readonly values: Readonly<Record<string, unknown>>;
  /** The row's id where it is known; spares the look-up. */
  readonly id?: string;
  /**
   * The id that the row gets if it has to be created. Made once and kept over restarts: a row found under this very id
   * was created by an earlier try of the same write and counts as created.
   */
  readonly newId: string;
}
