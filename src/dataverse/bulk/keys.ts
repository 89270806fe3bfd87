import { isExactNumber } from '../../shared/exact-json.ts';
import { isGuid } from '../../shared/ids.ts';
import { DataverseError } from '../errors.ts';
import { type AlternateKey, activeKey, keyOn, type LookupTarget, type RowKey, type Table } from '../table.ts';
import { toWireValue } from '../values.ts';
import { lookupProperty } from '../wire/annotations.ts';
import { fitsPath, rowPath } from '../wire/keys.ts';
import { encode, literal } from '../wire/literals.ts';
import { binding, IN_CONDITION } from '../wire/rows.ts';
import type { RowError } from './outcomes.ts';

/**
 * How the rows of a write are addressed: by their GUID, by the columns of an active alternate key, or by columns that no
 * key keeps unique, of which at most one row may have a row's values.
 */
export type KeyStrategy =
  | { readonly kind: 'id' }
  | { readonly kind: 'alternateKey'; readonly columns: readonly string[] }
  | { readonly kind: 'match'; readonly columns: readonly string[] };

/** The columns that a strategy reads a row's key from. */
export const keyColumns = (table: Table, strategy: KeyStrategy): readonly string[] =>
  strategy.kind === 'id' ? [table.primaryId] : strategy.columns;

/**
 * The strategy that the named columns stand for: the primary id, or an alternate key of exactly these columns.
 * Throws DataverseError `keyUnknown` when there is no such key or its index is not Active.
 */
export function keyStrategy(table: Table, columns: readonly string[]): KeyStrategy {
  const active = activeKey(table, columns);
  if (active === 'id') return { kind: 'id' };
  if (active) {
    const lookup = columns.find((name) => isAmbiguousLookup(table, name));
    if (lookup === undefined) return { kind: 'alternateKey', columns };
    throw keyUnknown(
      `The alternate key '${active.logicalName}' has the lookup '${lookup}', which may point at several tables.`,
      hintForKeys(table),
    );
  }
  const key = keyOn(table, columns);
  if (!key) {
    throw keyUnknown(
      `The table '${table.logicalName}' has no alternate key on ${columns.join(', ')}.`,
      hintForKeys(table),
    );
  }
  throw keyUnknown(
    `The index of the alternate key '${key.logicalName}' is ${key.status}.`,
    key.status === 'Failed' ? 'Remove the duplicates it found and reactivate the key.' : 'Wait until it is Active.',
  );
}

/** Types whose values the Web API compares with `eq`. */
const COMPARABLE: ReadonlySet<string> = new Set(
  'String Integer BigInt Decimal Double Money Boolean DateTime Picklist State Status Uniqueidentifier Lookup'.split(
    ' ',
  ),
);

/**
 * The strategy that finds rows by columns without a key. Throws DataverseError `keyUnknown` when the table has no such
 * column or its values cannot be compared.
 */
export function matchStrategy(table: Table, columns: readonly string[]): KeyStrategy {
  for (const name of columns) {
    const column = table.columns.get(name);
    if (column && COMPARABLE.has(column.type) && !isAmbiguousLookup(table, name)) continue;
    throw keyUnknown(
      column
        ? `Rows of '${table.logicalName}' cannot be matched by '${name}', a column of type ${column.type}.`
        : `The table '${table.logicalName}' has no column '${name}'.`,
      hintForKeys(table),
    );
  }
  return { kind: 'match', columns };
}

const isAmbiguousLookup = (table: Table, name: string): boolean => (table.columns.get(name)?.targets?.size ?? 0) > 1;

const keyUnknown = (message: string, hint: string): DataverseError =>
  new DataverseError('keyUnknown', message, {}, { hint });

function hintForKeys(table: Table): string {
  const usable = ({ status, columns }: AlternateKey): boolean =>
    status === 'Active' && !columns.some((name) => isAmbiguousLookup(table, name));
  const active = table.keys.filter(usable).map((key) => key.columns.join('+'));
  return `Use ${[table.primaryId, ...active].join(' or ')}, or create an alternate key.`;
}

/** The key of an input row in the service's types, or why it has none. */
export function readKey(
  table: Table,
  strategy: KeyStrategy,
  row: Readonly<Record<string, unknown>>,
): { key: RowKey; error?: RowError } {
  if (strategy.kind === 'id') {
    const id = row[table.primaryId];
    if (typeof id === 'string' && isGuid(id)) return { key: { id: id.toLowerCase() } };
    const error =
      id == null || id === ''
        ? emptyKey([table.primaryId])
        : { code: 'wrongType', column: table.primaryId, message: `'${table.primaryId}' takes a GUID.` };
    return { key: { id: typeof id === 'string' ? id.slice(0, 200) : null }, error };
  }
  const key: Record<string, string | number | boolean | null> = {};
  let error: RowError | undefined;
  for (const name of strategy.columns) {
    const column = table.columns.get(name);
    const converted = column && toWireValue(column, row[name] ?? null);
    if (converted && 'error' in converted) error ??= converted.error;
    const value = converted && 'value' in converted ? converted.value : row[name];
    key[name] = keyValue(table, name, targetOf(table, name) ? referredId(row[name]) : value);
  }
  const empty = strategy.columns.filter((name) => key[name] === null);
  if (empty.length > 0) error ??= emptyKey(empty);
  return error ? { key, error } : { key };
}

/** A lookup's value in a key is the id of the row that it points at. */
function referredId(value: unknown): unknown {
  const id = typeof value === 'object' && value !== null && 'id' in value ? value.id : value;
  return typeof id === 'string' && isGuid(id) ? id.toLowerCase() : null;
}

