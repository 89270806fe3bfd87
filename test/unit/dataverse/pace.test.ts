import { describe, expect, test } from 'vitest';
import { limitOf } from '../../../src/dataverse/limits.ts';
import {
  createPace,
  type EnterOptions,
  type Pace,
  type PaceShare,
  type TurnResult,
} from '../../../src/dataverse/pace.ts';
import { type Timeline, timeline } from './bulk/timeline.ts';

const bulk: EnterOptions = { bulk: true };
const fine: TurnResult = { ms: 10, status: 204 };
const refused = (retryAfterMs: number): TurnResult => ({ ms: 1, status: 429, retryAfterMs });

/** Takes as many turns as there are at once. */
async function takeAll(pace: Pace): Promise<Awaited<ReturnType<Pace['enter']>>[]> {
  const turns = [];
  const free = pace.concurrency;
  for (let at = 0; at < free; at += 1) turns.push(await pace.enter(bulk));
  return turns;
}

async function succeed(pace: Pace, result: TurnResult = fine): Promise<void> {
  for (const turn of await takeAll(pace)) turn.leave(result);
}

describe('concurrency', () => {
  test('starts low and grows to the setting while all goes well', async () => {
    const pace = createPace({ clock: timeline(), maxConcurrency: 8 });
    const seen = [pace.concurrency];
    for (let round = 0; round < 4; round += 1) {
      await succeed(pace);
      seen.push(pace.concurrency);
    }
    expect(seen).toEqual([2, 4, 8, 8, 8]);
  });

  test.each([
    ['what the service recommends', { maxConcurrency: 8 }, 5, 5],
    ['the setting where more is recommended', { maxConcurrency: 3 }, 40, 3],
    ['what the budget leaves of it', { maxConcurrency: 8, budget: 0.6 }, 5, 3],
    ['one at least', { maxConcurrency: 2, budget: 0.1 }, undefined, 1],
  ])('ends at %s', async (_, options, dopHint, expected) => {
    const pace = createPace({ clock: timeline(), ...options });
    for (let round = 0; round < 5; round += 1) await succeed(pace, { ...fine, dopHint });
    expect(pace.concurrency).toBe(expected);
  });

  test('halves once for calls that are refused together, and then grows by one a round', async () => {
    const clock = timeline();
    const pace = createPace({ clock, maxConcurrency: 8 });
    for (let round = 0; round < 3; round += 1) await succeed(pace);
    for (const turn of await takeAll(pace)) turn.leave(refused(1000));
    expect(pace.concurrency).toBe(4);
    await clock.run(succeed(pace));
    expect(pace.concurrency).toBe(5);
    await succeed(pace);
    expect(pace.concurrency).toBe(6);
  });

  test('holds bulk requests back, in their order, and no others', async () => {
    const pace = createPace({ clock: timeline(), maxConcurrency: 2 });
    const turns = await takeAll(pace);
    const order: number[] = [];
    const later = [1, 2].map((each) =>
      pace.enter(bulk).then((turn) => {
        order.push(each);
        return turn;
      }),
    );
    const other = await pace.enter();
    expect(order).toEqual([]);
    turns[0]?.leave(fine);
    other.leave(fine);
    await later[0];
    expect(order).toEqual([1]);
    turns[1]?.leave(fine);
    await later[1];
    expect(order).toEqual([1, 2]);
  });
});

