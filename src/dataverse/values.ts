import { type ExactNumber, exactNumber, isExactNumber } from '../shared/exact-json.ts';
import { isGuid } from '../shared/ids.ts';
import { nearest } from '../shared/nearest.ts';
import type { RowError } from './bulk/outcomes.ts';
import { RowReference } from './row-reference.ts';
import { type Column, isLookup, type LookupTarget, type Table, type TableShape } from './table.ts';
import { binding } from './wire/rows.ts';

/** A row in the Web API's own form, or the first column that keeps it from being written. */
export type WireRow =
  | { readonly values: Readonly<Record<string, unknown>>; readonly error?: never }
  | { readonly error: RowError; readonly values?: never };

/**
 * Turns values of an input row (JSON values, or the texts of a CSV file) into what the Web API takes, checked against
 * metadata first: a value that the service would refuse is told by column before anything is sent. `undefined` leaves
 * a column alone, `null` and the empty text clear it.
 */
export function toWireRow(table: Table, row: Readonly<Record<string, unknown>>): WireRow {
  const values: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(row)) {
    if (value === undefined) continue;
    const column = table.columns.get(name);
    if (!column) return { error: unknownColumn(table, name) };
    if (!column.validForCreate && !column.validForUpdate) {
      return { error: { code: 'columnReadOnly', column: name, message: `The column '${name}' cannot be written.` } };
    }
    const converted = toWireValue(column, value);
    if ('error' in converted) return { error: converted.error };
    values[converted.property ?? name] = converted.value;
  }
  return { values };
}

export function unknownColumn(table: TableShape, name: string): RowError {
  const near = nearest(name, [...table.columns.keys()]);
  return {
    code: 'columnUnknown',
    column: name,
    message: `The table '${table.logicalName}' has no column '${name}'.`,
    ...(near.length > 0 && { hint: `Did you mean ${near.join(' or ')}?` }),
  };
}

type Converted = { readonly value: unknown; readonly property?: string } | { readonly error: RowError };

/** One value in wire form; for a lookup also the property that binds it. */
export function toWireValue(column: Column, value: unknown): Converted {
  if (isLookup(column)) return lookupValue(column, value);
  if (value === null || value === '') return { value: null };
  switch (column.type) {
    case 'String':
    case 'Memo':
      return textValue(column, value);
    case 'Integer':
    case 'BigInt':
      return wholeNumberValue(column, value);
    case 'Decimal':
    case 'Double':
    case 'Money':
      return numberValue(column, value);
    case 'Boolean':
      return booleanValue(column, value);
    case 'DateTime':
      return dateValue(column, value);
    case 'Picklist':
    case 'State':
    case 'Status':
      return choiceValue(column, value);
    case 'MultiSelectPicklist':
      return choicesValue(column, value);
    case 'Uniqueidentifier':
      return typeof value === 'string' && isGuid(value) ? { value: value.toLowerCase() } : wrongType(column, 'a GUID');
    default:
      return refusal(
        column,
        'typeNotSupported',
        `The column '${column.logicalName}' of type ${column.type} cannot be written as a value.`,
      );
  }
}

function refusal(column: Column, code: string, message: string, hint?: string): { readonly error: RowError } {
  return { error: { code, column: column.logicalName, message, ...(hint !== undefined && { hint }) } };
}

const wrongType = (column: Column, wanted: string): { readonly error: RowError } =>
  refusal(column, 'wrongType', `The column '${column.logicalName}' takes ${wanted}.`);

// Characters that XML 1.0 does not allow: the service refuses them (0x80040278). Half of a pair is none at all.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the very characters to be found
const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/u;

function textValue(column: Column, value: unknown): Converted {
  if (typeof value !== 'string') return wrongType(column, 'text');
  if (NOT_XML.test(value)) {
    return refusal(
      column,
      'invalidCharacter',
      `The text for '${column.logicalName}' holds a control character.`,
      'Remove it; XML 1.0 does not allow it.',
    );
  }
  if (column.maxLength !== undefined && value.length > column.maxLength) {
    return refusal(
      column,
      'valueTooLong',
      `The text for '${column.logicalName}' has ${value.length} characters; ${column.maxLength} are allowed.`,
      'Shorten it, or map the column with "truncate": true.',
    );
  }
  return { value };
}

