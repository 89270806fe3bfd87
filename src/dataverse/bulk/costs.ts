/** What a call costs: so many milliseconds by itself, and so many for each row. */
export interface CallCost {
  readonly call: number;
  readonly row: number;
}

/** How much a measurement counts when the next one comes: times change with the load of the environment. */
const FADING = 0.9;

export interface MeasuredCost {
  measure(rows: number, ms: number): void;
  /** Undefined before anything was measured. */
  readonly measured: CallCost | undefined;
  /** What was measured, or else what is assumed. */
  readonly cost: CallCost;
}

/**
 * A straight line through measured times, by least squares in which older ones fade. What is assumed at first counts
 * as two weak measurements, so that the line has a slope before there are calls of different sizes.
 */
export function measuredCost(assumed: CallCost): MeasuredCost {
  let isMeasured = false;
  let sums = { weight: 0, rows: 0, ms: 0, squares: 0, products: 0 };
  const add = (weight: number, rows: number, ms: number): void => {
    sums = {
      weight: sums.weight + weight,
      rows: sums.rows + weight * rows,
      ms: sums.ms + weight * ms,
      squares: sums.squares + weight * rows * rows,
      products: sums.products + weight * rows * ms,
    };
  };
  add(0.05, 1, assumed.call + assumed.row);
  add(0.05, 100, assumed.call + 100 * assumed.row);
  return {
    measure(rows, ms) {
      // Faster than the clock can tell: nothing is learned from it.
      if (ms <= 0) return;
      isMeasured = true;
      const { weight, rows: r, ms: m, squares, products } = sums;
      sums = {
        weight: weight * FADING,
        rows: r * FADING,
        ms: m * FADING,
        squares: squares * FADING,
        products: products * FADING,
      };
      add(1, rows, ms);
    },
    get measured() {
      return isMeasured ? this.cost : undefined;
    },
    get cost() {
      const { weight, rows, ms, squares, products } = sums;
      const spread = weight * squares - rows * rows;
      const slope = spread > 1e-9 ? (weight * products - rows * ms) / spread : assumed.row;
      const row = Math.max(0.001, Math.min(slope, ms / Math.max(rows, 1e-9)));
      return { call: Math.max(0.001, (ms - row * rows) / weight), row };
    },
  };
}
