import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../../../src/shared/clock.ts';

interface Sleeper {
  due: number;
  wake(): void;
}

/** A clock that stands still until it is moved. */
export class ManualClock implements Clock {
  #now: number;
  readonly #sleepers = new Set<Sleeper>();

  constructor(start: string) {
    this.#now = Date.parse(start);
  }

  now(): number {
    return this.#now;
  }

  /** When the next sleeper wakes, in ISO form; undefined if nobody sleeps. */
  get nextWake(): string | undefined {
    const [first] = this.#inOrder();
    return first && new Date(first.due).toISOString();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const sleeper = { due: this.#now + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', () => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason);
      });
    });
  }

  /** Moves on, waking each sleeper at its own time and letting it act before the next one wakes. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (let next = this.#inOrder()[0]; next && next.due <= end; next = this.#inOrder()[0]) {
      this.#now = Math.max(this.#now, next.due);
      this.#sleepers.delete(next);
      next.wake();
      await setImmediate();
    }
    this.#now = end;
    await setImmediate();
  }

  #inOrder(): Sleeper[] {
    return [...this.#sleepers].sort((left, right) => left.due - right.due);
  }
}
