import { describe, expect, test } from 'vitest';
import { latestSlot, scheduleFault } from '../../../src/activations/schedule.ts';

const at = (text: string): number => Date.parse(text);

describe('a schedule', () => {
  test('is due at its latest slot, however many were missed', () => {
    const schedule = { cron: '0 */15 * * * *', timeZone: 'UTC' };
    const now = at('2026-07-01T09:50:00Z');
    expect(latestSlot(schedule, at('2026-07-01T06:00:00Z'), now)).toBe(at('2026-07-01T09:45:00Z'));
    expect(latestSlot(schedule, at('2026-07-01T09:45:00Z'), now)).toBeUndefined();
    expect(latestSlot(schedule, at('2026-07-01T09:30:00Z'), at('2026-07-01T09:45:00Z'))).toBe(
      at('2026-07-01T09:45:00Z'),
    );
  });

  test('follows the clock of its zone over the change to summer time', () => {
    const schedule = { cron: '0 6 * * *', timeZone: 'Europe/Stockholm' };
    const day = (now: string): number | undefined => latestSlot(schedule, 0, at(now));
    expect(day('2026-03-28T12:00:00Z')).toBe(at('2026-03-28T05:00:00Z'));
    expect(day('2026-03-29T12:00:00Z')).toBe(at('2026-03-29T04:00:00Z'));
  });

  test('needs both day of month and day of week to match, as the timers of Azure Functions do', () => {
    const schedule = { cron: '0 0 0 13 * 5', timeZone: 'UTC' };
    expect(latestSlot(schedule, 0, at('2026-07-01T00:00:00Z'))).toBe(at('2026-03-13T00:00:00Z'));
  });

  test.each(['* * * *', '0 0 0 L * *', '0 0 0 ? * *', '0 0 0 * * 7', '61 * * * *', '@daily'])('refuses %s', (cron) => {
    expect(scheduleFault({ cron, timeZone: 'UTC' })?.path).toBe('cron');
  });

  test('refuses a zone that does not exist', () => {
    expect(scheduleFault({ cron: '0 0 * * *', timeZone: 'Europe/Stockolm' })?.path).toBe('timeZone');
    expect(scheduleFault({ cron: '0 0 * * *', timeZone: 'Europe/Stockholm' })).toBeUndefined();
  });
});
