import { describe, expect, test } from 'vitest';
import { SharedPace } from '../../../src/connections/shared-pace.ts';
import { createPace, type Pace } from '../../../src/dataverse/pace.ts';
import { StorageError } from '../../../src/storage/errors.ts';
import type { LeaseStore } from '../../../src/storage/leases.ts';
import { memoryLeases } from '../../support/leases.ts';
import { type Timeline, timeline } from '../dataverse/bulk/timeline.ts';

const USER = { environment: 'https://contoso.crm4.dynamics.com', clientId: 'a0000000-0000-4000-8000-000000000001' };
const CALL_MS = 100;

/** Several instances of the app on one storage, and a service that counts their calls. */
function openWorld(options: { leases?: (clock: Timeline) => LeaseStore } = {}) {
  const clock = timeline();
  const leases = options.leases?.(clock) ?? memoryLeases(clock.now);
  const logged: string[] = [];
  const calls = { active: 0, most: 0, starts: [] as number[] };
  let ids = 0;
  const instance = (user = USER, maxConcurrency = 5) => {
    ids += 1;
    const id = `00000000-0000-4000-8000-${String(ids).padStart(12, '0')}`;
    const share = new SharedPace({ user, leases, clock, newId: () => id, log: (message) => logged.push(message) });
    const pace = createPace({ clock, maxConcurrency, share });
    return { share, pace, done: 0, most: 0, active: 0 };
  };
  type Instance = ReturnType<typeof instance>;
  const call = async (by: Instance, result = { status: 204 } as { status: number; retryAfterMs?: number }) => {
    const turn = await by.pace.enter({ bulk: true });
    calls.starts.push(clock.now());
    calls.active += 1;
    by.active += 1;
    calls.most = Math.max(calls.most, calls.active);
    by.most = Math.max(by.most, by.active);
    await clock.sleep(CALL_MS);
    calls.active -= 1;
    by.active -= 1;
    by.done += 1;
    turn.leave({ ms: CALL_MS, ...result });
  };
  /** As many calls at the same time as the pace allows, until so much time has passed. */
  const work = async (by: Instance, ms: number) => {
    const end = clock.now() + ms;
    const lane = async (lane: number): Promise<void> => {
      while (clock.now() < end) {
        if (lane < by.pace.concurrency) await call(by);
        else await clock.sleep(CALL_MS);
      }
    };
    await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map(lane));
  };
  return { clock, leases, logged, calls, instance, call, work };
}

const start = async (pace: Pace, clock: Timeline): Promise<number> => {
  const before = clock.now();
  (await pace.enter({ bulk: true })).leave({ ms: 1, status: 204 });
  return clock.now() - before;
};

describe('slots', () => {
  test('all go to the one instance that is busy', async () => {
    const { clock, calls, instance, work } = openWorld();
    const one = instance();
    await clock.run(work(one, 5_000));
    expect(calls.most).toBe(5);
    expect(one.done).toBeGreaterThan(200);
  });

  test('are split evenly between two that are, and never exceeded', async () => {
    const { clock, calls, instance, work } = openWorld();
    const [first, second] = [instance(), instance()];
    await clock.run(
      (async () => {
        const early = work(first, 20_000);
        await clock.sleep(3_000);
        await Promise.all([early, work(second, 17_000)]);
      })(),
    );
    expect(calls.most).toBe(5);
    expect(first.most).toBe(5);
    expect([2, 3]).toContain(second.most);
    const inTheEnd = calls.starts.filter((at) => at > clock.now() - 10_000).length;
    expect(inTheEnd).toBeGreaterThan(0.9 * 5 * (10_000 / CALL_MS));
  });

  test('go back to whoever is left when an instance falls idle', async () => {
    const { clock, instance, work } = openWorld();
    const [first, second] = [instance(), instance()];
    await clock.run(Promise.all([work(first, 2_000), work(second, 2_000)]));
    await clock.run(clock.sleep(15_000));
    expect(second.share.slots).toBe(0);
    await clock.run(work(first, 3_000));
    expect(first.most).toBe(5);
  });

  test('are left by an instance that dies, once its leases have ended', async () => {
    const { clock, instance, leases, work } = openWorld();
    const folder = await folderOfUser();
    for (const slot of [0, 1, 2, 3, 4]) await leases.acquire(`${folder}slot-0${slot}`, 'dead', 30);
    const alive = instance();
    expect(await clock.run(start(alive.pace, clock))).toBeGreaterThanOrEqual(29_000);
    await clock.run(work(alive, 3_000));
    expect(alive.most).toBe(5);
  });

  test('are taken in turns where there are fewer than busy instances', async () => {
    const { clock, calls, instance, work } = openWorld();
    const all = [instance(USER, 2), instance(USER, 2), instance(USER, 2)];
    await clock.run(Promise.all(all.map((each) => work(each, 120_000))));
    expect(calls.most).toBe(2);
    for (const each of all) expect(each.done).toBeGreaterThan(400);
  });

  test('of another application user are others', async () => {
    const { clock, calls, instance, work } = openWorld();
    const other = { ...USER, clientId: 'a0000000-0000-4000-8000-000000000002' };
    await clock.run(Promise.all([work(instance(), 5_000), work(instance(other), 5_000)]));
    expect(calls.most).toBe(10);
  });

  test('are not needed by a request that a person waits for', async () => {
    const { clock, instance } = openWorld();
    const [first, second] = [instance(USER, 1), instance(USER, 1)];
    await clock.run(first.pace.enter({ bulk: true }));
    await clock.run(second.pace.enter());
    const enough = new AbortController();
    const waiting = second.pace.enter({ bulk: true, signal: enough.signal });
    enough.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });

  test('are given back when an instance closes', async () => {
    const { clock, instance, leases, work } = openWorld();
    const one = instance();
    await clock.run(work(one, 1_000));
    expect((await leases.list('')).filter(({ held }) => held)).toHaveLength(6);
    await clock.run(one.share.close());
    expect((await leases.list('')).filter(({ held }) => held)).toEqual([]);
  });
});

