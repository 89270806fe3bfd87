import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { FunctionDefinition, TimerTrigger } from '../../../../src/local/host/function-definitions.ts';
import type { Call, Invoker, Outcome } from '../../../../src/local/host/invoker.ts';
import { parseSchedule } from '../../../../src/local/host/ncrontab.ts';
import { createTimerListener } from '../../../../src/local/host/timer-listener.ts';
import type { TimerStatus, TimerStatusStore } from '../../../../src/local/host/timer-status.ts';
import { ManualClock } from './manual-clock.ts';

const SUCCEEDED: Outcome = { ok: true, response: {}, answered: true };
const at = (time: string): number => Date.parse(`2026-11-20T${time}Z`);

interface World {
  schedule: string;
  now: string;
  stored?: TimerStatus;
  runOnStartup?: boolean;
  useMonitor?: boolean;
  run?: (call: Call) => Promise<Outcome>;
  store?: TimerStatusStore;
}

/** A listener on a clock that stands still; `fired` has what the function got, and when. */
function timerAt({ schedule, now, stored, runOnStartup = false, useMonitor = true, run, store }: World) {
  const clock = new ManualClock(`2026-11-20T${now}Z`);
  const kept: { status: TimerStatus | undefined } = { status: stored };
  const fired: { at: string; timer: { IsPastDue: boolean; ScheduleStatus: Record<string, string> | null } }[] = [];
  const lines: string[] = [];
  const trigger: TimerTrigger = {
    type: 'timer',
    binding: 'timer',
    schedule: parseSchedule(schedule),
    runOnStartup,
    useMonitor,
  };
  const definition: FunctionDefinition = {
    name: 'tick',
    trigger,
    outputs: [],
    retry: undefined,
    metadata: { name: 'tick', bindings: {} },
    callback: () => {},
  };
  const invoker: Invoker = {
    running: 0,
    idle: async () => {},
    async run(call) {
      fired.push({ at: new Date(clock.now()).toISOString().slice(11, 19), timer: JSON.parse(call.data.json ?? '') });
      return run ? run(call) : SUCCEEDED;
    },
  };
  const memory: TimerStatusStore = {
    read: async () => kept.status,
    write: async (status) => {
      kept.status = status;
    },
  };
  const log = (_: string, text: string) => void lines.push(text);
  const listener = createTimerListener({ definition, trigger, store: store ?? memory, invoker, clock, log });
  return { clock, listener, fired, kept, lines, times: () => fired.map((one) => one.at) };
}

