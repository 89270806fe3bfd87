import { expect, test } from 'vitest';
import { systemClock } from '../../../src/shared/clock.ts';

test('a sleep ends with the reason of its signal', async () => {
  const controller = new AbortController();
  const slept = systemClock.sleep(60_000, controller.signal);
  controller.abort(new Error('shutting down'));
  await expect(slept).rejects.toThrow('shutting down');
});
