import type { CallCost } from './costs.ts';

/** What the ways to find bad rows cost, in milliseconds. */
export interface IsolationCosts {
  /** A bulk message, which takes all of its rows or none. */
  readonly bulk: CallCost;
  /** A bulk message that is refused. */
  readonly refused: CallCost;
  /** A `$batch`, which tells each row. */
  readonly batch: CallCost;
}

/** How to send rows of which nothing is known yet. */
export interface FreshPlan {
  readonly rows: number;
  readonly form: 'bulk' | 'batch';
}

const timeOf = ({ call, row }: CallCost, rows: number): number => call + row * rows;

/** Expected costs of a group until each of its rows is settled. */
interface Expected {
  readonly rows: number;
  /** Of a group of which nothing is known. */
  readonly fresh: number;
  readonly freshForm: 'bulk' | 'batch';
  /** Of a group in which at least one row is bad. */
  readonly bad: number;
  /** Of one that was refused itself: a single row is then settled. */
  readonly refused: number;
  readonly badBy: 'halves' | 'replay';
}

/**
 * Expected costs for groups of `rows`, half of that, and so on down to one, smallest first. `share` of all rows is bad,
 * each by chance. A group with a bad row is either replayed as a `$batch`, or its first half is sent: if that goes
 * through, the bad row is in the second half, which then needs no call to show it; if not, nothing more is known of the
 * second half than of any other rows, and it goes back among those, at the price `perRow`. A single row is always sent
 * once more by itself: only then is the refusal its own.
 */
function expectations(costs: IsolationCosts, share: number, rows: number, perRow: number): Expected[] {
  const sizes: number[] = [];
  for (let size = rows; size > 1; size = Math.ceil(size / 2)) sizes.unshift(size);
  const one = share * timeOf(costs.refused, 1) + (1 - share) * timeOf(costs.bulk, 1);
  const found: Expected[] = [
    { rows: 1, fresh: one, freshForm: 'bulk', bad: timeOf(costs.refused, 1), refused: 0, badBy: 'halves' },
  ];
  const clean = (size: number): number => (1 - share) ** size;
  for (const size of sizes) {
    const half = found.at(-1);
    if (!half) break;
    const firstBad = Math.min(1, (1 - clean(half.rows)) / Math.max(1e-12, 1 - clean(size)));
    const replay = timeOf(costs.batch, size);
    const halves =
      firstBad * (timeOf(costs.refused, half.rows) + half.refused + perRow * (size - half.rows)) +
      (1 - firstBad) * (timeOf(costs.bulk, half.rows) + half.bad);
    const bad = Math.min(replay, halves);
    const sent = clean(size) * timeOf(costs.bulk, size) + (1 - clean(size)) * (timeOf(costs.refused, size) + bad);
    found.push({
      rows: size,
      fresh: Math.min(sent, replay),
      freshForm: sent <= replay ? 'bulk' : 'batch',
      bad,
      refused: bad,
      badBy: halves < replay ? 'halves' : 'replay',
    });
  }
  return found;
}

const pricePerRow = ({ fresh, rows }: Expected): number => fresh / rows;

/** The price of a row of which nothing is known: at best as dear as in the group that costs least. */
function freshPrice(costs: IsolationCosts, share: number): number {
  let price = costs.bulk.row;
  for (let round = 0; round < 4; round += 1) {
    price = Math.min(...expectations(costs, share, LARGEST_GROUP, price).map(pricePerRow));
  }
  return price;
}

const LARGEST_GROUP = 1024;

/** How many rows, at most `most`, to send at once, and as what, so that a settled row costs least. */
export function freshPlan(costs: IsolationCosts, share: number, most: number): FreshPlan {
  const price = freshPrice(costs, share);
  // Powers of two can be halved down to one row without a remainder.
  const evenly = expectations(costs, share, 2 ** Math.floor(Math.log2(most)), price);
  const [first, ...others] = [...expectations(costs, share, most, price), ...evenly].sort((a, b) => b.rows - a.rows);
  let best = first;
  for (const each of others) if (!best || pricePerRow(each) < pricePerRow(best)) best = each;
  return { rows: best?.rows ?? 1, form: best?.freshForm ?? 'bulk' };
}

/** How to find the bad rows in a group that has at least one. */
export const wayToIsolate = (costs: IsolationCosts, share: number, rows: number): 'halves' | 'replay' =>
  expectations(costs, share, rows, freshPrice(costs, share)).at(-1)?.badBy ?? 'halves';
