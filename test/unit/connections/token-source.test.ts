import { describe, expect, test, vi } from 'vitest';
import { createTokenSource, type Token } from '../../../src/connections/token-source.ts';
import { fakeClock } from '../../support/clock.ts';

const HOUR_MS = 3_600_000;

/** A source whose tokens are `token 1`, `token 2`, …, each an hour long. */
function source(options: { refreshAt?: (now: number) => number; until?: Promise<void> } = {}) {
  const clock = fakeClock();
  const failures: unknown[] = [];
  let broken: Error | undefined;
  const fetchToken = vi.fn(async (): Promise<Token> => {
    const number = fetchToken.mock.calls.length;
    await options.until;
    if (broken) throw broken;
    const now = clock.now();
    return { value: `token ${number}`, expiresAt: now + HOUR_MS, refreshAt: options.refreshAt?.(now) };
  });
  const token = createTokenSource(fetchToken, clock, (error) => failures.push(error));
  return {
    clock,
    failures,
    fetchToken,
    token,
    fail: (error: Error | undefined) => {
      broken = error;
    },
  };
}

/** Lets what runs in the background come to its end. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
};

describe('a token', () => {
  test('is asked for once, however many callers a cold start has', async () => {
    const { token, fetchToken } = source();
    expect(await Promise.all(Array.from({ length: 50 }, () => token()))).toEqual(Array(50).fill('token 1'));
    expect(fetchToken).toHaveBeenCalledTimes(1);
  });

  test('is handed out without asking until half of its life is over', async () => {
    const { token, clock, fetchToken } = source();
    await token();
    clock.advance(HOUR_MS / 2 - 1);
    expect(token()).toBe('token 1');
    await settle();
    expect(fetchToken).toHaveBeenCalledTimes(1);
  });

  test('is renewed in the background from then on, while callers get the good one', async () => {
    const { token, clock, fetchToken } = source();
    await token();
    clock.advance(HOUR_MS / 2);
    expect([token(), token(), token()]).toEqual(['token 1', 'token 1', 'token 1']);
    await settle();
    expect(token()).toBe('token 2');
    expect(fetchToken).toHaveBeenCalledTimes(2);
  });

  test('is renewed earlier where its issuer wants so', async () => {
    const { token, clock } = source({ refreshAt: (now) => now + 60_000 });
    await token();
    clock.advance(60_000);
    await token();
    await settle();
    expect(token()).toBe('token 2');
  });

  test('is not handed out in its last minute', async () => {
    const { token, clock } = source();
    await token();
    clock.advance(HOUR_MS - 60_000);
    expect(await token()).toBe('token 2');
  });
});

describe('a renewal that fails', () => {
  test('hurts nobody while the token is good, is told, and is tried again after a rest', async () => {
    const { token, clock, fail, failures, fetchToken } = source();
    await token();
    const error = new Error('Entra is down');
    fail(error);
    clock.advance(HOUR_MS / 2);
    expect(token()).toBe('token 1');
    await settle();
    expect(token()).toBe('token 1');
    await settle();
    expect(failures).toEqual([error]);
    expect(fetchToken).toHaveBeenCalledTimes(2);
    fail(undefined);
    clock.advance(15_000);
    await token();
    await settle();
    expect(token()).toBe('token 3');
  });

  test('fails the callers once the token is over, without a request for each of them', async () => {
    const { token, clock, fail, fetchToken } = source();
    await token();
    fail(new Error('Entra is down'));
    clock.advance(HOUR_MS);
    await expect(Promise.all([token(), token()])).rejects.toThrow('Entra is down');
    await expect(token()).rejects.toThrow('Entra is down');
    expect(fetchToken).toHaveBeenCalledTimes(2);
    fail(undefined);
    clock.advance(1_000);
    expect(await token()).toBe('token 3');
  });

  test('rests longer each time, and never for more than five minutes', async () => {
    const { token, clock, fail, fetchToken } = source();
    await token();
    fail(new Error('Entra is down'));
    clock.advance(HOUR_MS / 2);
    const rests: number[] = [];
    for (let before = fetchToken.mock.calls.length, rested = 0; rests.length < 7; rested += 5_000) {
      expect(token()).toBe('token 1');
      await settle();
      const now = fetchToken.mock.calls.length;
      if (now > before) {
        rests.push(rested / 1_000);
        rested = 0;
      }
      before = now;
      clock.advance(5_000);
    }
    expect(rests).toEqual([0, 15, 30, 60, 120, 240, 300]);
  });
});

test('a forced renewal is one for all who force it at the same time', async () => {
  const { token, fetchToken } = source();
  await token();
  expect(await Promise.all([token({ renew: true }), token({ renew: true })])).toEqual(['token 2', 'token 2']);
  expect(token()).toBe('token 2');
  expect(fetchToken).toHaveBeenCalledTimes(2);
});

describe('a token that Dataverse refused', () => {
  test('is renewed once for all who held it', async () => {
    const { token, fetchToken } = source();
    await token();
    const refused = { rejected: 'token 1' };
    expect(await Promise.all([token(refused), token(refused)])).toEqual(['token 2', 'token 2']);
    expect(token(refused)).toBe('token 2');
    expect(fetchToken).toHaveBeenCalledTimes(2);
  });

  test('is not renewed again at once where the renewed one is refused too', async () => {
    const { token, clock, fetchToken } = source();
    await token();
    await token({ rejected: 'token 1' });
    expect(token({ rejected: 'token 2' })).toBe('token 2');
    expect(fetchToken).toHaveBeenCalledTimes(2);
    clock.advance(15_000);
    expect(await token({ rejected: 'token 2' })).toBe('token 3');
  });

  test('is renewed with the claims that Dataverse asks for, whatever was renewed before', async () => {
    const { token, fetchToken } = source();
    await token();
    await token({ rejected: 'token 1' });
    expect(await token({ rejected: 'token 2', claims: '{"a":1}' })).toBe('token 3');
    expect(token({ rejected: 'token 3', claims: '{"a":1}' })).toBe('token 3');
    expect(fetchToken).toHaveBeenLastCalledWith({ claims: '{"a":1}' });
  });

  test('still serves others when its renewal fails', async () => {
    const { token, fail } = source();
    await token();
    fail(new Error('Entra is down'));
    await expect(token({ rejected: 'token 1' })).rejects.toThrow('Entra is down');
    expect(token()).toBe('token 1');
  });
});

test('a caller that stops waiting leaves the others waiting', async () => {
  let release = (): void => {};
  const until = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { token } = source({ until });
  const controller = new AbortController();
  const impatient = token({ signal: controller.signal });
  const patient = token();
  controller.abort(new Error('no time'));
  await expect(impatient).rejects.toThrow('no time');
  await expect(token({ signal: controller.signal })).rejects.toThrow('no time');
  release();
  expect(await patient).toBe('token 1');
});
