/** A column as far as reading its values needs it. Names as in Dataverse's metadata. */
export interface ColumnShape {
  readonly logicalName: string;
  /** AttributeType: `String`, `Memo`, `Integer`, `BigInt`, `Decimal`, `Double`, `Money`, `Boolean`, `DateTime`, `Picklist`, … */
  readonly type: string;
}

/** A table as far as reading its rows needs it. */
export interface TableShape {
  readonly logicalName: string;
  readonly entitySetName: string;
  readonly primaryId: string;
  readonly primaryName: string;
  readonly columns: ReadonlyMap<string, ColumnShape>;
}

/** Whether a column's values are rows of other tables. */
export const isLookup = ({ type }: ColumnShape): boolean => LOOKUP_TYPES.has(type);

const LOOKUP_TYPES: ReadonlySet<string> = new Set(['Lookup', 'Customer', 'Owner']);

/** What leads from rows of one table to rows of another. */
export interface Navigation {
  /** The name in paths and in `expand`; upper and lower case count. */
  readonly property: string;
  /** The logical name of the other table. */
  readonly table: string;
  /** Whether it leads to many rows. */
  readonly collection: boolean;
  /** The lookup column that it follows, where it follows one of this table. */
  readonly column?: string;
}

/** A column as far as writing its values needs it too. */
export interface Column extends ColumnShape {
  readonly validForCreate: boolean;
  readonly validForUpdate: boolean;
  /** Longest text in UTF-16 units, for `String` and `Memo`. */
  readonly maxLength?: number;
  readonly minValue?: number;
  readonly maxValue?: number;
  /** Numbers that a choice, state or status column takes. */
  readonly options?: ReadonlySet<number>;
  /** For `DateTime`: `DateOnly` takes a date, the others a time with offset. */
  readonly dateBehavior?: 'DateOnly' | 'UserLocal' | 'TimeZoneIndependent';
  /** What each label of `options` stands for, in lower case, in all of the organisation's languages. */
  readonly labels?: ReadonlyMap<string, readonly number[]>;
  /** For lookups in use: the tables whose rows it can be bound to. */
  readonly targets?: ReadonlyMap<string, LookupTarget>;
  /** For lookups in use: tables that the connection may not touch → navigation property. */
  readonly closedTargets?: ReadonlyMap<string, string>;
}

/** How a lookup is bound to rows of one table. */
export interface LookupTarget {
  readonly navigationProperty: string;
  readonly entitySetName: string;
}

export interface AlternateKey {
  readonly logicalName: string;
  readonly columns: readonly string[];
  readonly status: 'Pending' | 'InProgress' | 'Active' | 'Failed';
}

/** A table's definition as the write path needs it. */
export interface Table extends TableShape {
  /** Whether its rows are kept in an elastic table. Left out, they are not. */
  readonly elastic?: boolean;
  readonly columns: ReadonlyMap<string, Column>;
  readonly keys: readonly AlternateKey[];
}

/** The values of a key's columns. For rows addressed by their id: `{ id: guid }`. */
export type RowKey = Readonly<Record<string, string | number | boolean | null>>;

const sameColumns = (a: readonly string[], b: readonly string[]): boolean =>
  [...a].sort().join() === [...b].sort().join();

/** The alternate key on just these columns, in any order. */
export const keyOn = (table: Table, columns: readonly string[]): AlternateKey | undefined =>
  table.keys.find((key) => sameColumns(key.columns, columns));

/** What addresses rows by just these columns: the primary id, or an alternate key whose index is Active. */
export const activeKey = (table: Table, columns: readonly string[]): 'id' | AlternateKey | undefined => {
  if (sameColumns(columns, [table.primaryId])) return 'id';
  const key = keyOn(table, columns);
  return key?.status === 'Active' ? key : undefined;
};
