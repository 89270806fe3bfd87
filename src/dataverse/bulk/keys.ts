import { isGuid } from '../../shared/ids.ts';
import { DataverseError } from '../errors.ts';
import { type AlternateKey, activeKey, keyOn, type RowKey, type Table } from '../table.ts';
import { toWireValue } from '../values.ts';
import { encode, literal } from '../wire/literals.ts';
import { IN_CONDITION } from '../wire/rows.ts';
import type { RowError } from './outcomes.ts';

/** How the rows of a write are addressed: by their GUID, or by the columns of an active alternate key. */
export type KeyStrategy =
  | { readonly kind: 'id' }
  | { readonly kind: 'alternateKey'; readonly columns: readonly string[] };

/**
 * The strategy that the named columns stand for: the primary id, or an alternate key of exactly these columns.
 * Throws DataverseError `keyUnknown` when there is no such key or its index is not Active.
 */
export function keyStrategy(table: Table, columns: readonly string[]): KeyStrategy {
  const active = activeKey(table, columns);
  if (active === 'id') return { kind: 'id' };
  const lookup = active && columns.find((name) => table.columns.get(name)?.targets);
  if (lookup !== undefined) {
    throw new DataverseError(
      'keyUnknown',
      `The alternate key '${active?.logicalName}' has the lookup '${lookup}', by which rows cannot be addressed here.`,
      {},
      { hint: hintForKeys(table) },
    );
  }
  if (active) return { kind: 'alternateKey', columns };
  const key = keyOn(table, columns);
  if (!key) {
    throw new DataverseError(
      'keyUnknown',
      `The table '${table.logicalName}' has no alternate key on ${columns.join(', ')}.`,
      {},
      { hint: hintForKeys(table) },
    );
  }
  throw new DataverseError(
    'keyUnknown',
    `The index of the alternate key '${key.logicalName}' is ${key.status}.`,
    {},
    {
      hint:
        key.status === 'Failed' ? 'Remove the duplicates it found and reactivate the key.' : 'Wait until it is Active.',
    },
  );
}

function hintForKeys(table: Table): string {
  const usable = ({ status, columns }: AlternateKey): boolean =>
    status === 'Active' && !columns.some((name) => table.columns.get(name)?.targets);
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
    key[name] = keyValue(table, name, converted && 'value' in converted ? converted.value : row[name]);
  }
  const empty = strategy.columns.filter((name) => key[name] === null);
  if (empty.length > 0) error ??= emptyKey(empty);
  return error ? { key, error } : { key };
}

/** A column's value as part of a key, ours or the service's, which writes times without milliseconds. */
export function keyValue(table: Table, name: string, value: unknown): string | number | boolean | null {
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  if (typeof value !== 'string') return null;
  const { type, dateBehavior } = table.columns.get(name) ?? {};
  const time = type === 'DateTime' && dateBehavior !== 'DateOnly' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(time) ? value : new Date(time).toISOString();
}

const emptyKey = (columns: readonly string[]): RowError => ({
  code: 'emptyKey',
  message: `The row has no value for its key ${columns.length > 1 ? 'columns' : 'column'} ${columns.join(', ')}.`,
  ...(columns[0] !== undefined && { column: columns[0] }),
});

/**
 * One text for all keys that the service takes for the same: texts compare without regard to case and to trailing
 * blanks (SQL Server's collation).
 */
export function sameKey(key: RowKey): string {
  const parts = Object.entries(key).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(
    parts.map(([name, value]) => [name, typeof value === 'string' ? value.trimEnd().toLowerCase() : value]),
  );
}

/**
 * The query that finds the rows of these keys: the part of a URL behind `?`. One text column, or the id, becomes the
 * documented `In` function, which takes its values through an alias; anything else becomes a chain of comparisons.
 */
export function keyFilter(table: Table, strategy: KeyStrategy, keys: readonly RowKey[]): string {
  const columns = strategy.kind === 'id' ? [table.primaryId] : strategy.columns;
  const select = `$select=${[...new Set([table.primaryId, ...columns])].join(',')}`;
  const [only] = columns;
  if (columns.length === 1 && only !== undefined && (strategy.kind === 'id' || isQuoted(table, only))) {
    const values = keys.map((key) => String(key[strategy.kind === 'id' ? 'id' : only]));
    return `${select}&$filter=${encode(IN_CONDITION)}&@c=${encode(literal(only, true))}&@v=${encode(JSON.stringify(values))}`;
  }
  const comparisons = keys.map((key) => {
    const parts = columns.map((name) => `${name} eq ${literal(key[name] ?? null, isQuoted(table, name))}`);
    return `(${parts.join(' and ')})`;
  });
  return `${select}&$filter=${encode(comparisons.join(' or '))}`;
}

function isQuoted(table: Table, name: string): boolean {
  const type = table.columns.get(name)?.type;
  return type === 'String' || type === 'Memo';
}
