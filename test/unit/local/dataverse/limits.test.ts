import { expect, test } from 'vitest';
import { WireError } from '../../../../src/local/dataverse/errors.ts';
import { createLimits, type Limits } from '../../../../src/local/dataverse/limits.ts';
import { serviceModelSchema } from '../../../../src/local/dataverse/service-model.ts';
import { fakeClock } from '../../../support/clock.ts';

function open(limits: Record<string, number | null>) {
  const clock = fakeClock();
  const parsed = serviceModelSchema.parse({ limits }).limits;
  if (!parsed) throw new Error('There are no limits');
  return { clock, limits: createLimits(parsed, clock) };
}

/** The refusal, or undefined when the request was let in. */
function refusal(limits: Limits, executionMs = 0, user = 'user', server = 0): WireError | undefined {
  try {
    limits.admit(user, server).leave(executionMs);
    return undefined;
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
}

const retryAfter = (error: WireError | undefined): number => Number(error?.headers['Retry-After']);

test('the request behind the last one allowed is refused in the service’s words, until the oldest has left the window', () => {
  const { clock, limits } = open({ requests: 3 });
  expect(refusal(limits)).toBeUndefined();
  clock.advance(100_000);
  expect(refusal(limits)).toBeUndefined();
  expect(refusal(limits)).toBeUndefined();
  const refused = refusal(limits);
  expect(refused).toMatchObject({
    status: 429,
    serviceCode: '0x80072322',
    message: 'Number of requests exceeded the limit of 3 over time window of 300 seconds.',
    headers: { 'Retry-After': '200' },
  });
  clock.advance(200_000);
  expect(refusal(limits)).toBeUndefined();
  expect(refusal(limits)).toMatchObject({ serviceCode: '0x80072322' });
});

test('execution time is exceeded before it is refused, and room comes with the end of the window', () => {
  const { clock, limits } = open({ executionMs: 1_200_000 });
  expect(refusal(limits, 700_000)).toBeUndefined();
  clock.advance(50_000);
  expect(refusal(limits, 500_000)).toBeUndefined();
  expect(refusal(limits, 1)).toBeUndefined();
  const refused = refusal(limits);
  expect(refused?.serviceCode).toBe('0x80072321');
  expect(refused?.message).toBe(
    'Combined execution time of incoming requests exceeded limit of 1,200,000 milliseconds over time window of 300 ' +
      'seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later.',
  );
  expect(retryAfter(refused)).toBe(250);
  clock.advance(250_000);
  expect(refusal(limits)).toBeUndefined();
});

test('requests at the same time are refused at once and let in again as soon as one has ended', () => {
  const { limits } = open({ concurrency: 2 });
  const first = limits.admit('user', 0);
  limits.admit('user', 0);
  expect(refusal(limits)).toMatchObject({
    serviceCode: '0x80072326',
    message: 'Number of concurrent requests exceeded the limit of 2.',
    headers: { 'Retry-After': '1' },
  });
  first.leave(0);
  expect(refusal(limits)).toBeUndefined();
});

test('Retry-After grows while a refused caller goes on sending, though not for what was under way', () => {
  const { clock, limits } = open({ requests: 1, pushBackMs: 10_000 });
  refusal(limits);
  expect([retryAfter(refusal(limits)), retryAfter(refusal(limits))]).toEqual([300, 300]);
  clock.advance(999);
  expect([retryAfter(refusal(limits)), retryAfter(refusal(limits))]).toEqual([300, 300]);
  clock.advance(99_001);
  expect([retryAfter(refusal(limits)), retryAfter(refusal(limits)), retryAfter(refusal(limits))]).toEqual([
    210, 220, 230,
  ]);
  clock.advance(229_999);
  expect(retryAfter(refusal(limits))).toBe(11);
  clock.advance(10_001);
  expect(refusal(limits)).toBeUndefined();
});

test('each user has its own window on each web server', () => {
  const { limits } = open({ requests: 1 });
  expect(refusal(limits, 0, 'a', 0)).toBeUndefined();
  expect(refusal(limits, 0, 'a', 1)).toBeUndefined();
  expect(refusal(limits, 0, 'b', 0)).toBeUndefined();
  expect(refusal(limits, 0, 'a', 0)).toBeDefined();
});

test('what is left shrinks with every request and comes back with the window', () => {
  const { clock, limits } = open({ requests: 10, executionMs: 1000, concurrency: 4 });
  limits.admit('user', 0).leave(250);
  limits.admit('user', 0);
  expect(limits.remaining('user', 0)).toEqual({ requests: 8, executionMs: 750, utilizationPercent: 25 });
  clock.advance(300_000);
  expect(limits.remaining('user', 0)).toMatchObject({ requests: 10, executionMs: 1000 });
});

test('a facet without a limit never refuses', () => {
  const { limits } = open({ requests: null, executionMs: null, concurrency: null });
  for (let index = 0; index < 10_000; index += 1) expect(refusal(limits, 60_000)).toBeUndefined();
  expect(limits.remaining('user', 0)).toEqual({ requests: undefined, executionMs: undefined, utilizationPercent: 0 });
});
