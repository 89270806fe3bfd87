import { isGuid } from '../../shared/ids.ts';
import {
  badPayload,
  dateOutOfRange,
  invalidCharacter,
  notConvertible,
  notPrimitive,
  outOfRange,
  textTooLong,
  tooManyChoices,
  unknownChoice,
} from './errors.ts';
import type { ColumnValue } from './events/row-event.ts';
import type { Column, Table } from './metadata.ts';
import type { StoredValue } from './store.ts';

declare global {
  interface JSON {
    /** A number with just these digits; JavaScript's own would drop the zeros that the service writes. */
    rawJSON(text: string): unknown;
  }
}

// SQL Server's datetime begins here. UNCONFIRMED for the Web API.
const FIRST_DATE = Date.UTC(1753, 0, 1);
const LAST_DATE = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
const INT64_AS_DOUBLE = 2 ** 63;
const CHOICES_MAX = 150;
const MONEY_DIGITS = 4;
const DECIMAL_DIGITS = 10;
const AGGREGATED_MONEY_DIGITS = 9;

const LONE_SURROGATE = /\p{Surrogate}/u;
const NUMBER = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$/;

const EDM_TYPES: Readonly<Partial<Record<Column['kind'], string>>> = {
  text: 'Edm.String',
  memo: 'Edm.String',
  entityname: 'Edm.String',
  choices: 'Edm.String',
  integer: 'Edm.Int32',
  choice: 'Edm.Int32',
  state: 'Edm.Int32',
  status: 'Edm.Int32',
  bigint: 'Edm.Int64',
  decimal: 'Edm.Decimal',
  money: 'Edm.Decimal',
  double: 'Edm.Double',
  boolean: 'Edm.Boolean',
  managed: 'Edm.Boolean',
  datetime: 'Edm.DateTimeOffset',
  dateonly: 'Edm.Date',
  guid: 'Edm.Guid',
  lookup: 'Edm.Guid',
};

/** The column's type as the service's errors and contexts name it. */
export const edmType = (column: Column): string => EDM_TYPES[column.kind] ?? 'Edm.Untyped';

/** Reads a value of a request's body for a column. Throws WireError as the service refuses it. */
export function readValue(table: Table, column: Column, json: unknown): StoredValue {
  if (json === null) return null;
  switch (column.kind) {
    case 'text':
    case 'memo':
    case 'entityname':
      return readText(table, column, json);
    case 'integer':
    case 'bigint':
      return inRange(table, column, readInteger(table, column, json));
    case 'decimal':
    case 'money':
    case 'double':
      return inRange(table, column, rounded(readNumber(table, column, json), column.precision));
    case 'boolean':
    case 'managed':
      return readBoolean(table, column, json);
    case 'datetime':
      return readTime(table, column, json);
    case 'dateonly':
      return readDate(table, column, json);
    case 'choice':
    case 'state':
    case 'status':
      return oneOf(table, column, readInteger(table, column, json));
    case 'choices':
      return readChoices(table, column, json);
    case 'guid':
    case 'lookup':
      if (typeof json === 'string' && isGuid(json)) return json.toLowerCase();
      throw mismatch(table, column, json);
    case 'unsupported':
      throw badPayload(table.entitySetName, `The property '${column.logicalName}' cannot be written.`);
  }
}

const mismatch = (table: Table, column: Column, json: unknown) =>
  typeof json === 'object'
    ? notPrimitive(table.entitySetName, json)
    : notConvertible(table.entitySetName, String(json), edmType(column));

function readText(table: Table, column: Column, json: unknown): string | null {
  if (typeof json !== 'string') throw mismatch(table, column, json);
  const invalid = firstInvalidCharacter(json);
  if (invalid >= 0) throw invalidCharacter(column.logicalName, json[invalid] ?? '', json.charCodeAt(invalid));
  if (column.maxLength !== undefined && json.length > column.maxLength) {
    throw textTooLong(table.logicalName, column.logicalName, column.maxLength);
  }
  // UNCONFIRMED: the service keeps no empty text apart from null.
  return json === '' ? null : json;
}

