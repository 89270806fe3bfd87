import { badQuery, notEmulated } from './errors.ts';
import type { Column } from './metadata.ts';
import type { Operand } from './odata/ast.ts';
import type { ColumnInQuery, QueryBuilder, Sql } from './query-sql.ts';
import { folded } from './references.ts';
import type { StoredValue } from './store.ts';
import { readValue } from './values.ts';
import type { Work } from './work.ts';

type Arguments = ReadonlyMap<string, Operand>;

/** Half open: from, to in milliseconds; null is without end. */
type Span = readonly [from: number | null, to: number | null];

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** A condition `Microsoft.Dynamics.CRM.<name>(PropertyName='…', …)`. Throws WireError 400 and 501. */
export function conditionFunction(query: QueryBuilder, name: string, given: Arguments): Sql {
  const column = query.column({
    kind: 'path',
    position: 0,
    segments: columnPath(query, textOf(given, 'PropertyName')),
  });
  const { work } = query;
  const list = LISTS[name];
  if (list) return list(column, valuesOf(column, given));
  const own = userValue(work, name);
  if (own) return { text: `${column.qualified} ${name.startsWith('Not') ? 'IS NOT' : '='} ?`, values: [own] };
  return within(column, spanOf(work, name, given));
}

/** A lookup may be named by its logical name here, and a column behind a lookup by its path. */
function columnPath(query: QueryBuilder, name: string): string[] {
  const segments = name.split('/');
  const column = segments.length === 1 ? query.table.columns.get(name) : undefined;
  return column ? [column.property] : segments;
}

const LISTS: Readonly<Record<string, (column: ColumnInQuery, values: readonly StoredValue[]) => Sql>> = {
  In: (column, values) => ({ text: `${column.compared} IN (${marks(values)})`, values }),
  NotIn: (column, values) => ({ text: `${column.compared} NOT IN (${marks(values)})`, values }),
  Between: (column, values) => ({ text: `${column.compared} BETWEEN ? AND ?`, values: pair(values) }),
  NotBetween: (column, values) => ({ text: `${column.compared} NOT BETWEEN ? AND ?`, values: pair(values) }),
  ContainValues: (column, values) => containing(column, values),
  DoesNotContainValues: (column, values) => {
    const { text, values: parameters } = containing(column, values);
    return { text: `(${column.qualified} IS NULL OR NOT ${text})`, values: parameters };
  },
};

const marks = (values: readonly unknown[]): string => values.map(() => '?').join(', ');

function pair(values: readonly StoredValue[]): readonly StoredValue[] {
  if (values.length !== 2) throw badQuery('Between takes two values.');
  return values;
}

function containing({ column, qualified }: ColumnInQuery, values: readonly StoredValue[]): Sql {
  if (column.kind !== 'choices') throw badQuery(`'${column.property}' is not a multi-select choice column.`);
  const one = `instr(',' || ${qualified} || ',', ?) > 0`;
  return { text: `(${values.map(() => one).join(' OR ')})`, values: values.map((value) => `,${value},`) };
}

function userValue(work: Work, name: string): string | undefined {
  if (name === 'EqualUserId' || name === 'NotEqualUserId') return work.caller.userId;
  return name === 'EqualBusinessId' || name === 'NotEqualBusinessId' ? work.caller.businessUnitId : undefined;
}

function within({ column, qualified }: ColumnInQuery, [from, to]: Span): Sql {
  if (column.kind !== 'datetime' && column.kind !== 'dateonly') {
    throw badQuery(`'${column.property}' is not a date column.`);
  }
  const parts: string[] = [`${qualified} IS NOT NULL`];
  if (from !== null) parts.push(`${qualified} >= ?`);
  if (to !== null) parts.push(`${qualified} < ?`);
  return { text: `(${parts.join(' AND ')})`, values: [from, to].filter((one) => one !== null) };
}

const UNITS: Readonly<Record<string, (ms: number, count: number) => number>> = {
  Minutes: (ms, count) => ms + count * 60_000,
  Hours: (ms, count) => ms + count * HOUR,
  Days: (ms, count) => ms + count * DAY,
  Weeks: (ms, count) => ms + count * 7 * DAY,
  Months: (ms, count) => addMonths(ms, count),
  Years: (ms, count) => addMonths(ms, 12 * count),
};

/** Days, weeks (from Sunday), months and years are those of UTC, the time zone of application users. */
function spanOf(work: Work, name: string, given: Arguments): Span {
  const now = work.env.clock.now();
  const today = Math.floor(now / DAY) * DAY;
  const moving = /^(LastX|NextX|OlderThanX)(Minutes|Hours|Days|Weeks|Months|Years)$/.exec(name);
  const shift = UNITS[moving?.[2] ?? ''];
  if (moving && shift) {
    const count = countOf(given);
    // UNCONFIRMED: hours count from now, longer units take the whole of the first or last day.
    const whole = moving[2] !== 'Hours' && moving[2] !== 'Minutes';
    if (moving[1] === 'OlderThanX') return [null, shift(now, -count)];
    if (moving[1] === 'LastX') return [shift(whole ? today : now, -count), now];
    return [now, shift(whole ? today + DAY : now, count)];
  }
  const fixed = FIXED[name];
  if (fixed) return fixed(today, now);
  const day = DAYS[name];
  if (day) return day(dayOf(given));
  throw notEmulated(`The query function ${name}`);
}