describe('a timer', () => {
  test('fires at each occurrence and keeps its status', async () => {
    const { clock, listener, kept, times, fired } = timerAt({ schedule: '0 */5 * * * *', now: '10:01:00' });
    await listener.start();
    expect(kept.status).toEqual({ last: undefined, next: at('10:05:00'), lastUpdated: at('10:01:00') });
    await clock.advance(9 * 60_000);
    expect(times()).toEqual(['10:05:00', '10:10:00']);
    expect(fired[1]?.timer).toEqual({
      Schedule: { AdjustForDST: true },
      ScheduleStatus: {
        Last: '2026-11-20T10:05:00.000+00:00',
        Next: '2026-11-20T10:10:00.000+00:00',
        LastUpdated: '2026-11-20T10:05:00.000+00:00',
      },
      IsPastDue: false,
    });
    expect(kept.status).toEqual({ last: at('10:10:00'), next: at('10:15:00'), lastUpdated: at('10:10:00') });
    await listener.stop();
  });

  test('that missed occurrences fires once, as past due', async () => {
    const stored = { last: at('08:00:00'), next: at('09:00:00'), lastUpdated: at('08:00:00') };
    const { clock, listener, fired, times } = timerAt({
      schedule: '0 0 * * * *',
      now: '11:30:00',
      stored,
      runOnStartup: true,
    });
    await listener.start();
    await clock.advance(30 * 60_000);
    expect(times()).toEqual(['11:30:00', '12:00:00']);
    expect(fired.map(({ timer }) => timer.IsPastDue)).toEqual([true, false]);
    await listener.stop();
  });

  test('is not past due when its schedule was changed meanwhile', async () => {
    const stored = { last: at('08:00:00'), next: at('09:00:00'), lastUpdated: at('08:00:00') };
    const { clock, listener, kept, times } = timerAt({ schedule: '0 10 * * * *', now: '11:30:00', stored });
    await listener.start();
    expect(kept.status).toEqual({ last: undefined, next: at('12:10:00'), lastUpdated: at('11:30:00') });
    await clock.advance(30 * 60_000);
    expect(times()).toEqual([]);
    await listener.stop();
  });

  test('that never fired is past due by what it was to do', async () => {
    const stored = { last: undefined, next: at('09:00:00'), lastUpdated: at('08:30:00') };
    const { clock, listener, fired } = timerAt({ schedule: '0 0 * * * *', now: '09:00:01', stored });
    await listener.start();
    await clock.advance(0);
    expect(fired.map(({ timer }) => timer.IsPastDue)).toEqual([true]);
    await listener.stop();
  });

  test('fires at start when it is to run on start-up and nothing was missed', async () => {
    const { clock, listener, fired, times } = timerAt({ schedule: '0 0 * * * *', now: '11:30:00', runOnStartup: true });
    await listener.start();
    await clock.advance(0);
    expect(times()).toEqual(['11:30:00']);
    expect(fired[0]?.timer.IsPastDue).toBe(false);
    await listener.stop();
  });

  test('keeps no status when it fires within a minute, or when the app says so', async () => {
    for (const world of [
      { schedule: '*/10 * * * * *', now: '10:00:05' },
      { schedule: '0 * * * * *', now: '09:59:15', useMonitor: false },
    ]) {
      const { clock, listener, kept, fired } = timerAt(world);
      await listener.start();
      await clock.advance(50_000);
      expect(fired.length).toBeGreaterThan(0);
      expect(fired[0]?.timer.ScheduleStatus).toBeNull();
      expect(kept.status).toBeUndefined();
      await listener.stop();
    }
  });

  test('runs one call at a time and fires at once for an occurrence that a long call covered', async () => {
    const calls: (() => void)[] = [];
    const run = () => new Promise<Outcome>((resolve) => calls.push(() => resolve(SUCCEEDED)));
    const { clock, listener, times } = timerAt({ schedule: '0 */5 * * * *', now: '10:04:00', run });
    await listener.start();
    await clock.advance(12 * 60_000);
    expect(times()).toEqual(['10:05:00']);
    calls[0]?.();
    await clock.advance(0);
    expect(times()).toEqual(['10:05:00', '10:16:00']);
    calls[1]?.();
    await clock.advance(4 * 60_000);
    expect(times()).toEqual(['10:05:00', '10:16:00', '10:20:00']);
    calls[2]?.();
    await listener.stop();
  });

  test('goes on after a failed call and after storage that fails', async () => {
    const broken = async () => {
      throw new Error('503');
    };
    const { clock, listener, times, lines } = timerAt({
      schedule: '0 */5 * * * *',
      now: '10:04:00',
      run: async () => ({ ok: false, error: new Error('no'), answered: false }),
      store: { read: broken, write: broken },
    });
    await listener.start();
    await clock.advance(6 * 60_000);
    expect(times()).toEqual(['10:05:00', '10:10:00']);
    expect(lines[0]).toBe("Function 'tick': the status of its timer cannot be kept: 503");
    await listener.stop();
  });

  test('waits for an occurrence that is months away', async () => {
    const { clock, listener, fired } = timerAt({ schedule: '0 0 0 1 3 *', now: '10:00:00' });
    await listener.start();
    await clock.advance(101 * 24 * 3_600_000);
    expect(fired).toHaveLength(1);
    await listener.stop();
  });

  test('that is told to stop lets its call finish and fires no more', async () => {
    let finish = () => {};
    const run = () =>
      new Promise<Outcome>((resolve) => {
        finish = () => resolve(SUCCEEDED);
      });
    const { clock, listener, times } = timerAt({ schedule: '0 */5 * * * *', now: '10:04:00', run });
    await listener.start();
    await clock.advance(60_000);
    let stopped = false;
    const stopping = listener.stop().then(() => {
      stopped = true;
    });
    await setImmediate();
    expect(stopped).toBe(false);
    finish();
    await stopping;
    await clock.advance(3_600_000);
    expect(times()).toEqual(['10:05:00']);
  });
});
