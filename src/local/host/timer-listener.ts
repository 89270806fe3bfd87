import { type Clock, isoTime } from '../../shared/clock.ts';
import { messageOf } from '../../shared/errors.ts';
import type { FunctionDefinition, TimerTrigger } from './function-definitions.ts';
import type { TypedData } from './functions-core.ts';
import type { HostLog } from './host-log.ts';
import type { Invoker } from './invoker.ts';
import { firesWithinMinute } from './ncrontab.ts';
import { checkStatus, statusJson, type TimerStatus, type TimerStatusStore } from './timer-status.ts';

/** Something that waits for events and runs a function for each. */
export interface Listener {
  start(): Promise<void>;
  /** Takes no further event; resolves when the calls that it started are over. */
  stop(): Promise<void>;
}

export interface TimerListenerOptions {
  readonly definition: FunctionDefinition;
  readonly trigger: TimerTrigger;
  readonly store: TimerStatusStore;
  readonly invoker: Invoker;
  readonly clock: Clock;
  readonly log: HostLog;
}

// Longer than this and `setTimeout` overflows.
const LONGEST_SLEEP_MS = 24 * 24 * 3600 * 1000;

/**
 * Fires a timer function on schedule, one call at a time, whatever becomes of the calls. At start it fires once for
 * occurrences that were missed, else for `runOnStartup`. The host keeps no status of timers that fire within a minute.
 */
export function createTimerListener(options: TimerListenerOptions): Listener {
  const { trigger, clock } = options;
  const stopping = new AbortController();
  let loop: Promise<void> = Promise.resolve();
  return {
    async start() {
      const monitored = trigger.useMonitor && !firesWithinMinute(trigger.schedule, clock.now());
      const { status, first } = await initialStatus(options, monitored);
      loop = runLoop(options, monitored, status, first, stopping.signal);
    },
    async stop() {
      stopping.abort();
      await loop;
    },
  };
}

type Startup = 'pastDue' | 'runOnStartup' | undefined;

async function initialStatus(
  options: TimerListenerOptions,
  monitored: boolean,
): Promise<{ status: TimerStatus; first: Startup }> {
  const { trigger, clock, store } = options;
  const now = clock.now();
  const startup: Startup = trigger.runOnStartup ? 'runOnStartup' : undefined;
  const fresh = { last: undefined, next: trigger.schedule.next(now), lastUpdated: undefined };
  if (!monitored) return { status: fresh, first: startup };
  const stored = await bestEffort(options, () => store.read());
  const { status, changed, pastDue } = checkStatus(stored, trigger.schedule, now);
  if (changed) await bestEffort(options, () => store.write(status));
  return { status, first: pastDue ? 'pastDue' : startup };
}

async function runLoop(
  options: TimerListenerOptions,
  monitored: boolean,
  initial: TimerStatus,
  first: Startup,
  stopping: AbortSignal,
): Promise<void> {
  let status = initial;
  let startup = first;
  while (startup || status.next !== undefined) {
    if (!startup && !(await reach(options.clock, status.next ?? 0, stopping))) return;
    if (stopping.aborted) return;
    const firedAt = options.clock.now();
    await options.invoker.run({
      definition: options.definition,
      data: timerData(monitored ? status : undefined, startup === 'pastDue'),
      triggerMetadata: {},
      reason: `Timer fired at ${isoTime(firedAt).replace('Z', '+00:00')}`,
      ...(startup
        ? { details: `UnscheduledInvocationReason: ${startup === 'pastDue' ? 'IsPastDue' : 'RunOnStartup'}` }
        : {}),
    });
    // A timer that fires a moment early must not get the same occurrence again.
    const occurrence = startup ? firedAt : Math.max(firedAt, status.next ?? 0);
    status = { last: occurrence, next: options.trigger.schedule.next(occurrence), lastUpdated: occurrence };
    startup = undefined;
    const written = status;
    if (monitored) await bestEffort(options, () => options.store.write(written));
  }
}

/** Sleeps until `time`; false if it was told to stop before. */
async function reach(clock: Clock, time: number, stopping: AbortSignal): Promise<boolean> {
  try {
    for (let left = time - clock.now(); left > 0; left = time - clock.now()) {
      await clock.sleep(Math.min(left, LONGEST_SLEEP_MS), stopping);
    }
    return !stopping.aborted;
  } catch {
    return false;
  }
}

/** The value of a timer trigger, as the timers extension serialises it. */
export function timerData(status: TimerStatus | undefined, isPastDue: boolean): TypedData {
  const ScheduleStatus = status ? statusJson(status) : null;
  return { json: JSON.stringify({ Schedule: { AdjustForDST: true }, ScheduleStatus, IsPastDue: isPastDue }) };
}

/** Storage that does not answer must not stop a schedule. */
async function bestEffort<T>(
  { definition, log }: TimerListenerOptions,
  step: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await step();
  } catch (error) {
    log('error', `Function '${definition.name}': the status of its timer cannot be kept: ${messageOf(error)}`);
    return undefined;
  }
}
