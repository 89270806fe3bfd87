import type { Clock } from '../../shared/clock.ts';
import type { CallMeter } from '../request.ts';
import { noOutcomes, type OutcomeCounts, type OutcomeKind } from './outcomes.ts';

/** How far a write has come. */
export interface WriteProgress {
  /** Rows taken from the source. */
  readonly taken: number;
  /** Rows with an outcome. */
  readonly settled: number;
  readonly counts: Readonly<OutcomeCounts>;
  /** Rows settled per second, of late. */
  readonly rowsPerSecond: number;
  /** Milliseconds that the rest takes at this pace, where the total is known. */
  readonly etaMs?: number;
  readonly calls: number;
  readonly throttled: Readonly<CallMeter['throttled']>;
  /** Calls that may run at the same time, and rows that a call may have, at this moment. */
  readonly concurrency: number;
  readonly batchSize: number;
}

/** The rate is that of this time: a pace of an hour ago says nothing about the rest. */
const RATE_OVER_MS = 30_000;

export interface ProgressCounter {
  take(): void;
  settle(outcome: OutcomeKind): void;
  /** Reads the state; to be called now and then, not for each row. */
  read(now: Pick<WriteProgress, 'concurrency' | 'batchSize'>): WriteProgress;
}

export function countProgress(clock: Clock, meter: CallMeter, total: number | undefined): ProgressCounter {
  const counts = noOutcomes();
  const marks: { at: number; settled: number }[] = [{ at: clock.now(), settled: 0 }];
  let taken = 0;
  let settled = 0;
  const rate = (): number => {
    const now = clock.now();
    while (marks.length > 1 && (marks[1]?.at ?? now) <= now - RATE_OVER_MS) marks.shift();
    const [from] = marks;
    if (marks.at(-1)?.at !== now) marks.push({ at: now, settled });
    const seconds = from ? (now - from.at) / 1000 : 0;
    return from && seconds > 0 ? (settled - from.settled) / seconds : 0;
  };
  return {
    take() {
      taken += 1;
    },
    settle(outcome) {
      counts[outcome] += 1;
      settled += 1;
    },
    read({ concurrency, batchSize }) {
      const rowsPerSecond = rate();
      const rest = total === undefined ? undefined : Math.max(0, total - settled);
      return {
        taken,
        settled,
        counts: { ...counts },
        rowsPerSecond,
        ...(rest !== undefined && rowsPerSecond > 0 && { etaMs: Math.round((rest / rowsPerSecond) * 1000) }),
        calls: meter.calls,
        throttled: { ...meter.throttled },
        concurrency,
        batchSize,
      };
    },
  };
}
