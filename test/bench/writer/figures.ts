/** One of the named figures, as `--json` has it. */
export interface Figure {
  readonly what: string;
  /** The median of the runs. */
  readonly value: number;
  /** `>= 0.95` */
  readonly goal: string;
  readonly reached: boolean;
  readonly low: number;
  readonly high: number;
  readonly runs: readonly number[];
  /** What else is to be known of it. */
  readonly beside?: Readonly<Record<string, number | string>>;
}

export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
};

/** A figure from its runs, and whether it reaches its goal. */
export function figure(
  what: string,
  [sign, bound]: readonly ['>=' | '<=', number],
  runs: readonly number[],
  beside?: Figure['beside'],
): Figure {
  const value = median(runs);
  return {
    what,
    value,
    goal: `${sign} ${bound}`,
    reached: sign === '>=' ? value >= bound : value <= bound,
    low: Math.min(...runs),
    high: Math.max(...runs),
    runs,
    ...(beside && { beside }),
  };
}