/** The text of a number, or of a text that holds one. */
function numberText(value: unknown): string | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : undefined;
  if (typeof value === 'string') return value.trim();
  return isExactNumber(value) ? value.rawJSON : undefined;
}

const WHOLE_NUMBER = /^[+-]?\d{1,19}$/;
const LARGEST_BIG_INT = 2n ** 63n - 1n;

function wholeNumberValue(column: Column, value: unknown): Converted {
  const text = numberText(value) ?? '';
  if (!WHOLE_NUMBER.test(text)) return wrongType(column, 'a whole number');
  const number = BigInt(text.replace('+', ''));
  if (number > LARGEST_BIG_INT || number < -LARGEST_BIG_INT - 1n) return outOfRange(column, 'has 64 bits');
  return withinRange(column, exactNumber(String(number)));
}

const NUMBER = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,3}))?$/i;

function numberValue(column: Column, value: unknown): Converted {
  const [, sign, whole = '', fraction = '', exponent = ''] = NUMBER.exec(numberText(value) ?? '') ?? [];
  if (sign === undefined || whole + fraction === '') return wrongType(column, 'a number');
  const digits = `${whole.replace(/^0+(?=\d)/, '') || '0'}${fraction && `.${fraction}`}${exponent && `e${exponent}`}`;
  const number = exactNumber(sign === '-' ? `-${digits}` : digits);
  return Number.isFinite(inexact(number)) ? withinRange(column, number) : wrongType(column, 'a number');
}

const inexact = (number: number | ExactNumber): number =>
  typeof number === 'number' ? number : Number(number.rawJSON);

function withinRange(column: Column, value: number | ExactNumber): Converted {
  const { minValue, maxValue } = column;
  const number = inexact(value);
  if ((minValue !== undefined && number < minValue) || (maxValue !== undefined && number > maxValue)) {
    return outOfRange(column, `must lie between ${minValue ?? '-∞'} and ${maxValue ?? '∞'}`);
  }
  return { value };
}

const outOfRange = (column: Column, why: string): { readonly error: RowError } =>
  refusal(column, 'outOfRange', `The number for '${column.logicalName}' ${why}.`);

function booleanValue(column: Column, value: unknown): Converted {
  if (typeof value === 'boolean') return { value };
  const text = typeof value === 'string' || typeof value === 'number' ? String(value).trim().toLowerCase() : '';
  if (text === 'true' || text === '1') return { value: true };
  if (text === 'false' || text === '0') return { value: false };
  return wrongType(column, 'true or false');
}

const DATE = /^(\d{4})-(\d{2})-(\d{2})$/;
const TIME = /^(\d{4}-\d{2}-\d{2})[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})$/i;

function dateValue(column: Column, value: unknown): Converted {
  const text = typeof value === 'string' ? value.trim() : '';
  if (column.dateBehavior === 'DateOnly') {
    return DATE.test(text) && isCalendarDate(text) ? { value: text } : wrongType(column, 'a date such as 2026-05-31');
  }
  const day = text.match(TIME)?.[1];
  const time = Date.parse(text.replace(' ', 'T'));
  if (!day || !isCalendarDate(day) || Number.isNaN(time)) {
    return wrongType(column, 'a time with its offset, such as 2026-05-31T10:00:00Z');
  }
  return { value: new Date(time).toISOString() };
}

function isCalendarDate(text: string): boolean {
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}

const choiceNumber = (value: unknown): number | undefined => {
  const number = typeof value === 'string' && /^-?\d{1,10}$/.test(value.trim()) ? Number(value) : value;
  return typeof number === 'number' && Number.isInteger(number) ? number : undefined;
};

/** A JSON value as text. Objects are not asked for it: their `toString` may be the caller's. */
const textOf = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));

