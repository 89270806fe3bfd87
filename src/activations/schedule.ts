import { Cron } from 'croner';
import { messageOf } from '../shared/errors.ts';

/** When an activation runs by itself: five or six fields, the first of six being seconds, in an IANA time zone. */
export interface Schedule {
  readonly cron: string;
  readonly timeZone: string;
}

// What croner takes beyond the NCRONTAB of Azure Functions, and a day of week 7, which Azure refuses.
const NOT_NCRONTAB = /[?#+@]|\bL\b|\bLW\b|\dW|\dL/i;
const DAY_SEVEN = /(^|[,-])7/;

/** Why the schedule cannot be used, or undefined if it can. */
export function scheduleFault({
  cron,
  timeZone,
}: Schedule): { path: 'cron' | 'timeZone'; message: string } | undefined {
  try {
    new Intl.DateTimeFormat('en', { timeZone });
  } catch {
    return { path: 'timeZone', message: `'${timeZone}' is not an IANA time zone such as Europe/Stockholm.` };
  }
  const daysOfWeek = cron.trim().split(/\s+/).at(-1) ?? '';
  if (NOT_NCRONTAB.test(cron) || DAY_SEVEN.test(daysOfWeek)) {
    return { path: 'cron', message: `'${cron}' uses a form that the timers of Azure Functions do not have.` };
  }
  try {
    openCron({ cron, timeZone });
    return undefined;
  } catch (error) {
    return { path: 'cron', message: `'${cron}' is not a schedule of five or six fields: ${messageOf(error)}` };
  }
}

/** The last moment after `after` and not later than `now` at which the schedule is due; both in milliseconds. */
export function latestSlot(schedule: Schedule, after: number, now: number): number | undefined {
  // croner looks strictly before its reference; a slot at `now` itself is due.
  const slot = openCron(schedule)
    .previousRuns(1, new Date(now + 1))[0]
    ?.getTime();
  return slot !== undefined && slot > after ? slot : undefined;
}

// As in NCRONTAB, day of month and day of week must both match; croner by itself takes either.
const openCron = ({ cron, timeZone }: Schedule): Cron =>
  new Cron(cron, { timezone: timeZone, domAndDow: true, paused: true, mode: '5-or-6-parts' });