function targetOf(table: Table, name: string): LookupTarget | undefined {
  const [target] = table.columns.get(name)?.targets?.values() ?? [];
  return target;
}

/**
 * A column's value as part of a key, ours or the service's, which writes times without milliseconds. A number that a
 * double does not hold is its digits.
 */
export function keyValue(table: Table, name: string, value: unknown): string | number | boolean | null {
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  if (isExactNumber(value)) return value.rawJSON;
  if (typeof value !== 'string') return null;
  const { type, dateBehavior } = table.columns.get(name) ?? {};
  if (type !== 'DateTime' || dateBehavior === 'DateOnly') return value;
  const time = Date.parse(value);
  return Number.isNaN(time) ? value : new Date(time).toISOString();
}

const emptyKey = (columns: readonly string[]): RowError => ({
  code: 'emptyKey',
  message: `The row has no value for its key ${columns.length > 1 ? 'columns' : 'column'} ${columns.join(', ')}.`,
  ...(columns[0] !== undefined && { column: columns[0] }),
});

/**
 * One text for all keys of one strategy that the service takes for the same: texts compare without regard to case and
 * to blanks at the end; accents count (SQL Server's collation).
 */
export function sameKey(key: RowKey): string {
  const names = Object.keys(key);
  const [only] = names;
  // The usual case by itself: this is made for every row.
  if (names.length === 1 && only !== undefined) return comparable(key[only]);
  names.sort();
  let same = '';
  for (const name of names) {
    const part = comparable(key[name]);
    same += `${name}:${part.length}:${part}`;
  }
  return same;
}

/** Texts as they are, so that the usual key costs no more than the comparison needs; control characters mark the others. */
const comparable = (value: RowKey[string] | undefined): string =>
  typeof value === 'string' ? folded(value) : `\u0000${value}`;

function folded(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 0x20) end -= 1;
  return text.slice(0, end).toLowerCase();
}

/** What a row found by a query has in its key's columns. */
export const keyOf = (table: Table, strategy: KeyStrategy, found: Readonly<Record<string, unknown>>): RowKey =>
  strategy.kind === 'id'
    ? { id: String(found[table.primaryId]).toLowerCase() }
    : Object.fromEntries(strategy.columns.map((name) => [name, keyValue(table, name, found[propertyOf(table, name)])]));

/** The property that a column is read and compared through. */
const propertyOf = (table: Table, name: string): string => (targetOf(table, name) ? lookupProperty(name) : name);

const NUMBERS: ReadonlySet<string> = new Set(['BigInt', 'Decimal', 'Double', 'Money']);

/** A key's value as JSON; digits stand for the number that they are. */
const memberValue = (value: RowKey[string] | undefined, isNumber: boolean): string =>
  isNumber && typeof value === 'string' ? value : JSON.stringify(value ?? null);

/** A key's columns as a new row is sent with them: the members of its JSON, without braces. */
export function keyMembers(table: Table, strategy: KeyStrategy): (key: RowKey) => string {
  if (strategy.kind === 'id') return () => '';
  const writers = strategy.columns.map((name) => {
    const target = targetOf(table, name);
    const property = target ? binding(target.navigationProperty, null).property : name;
    const head = `${JSON.stringify(property)}:`;
    const isNumber = NUMBERS.has(table.columns.get(name)?.type ?? '');
    if (!target) return (key: RowKey): string => head + memberValue(key[name], isNumber);
    const path = (key: RowKey): string => `${target.entitySetName}(${key[name]})`;
    return (key: RowKey): string => head + JSON.stringify(binding(target.navigationProperty, path(key)).value);
  });
  const [only] = writers;
  if (writers.length === 1 && only) return only;
  return (key) => writers.map((write) => write(key)).join(',');
}

/**
 * The query that finds the rows of these keys: the part of a URL behind `?`. One text column, or the id, becomes the
 * documented `In` function, which takes its values through an alias; anything else becomes a chain of comparisons.
 */
export function keyFilter(table: Table, strategy: KeyStrategy, keys: readonly RowKey[]): string {
  const columns = keyColumns(table, strategy);
  const facts = strategy.kind === 'id' && table.columns.has('createdon') ? ['createdon'] : [];
  const selected = new Set([table.primaryId, ...columns.map((name) => propertyOf(table, name)), ...facts]);
  const select = `$select=${[...selected].join(',')}`;
  const [only] = columns;
  if (columns.length === 1 && only !== undefined && (strategy.kind === 'id' || isQuoted(table, only))) {
    const values = keys.map((key) => String(key[strategy.kind === 'id' ? 'id' : only]));
    return `${select}&$filter=${encode(IN_CONDITION)}&@c=${encode(literal(only, true))}&@v=${encode(JSON.stringify(values))}`;
  }
  const comparisons = keys.map((key) => {
    const parts = columns.map(
      (name) => `${propertyOf(table, name)} eq ${literal(key[name] ?? null, isQuoted(table, name))}`,
    );
    return `(${parts.join(' and ')})`;
  });
  return `${select}&$filter=${encode(comparisons.join(' or '))}`;
}

function isQuoted(table: Table, name: string): boolean {
  const type = table.columns.get(name)?.type;
  return type === 'String' || type === 'Memo';
}

/** The address of a row by its key, or undefined where no address carries its values. */
export function addressByKey(table: Table, strategy: KeyStrategy, key: RowKey): string | undefined {
  if (strategy.kind === 'id') return rowPath(table.entitySetName, String(key['id']));
  const parts = strategy.columns.map((name) => ({
    property: propertyOf(table, name),
    literal: literal(key[name] ?? null, isQuoted(table, name)),
  }));
  return fitsPath(parts) ? rowPath(table.entitySetName, parts) : undefined;
}
