/** A value written in a URL. `integer` is exact for the whole of Int64; `dateTimeOffset` is in milliseconds UTC. */
export type Literal =
  | { kind: 'null' }
  | { kind: 'string'; value: string }
  | { kind: 'guid'; value: string }
  | { kind: 'boolean'; value: boolean }
  | { kind: 'integer'; value: bigint }
  | { kind: 'decimal'; value: number; text: string }
  | { kind: 'double'; value: number }
  | { kind: 'date'; value: string }
  | { kind: 'dateTimeOffset'; value: number }
  | { kind: 'enum'; type: string; value: string }
  | { kind: 'json'; value: unknown };

/** Where a node begins, in characters from the start of the decoded option text that error messages quote. */
export interface Located {
  position: number;
}

/** A column, a column behind lookups (`primarycontactid/fullname`), or one below a lambda variable (`t/statecode`). */
export interface PropertyPath extends Located {
  kind: 'path';
  segments: readonly string[];
}

export interface LiteralOperand extends Located {
  kind: 'literal';
  literal: Literal;
  /** The literal as it was written. */
  source: string;
}

/** Parameter aliases are already replaced by their values (null when they have none). */
export type Operand = PropertyPath | LiteralOperand;

export type ComparisonOperator = 'eq' | 'ne' | 'gt' | 'ge' | 'lt' | 'le';

export type FilterExpression =
  /** At least two operands; chains of one operator are one node, so that their length adds no depth. */
  | { kind: 'and' | 'or'; operands: readonly FilterExpression[] }
  | ({ kind: 'not'; operand: FilterExpression } & Located)
  | ({ kind: 'comparison'; operator: ComparisonOperator; left: Operand; right: Operand } & Located)
  | ({ kind: 'text'; function: 'contains' | 'startswith' | 'endswith'; target: Operand; search: Operand } & Located)
  /** Without a predicate (`any()`): the collection is not empty. */
  | ({
      kind: 'lambda';
      quantifier: 'any' | 'all';
      collection: PropertyPath;
      body?: { variable: string; predicate: FilterExpression };
    } & Located)
  /** `Microsoft.Dynamics.CRM.<name>(…)`, the name without its namespace. */
  | ({ kind: 'function'; name: string; arguments: ReadonlyMap<string, Operand> } & Located)
  /** A boolean column or literal that stands alone. */
  | ({ kind: 'truth'; operand: Operand } & Located);

export interface OrderItem {
  path: PropertyPath;
  direction: 'asc' | 'desc';
}

/** The options that may stand at the top of a request and inside `$expand`. */
export interface RowOptions {
  /** Column names, navigation properties or `*`. */
  select?: readonly string[];
  filter?: FilterExpression;
  orderby?: readonly OrderItem[];
  top?: number;
  expand?: readonly ExpandItem[];
}

export interface ExpandItem extends RowOptions {
  navigation: string;
  /** `$expand=navigation/$ref`. */
  ref: boolean;
  /** Its options as they were written, decoded: `$select=subject`. */
  text: readonly string[];
  /** Names of options that Dataverse knows no use for here, such as `$skip`, `$count`, `$levels`. */
  unknown: readonly string[];
}

/** One value of `aggregate(…)` in `$apply`. */
export type Aggregate = {
  /** The property of the answer. */
  alias: string;
} & ({ method: 'count' } | { method: 'sum' | 'average' | 'min' | 'max' | 'countdistinct'; path: PropertyPath });

/** `$apply`: which rows, grouped by what (one group without groups), and the values of each group. */
export interface Aggregation {
  filter?: FilterExpression;
  groups: readonly PropertyPath[];
  aggregates: readonly Aggregate[];
}

export interface QueryOptions extends RowOptions {
  count?: boolean;
  apply?: Aggregation;
  fetchXml?: string;
  savedQuery?: string;
  userQuery?: string;
  skiptoken?: string;
  deltatoken?: string;
  /** `$id`, which names the row of `DELETE …/$ref`. */
  id?: string;
  tag?: string;
  partitionId?: string;
  /** Decoded text of each parameter alias by its name with the `@`, for {@link parsePath}. */
  aliases: ReadonlyMap<string, string>;
  /** Every other option, decoded, which the service refuses. */
  unknown: readonly { name: string; value: string }[];
}

/** What stands in the parentheses of a segment: a key or the arguments of a function; only metadata tells which. */
export type Predicate =
  | { kind: 'empty' }
  | { kind: 'positional'; value: Literal }
  | { kind: 'named'; values: ReadonlyMap<string, Literal> };

export type PathSegment =
  /**
   * An entity set, property, function or action. `qualified`: it was written with the namespace `Microsoft.Dynamics.CRM.`
   * (or its alias `mscrm.`), which is left out of `name`; then it is a type cast, a bound function or a bound action.
   */
  | { kind: 'name'; name: string; qualified: boolean; predicate?: Predicate }
  /** `$ref`, `$count`, `$value`, `$metadata`, `$batch` …, with the `$`. */
  | { kind: 'system'; name: string }
  /** `$1` inside a change set: the row that the operation with this Content-ID made. */
  | { kind: 'contentId'; id: string };
