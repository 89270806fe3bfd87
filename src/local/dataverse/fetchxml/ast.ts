/** A FetchXML query as it was written; nothing here is looked up in metadata yet. */
export interface Fetch {
  readonly entity: Source;
  readonly aggregate: boolean;
  readonly distinct: boolean;
  readonly top: number | undefined;
  /** Rows of a page. */
  readonly count: number | undefined;
  readonly page: number | undefined;
  readonly pagingCookie: string | undefined;
  readonly returnTotalRecordCount: boolean;
  readonly aggregateLimit: number | undefined;
  /** `useraworderby`: choices sort by number instead of by label. */
  readonly rawOrder: boolean;
}

/** An `entity` or `link-entity`. */
export interface Source {
  /** Logical name of the table. */
  readonly name: string;
  readonly attributes: readonly Attribute[];
  readonly allAttributes: boolean;
  readonly noAttributes: boolean;
  readonly filters: readonly Filter[];
  readonly links: readonly Link[];
  readonly orders: readonly Order[];
}

/** Link types that add rows of another table to the result. */
export const JOIN_TYPES = ['inner', 'outer', 'matchfirstrowusingcrossapply'] as const;
/** Link types below an entity that only ask whether there are such rows. */
export const EXISTS_TYPES = ['exists', 'in'] as const;
/** Link types below a filter. */
export const FILTER_TYPES = ['any', 'not any', 'all', 'not all'] as const;

export type LinkType = (typeof JOIN_TYPES)[number] | (typeof EXISTS_TYPES)[number] | (typeof FILTER_TYPES)[number];

export interface Link extends Source {
  readonly kind: 'link';
  readonly type: LinkType;
  /** Column of this table. */
  readonly from: string | undefined;
  /** Column of the table around. */
  readonly to: string | undefined;
  readonly alias: string | undefined;
  /** Its place among all links of the query, from 1. */
  readonly ordinal: number;
}

export interface Filter {
  readonly kind: 'filter';
  readonly type: 'and' | 'or';
  readonly items: readonly (Filter | Condition | Link)[];
}

export interface Condition {
  readonly kind: 'condition';
  readonly attribute: string;
  readonly operator: string;
  /** Alias or name of the link whose column is meant. */
  readonly entityName: string | undefined;
  /** The `value` elements, or else the attribute `value`. */
  readonly values: readonly string[];
  /** A column to compare with: `name` or `alias.name`. */
  readonly otherColumn: string | undefined;
}

export const AGGREGATES = ['count', 'countcolumn', 'sum', 'avg', 'min', 'max'] as const;
export type Aggregate = (typeof AGGREGATES)[number];

export const DATE_PARTS = ['day', 'week', 'month', 'quarter', 'year'] as const;
export type DatePart = (typeof DATE_PARTS)[number];

export interface Attribute {
  readonly name: string;
  readonly alias: string | undefined;
  readonly aggregate: Aggregate | undefined;
  readonly groupBy: boolean;
  readonly dateGrouping: DatePart | undefined;
  readonly distinct: boolean;
}

export interface Order {
  readonly attribute: string | undefined;
  /** Of an attribute, in aggregate queries. */
  readonly alias: string | undefined;
  readonly descending: boolean;
  readonly entityName: string | undefined;
}
