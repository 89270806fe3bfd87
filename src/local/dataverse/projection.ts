import { type RelatedCollection, relatedCollection } from './collections.ts';
import {
  badQuery,
  expandOptionsRefused,
  manyToManyCombined,
  notEmulated,
  refOfCollection,
  tooManyLinks,
  unknownProperty,
  unsupportedOption,
} from './errors.ts';
import type { Column, Navigation, Table } from './metadata.ts';
import type { ExpandItem } from './odata/ast.ts';
import { PARTITION_COLUMN } from './store.ts';
import type { Work } from './work.ts';

/** What an answer holds of each row of a table. */
export interface Projection {
  readonly table: Table;
  readonly columns: readonly Column[];
  readonly expands: readonly Expand[];
  /** What stands in parentheses in `@odata.context`; empty for whole rows. */
  readonly context: string;
  /** Whether a navigation property is expanded below another one. */
  readonly nested: boolean;
}

/** `context` is what `@odata.context` names of it. */
export type Expand = { readonly context: readonly string[] } & (
  | /** `$expand=lookup/$ref` */ { readonly kind: 'reference'; readonly navigation: Navigation }
  /** `of` answers what is shown of a row of the table that the lookup points to. */
  | { readonly kind: 'lookup'; readonly navigation: Navigation; of(table: Table): Projection }
  | {
      readonly kind: 'collection';
      readonly name: string;
      readonly related: RelatedCollection;
      readonly item: ExpandItem;
      readonly projection: Projection;
    }
);

const EXPANDS_MAX = 15;

/** Recorded: rows of an elastic table come with these whatever is selected. */
const ELASTIC_COLUMNS = ['versionnumber', PARTITION_COLUMN, 'ownerid', 'owningbusinessunit'];

/** Every `$expand` of a query, and whether one stands below another. */
interface ExpandFacts {
  readonly count: number;
  readonly nested: boolean;
}

/**
 * Reads `$select` and `$expand`. Of rows of a set (`many`) expanded collections show their lookup back besides, unless one
 * `$expand` stands below another. Throws WireError for what the table does not have and for what the service refuses.
 */
export function projectionOf(
  work: Work,
  table: Table,
  options: { readonly select?: readonly string[]; readonly expand?: readonly ExpandItem[] },
  form: 'one' | 'many',
): Projection {
  const facts = factsOf(options.expand ?? []);
  if (facts.count > EXPANDS_MAX) throw tooManyLinks();
  return project(work, table, options, { ...facts, foreignKeys: form === 'many' && !facts.nested });
}

function factsOf(items: readonly ExpandItem[], depth = 0): ExpandFacts {
  let count = items.length;
  let nested = depth > 0 && items.length > 0;
  for (const { expand = [] } of items) {
    const below = factsOf(expand, depth + 1);
    count += below.count;
    nested ||= below.nested;
  }
  return { count, nested };
}

interface Rules extends ExpandFacts {
  readonly foreignKeys: boolean;
}

function project(
  work: Work,
  table: Table,
  options: { readonly select?: readonly string[]; readonly expand?: readonly ExpandItem[] },
  rules: Rules,
  lookupBack?: Column,
): Projection {
  const expands = (options.expand ?? []).map((item) => expandOf(work, table, item, rules));
  refuseMixed(expands, rules);
  const references = expands.flatMap((expand) => (expand.kind === 'reference' ? [expand.navigation.column] : []));
  const names = [...(options.select ?? []), ...expands.flatMap(({ context }) => context)];
  return {
    table,
    columns: columnsOf(table, options.select, [...references, ...(lookupBack ? [lookupBack] : [])]),
    expands,
    context: names.length === 0 ? '' : `(${names.join(',')})`,
    nested: rules.nested,
  };
}

function expandOf(work: Work, table: Table, item: ExpandItem, rules: Rules): Expand {
  const [unknown] = item.unknown;
  if (unknown !== undefined) throw unsupportedOption(unknown);
  const navigation = table.navigations.get(item.navigation);
  return navigation ? expandedLookup(work, navigation, item, rules) : expandedCollection(work, table, item, rules);
}

function expandedLookup(work: Work, navigation: Navigation, item: ExpandItem, rules: Rules): Expand {
  if (item.orderby || item.top !== undefined) throw expandOptionsRefused();
  if (item.filter) throw notEmulated(`$filter on the lookup ${item.navigation}`);
  if (item.ref) {
    if (item.select || item.expand) throw badQuery(`$expand=${item.navigation}/$ref takes no options.`);
    return { kind: 'reference', navigation, context: [item.navigation, `${item.navigation}/$ref()`] };
  }
  const known = new Map<Table, Projection>();
  const of = (target: Table): Projection => {
    const projection = known.get(target) ?? project(work, target, item, rules);
    known.set(target, projection);
    return projection;
  };
  // Names that no row could have, and tables that the caller may not read, are refused whether or not there are rows.
  const target = navigation.target === undefined ? undefined : work.env.catalog.table(navigation.target);
  if (target) work.env.guard.require(work.caller, target, 'Read');
  const inner = target ? of(target).context : `(${item.select?.join(',') ?? ''})`;
  return { kind: 'lookup', navigation, of, context: [`${item.navigation}${inner || '()'}`] };
}

function expandedCollection(work: Work, table: Table, item: ExpandItem, rules: Rules): Expand {
  const name = item.navigation;
  if (!table.collections.has(name)) throw unknownProperty(table.logicalName, name);
  if (item.ref) throw refOfCollection();
  if (rules.nested && (item.orderby || item.top !== undefined)) throw expandOptionsRefused();
  const related = relatedCollection(work, table, name);
  const projection = project(work, related.table, item, rules, rules.foreignKeys ? related.lookup : undefined);
  return { kind: 'collection', name, related, item, projection, context: [`${name}${projection.context || '()'}`] };
}

/** Documentation, "Join tables using OData": many-to-many relationships stand neither with others nor in a nesting. */
function refuseMixed(expands: readonly Expand[], { nested, count }: Rules): void {
  const manyToMany = expands.filter((expand) => expand.kind === 'collection' && !expand.related.lookup);
  if (manyToMany.length > 0 && (nested || count > manyToMany.length)) throw manyToManyCombined();
}

/** The columns that a `$select` names, and those that the service adds by itself. */
function columnsOf(table: Table, select: readonly string[] | undefined, others: readonly Column[]): Column[] {
  if (select === undefined || select.length === 0 || select.includes('*')) {
    return [...table.properties.values()].filter((column) => column.validForRead);
  }
  const found = new Set<Column>();
  const add = (name: string) => {
    const column = table.columns.get(name) ?? table.properties.get(name);
    if (column) found.add(column);
  };
  for (const name of select) {
    const column = table.properties.get(name) ?? table.navigations.get(name)?.column;
    if (!column && table.collections.has(name)) continue;
    if (!column?.validForRead) throw unknownProperty(table.logicalName, name);
    found.add(column);
    // An amount comes with its currency, a street with its address.
    if (column.kind === 'money') add('transactioncurrencyid');
    if (/^address\d_line1$/.test(name)) add(name.replace('line1', 'composite'));
  }
  for (const column of others) found.add(column);
  add(table.primaryId);
  if (table.properties.has('ownerid')) add('ownerid');
  if (table.isElastic) for (const name of ELASTIC_COLUMNS) add(name);
  return [...found];
}
