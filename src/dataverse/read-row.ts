import { isLookup, type TableShape } from './table.ts';
import { formattedValue, isAnnotation, leadsFurther, lookupColumn, lookupTable, nextLink } from './wire/annotations.ts';

/** A lookup's value as users see it. `name` is there when the service told it. */
export interface LookupValue {
  readonly table?: string;
  readonly id: string;
  readonly name?: string;
}

/** A row as users see it: values by logical name. */
export type Row = Readonly<Record<string, unknown>>;

export interface ReadOptions {
  /** Adds `_formatted: { column: text }` with what the service wrote for people. */
  readonly formatted?: boolean;
  /** What was expanded, by navigation property. */
  readonly expanded?: Expansions;
}

/** A table that rows were expanded from, and what was expanded of it in turn. */
export interface Expanded {
  readonly table: TableShape;
  readonly expanded: Expansions;
}
export type Expansions = ReadonlyMap<string, Expanded>;

type WireRow = Readonly<Record<string, unknown>>;

/**
 * A row of an answer, in users' terms: columns under their logical names (FetchXML's aliases as `alias.column`),
 * lookups as `{ table, id, name? }`, choices as numbers, several choices as an array of numbers, numbers with all their
 * digits where the answer was parsed so, expanded rows as rows of their own table. An expanded lookup stands in the
 * place of its column. `_incomplete` names expanded collections that hold more rows than the service gave. All else
 * that is annotated is left out.
 */
export function readRow(table: TableShape, wire: WireRow, options: ReadOptions = {}): Row {
  // Aliases of FetchXML are the caller's, and `__proto__` is one.
  const row = new Map<string, unknown>();
  const expandedRows = new Map<string, unknown>();
  const formatted: [string, string][] = [];
  const incomplete: string[] = [];
  for (const [property, value] of Object.entries(wire)) {
    if (isAnnotation(property)) continue;
    const expanded = options.expanded?.get(property);
    if (expanded) {
      expandedRows.set(property, readExpanded(expanded, value, options));
      if (leadsFurther(nextLink(wire, property))) incomplete.push(property);
      continue;
    }
    const column = columnOf(table, wire, property);
    row.set(column, readValue(table, wire, property, column));
    const text = formattedValue(wire, property);
    if (text !== undefined) formatted.push([column, text]);
  }
  for (const [property, value] of expandedRows) row.set(property, value);
  if (options.formatted) row.set('_formatted', Object.fromEntries(formatted));
  if (incomplete.length > 0) row.set('_incomplete', incomplete);
  return Object.fromEntries(row);
}

const isObject = (value: unknown): value is WireRow => typeof value === 'object' && value !== null;

function readExpanded({ table, expanded }: Expanded, value: unknown, { formatted = false }: ReadOptions): unknown {
  const read = (one: unknown): unknown => (isObject(one) ? readRow(table, one, { formatted, expanded }) : one);
  return Array.isArray(value) ? value.map(read) : read(value);
}

/** The column that a property reads. A column may itself be named like a lookup's property, so that metadata decides. */
function columnOf(table: TableShape, wire: WireRow, property: string): string {
  const column = lookupColumn(property);
  if (column === undefined || table.columns.has(property)) return property;
  const known = table.columns.get(column);
  return (known && isLookup(known)) || lookupTable(wire, property) !== undefined ? column : property;
}

function readValue(table: TableShape, wire: WireRow, property: string, column: string): unknown {
  const value = wire[property];
  const target = lookupTable(wire, property);
  const known = table.columns.get(column);
  if (typeof value === 'string' && (target !== undefined || (known && isLookup(known)))) {
    const name = formattedValue(wire, property);
    return { ...(target !== undefined && { table: target }), id: value, ...(name !== undefined && { name }) };
  }
  if (known?.type === 'MultiSelectPicklist' && typeof value === 'string') {
    return value
      .split(',')
      .filter((part) => part.trim() !== '')
      .map(Number);
  }
  return value;
}
