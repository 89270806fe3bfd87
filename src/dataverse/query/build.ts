import { InputError } from '../input-error.ts';
import type { Metadata } from '../metadata.ts';
import type { Expanded, Expansions } from '../read-row.ts';
import { isLookup, type TableShape } from '../table.ts';
import { lookupColumn } from '../wire/annotations.ts';
import { expandOptions, type QueryParts } from '../wire/query.ts';
import { conditionText, pathText } from './conditions.ts';
import { type ExpandItem, type OrderItem, readExpand, readOrder } from './expand.ts';
import { readCondition } from './filter.ts';
import { type Names, namesIn } from './names.ts';
import { Tokens } from './tokens.ts';

/** What of a table's rows is wanted, in users' terms: logical names, and OData text in `filter`, `orderBy` and `expand`. */
export interface RowSelection {
  readonly select?: readonly string[] | undefined;
  readonly filter?: string | undefined;
  readonly orderBy?: string | undefined;
  readonly expand?: string | undefined;
}

/** A query whose every name has been looked up. */
export interface BuiltQuery {
  readonly parts: QueryParts;
  /** The tables of expanded rows. */
  readonly expansions: Expansions;
  /** Whether lookups are among what is read. */
  readonly readsLookups: boolean;
}

/** The longest text of one part, in characters. */
const LONGEST_PART = 30_000;
const MOST_COLUMNS = 1_000;

/**
 * Turns what a caller wants into a query that cannot mean anything else: each part is read as what it should be and
 * written anew, and every table that it reaches is one that the connection may touch. Throws InputError
 * (`selectInvalid`, `filterInvalid`, `orderByInvalid`, `expandInvalid`, `columnUnknown`, `navigationUnknown`), and
 * DataverseError `tableNotAllowed`.
 */
export async function buildQuery(
  metadata: Metadata,
  table: TableShape,
  { select, filter, orderBy, expand }: RowSelection,
  signal?: AbortSignal,
): Promise<BuiltQuery> {
  const properties = select && selected(select, table, namesIn(metadata, 'select', signal));
  const scope = { table };
  const condition = read('filter', filter, (tokens) => readCondition(tokens));
  const order = read('orderBy', orderBy, readOrder);
  const items = read('expand', expand, readExpand) ?? [];
  const expanded = await expandText(items, table, namesIn(metadata, 'expand', signal));
  return {
    parts: {
      select: properties?.join(','),
      filter: condition && (await conditionText(condition, scope, namesIn(metadata, 'filter', signal))),
      orderBy: order && (await orderText(order, table, namesIn(metadata, 'orderBy', signal))),
      expand: expanded.text,
    },
    expansions: expanded.expansions,
    readsLookups: items.length > 0 || (properties?.some((name) => isLookupProperty(table, name)) ?? true),
  };
}

const isLookupProperty = (table: TableShape, property: string): boolean => {
  const column = table.columns.get(lookupColumn(property) ?? '');
  return column !== undefined && isLookup(column);
};

/** Reads the whole of one part; undefined where it was left out. */
function read<T>(path: string, text: string | undefined, grammar: (tokens: Tokens) => T): T | undefined {
  if (text === undefined) return undefined;
  if (text.length > LONGEST_PART) {
    throw new InputError(path, `${path}Invalid`, `It is longer than ${LONGEST_PART} characters.`);
  }
  const tokens = new Tokens(text, path);
  const result = grammar(tokens);
  tokens.end();
  return result;
}

function selected(select: readonly string[], table: TableShape, names: Names): string[] | undefined {
  if (select.length > MOST_COLUMNS) {
    throw new InputError('select', 'selectInvalid', `More than ${MOST_COLUMNS} columns are selected.`);
  }
  // Nothing selected would mean every column to the service.
  const properties = [...new Set(select)].map((name) => names.property(table, name));
  return properties.length > 0 ? properties : undefined;
}

async function orderText(items: readonly OrderItem[], table: TableShape, names: Names): Promise<string> {
  const parts: string[] = [];
  for (const { path, descending } of items) {
    parts.push(`${await pathText(path, { table }, names)} ${descending ? 'desc' : 'asc'}`);
  }
  return parts.join(',');
}

async function expandText(
  items: readonly ExpandItem[],
  table: TableShape,
  names: Names,
): Promise<{ text: string | undefined; expansions: Expansions }> {
  const texts: string[] = [];
  const expansions = new Map<string, Expanded>();
  for (const item of items) {
    const { property, target } = await names.navigation(table, item.navigation);
    const inner = await expandText(item.expand ?? [], target, names);
    const options = expandOptions({
      select: item.select && selected(item.select, target, names)?.join(','),
      filter: item.filter && (await conditionText(item.filter, { table: target }, names)),
      orderBy: item.orderBy && (await orderText(item.orderBy, target, names)),
      top: item.top,
      expand: inner.text,
    });
    texts.push(property + options);
    expansions.set(property, { table: target, expanded: inner.expansions });
  }
  return { text: texts.length > 0 ? texts.join(',') : undefined, expansions };
}
