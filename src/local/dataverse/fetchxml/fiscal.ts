import type { Span } from '../date-spans.ts';

/**
 * The time that a fiscal operator means; undefined for other names. The fiscal year is the one that every organization
 * begins with: from 1 January, in quarters. `values` are the condition's, whole numbers.
 */
export function fiscalSpan(operator: string, now: number, values: readonly number[]): Span | undefined {
  const year = new Date(now).getUTCFullYear();
  const quarter = year * QUARTERS + Math.floor(new Date(now).getUTCMonth() / MONTHS);
  const [first = 0, second = 0] = values;
  const named = second * QUARTERS + first - 1;
  switch (operator) {
    case 'this-fiscal-year':
      return years(year, 1);
    case 'last-fiscal-year':
      return years(year - 1, 1);
    case 'next-fiscal-year':
      return years(year + 1, 1);
    case 'in-fiscal-year':
      return years(first, 1);
    // UNCONFIRMED: whole years and periods, without the current one.
    case 'last-x-fiscal-years':
      return years(year - first, first);
    case 'next-x-fiscal-years':
      return years(year + 1, first);
    case 'this-fiscal-period':
      return quarters(quarter, 1);
    case 'last-fiscal-period':
      return quarters(quarter - 1, 1);
    case 'next-fiscal-period':
      return quarters(quarter + 1, 1);
    case 'last-x-fiscal-periods':
      return quarters(quarter - first, first);
    case 'next-x-fiscal-periods':
      return quarters(quarter + 1, first);
    case 'in-fiscal-period-and-year':
      return quarters(named, 1);
    case 'in-or-after-fiscal-period-and-year':
      return [quarters(named, 1)[0], null];
    case 'in-or-before-fiscal-period-and-year':
      return [null, quarters(named, 1)[1]];
    default:
      return undefined;
  }
}

/** How many values a fiscal operator takes; undefined for other names. */
export const fiscalValues: ReadonlyMap<string, number> = new Map([
  ['this-fiscal-year', 0],
  ['last-fiscal-year', 0],
  ['next-fiscal-year', 0],
  ['in-fiscal-year', 1],
  ['last-x-fiscal-years', 1],
  ['next-x-fiscal-years', 1],
  ['this-fiscal-period', 0],
  ['last-fiscal-period', 0],
  ['next-fiscal-period', 0],
  ['last-x-fiscal-periods', 1],
  ['next-x-fiscal-periods', 1],
  ['in-fiscal-period-and-year', 2],
  ['in-or-after-fiscal-period-and-year', 2],
  ['in-or-before-fiscal-period-and-year', 2],
]);

const MONTHS = 3;
const QUARTERS = 4;

const years = (from: number, length: number): Span => quarters(from * QUARTERS, length * QUARTERS);

/** Quarters are numbered from that of the year 0. */
function quarters(from: number, length: number): Span {
  const start = (at: number) => Date.UTC(Math.floor(at / QUARTERS), (at % QUARTERS) * MONTHS, 1);
  return [start(from), start(from + length)];
}
