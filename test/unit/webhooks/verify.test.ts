import { describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/shared/clock.ts';
import { createSecretVerifier, presentedSecrets } from '../../../src/webhooks/verify.ts';

const endpoint = { name: 'events', connection: 'default', secretName: 'hook', header: 'x-bridge-key', query: 'token' };

/** A vault with one secret, and a clock that stands still. */
function world(versions: string[] = ['newest', 'older']) {
  const state = { versions, failure: undefined as Error | undefined, now: 0, reads: 0, warnings: 0 };
  const clock: Clock = { now: () => state.now, sleep: () => Promise.reject(new Error('nobody waits here')) };
  const verifier = createSecretVerifier({
    clock,
    secrets: {
      async newestEnabled(name, count) {
        state.reads += 1;
        if (state.failure) throw state.failure;
        expect(name).toBe('hook');
        return state.versions.slice(0, count);
      },
    },
    log: () => {
      state.warnings += 1;
    },
  });
  return { state, accepts: (...presented: string[]) => verifier.accepts('hook', presented) };
}

describe('presentedSecrets', () => {
  const present = (url: string, headers: Record<string, string>, query: string | undefined = 'token') =>
    presentedSecrets({ ...endpoint, query }, { headers: new Headers(headers), query: new URL(url).searchParams });

  test('looks into the header, the code and the query parameter of the endpoint', () => {
    expect(present('https://x/?code=b&token=c', { 'X-Bridge-Key': 'a' })).toEqual(['a', 'b', 'c']);
  });

  test('passes over what is empty, absent or not configured', () => {
    expect(present('https://x/?code=&other=c', { 'x-other': 'a' })).toEqual([]);
    expect(
      presentedSecrets(
        { ...endpoint, query: undefined },
        { headers: new Headers(), query: new URLSearchParams('token=c') },
      ),
    ).toEqual([]);
  });
});

describe('a secret', () => {
  test('is accepted in its newest two versions and in no other text', async () => {
    const { accepts } = world(['newest', 'older', 'oldest']);
    expect(await accepts('newest')).toBe(true);
    expect(await accepts('wrong', 'older')).toBe(true);
    expect(await accepts('oldest')).toBe(false);
    expect(await accepts('newest ')).toBe(false);
    expect(await accepts('')).toBe(false);
  });

  test('is read once for many requests, at the same time or within minutes', async () => {
    const { state, accepts } = world();
    await Promise.all(Array.from({ length: 10 }, () => accepts('newest')));
    state.now += 4 * 60_000;
    await accepts('older');
    expect(state.reads).toBe(1);
  });

  test('is accepted in a new version as soon as that is presented', async () => {
    const { state, accepts } = world();
    await accepts('newest');
    state.versions = ['rotated', 'newest'];
    state.now += 10_000;
    expect(await accepts('rotated')).toBe(true);
    expect(await accepts('newest')).toBe(true);
    expect(await accepts('older')).toBe(false);
  });

  test('is refused minutes after its version was disabled, although it is used all the time', async () => {
    const { state, accepts } = world();
    await accepts('older');
    state.versions = ['newest'];
    let accepted = true;
    for (let minute = 0; minute < 6 && accepted; minute += 1) {
      state.now += 60_000;
      accepted = await accepts('older');
    }
    expect(accepted).toBe(false);
  });

  test('is not asked for by each of a flood of wrong ones', async () => {
    const { state, accepts } = world();
    for (let request = 0; request < 100; request += 1) {
      expect(await accepts(`wrong ${request}`)).toBe(false);
      state.now += 100;
    }
    expect(state.reads).toBeLessThanOrEqual(3);
  });

  test('stays in use while the vault is silent, and the silence is told', async () => {
    const { state, accepts } = world();
    await accepts('newest');
    state.failure = new Error('the vault is away');
    state.now += 60 * 60_000;
    expect(await accepts('newest')).toBe(true);
    expect(await accepts('wrong')).toBe(false);
    expect(state.warnings).toBe(1);
  });

  test('is unavailable, and the vault left in peace, where it was never read', async () => {
    const { state, accepts } = world();
    state.failure = new Error('the vault is away');
    for (let request = 0; request < 5; request += 1) {
      await expect(accepts('newest')).rejects.toMatchObject({
        code: 'secretUnavailable',
        status: 503,
        cause: state.failure,
      });
    }
    expect(state.reads).toBe(1);
    state.failure = undefined;
    state.now += 10_000;
    expect(await accepts('newest')).toBe(true);
  });

  test('is unavailable where all its versions are disabled, those known before included', async () => {
    const { state, accepts } = world();
    await accepts('newest');
    state.versions = [];
    state.now += 10 * 60_000;
    await expect(accepts('newest')).rejects.toMatchObject({ code: 'secretUnavailable' });
  });
});
