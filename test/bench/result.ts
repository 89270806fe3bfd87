/** One line of a benchmark's table: ours beside a peer, measured in the same run. */
export interface BenchLine {
  readonly what: string;
  readonly unit: string;
  readonly ours: number;
  readonly peer?: { readonly name: string; readonly value: number };
}

export interface BenchResult {
  readonly bench: string;
  readonly lines: readonly BenchLine[];
  /** Figures that have a name and a goal, for `--json`. */
  readonly figures?: Readonly<Record<string, unknown>>;
}

/** Hands a result to `run.ts`, which reads the last line of a benchmark's output. */
export function report(result: BenchResult): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
