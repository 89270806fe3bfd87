import type { Clock } from '../../src/shared/clock.ts';

/** A clock that stands still, and jumps over every wait at once. `waits` tells how long each was, in milliseconds. */
export function fakeClock(
  start = Date.parse('2026-11-21T10:00:00Z'),
): Clock & { waits: number[]; advance(ms: number): void } {
  let now = start;
  const waits: number[] = [];
  return {
    waits,
    now: () => now,
    advance(ms) {
      now += ms;
    },
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      waits.push(ms);
      now += ms;
    },
  };
}
