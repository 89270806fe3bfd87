import { isExactNumber } from '../shared/exact-json.ts';
import { isGuid } from '../shared/ids.ts';
import { nearest } from '../shared/nearest.ts';
import { InputError } from './input-error.ts';
import type { Metadata } from './metadata.ts';
import { activeKey, type Column, isLookup, keyOn, type Table, type TableShape } from './table.ts';
import { toWireValue } from './values.ts';
import { lookupColumn, lookupProperty } from './wire/annotations.ts';
import { fitsPath, type KeyPart, rowPath } from './wire/keys.ts';
import { stringLiteral } from './wire/literals.ts';

/** One row of a table: by its GUID, or by the values of an alternate key whose index is active. */
export type RowAddress =
  | { readonly kind: 'id'; readonly table: TableShape; readonly id: string }
  | {
      readonly kind: 'key';
      readonly table: Table;
      readonly parts: readonly KeyPart[];
      /** The key's columns as they are written into a row. */
      readonly values: Readonly<Record<string, unknown>>;
    };

/** A key as a caller gives it: a GUID, `accountnumber='A-1'` with several columns separated by commas, or `{ column: value }`. */
export type RowKeyInput = string | Readonly<Record<string, unknown>>;

/** The address's path below the Web API's root; undefined where the key's values do not fit a path. */
export function addressPath(address: RowAddress): string | undefined {
  const { entitySetName } = address.table;
  if (address.kind === 'id') return rowPath(entitySetName, address.id);
  return fitsPath(address.parts) ? rowPath(entitySetName, address.parts) : undefined;
}

/**
 * The row that a key addresses. A GUID costs no more than what reading the table takes. Throws InputError `keyInvalid`
 * or `keyUnknown` for `path`, and what metadata throws.
 */
export async function addressOf(
  metadata: Metadata,
  table: string,
  key: RowKeyInput,
  { path = 'key', signal }: { readonly path?: string; readonly signal?: AbortSignal | undefined } = {},
): Promise<RowAddress> {
  if (typeof key === 'string' && isGuid(key.trim())) {
    return { kind: 'id', table: await metadata.shape(table, signal), id: key.trim().toLowerCase() };
  }
  const given = typeof key === 'string' ? parseKey(key, path) : valuesOf(key, path);
  const columns = [...given.keys()];
  const definition = await metadata.table(table, { columns, keyColumns: columns }, signal);
  return checked(definition, given, path);
}

interface GivenValue {
  readonly value: unknown;
  /** Whether it was written in quotes; undefined where it was no text. */
  readonly quoted?: boolean;
}
type GivenKey = ReadonlyMap<string, GivenValue>;

/** A key has 16 columns at most, of 900 bytes in all. */
const LONGEST_KEY = 4_000;
const MOST_COLUMNS = 16;

const invalid = (path: string, message: string): InputError =>
  new InputError(path, 'keyInvalid', message, {
    hint: "Give a GUID, or the columns of an alternate key: accountnumber='A-1', several separated by commas, quotes doubled.",
  });

const PART = /\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?:'((?:[^']|'')*)'|([^'",=\s][^',=]*))\s*(,|$)/y;

/** Reads `accountnumber='A-1',subkey=3`. Throws InputError `keyInvalid`. */
function parseKey(text: string, path: string): GivenKey {
  if (text.length > LONGEST_KEY) throw invalid(path, `The key is longer than ${LONGEST_KEY} characters.`);
  const given = new Map<string, GivenValue>();
  const pattern = new RegExp(PART);
  for (let separator = ','; separator === ','; ) {
    const found = pattern.exec(text);
    if (!found) throw invalid(path, `The key '${text.slice(0, 100)}' is neither a GUID nor a list of columns.`);
    const [, name = '', quoted, bare = '', end = ''] = found;
    const column = lookupColumn(name) ?? name;
    if (given.has(column)) throw invalid(path, `The key names '${column}' twice.`);
    given.set(
      column,
      quoted === undefined
        ? { value: bare.trim(), quoted: false }
        : { value: quoted.replaceAll("''", "'"), quoted: true },
    );
    separator = end;
  }
  if (given.size > MOST_COLUMNS) throw invalid(path, `A key has ${MOST_COLUMNS} columns at most.`);
  return given;
}