describe('a 429', () => {
  test('is told to requests that have waited for room when it came', async () => {
    const clock = timeline();
    const pace = createPace({ clock, maxConcurrency: 1 });
    const turn = await pace.enter(bulk);
    const held: number[] = [];
    const waiting = pace.enter({ ...bulk, onHeld: (ms) => held.push(ms) });
    (await pace.enter()).leave(refused(4000));
    await clock.run(clock.sleep(1000));
    turn.leave(refused(5000));
    await clock.run(waiting);
    expect(held).toEqual([4000, 2000]);
  });

  test('holds everybody for as long as it says', async () => {
    const clock = timeline();
    const pace = createPace({ clock, maxConcurrency: 4 });
    const start = clock.now();
    (await pace.enter()).leave(refused(9000));
    const held: number[] = [];
    await clock.run(Promise.all([pace.enter({ onHeld: (ms) => held.push(ms) }), pace.enter()]));
    expect(clock.now() - start).toBe(9000);
    expect(held).toEqual([9000]);
  });

  test('without a time holds for longer and longer, until something succeeds', async () => {
    const clock = timeline();
    const pace = createPace({ clock, maxConcurrency: 4 });
    const waits: number[] = [];
    for (const result of [
      { ms: 1, status: 429 },
      { ms: 1, status: 429 },
      { ms: 1, status: 429 },
      fine,
      { ms: 1, status: 429 },
    ]) {
      const turn = await clock.run(pace.enter(bulk));
      const before = clock.now();
      turn.leave(result);
      (await clock.run(pace.enter())).leave({ ms: 1, status: 500 });
      waits.push(clock.now() - before);
    }
    expect(waits).toEqual([1000, 2000, 4000, 0, 1000]);
  });

  test('for longer than there is time is told at once', async () => {
    const clock = timeline();
    const pace = createPace({ clock, maxConcurrency: 4 });
    (await pace.enter()).leave(refused(60_000));
    const entering = pace.enter({ deadline: clock.now() + 10_000 });
    await expect(entering).rejects.toMatchObject({ code: 'limitExceeded', facts: { retryAfterMs: 60_000 } });
  });

  test('leaves a waiting request free to be aborted', async () => {
    const clock = timeline();
    const pace = createPace({ clock, maxConcurrency: 4 });
    (await pace.enter()).leave(refused(60_000));
    const controller = new AbortController();
    const entering = pace.enter({ signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(entering).rejects.toThrow('enough');
  });
});

describe('a window that was used up', () => {
  const message = 'Number of requests exceeded the limit of 100 over time window of 300 seconds.';
  const limit = limitOf('0x80072322', message);

  /** A service that allows 100 requests in 300 seconds; tells how many it refused. */
  async function sendMany(clock: Timeline, pace: Pace, count: number): Promise<number> {
    const taken: number[] = [];
    let refusals = 0;
    for (let sent = 0; sent < count; ) {
      const turn = await pace.enter(bulk);
      await clock.sleep(100);
      const used = taken.filter((at) => at > clock.now() - 300_000).length;
      if (used >= 100) {
        refusals += 1;
        turn.leave({ ...refused(10_000), limit });
      } else {
        taken.push(clock.now());
        sent += 1;
        turn.leave(fine);
      }
    }
    return refusals;
  }

  test('is not used up again, and still used almost whole', async () => {
    const clock = timeline();
    const start = clock.now();
    expect(await clock.run(sendMany(clock, createPace({ clock, maxConcurrency: 1 }), 399))).toBe(1);
    expect(clock.now() - start).toBeLessThan(3 * 300_000 * 1.1);
  });

  test('is not reached where only a share of the documented limits may be used', async () => {
    const clock = timeline();
    const pace = createPace({ clock, maxConcurrency: 8, budget: 0.01 });
    const start = clock.now();
    expect(await clock.run(sendMany(clock, pace, 70))).toBe(0);
    expect(clock.now() - start).toBeGreaterThan(299_000);
  });

  test('is not reached by several instances that share a budget', async () => {
    const clock = timeline();
    const share: PaceShare = {
      slots: undefined,
      part: 0.5,
      blockedUntil: 0,
      refresh: () => undefined,
      tell: () => undefined,
      block: () => undefined,
      watch: () => undefined,
    };
    const pace = createPace({ clock, maxConcurrency: 8, budget: 0.01, share });
    const start = clock.now();
    await clock.run(sendMany(clock, pace, 30));
    expect(clock.now() - start).toBeLessThan(10_000);
    await clock.run(sendMany(clock, pace, 10));
    expect(clock.now() - start).toBeGreaterThan(299_000);
  });

  test('by others teaches nothing about ours', async () => {
    const clock = timeline();
    const pace = createPace({ clock, maxConcurrency: 1 });
    (await pace.enter()).leave({ ...refused(1000), limit });
    const start = clock.now();
    for (let sent = 0; sent < 20; sent += 1) (await clock.run(pace.enter(bulk))).leave(fine);
    expect(clock.now() - start).toBe(1000);
  });
});

test.each([
  ['0x80072322', 'Number of requests exceeded the limit of 6000 over time window of 300 seconds.', 'requests', 6000],
  [
    '0x80072321',
    'Combined execution time of incoming requests exceeded limit of 1,200,000 milliseconds over time window of 300 seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later.',
    'executionTime',
    1_200_000,
  ],
])('a limit is read from the text of %s', (code, message, facet, amount) => {
  expect(limitOf(code, message)).toEqual({ facet, amount, windowMs: 300_000 });
});

test.each([
  ['0x80072326', 'Number of concurrent requests exceeded the limit of 52.'],
  ['0x80072322', 'Too many requests.'],
  [undefined, ''],
])('no window is read from %s %j', (code, message) => {
  expect(limitOf(code, message)).toBeUndefined();
});
