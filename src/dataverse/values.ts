import { isGuid } from '../shared/ids.ts';
import type { RowError } from './bulk/outcomes.ts';
import { nearest } from '../shared/nearest.ts';
import type { Column, Table } from './table.ts';
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

export function unknownColumn(table: Table, name: string): RowError {
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
  if (column.targets) return lookupValue(column, column.targets, value);
  if (value === null || value === '') return { value: null };
  switch (column.type) {
    case 'String':
    case 'Memo':
      return textValue(column, value);
    case 'Integer':
    case 'BigInt':
      return numberValue(column, value, /^[+-]?\d{1,19}$/, 'a whole number');
    case 'Decimal':
    case 'Double':
    case 'Money':
      return numberValue(column, value, /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/i, 'a number');
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

// Characters that XML 1.0 does not allow: the service refuses them (0x80040278).
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the very characters to be found
const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;

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

function numberValue(column: Column, value: unknown, form: RegExp, wanted: string): Converted {
  const number = typeof value === 'string' && form.test(value.trim()) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isFinite(number)) return wrongType(column, wanted);
  if (wanted === 'a whole number' && !Number.isInteger(number)) return wrongType(column, wanted);
  if (wanted === 'a whole number' && !Number.isSafeInteger(number)) {
    return refusal(
      column,
      'outOfRange',
      `The number for '${column.logicalName}' is too large to be carried exactly.`,
      `Largest is ${Number.MAX_SAFE_INTEGER}.`,
    );
  }
  const { minValue, maxValue } = column;
  if ((minValue !== undefined && number < minValue) || (maxValue !== undefined && number > maxValue)) {
    return refusal(
      column,
      'outOfRange',
      `The number for '${column.logicalName}' must lie between ${minValue ?? '-∞'} and ${maxValue ?? '∞'}.`,
    );
  }
  return { value: number };
}

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
const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

function choiceValue(column: Column, value: unknown): Converted {
  const number = choiceNumber(value);
  if (number !== undefined && (column.options?.has(number) ?? true)) return { value: number };
  return unknownChoice(column, value);
}

function choicesValue(column: Column, value: unknown): Converted {
  const parts: unknown[] = Array.isArray(value) ? value : textOf(value).split(',');
  if (parts.length === 0) return { value: null };
  const numbers = parts.map(choiceNumber);
  const wrong = numbers.findIndex((number) => number === undefined || !(column.options?.has(number) ?? true));
  return wrong < 0 ? { value: numbers.join(',') } : unknownChoice(column, parts[wrong]);
}

function unknownChoice(column: Column, value: unknown): Converted {
  const shown = [...(column.options ?? [])].slice(0, 20).join(', ');
  const text = textOf(value).slice(0, 40);
  return refusal(
    column,
    'unknownChoice',
    `'${text}' is no choice of '${column.logicalName}'.`,
    shown === '' ? undefined : `Choices are: ${shown}.`,
  );
}

type Targets = NonNullable<Column['targets']>;

function lookupValue(column: Column, targets: Targets, value: unknown): Converted {
  const [only] = targets.size === 1 ? [...targets.keys()] : [];
  if (value === null || value === '') {
    const [first] = targets.values();
    return binding(first?.navigationProperty ?? column.logicalName, null);
  }
  const reference =
    typeof value === 'string' ? { table: only, id: value } : (value as { table?: unknown; id?: unknown });
  const target =
    typeof reference.table === 'string'
      ? targets.get(reference.table)
      : only !== undefined
        ? targets.get(only)
        : undefined;
  if (!target) {
    return refusal(
      column,
      'lookupTableUnknown',
      `The lookup '${column.logicalName}' needs the table it points at.`,
      `Tables are: ${[...targets.keys()].join(', ')}.`,
    );
  }
  if (typeof reference.id !== 'string' || !isGuid(reference.id))
    return wrongType(column, 'a GUID, or { "table": …, "id": … }');
  return binding(target.navigationProperty, { entitySetName: target.entitySetName, id: reference.id.toLowerCase() });
}