const FIXED: Readonly<Record<string, (today: number, now: number) => Span>> = {
  Today: (today) => [today, today + DAY],
  Yesterday: (today) => [today - DAY, today],
  Tomorrow: (today) => [today + DAY, today + 2 * DAY],
  Last7Days: (today, now) => [today - 7 * DAY, now],
  Next7Days: (today, now) => [now, today + 8 * DAY],
  ThisWeek: (today) => weekOf(today, 0),
  LastWeek: (today) => weekOf(today, -1),
  NextWeek: (today) => weekOf(today, 1),
  ThisMonth: (today) => monthsFrom(today, 0, 1),
  LastMonth: (today) => monthsFrom(today, -1, 1),
  NextMonth: (today) => monthsFrom(today, 1, 1),
  ThisYear: (today) => yearOf(today, 0),
  LastYear: (today) => yearOf(today, -1),
  NextYear: (today) => yearOf(today, 1),
};

const DAYS: Readonly<Record<string, (day: number) => Span>> = {
  On: (day) => [day, day + DAY],
  NotOn: () => {
    throw notEmulated('The query function NotOn');
  },
  OnOrAfter: (day) => [day, null],
  OnOrBefore: (day) => [null, day + DAY],
};

function weekOf(today: number, offset: number): Span {
  const start = today - new Date(today).getUTCDay() * DAY + offset * 7 * DAY;
  return [start, start + 7 * DAY];
}

function monthsFrom(today: number, offset: number, length: number): Span {
  const date = new Date(today);
  const month = date.getUTCMonth() + offset;
  return [Date.UTC(date.getUTCFullYear(), month, 1), Date.UTC(date.getUTCFullYear(), month + length, 1)];
}

function yearOf(today: number, offset: number): Span {
  const year = new Date(today).getUTCFullYear() + offset;
  return [Date.UTC(year, 0, 1), Date.UTC(year + 1, 0, 1)];
}

function addMonths(ms: number, count: number): number {
  const date = new Date(ms);
  const day = date.getUTCDate();
  date.setUTCMonth(date.getUTCMonth() + count, 1);
  const last = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
  return date.setUTCDate(Math.min(day, last));
}

function textOf(given: Arguments, name: string): string {
  const operand = given.get(name);
  if (operand?.kind === 'path') return operand.segments.join('/');
  if (operand?.kind === 'literal' && operand.literal.kind === 'string') return operand.literal.value;
  throw badQuery(`The parameter '${name}' is missing.`);
}

function countOf(given: Arguments): number {
  const value = plain(given.get('PropertyValue'));
  const count = Number(value);
  if (value === null || !Number.isInteger(count) || count < 1)
    throw badQuery("The parameter 'PropertyValue' is not valid.");
  return count;
}

function dayOf(given: Arguments): number {
  const value = plain(given.get('PropertyValue'));
  const ms = typeof value === 'number' ? value : Date.parse(String(value));
  if (Number.isNaN(ms)) throw badQuery("The parameter 'PropertyValue' is not a date.");
  return Math.floor(ms / DAY) * DAY;
}

function valuesOf({ table, column }: ColumnInQuery, given: Arguments): StoredValue[] {
  const values =
    listOf(given.get('PropertyValues')) ??
    (given.has('PropertyValue1')
      ? [plain(given.get('PropertyValue1')), plain(given.get('PropertyValue2'))]
      : [plain(given.get('PropertyValue'))]);
  return values.map((value) => functionValue(value, column, table));
}

/** The values of these functions are texts whatever the column's type is. */
function functionValue(value: unknown, column: Column, table: ColumnInQuery['table']): StoredValue {
  const text = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;
  if (typeof text !== 'string') throw badQuery('The values of a query function are texts.');
  return folded(column, readValue(table, queryColumn(column), jsonOf(column, text)));
}

/** Any value may be looked for, also one that could not be written. */
const queryColumn = (column: Column): Column => ({
  ...column,
  kind: column.kind === 'choices' ? 'choice' : column.kind,
  maxLength: undefined,
  minValue: undefined,
  maxValue: undefined,
  precision: undefined,
  options: new Map(),
});

function jsonOf(column: Column, text: string): unknown {
  switch (column.kind) {
    case 'boolean':
    case 'managed':
      return text === 'true' || text === '1';
    case 'decimal':
    case 'money':
    case 'double':
      return text.trim() === '' ? text : Number(text);
    default:
      return text;
  }
}

function listOf(operand: Operand | undefined): unknown[] | undefined {
  if (operand?.kind !== 'literal' || operand.literal.kind !== 'json') return undefined;
  return Array.isArray(operand.literal.value) ? operand.literal.value : undefined;
}

/** An operand's value as JSON would hold it; dates in milliseconds. */
function plain(operand: Operand | undefined): string | number | boolean | null {
  if (operand?.kind !== 'literal') return null;
  const { literal } = operand;
  switch (literal.kind) {
    case 'null':
    case 'json':
    case 'enum':
      return null;
    case 'integer':
      return Number(literal.value);
    default:
      return literal.value;
  }
}
