/**
 * A row that a lookup is to be bound to, by an address that was made from checked parts. Input cannot hold one: JSON
 * makes no instances.
 */
export class RowReference {
  /** The logical name of the row's table. */
  readonly table: string;
  /** The row's address below the Web API's root, encoded. */
  readonly path: string;

  constructor(table: string, path: string) {
    this.table = table;
    this.path = path;
  }
}
