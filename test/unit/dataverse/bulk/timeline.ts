import type { Clock } from '../../../../src/shared/clock.ts';

/** A clock whose time passes only when nothing else can go on: it then jumps to the next wait's end. */
export interface Timeline extends Clock {
  /** Lets time pass until the work is done, and resolves or rejects with it. */
  run<T>(work: Promise<T>): Promise<T>;
}

interface Wait {
  readonly at: number;
  readonly end: () => void;
}

export function timeline(start = Date.parse('2026-11-21T10:00:00Z')): Timeline {
  let now = start;
  let waits: Wait[] = [];
  const idle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const wait: Wait = { at: now + ms, end: resolve };
        waits.push(wait);
        signal?.addEventListener('abort', () => {
          waits = waits.filter((each) => each !== wait);
          reject(signal.reason);
        });
      }),
    async run(work) {
      let done = false;
      const settled = work.finally(() => {
        done = true;
      });
      settled.catch(() => undefined);
      for (;;) {
        await idle();
        if (done) return settled;
        const next = waits.reduce<Wait | undefined>(
          (best, each) => (best && best.at <= each.at ? best : each),
          undefined,
        );
        if (!next) throw new Error('The work waits for something that no time brings.');
        waits = waits.filter((each) => each !== next);
        now = Math.max(now, next.at);
        next.end();
      }
    },
  };
}