/** Position of the first character that XML 1.0 does not know, or -1. Half a surrogate pair is none of its own. */
function firstInvalidCharacter(text: string): number {
  const lone = text.search(LONE_SURROGATE);
  if (lone >= 0) return lone;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code < 0x20 && code !== 0x09 && code !== 0x0a && code !== 0x0d) return at;
    if (code === 0xfffe || code === 0xffff) return at;
  }
  return -1;
}

function readInteger(table: Table, column: Column, json: unknown): number {
  // Text is taken as well, as long as it is a number.
  const value = typeof json === 'string' && /^\s*[+-]?\d{1,19}\s*$/.test(json) ? Number(json) : json;
  const limit = column.kind === 'bigint' ? INT64_AS_DOUBLE : 2 ** 31;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < -limit || value >= limit) {
    throw mismatch(table, column, json);
  }
  return value;
}

function readNumber(table: Table, column: Column, json: unknown): number {
  // Microsoft.OData takes text for a double; for a decimal only under IEEE754Compatible, which the service does not offer.
  const text = column.kind === 'double' && typeof json === 'string' && NUMBER.test(json);
  const value = text ? Number(json) : json;
  if (typeof value !== 'number' || !Number.isFinite(value)) throw mismatch(table, column, json);
  return value;
}

function rounded(value: number, digits: number | undefined): number {
  if (digits === undefined) return value;
  // Shifting by the text of the number, so that 1.005 is not taken for 1.00499.
  const [mantissa, exponent] = String(value).split('e');
  const shifted = Math.round(Math.abs(Number(`${mantissa}e${Number(exponent ?? 0) + digits}`)));
  const result = Number(`${shifted}e${-digits}`);
  return Number.isFinite(result) ? Math.sign(value) * result : value;
}

function inRange(table: Table, column: Column, value: number): number {
  const tooSmall = column.minValue !== undefined && value < column.minValue;
  const tooGreat = column.maxValue !== undefined && value > column.maxValue;
  if (tooSmall || tooGreat) throw outOfRange(table.logicalName, column.logicalName);
  return value;
}

function readBoolean(table: Table, column: Column, json: unknown): number {
  // Managed properties are objects on the wire: { Value, CanBeChanged, ManagedPropertyLogicalName }.
  const value =
    column.kind === 'managed' && typeof json === 'object' && json !== null && 'Value' in json ? json.Value : json;
  if (typeof value !== 'boolean') throw mismatch(table, column, json);
  return value ? 1 : 0;
}

const TIME = /^(?<date>\d{4}-\d\d-\d\d)T(?:[01]\d|2[0-3]):\d\d(?::\d\d(?:\.\d{1,12})?)?(?:Z|[+-]\d\d:\d\d)$/i;

/** JavaScript counts on: for it, 30 February is 1 March. */
const isCalendarDate = (text: string): boolean =>
  !Number.isNaN(Date.parse(text)) && new Date(text).toISOString().startsWith(text);

function readTime(table: Table, column: Column, json: unknown): number {
  const date = typeof json === 'string' ? TIME.exec(json)?.groups?.['date'] : undefined;
  const ms = Date.parse(String(json));
  if (!date || !isCalendarDate(date) || Number.isNaN(ms)) throw mismatch(table, column, json);
  if (ms < FIRST_DATE || ms > LAST_DATE) throw dateOutOfRange();
  return Math.floor(ms / 1000) * 1000;
}

function readDate(table: Table, column: Column, json: unknown): number {
  if (typeof json !== 'string' || !/^\d{4}-\d\d-\d\d$/.test(json) || !isCalendarDate(json)) {
    throw mismatch(table, column, json);
  }
  const ms = Date.parse(`${json}T00:00:00Z`);
  if (ms < FIRST_DATE) throw dateOutOfRange();
  return ms;
}

function oneOf(table: Table, column: Column, value: number): number {
  // Some of the documentation's tables name no options; any number is taken there.
  if (column.options.size > 0 && !column.options.has(value)) {
    throw unknownChoice(table.logicalName, column.logicalName, value, column.options.keys());
  }
  return value;
}