function valuesOf(key: Readonly<Record<string, unknown>>, path: string): GivenKey {
  const given = new Map(Object.entries(key).map(([name, value]): [string, GivenValue] => [name, { value }]));
  if (given.size === 0 || given.size > MOST_COLUMNS) {
    throw invalid(path, `A key has from one to ${MOST_COLUMNS} columns.`);
  }
  return given;
}

function checked(table: Table, given: GivenKey, path: string): RowAddress {
  const columns = [...given.keys()];
  const unknown = columns.find((name) => !table.columns.has(name));
  const active = unknown === undefined ? activeKey(table, columns) : undefined;
  if (active === undefined) throw noSuchKey(table, columns, unknown, path);
  if (active === 'id') {
    const id = given.get(table.primaryId)?.value;
    if (typeof id !== 'string' || !isGuid(id)) throw invalid(path, `'${table.primaryId}' takes a GUID.`);
    return { kind: 'id', table, id: id.toLowerCase() };
  }
  const parts: KeyPart[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, value] of given) {
    const column = table.columns.get(name);
    if (!column) throw noSuchKey(table, columns, name, path);
    const { part, property, written } = keyPart(column, value, path);
    parts.push(part);
    values[property] = written;
  }
  return { kind: 'key', table, parts, values };
}

function noSuchKey(table: Table, columns: readonly string[], unknown: string | undefined, path: string): InputError {
  const keys = table.keys.filter(({ status }) => status === 'Active').map((key) => key.columns.join('+'));
  const hint = `Rows of '${table.logicalName}' are addressed by ${[table.primaryId, ...keys].join(' or ')}.`;
  if (unknown !== undefined) {
    const near = nearest(unknown, [...table.columns.keys()]);
    const meant = near.length > 0 ? `Did you mean ${near.join(' or ')}? ` : '';
    const message = `The table '${table.logicalName}' has no column '${unknown.slice(0, 128)}'.`;
    return new InputError(path, 'keyUnknown', message, { hint: meant + hint });
  }
  const pending = keyOn(table, columns);
  const message = pending
    ? `The index of the alternate key '${pending.logicalName}' is ${pending.status}.`
    : `The table '${table.logicalName}' has no alternate key on ${columns.join(', ')}.`;
  return new InputError(path, 'keyUnknown', message, { hint });
}

/** A key's value for the path, and as it is written into a row. */
function keyPart(
  column: Column,
  { value, quoted }: GivenValue,
  path: string,
): { part: KeyPart; property: string; written: unknown } {
  const name = column.logicalName;
  const isText = column.type === 'String' || column.type === 'Memo';
  if (quoted !== undefined && quoted !== isText) {
    throw invalid(path, isText ? `The text for '${name}' must be quoted.` : `The value for '${name}' has no quotes.`);
  }
  const converted = toWireValue(column, value);
  if ('error' in converted) {
    throw new InputError(path, converted.error.code, converted.error.message, { hint: converted.error.hint });
  }
  if (converted.value === null) throw invalid(path, `A key needs a value for '${name}'.`);
  if (isLookup(column)) {
    const id = typeof value === 'string' ? value : (value as { id?: unknown }).id;
    if (typeof id !== 'string' || !isGuid(id)) throw invalid(path, `'${name}' takes a GUID.`);
    const part = { property: lookupProperty(name), literal: id.toLowerCase() };
    return { part, property: converted.property ?? name, written: converted.value };
  }
  return {
    part: { property: name, literal: literalOf(converted.value, isText) },
    property: name,
    written: converted.value,
  };
}

function literalOf(value: unknown, isText: boolean): string {
  if (isExactNumber(value)) return value.rawJSON;
  return isText ? stringLiteral(String(value)) : String(value);
}
