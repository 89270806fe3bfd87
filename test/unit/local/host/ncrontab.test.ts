import { describe, expect, test } from 'vitest';
import { firesWithinMinute, parseSchedule } from '../../../../src/local/host/ncrontab.ts';

function next(text: string, from: string, count = 1): string[] {
  const schedule = parseSchedule(text);
  const times: string[] = [];
  for (let time: number | undefined = Date.parse(from); times.length < count; ) {
    time = schedule.next(time);
    if (time === undefined) break;
    times.push(new Date(time).toISOString());
  }
  return times;
}

describe('an NCRONTAB schedule', () => {
  test('has seconds first when it has six fields', () => {
    expect(next('30 */15 * * * *', '2026-11-20T10:00:00Z', 2)).toEqual([
      '2026-11-20T10:00:30.000Z',
      '2026-11-20T10:15:30.000Z',
    ]);
  });

  test('starts at second 0 when it has five fields', () => {
    expect(next('5 4 * * *', '2026-11-20T10:00:00Z')).toEqual(['2026-11-21T04:05:00.000Z']);
  });

  test('needs day of month and day of week to match both', () => {
    expect(next('0 0 0 13 * 5', '2026-11-20T10:00:00Z', 2)).toEqual([
      '2027-08-13T00:00:00.000Z',
      '2028-10-13T00:00:00.000Z',
    ]);
  });

  test('takes n/step as from n to the end of the range', () => {
    expect(next('0 5/20 10 * * *', '2026-11-20T09:00:00Z', 3)).toEqual([
      '2026-11-20T10:05:00.000Z',
      '2026-11-20T10:25:00.000Z',
      '2026-11-20T10:45:00.000Z',
    ]);
  });

  test('counts 0 as Sunday and knows names', () => {
    expect(next('0 0 0 * * 0', '2026-11-20T10:00:00Z')).toEqual(['2026-11-22T00:00:00.000Z']);
    expect(next('0 0 0 * JAN MON', '2026-11-20T10:00:00Z')).toEqual(['2027-01-04T00:00:00.000Z']);
  });

  test('is in UTC and never repeats the moment that it is asked from', () => {
    expect(next('0 0 12 * * *', '2026-11-20T12:00:00Z')).toEqual(['2026-11-21T12:00:00.000Z']);
  });

  test('that never comes has no next occurrence', () => {
    expect(next('0 0 0 30 2 *', '2026-11-20T12:00:00Z')).toEqual([]);
  });

  test.each([
    ['0 0 0 * * 7', 'not an NCRONTAB expression'],
    ['0 0 0 * * 1-7', 'not an NCRONTAB expression'],
    ['0 0 0 ? * *', 'not an NCRONTAB expression'],
    ['0 0 0 L * *', 'not an NCRONTAB expression'],
    ['0 0 0 15W * *', 'not an NCRONTAB expression'],
    ['0 0 0 * * 5L', 'not an NCRONTAB expression'],
    ['0 0 0 * * 5#2', 'not an NCRONTAB expression'],
    ['@daily', 'five or six fields'],
    ['0 0 0 1 1 * 2027', 'five or six fields'],
    ['00:05:00', 'only App Service plans'],
    ['0 61 * * * *', ''],
  ])('%s is refused', (text, reason) => {
    expect(() => parseSchedule(text)).toThrow(reason);
  });
});

test.each([
  ['*/30 * * * * *', true],
  ['0 * * * * *', false],
  ['0,59 0 * * * *', true],
])('%s fires within a minute: %s', (text, expected) => {
  expect(firesWithinMinute(parseSchedule(text), Date.parse('2026-11-20T10:00:00Z'))).toBe(expected);
});
