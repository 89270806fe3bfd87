import type { RowKey } from '../table.ts';

export type WriteMode = 'create' | 'update' | 'upsert' | 'delete';

/** A row ready to be sent. */
export interface RowToWrite {
  readonly index: number;
  /** `{ id }`, or the values of the key's columns. */
  readonly key: RowKey;
  /** Columns in the Web API's own form, without the key's columns; from `toWireRow`. */
  readonly values: Readonly<Record<string, unknown>>;
  /** What the row has at present, as far as the caller knows: columns that would not change are not sent. */
  readonly known?: Readonly<Record<string, unknown>>;
  /** The row's id where it is known; spares the look-up. */
  readonly id?: string;
  /**
   * The id that the row gets if it has to be created. Made once and kept over restarts: a row found under this very id
   * was created by an earlier try of the same write and counts as created.
   */
  readonly newId: string;
}

/** The id under which the row is created: its own, where rows are addressed by id. */
export const idToCreate = ({ key, newId }: RowToWrite): string => (typeof key['id'] === 'string' ? key['id'] : newId);