/** The number that a choice's number or label stands for. */
function choiceOf(column: Column, value: unknown): { readonly number: number } | { readonly error: RowError } {
  const number = choiceNumber(value);
  if (number !== undefined && (column.options?.has(number) ?? true)) return { number };
  const labelled = typeof value === 'string' ? column.labels?.get(value.trim().toLowerCase()) : undefined;
  const [only, another] = labelled ?? [];
  if (only === undefined) return unknownChoice(column, value);
  if (another === undefined) return { number: only };
  return refusal(
    column,
    'ambiguousChoice',
    `'${textOf(value).slice(0, 40)}' is the label of several choices of '${column.logicalName}'.`,
    `Give one of the numbers ${labelled?.join(', ')}.`,
  );
}

function choiceValue(column: Column, value: unknown): Converted {
  const choice = choiceOf(column, value);
  return 'error' in choice ? choice : { value: choice.number };
}

function choicesValue(column: Column, value: unknown): Converted {
  const parts: unknown[] = Array.isArray(value) ? value : partsOf(column, textOf(value));
  if (parts.length === 0) return { value: null };
  const numbers: number[] = [];
  for (const part of parts) {
    const choice = choiceOf(column, part);
    if ('error' in choice) return choice;
    numbers.push(choice.number);
  }
  return { value: numbers.join(',') };
}

/** Numbers or labels with commas between them, or semicolons as the service writes labels; a label may hold both. */
function partsOf(column: Column, text: string): string[] {
  return column.labels?.has(text.trim().toLowerCase()) ? [text] : text.split(/[,;]/);
}

function unknownChoice(column: Column, value: unknown): { readonly error: RowError } {
  const shown = [...(column.options ?? [])].slice(0, 20).join(', ');
  const text = textOf(value).slice(0, 40);
  const near = nearest(text, [...(column.labels?.keys() ?? [])]);
  const meant = near.length > 0 ? `Did you mean ${near.join(' or ')}? ` : '';
  return refusal(
    column,
    'unknownChoice',
    `'${text}' is no choice of '${column.logicalName}'.`,
    shown === '' ? undefined : `${meant}Choices are: ${shown}.`,
  );
}

type Targets = ReadonlyMap<string, LookupTarget>;

/** The part of an input that names a row: `{ table, id }`; `name` may be there as it was read. */
function lookupValue(column: Column, value: unknown): Converted {
  const { targets, closedTargets } = column;
  if (!targets) throw new Error(`What '${column.logicalName}' can be bound to was not read.`);
  if (value === null || value === '') {
    const [first] = targets.values();
    const [closed] = closedTargets?.values() ?? [];
    return binding(first?.navigationProperty ?? closed ?? column.logicalName, null);
  }
  const { table, id } = referenceOf(value);
  const tables = [...targets.keys(), ...(closedTargets?.keys() ?? [])];
  const name = table === undefined && tables.length === 1 ? tables[0] : table;
  const target = targetNamed(targets, name);
  if (!target) return noTarget(column, name, tables);
  if (value instanceof RowReference) return binding(target.navigationProperty, value.path);
  if (typeof id !== 'string' || !isGuid(id)) return wrongType(column, 'a GUID, or { "table": …, "id": … }');
  return binding(target.navigationProperty, `${target.entitySetName}(${id.toLowerCase()})`);
}

function referenceOf(value: unknown): { readonly table?: unknown; readonly id?: unknown } {
  if (typeof value === 'string') return { id: value };
  return typeof value === 'object' && value !== null ? value : {};
}

const targetNamed = (targets: Targets, name: unknown): LookupTarget | undefined =>
  typeof name === 'string'
    ? (targets.get(name) ?? [...targets.values()].find(({ entitySetName }) => entitySetName === name))
    : undefined;

function noTarget(column: Column, name: unknown, tables: readonly string[]): { readonly error: RowError } {
  if (typeof name === 'string' && column.closedTargets?.has(name)) {
    return refusal(
      column,
      'tableNotAllowed',
      `The lookup '${column.logicalName}' cannot be bound to the table '${name}', which the connection may not touch.`,
      'Add the table to the connection’s allowedTables setting.',
    );
  }
  return refusal(
    column,
    'lookupTableUnknown',
    `The lookup '${column.logicalName}' needs the table it points at.`,
    `Tables are: ${tables.slice(0, 40).join(', ')}.`,
  );
}
