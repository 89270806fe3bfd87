import { Cron } from 'croner';

/** When a timer fires. Times are milliseconds since 1970. */
export interface Schedule {
  readonly text: string;
  /** The first occurrence after `time`; undefined if there is none. */
  next(time: number): number | undefined;
}

// What croner understands beyond NCRONTAB: https://github.com/atifaziz/NCrontab#usage
const BEYOND_NCRONTAB = /[?#+]|\bL\b|\bLW\b|\dW|\dL|@/i;
const SEVEN_AS_SUNDAY = /(^|[,-])0*7/;
const HIGHEST = [59, 59, 23, 31, 12, 6];
const TIME_SPAN = /^(\d+\.)?\d{1,2}:\d{2}:\d{2}(\.\d+)?$/;

/**
 * Reads an NCRONTAB expression of six fields (seconds first) or five, in UTC. Day of month and day of week must both
 * match. Throws an `Error` that says what is wrong; a time span is wrong too, since only App Service plans take one.
 */
export function parseSchedule(text: string): Schedule {
  if (TIME_SPAN.test(text)) throw new Error(`the schedule '${text}' is a time span, which only App Service plans take`);
  const fields = text.trim().split(/\s+/);
  if (fields.length === 5) fields.unshift('0');
  if (fields.length !== 6) throw new Error(`the schedule '${text}' must have five or six fields`);
  if (BEYOND_NCRONTAB.test(text) || SEVEN_AS_SUNDAY.test(fields[5] ?? '')) {
    throw new Error(`the schedule '${text}' is not an NCRONTAB expression`);
  }
  const cron = new Cron(fields.map(openStep).join(' '), {
    timezone: 'UTC',
    domAndDow: true,
    paused: true,
    mode: '6-part',
  });
  return { text, next: (time) => cron.nextRun(new Date(time))?.getTime() };
}

/** `5/15` means from 5 to the end of the range; croner wants the range spelled out. */
function openStep(field: string, index: number): string {
  return field.replace(/(^|,)(\d+)\/(\d+)/g, (_, before, start, step) => `${before}${start}-${HIGHEST[index]}/${step}`);
}

/** True if some of the next occurrences are less than a minute apart: for such timers the host keeps no status. */
export function firesWithinMinute(schedule: Schedule, now: number): boolean {
  let previous = schedule.next(now);
  for (let count = 0; count < 10 && previous !== undefined; count += 1) {
    const following = schedule.next(previous);
    if (following !== undefined && following - previous < 60_000) return true;
    previous = following;
  }
  return false;
}
