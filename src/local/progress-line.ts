import type { Clock } from '../shared/clock.ts';

/** Where the line goes: standard output, or what stands for it in a test. */
export interface ProgressOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** One line that says how far a piece of work is. */
export interface ProgressLine {
  show(text: string): void;
  /** Makes room for lines that stay. */
  clear(): void;
}

/** Where no terminal rewrites it, a line stays; so few are written. */
const PLAIN_EVERY_MS = 1_000;
const START_OF_LINE = '\r\x1b[K';

/** Rewrites one line on a terminal; elsewhere it writes a new one each second if there is something new to say. */
export function createProgressLine(output: ProgressOutput, clock: Clock): ProgressLine {
  let shown = '';
  let shownAt = Number.NEGATIVE_INFINITY;
  if (output.isTTY) {
    return {
      show(text) {
        if (text === shown) return;
        // A line that breaks cannot be rewritten.
        output.write(`${START_OF_LINE}${text.slice(0, (output.columns ?? 80) - 1)}`);
        shown = text;
      },
      clear() {
        if (shown !== '') output.write(START_OF_LINE);
        shown = '';
      },
    };
  }
  return {
    show(text) {
      const now = clock.now();
      if (text === shown || now - shownAt < PLAIN_EVERY_MS) return;
      output.write(`${text}\n`);
      shown = text;
      shownAt = now;
    },
    clear() {
      shown = '';
    },
  };
}
