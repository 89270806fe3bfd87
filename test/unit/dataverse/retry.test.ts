import { describe, expect, test } from 'vitest';
import { backoff, parseRetryAfter, retryDelay } from '../../../src/dataverse/retry.ts';

describe('the wait before another try', () => {
  test.each([
    ['a backoff when a repeatable request met 503', { attempt: 1, status: 503, repeatable: true }, 500],
    ['what a 503 asks for', { attempt: 1, status: 503, retryAfterMs: 3000, repeatable: true }, 3000],
    ['a backoff when a repeatable request got no answer', { attempt: 2, repeatable: true }, 1000],
    [
      'a backoff after a deadlock, even for a create',
      { attempt: 1, status: 500, serviceCode: '0x80044150', repeatable: false },
      500,
    ],
  ])('is %s', (_, failure, expected) => {
    expect(retryDelay(failure, 0)).toBe(expected);
  });

  test.each([
    ['a create that got no answer', { attempt: 1, repeatable: false }],
    ['a create that met 503', { attempt: 1, status: 503, repeatable: false }],
    ['a refused request', { attempt: 1, status: 400, serviceCode: '0x80044331', repeatable: true }],
    ['an unforeseen failure of the service', { attempt: 1, status: 500, repeatable: true }],
    ['a fourth failure', { attempt: 4, status: 503, repeatable: true }],
    ['a service protection limit, which is the pace’s', { attempt: 1, status: 429, retryAfterMs: 1, repeatable: true }],
  ])('is none after %s', (_, failure) => {
    expect(retryDelay(failure, 0)).toBeUndefined();
  });
});

test('Retry-After is read as seconds or as a date', () => {
  const now = Date.parse('2026-11-21T10:00:00Z');
  expect(parseRetryAfter('7', now)).toBe(7000);
  expect(parseRetryAfter('Sat, 21 Nov 2026 10:00:09 GMT', now)).toBe(9000);
  expect(parseRetryAfter('soon', now)).toBeUndefined();
  expect(parseRetryAfter(undefined, now)).toBeUndefined();
});

test('a backoff doubles up to half a minute, and half of it is chance', () => {
  expect([1, 2, 3].map((attempt) => backoff(attempt, 0))).toEqual([500, 1000, 2000]);
  expect([backoff(1, 1), backoff(20, 0), backoff(20, 1)]).toEqual([1000, 15_000, 30_000]);
});
