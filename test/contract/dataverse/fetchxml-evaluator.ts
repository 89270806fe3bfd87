/*
 * FetchXML over arrays, written from the documentation's words and without a thought of SQL: what the emulator is compared
 * with. Rows are plain objects; a lookup is the id that it points to.
 */

export type Value = string | number | boolean | null;
export type Row = Readonly<Record<string, Value>>;
export type Tables = Readonly<Record<string, readonly Row[]>>;

export interface Condition {
  attribute: string;
  operator: string;
  values: readonly (string | number)[];
  /** Alias of a joined link; only in the entity's filter. */
  entityName?: string;
  /** A column of the same row. */
  otherColumn?: string;
}

export interface Filter {
  type: 'and' | 'or';
  conditions: readonly Condition[];
  links: readonly Link[];
  filters: readonly Filter[];
}

export interface Source {
  name: string;
  attributes: readonly string[];
  filter: Filter | undefined;
  links: readonly Link[];
}

export interface Link extends Source {
  type: string;
  from: string;
  to: string;
  alias: string;
}

export interface Order {
  attribute: string;
  descending: boolean;
}

/** One row of the result: the row of each source by its alias, null where an outer join found none. */
export type Combination = ReadonlyMap<string, Row | null>;

/** The alias of the entity. */
export const ENTITY = '';

/** Texts compare without regard to case and to blanks at the end. */
export const folded = (value: Value): Value =>
  typeof value === 'string' ? value.toLowerCase().replace(/ +$/, '') : value;

/** The rows of a query before they are sorted. */
export function evaluate(tables: Tables, entity: Source): Combination[] {
  const found: Combination[] = [];
  for (const row of tables[entity.name] ?? []) {
    for (const combination of joined(tables, entity.links, row, new Map([[ENTITY, row]]))) {
      if (passes(tables, entity.filter, row, combination) && linksExist(tables, entity.links, row)) {
        found.push(combination);
      }
    }
  }
  return found;
}

function joined(tables: Tables, links: readonly Link[], row: Row | null, start: Combination): Combination[] {
  let found: Combination[] = [start];
  for (const link of links) {
    if (link.type === 'exists' || link.type === 'in') continue;
    found = found.flatMap((combination) => {
      const matches = row === null ? [] : matchesOf(tables, link, row);
      const first = link.type === 'matchfirstrowusingcrossapply' ? matches.slice(0, 1) : matches;
      const more = first.flatMap((match) =>
        joined(tables, link.links, match, new Map([...combination, [link.alias, match]])),
      );
      return more.length > 0 || link.type !== 'outer' ? more : [withoutLink(link, combination)];
    });
  }
  return found;
}

function withoutLink(link: Link, combination: Combination): Combination {
  const empty = new Map(combination).set(link.alias, null);
  return link.links.reduce<Combination>((all, inner) => withoutLink(inner, all), empty);
}

/** Rows of the linked table that the link's own filter lets through. */
function matchesOf(tables: Tables, link: Link, row: Row): Row[] {
  const key = folded(row[link.to] ?? null);
  return (tables[link.name] ?? []).filter(
    (other) =>
      key !== null &&
      folded(other[link.from] ?? null) === key &&
      passes(tables, link.filter, other, new Map()) &&
      linksExist(tables, link.links, other),
  );
}

const linksExist = (tables: Tables, links: readonly Link[], row: Row): boolean =>
  links.every((link) => (link.type !== 'exists' && link.type !== 'in') || isThere(tables, link, row));

/** Whether a linked row matches together with all that its own inner links ask for. */
const isThere = (tables: Tables, link: Link, row: Row): boolean =>
  matchesOf(tables, link, row).some((match) => joined(tables, link.links, match, new Map()).length > 0);

function passes(tables: Tables, filter: Filter | undefined, row: Row, combination: Combination): boolean {
  if (!filter) return true;
  const results = [
    ...filter.conditions.map((condition) => holds(condition, row, combination)),
    ...filter.links.map((link) => linkHolds(tables, link, row)),
    ...filter.filters.map((inner) => passes(tables, inner, row, combination)),
  ];
  return filter.type === 'and' || results.length === 0 ? results.every(Boolean) : results.some(Boolean);
}

function linkHolds(tables: Tables, link: Link, row: Row): boolean {
  switch (link.type) {
    case 'not any':
      return !isThere(tables, link, row);
    case 'all':
      return isThere(tables, { ...link, filter: undefined, links: [] }, row) && !isThere(tables, link, row);
    default:
      return isThere(tables, link, row);
  }
}

function holds(condition: Condition, own: Row, combination: Combination): boolean {
  const row = condition.entityName === undefined ? own : (combination.get(condition.entityName) ?? {});
  const value = folded(row[condition.attribute] ?? null);
  const wanted =
    condition.otherColumn === undefined
      ? condition.values.map((one) => folded(one))
      : [folded(row[condition.otherColumn] ?? null)];
  const [first = null, second = null] = wanted;
  const order = value === null || first === null ? undefined : compare(value, first);
  switch (condition.operator) {
    case 'null':
      return value === null;
    case 'not-null':
      return value !== null;
    case 'eq':
      return order === 0;
    case 'ne':
      return value !== first;
    case 'gt':
      return order !== undefined && order > 0;
    case 'ge':
      return order !== undefined && order >= 0;
    case 'lt':
      return order !== undefined && order < 0;
    case 'le':
      return order !== undefined && order <= 0;
    case 'in':
      return value !== null && wanted.includes(value);
    case 'not-in':
      return value !== null && !wanted.includes(value);
    case 'between':
      return value !== null && compare(value, first) >= 0 && compare(value, second) <= 0;
    case 'not-between':
      return value !== null && !(compare(value, first) >= 0 && compare(value, second) <= 0);
    case 'begins-with':
      return isText(own, condition, row).startsWith(String(condition.values[0]).toLowerCase());
    case 'not-begin-with':
      return !isText(own, condition, row).startsWith(String(condition.values[0]).toLowerCase());
    case 'ends-with':
      return isText(own, condition, row).endsWith(String(condition.values[0]).toLowerCase());
    case 'like':
      return isText(own, condition, row).includes(String(condition.values[0]).replaceAll('%', '').toLowerCase());
    default:
      throw new Error(condition.operator);
  }
}

/** The text as it is searched, its blanks included; one that nothing is found in when there is none. */
const isText = (_own: Row, { attribute }: Condition, row: Row): string =>
  String(row[attribute] ?? '\u0000').toLowerCase();

/** Nulls come before everything. */
export function compare(one: Value, other: Value): number {
  if (one === other) return 0;
  if (one === null || other === null) return one === null ? -1 : 1;
  return one < other ? -1 : 1;
}

/** Groups of combinations by what `keyOf` answers. */
export function grouped(rows: readonly Combination[], keyOf: (row: Combination) => readonly Value[]): Combination[][] {
  const groups = new Map<string, Combination[]>();
  for (const row of rows) {
    const key = JSON.stringify(keyOf(row));
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()];
}