/** Where the user's slots are, as an instance shows it that has worked elsewhere. */
async function folderOfUser(): Promise<string> {
  const { clock, instance, leases, work } = openWorld();
  await clock.run(work(instance(), 100));
  return (await leases.list(''))[0]?.path.replace(/[^/]*$/, '') ?? '';
}

describe('a 429', () => {
  test('of one instance holds the others, who slow down as if it was theirs', async () => {
    const { clock, calls, instance, call, work } = openWorld();
    const [first, second] = [instance(), instance()];
    await clock.run(Promise.all([work(first, 3_000), work(second, 3_000)]));
    const before = second.pace.concurrency;
    const refusedAt = await clock.run(call(first, { status: 429, retryAfterMs: 30_000 }).then(() => clock.now()));
    calls.starts.length = 0;
    await clock.run(Promise.all([work(first, 40_000), work(second, 40_000)]));
    const between = calls.starts.filter((at) => at > refusedAt + 1_500 && at < refusedAt + 29_500);
    expect(between).toEqual([]);
    expect(calls.starts.filter((at) => at >= refusedAt + 29_500).length).toBeGreaterThan(100);
    expect(second.pace.concurrency).toBeLessThanOrEqual(Math.max(before, 3));
  });

  test('holds single requests of other instances too, and is never shortened', async () => {
    const { clock, instance } = openWorld();
    const [first, second, third] = [instance(), instance(), instance()];
    (await first.pace.enter()).leave({ ms: 1, status: 429, retryAfterMs: 60_000 });
    (await second.pace.enter()).leave({ ms: 1, status: 429, retryAfterMs: 10_000 });
    await clock.run(third.share.refresh() ?? Promise.resolve());
    await clock.run(clock.sleep(3_000));
    const before = clock.now();
    await clock.run(third.pace.enter());
    expect(clock.now() - before).toBeGreaterThan(56_000);
  });

  test('that others met for longer than there is time is told at once', async () => {
    const { clock, instance } = openWorld();
    const [first, second] = [instance(), instance()];
    (await first.pace.enter()).leave({ ms: 1, status: 429, retryAfterMs: 60_000 });
    await clock.run(clock.sleep(100));
    await clock.run(second.pace.enter());
    await clock.run(clock.sleep(3_000));
    await expect(clock.run(second.pace.enter({ deadline: clock.now() + 1_000 }))).rejects.toMatchObject({
      code: 'limitExceeded',
    });
  });
});

describe('storage that fails', () => {
  const outage = new StorageError('unavailable', 'There is no storage.');

  test('leaves an instance its own pace, and is told once', async () => {
    let isDown = true;
    const leases = (clock: Timeline): LeaseStore => {
      const real = memoryLeases(clock.now);
      return { ...real, list: (prefix) => (isDown ? Promise.reject(outage) : real.list(prefix)) };
    };
    const { clock, calls, instance, work, logged } = openWorld({ leases });
    const one = instance();
    await clock.run(work(one, 10_000));
    expect(calls.most).toBe(5);
    expect(one.share.slots).toBeUndefined();
    isDown = false;
    await clock.run(work(one, 10_000));
    expect(one.share.slots).toBe(5);
    expect(logged).toEqual([
      'the pace is not shared with other instances',
      'the pace is shared with other instances again',
    ]);
  });

  test('to take what is written, and can be read, leaves an instance its own pace', async () => {
    const leases = (clock: Timeline): LeaseStore => ({
      ...memoryLeases(clock.now),
      acquire: () => new Promise(() => undefined),
    });
    const { clock, instance, work, logged } = openWorld({ leases });
    const one = instance();
    const single = async (): Promise<void> => {
      for (let at = 0; at < 40; at += 1) {
        (await one.pace.enter()).leave({ ms: 1, status: 200 });
        await clock.sleep(1_000);
      }
    };
    await clock.run(Promise.all([work(one, 40_000), single()]));
    expect(one.done).toBeGreaterThan(0.9 * 5 * (35_000 / CALL_MS));
    expect(logged).toEqual(['the pace is not shared with other instances']);
  });

  test('is waited for no longer than a few seconds if it does not answer at all', async () => {
    const leases = (clock: Timeline): LeaseStore => ({
      ...memoryLeases(clock.now),
      list: () => new Promise(() => undefined),
    });
    const { clock, instance } = openWorld({ leases });
    const one = instance();
    expect(await clock.run(start(one.pace, clock))).toBe(5_000);
    expect(await clock.run(start(one.pace, clock))).toBe(0);
    const before = clock.now();
    await clock.run(one.pace.enter());
    expect(clock.now() - before).toBeLessThanOrEqual(500);
  });

  test('keeps what is held for as long as the leases last', async () => {
    let isDown = false;
    const leases = (clock: Timeline): LeaseStore => {
      const real = memoryLeases(clock.now);
      return { ...real, list: (prefix) => (isDown ? Promise.reject(outage) : real.list(prefix)) };
    };
    const { clock, instance, work } = openWorld({ leases });
    const [first, second] = [instance(), instance()];
    await clock.run(Promise.all([work(first, 3_000), work(second, 3_000)]));
    isDown = true;
    await clock.run(work(first, 5_000));
    expect([2, 3]).toContain(first.share.slots);
    await clock.run(work(first, 30_000));
    expect(first.share.slots).toBeUndefined();
  });
});
