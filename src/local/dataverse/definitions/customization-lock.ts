import type { Clock } from '../../../shared/clock.ts';
import { customizationRunning } from './errors.ts';

/** Lets one change of definitions run at a time: while one runs, those of other requests are refused, as by the service. */
export interface CustomizationLock {
  /** Throws WireError when a change of another request runs; `operation` is how its text names the refused one. */
  require(requestId: string, operation: string): void;
  /** Begins the time that a change takes. */
  occupy(requestId: string): void;
  /** Resolves when the changes of a request are over; its answer is sent then. */
  over(requestId: string): Promise<unknown> | undefined;
}

/** `ms` is how long every change takes. */
export function createCustomizationLock(clock: Clock, ms: number): CustomizationLock {
  let holder: string | undefined;
  let running: Promise<void>[] = [];
  return {
    require(requestId, operation) {
      if (holder !== undefined && holder !== requestId) throw customizationRunning(operation);
    },
    occupy(requestId) {
      if (ms === 0) return;
      holder = requestId;
      const change = clock.sleep(ms).finally(() => {
        running = running.filter((one) => one !== change);
        if (running.length === 0) holder = undefined;
      });
      running.push(change);
    },
    over: (requestId) => (holder === requestId ? Promise.all(running) : undefined),
  };
}