function readChoices(table: Table, column: Column, json: unknown): string | null {
  if (typeof json !== 'string') throw mismatch(table, column, json);
  const texts = json.split(',').map((text) => text.trim());
  if (json.trim() === '') return null;
  if (texts.some((text) => !/^-?\d{1,10}$/.test(text))) throw mismatch(table, column, json);
  const values = [...new Set(texts.map(Number))];
  if (values.length > CHOICES_MAX) throw tooManyChoices(column.logicalName);
  for (const value of values) oneOf(table, column, value);
  return values.sort((a, b) => a - b).join(',');
}

/** A stored value in the JSON form of the service. */
export function writeValue(column: Column, value: StoredValue | undefined): unknown {
  if (value === null || value === undefined) return null;
  switch (column.kind) {
    case 'boolean':
      return value === 1;
    case 'managed':
      return { Value: value === 1, CanBeChanged: true, ManagedPropertyLogicalName: column.logicalName };
    case 'datetime':
      return timeText(Number(value));
    case 'dateonly':
      return new Date(Number(value)).toISOString().slice(0, 10);
    case 'money':
      return fixed(Number(value), MONEY_DIGITS);
    case 'decimal':
      return fixed(Number(value), Math.max(column.precision ?? 0, DECIMAL_DIGITS));
    default:
      return value;
  }
}

/** A value that `$apply` computed; sums and averages of amounts have more digits than the amounts (documentation). */
export const aggregatedValue = (column: Column, method: string, value: StoredValue): unknown =>
  column.kind === 'money' && (method === 'sum' || method === 'average')
    ? fixed(Number(value), AGGREGATED_MONEY_DIGITS)
    : writeValue(column, value);

const fixed = (value: number, digits: number): unknown =>
  Math.abs(value) < 1e21 ? JSON.rawJSON(value.toFixed(digits)) : value;

const timeText = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z');

const english = new Intl.NumberFormat('en-US');
const money = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD' });
const dateFormat = new Intl.DateTimeFormat('en-US', { timeZone: 'UTC' });
const timeFormat = new Intl.DateTimeFormat('en-US', { timeZone: 'UTC', hour: 'numeric', minute: '2-digit' });

/** The value as people of the organization (English, UTC, US dollars) read it; undefined where the service adds none. */
export function formatValue(column: Column, value: StoredValue | undefined): string | undefined {
  if (value === null || value === undefined) return undefined;
  switch (column.kind) {
    case 'choice':
    case 'state':
    case 'status':
    case 'boolean':
      return column.options.get(Number(value))?.label;
    case 'choices':
      return String(value)
        .split(',')
        .map((one) => column.options.get(Number(one))?.label ?? one)
        .join('; ');
    case 'integer':
      return column.raw['Format'] === 'None' || column.raw['Format'] === undefined
        ? english.format(Number(value))
        : String(value);
    case 'bigint':
      return english.format(Number(value));
    case 'decimal':
    case 'double':
      return withDigits(Number(value), column.precision ?? 2);
    case 'money':
      return money.format(Number(value));
    case 'dateonly':
      return dateFormat.format(Number(value));
    case 'datetime':
      return column.raw['Format'] === 'DateOnly'
        ? dateFormat.format(Number(value))
        : `${dateFormat.format(Number(value))} ${timeFormat.format(Number(value)).replaceAll('\u202f', ' ')}`;
    default:
      return undefined;
  }
}

const withDigits = (value: number, digits: number): string =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** A stored value as event payloads need it; `target` is the lookup's table. */
export function eventValue(column: Column, value: StoredValue | undefined, target?: string): ColumnValue {
  if (value === null || value === undefined) return null;
  switch (column.kind) {
    case 'boolean':
    case 'managed':
      return value === 1;
    case 'datetime':
    case 'dateonly':
      return { kind: 'date', ms: Number(value) };
    case 'choice':
    case 'state':
    case 'status':
      return { kind: 'choice', value: Number(value) };
    case 'choices':
      return { kind: 'choices', values: String(value).split(',').map(Number) };
    case 'money':
      return { kind: 'money', value: Number(value) };
    case 'lookup':
      return { kind: 'lookup', table: target ?? '', id: String(value) };
    default:
      return value;
  }
}
