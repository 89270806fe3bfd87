import type { ColumnInQuery, Sql } from './sql.ts';

/** Half open: from, to in milliseconds UTC; null is without end. */
export type Span = readonly [from: number | null, to: number | null];

/** What a date condition is given besides its column; each throws when it is not there or not valid. */
export interface SpanArguments {
  /** A whole number above 0. */
  count(): number;
  /** The start of a day in milliseconds UTC. */
  day(): number;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/**
 * The time that a condition such as `LastXDays`, `ThisMonth` or `OnOrAfter` means; undefined for names that are none of
 * them. Days, weeks (from Sunday), months and years are those of UTC, the time zone of application users.
 */
export function spanOf(name: string, now: number, given: SpanArguments): Span | undefined {
  const today = Math.floor(now / DAY) * DAY;
  const moving = /^(LastX|NextX|OlderThanX)(Minutes|Hours|Days|Weeks|Months|Years)$/.exec(name);
  const shift = UNITS[moving?.[2] ?? ''];
  if (moving && shift) {
    const count = given.count();
    // UNCONFIRMED: hours count from now, longer units take the whole of the first or last day.
    const whole = moving[2] !== 'Hours' && moving[2] !== 'Minutes';
    if (moving[1] === 'OlderThanX') return [null, shift(now, -count)];
    if (moving[1] === 'LastX') return [shift(whole ? today : now, -count), now];
    return [now, shift(whole ? today + DAY : now, count)];
  }
  return FIXED.get(name)?.(today, now) ?? DAYS.get(name)?.(given.day());
}

/** The condition that a date column's value lies within a span. */
export function withinSpan({ qualified }: Pick<ColumnInQuery, 'qualified'>, [from, to]: Span): Sql {
  const parts = [`${qualified} IS NOT NULL`];
  if (from !== null) parts.push(`${qualified} >= ?`);
  if (to !== null) parts.push(`${qualified} < ?`);
  return { text: `(${parts.join(' AND ')})`, values: [from, to].filter((one) => one !== null) };
}

/** The quarter of the year of a time in milliseconds, as SQL. */
export const quarterOf = (ms: string): string =>
  `((CAST(strftime('%m', ${ms} / 1000, 'unixepoch') AS INTEGER) + 2) / 3)`;

/** The condition that a date column's value lies in a quarter of any year. */
export const inQuarter = ({ qualified }: Pick<ColumnInQuery, 'qualified'>, quarter: number): Sql => ({
  text: `${quarterOf(qualified)} = ?`,
  values: [quarter],
});

/** The start of the day that a time belongs to. */
export const startOfDay = (ms: number): number => Math.floor(ms / DAY) * DAY;

const UNITS: Readonly<Record<string, (ms: number, count: number) => number>> = {
  Minutes: (ms, count) => ms + count * 60_000,
  Hours: (ms, count) => ms + count * HOUR,
  Days: (ms, count) => ms + count * DAY,
  Weeks: (ms, count) => ms + count * 7 * DAY,
  Months: (ms, count) => addMonths(ms, count),
  Years: (ms, count) => addMonths(ms, 12 * count),
};

const FIXED: ReadonlyMap<string, (today: number, now: number) => Span> = new Map<
  string,
  (today: number, now: number) => Span
>([
  ['Today', (today) => [today, today + DAY]],
  ['Yesterday', (today) => [today - DAY, today]],
  ['Tomorrow', (today) => [today + DAY, today + 2 * DAY]],
  ['Last7Days', (today, now) => [today - 7 * DAY, now]],
  ['Next7Days', (today, now) => [now, today + 8 * DAY]],
  ['ThisWeek', (today) => weekOf(today, 0)],
  ['LastWeek', (today) => weekOf(today, -1)],
  ['NextWeek', (today) => weekOf(today, 1)],
  ['ThisMonth', (today) => monthsFrom(today, 0, 1)],
  ['LastMonth', (today) => monthsFrom(today, -1, 1)],
  ['NextMonth', (today) => monthsFrom(today, 1, 1)],
  ['ThisYear', (today) => yearOf(today, 0)],
  ['LastYear', (today) => yearOf(today, -1)],
  ['NextYear', (today) => yearOf(today, 1)],
]);

const DAYS: ReadonlyMap<string, (day: number) => Span> = new Map<string, (day: number) => Span>([
  ['On', (day) => [day, day + DAY]],
  ['OnOrAfter', (day) => [day, null]],
  ['OnOrBefore', (day) => [null, day + DAY]],
]);

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

/** Further away JavaScript has no dates. */
const MONTHS_MAX = 12 * 20_000;

function addMonths(ms: number, wanted: number): number {
  const count = Math.max(-MONTHS_MAX, Math.min(wanted, MONTHS_MAX));
  const date = new Date(ms);
  const day = date.getUTCDate();
  date.setUTCMonth(date.getUTCMonth() + count, 1);
  const last = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
  return date.setUTCDate(Math.min(day, last));
}
