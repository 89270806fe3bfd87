import { nameBehind } from '../lookup-names.ts';
import type { Column } from '../metadata.ts';
import type { ColumnInQuery } from '../sql.ts';
import { fold, identifier, isText, type StoredValue } from '../store.ts';
import type { Work } from '../work.ts';
import type { Fetch, Order } from './ast.ts';
import { timeOf } from './condition-values.ts';
import { aliasUnknown } from './errors.ts';
import type { BoundSource, FetchQuery } from './fetch-query.ts';

/** Something that rows are sorted by. */
export interface SortTerm {
  /** As the paging cookie names it. */
  readonly name: string;
  /** The SQL expression that sorts, and the one that the cookie shows. */
  readonly compared: string;
  readonly shown: string;
  readonly descending: boolean;
  /** Whether it is a column of the entity itself: only by such columns do cookies work. */
  readonly ofEntity: boolean;
  /** A shown value in the cookie's form, and a text of a cookie as it is compared; undefined when it is none. */
  write(value: StoredValue): string;
  read(text: string): StoredValue | undefined;
}

/**
 * The order of a query without aggregates: the entity's orders before those of its links (documentation, "Process
 * link-entity orders first"), and behind them the key, unless rows are distinct.
 */
export function sortTerms(query: FetchQuery, { distinct, rawOrder }: Fetch): SortTerm[] {
  const terms = query.sources.flatMap((source) =>
    source.element.orders.map((order) => {
      const { column, of } = query.orderColumn(source, namedOrder(source, order));
      return termOf(query.work, column, { descending: order.descending, rawOrder, ofEntity: of === query.root });
    }),
  );
  if (distinct) return terms;
  const { table } = query.root;
  const key = query.orderColumn(query.root, {
    attribute: table.primaryId,
    alias: undefined,
    descending: false,
    entityName: undefined,
  }).column;
  const isSorted = terms.some(({ shown }) => shown === key.qualified);
  return isSorted ? terms : [...terms, termOf(query.work, key, { descending: false, rawOrder, ofEntity: true })];
}

/** An order may name the alias of an attribute. */
function namedOrder(source: BoundSource, order: Order): Order {
  if (order.attribute !== undefined) return order;
  const attribute = source.element.attributes.find(({ alias }) => alias === order.alias);
  if (!attribute) throw aliasUnknown(order.alias ?? '');
  return { ...order, attribute: attribute.name };
}

/** How one column sorts. Lookups sort by the name behind them, choices by their labels unless numbers are asked for. */
export function termOf(
  work: Work,
  found: ColumnInQuery,
  facts: { readonly descending: boolean; readonly rawOrder: boolean; readonly ofEntity: boolean },
): SortTerm {
  const { column, qualified, compared } = found;
  const { descending, ofEntity } = facts;
  const term = { name: column.logicalName, compared, shown: qualified, descending, ofEntity };
  if (column.kind === 'lookup') {
    const name = nameBehind(work, found);
    if (name === undefined) return { ...term, ...GUIDS };
    return { ...term, ...TEXTS, name: `${column.logicalName}name`, compared: `fold(${name})`, shown: name };
  }
  if (isChoice(column) && !facts.rawOrder && column.options.size > 0) {
    const ranks = ranksOf(column);
    const rank = `CASE ${qualified} ${[...ranks].map(([value, at]) => `WHEN ${value} THEN ${at}`).join(' ')} END`;
    return { ...term, ...labels(column, ranks), name: `${column.logicalName}name`, compared: rank, shown: rank };
  }
  if (isText(column) || column.kind === 'choices') return { ...term, ...(isText(column) ? TEXTS : CHOICES) };
  if (column.kind === 'guid') return { ...term, ...GUIDS };
  return { ...term, ...(column.kind === 'datetime' || column.kind === 'dateonly' ? TIMES : NUMBERS) };
}

type Form = Pick<SortTerm, 'write' | 'read'>;

const TEXTS: Form = { write: String, read: fold };
const CHOICES: Form = { write: String, read: (text) => text };
const NUMBERS: Form = {
  write: String,
  read: (text) => (text.trim() === '' || !Number.isFinite(Number(text)) ? undefined : Number(text)),
};
const TIMES: Form = {
  write: (value) => new Date(Number(value)).toISOString().replace(/\.\d+Z$/, '+00:00'),
  read: timeOf,
};
const GUIDS: Form = {
  write: (value) => `{${String(value).toUpperCase()}}`,
  read: (text) =>
    /^\{[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\}$/i.test(text) ? text.slice(1, -1).toLowerCase() : undefined,
};

const isChoice = ({ kind }: Column): boolean => ['choice', 'state', 'status', 'boolean'].includes(kind);

/** The place of each choice in the order of the labels; equal labels share one. */
function ranksOf({ options }: Column): Map<number, number> {
  const names = [...new Set([...options.values()].map(({ label }) => fold(label)))].sort();
  return new Map([...options.values()].map(({ value, label }) => [value, names.indexOf(fold(label))]));
}

function labels({ options }: Column, ranks: ReadonlyMap<number, number>): Form {
  const shown = [...options.values()];
  return {
    write: (rank) => shown.find(({ value }) => ranks.get(value) === rank)?.label ?? '',
    read(text) {
      const option = shown.find(({ label }) => fold(label) === fold(text));
      return option && ranks.get(option.value);
    },
  };
}

/** `ORDER BY …`, or nothing. */
export const orderBy = (terms: readonly Pick<SortTerm, 'compared' | 'descending'>[]): string =>
  terms.length === 0
    ? ''
    : ` ORDER BY ${terms.map(({ compared, descending }) => `${compared}${descending ? ' DESC' : ''}`).join(', ')}`;

/** The columns of a selection that the cookie shows. */
export const shownColumns = (terms: readonly SortTerm[]): string[] =>
  terms.map(({ shown }, index) => `${shown} AS ${identifier(`sort${index}`)}`);
