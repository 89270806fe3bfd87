import { describe, expect, test } from 'vitest';
import { createPages, listingDigest } from '../../../src/actions/pages.ts';
import { newGuid } from '../../../src/shared/ids.ts';
import { fakeClock } from '../../support/clock.ts';
import { memoryStorage } from '../activations/memory-storage.ts';

const DAY = 24 * 60 * 60_000;

function pagesAt(start?: number) {
  const clock = fakeClock(start);
  const storage = memoryStorage(clock.now);
  return { clock, storage, pages: createPages({ storage, clock, newId: newGuid }) };
}

describe('a page token', () => {
  test('is short however long what it stands for, and holds nothing of it', async () => {
    const { pages } = pagesAt();
    const state = { path: `accounts?$filter=${'x'.repeat(100_000)}` };
    const token = await pages.keep(['rows', 'default'], state);
    expect(token).toMatch(/^[0-9a-f]{64}$/);
    expect(await pages.find(token)).toEqual({ listing: listingDigest(['rows', 'default']), state });
  });

  test('is another one each time', async () => {
    const { pages } = pagesAt();
    expect(await pages.keep('a', {})).not.toBe(await pages.keep('a', {}));
  });

  test.each(['2026-11-21T00:00:00Z', '2026-11-21T12:00:00Z', '2026-11-21T23:59:59Z'])(
    'that was given at %s holds for a day, and no longer',
    async (start) => {
      const { pages, clock } = pagesAt(Date.parse(start));
      const token = await pages.keep('a', {});
      clock.advance(DAY - 1);
      await expect(pages.find(token)).resolves.toBeDefined();
      clock.advance(1);
      await expect(pages.find(token)).rejects.toMatchObject({ code: 'pageInvalid', status: 400 });
    },
  );

  test.each(['', 'x', 'f'.repeat(64), 'F'.repeat(64), `${'f'.repeat(63)}'`])('%j is none', async (token) => {
    const { pages } = pagesAt();
    await expect(pages.find(token)).rejects.toMatchObject({ code: 'pageInvalid' });
  });

  test('is forgotten once its day is over', async () => {
    const { pages, clock, storage } = pagesAt();
    await pages.keep('a', {});
    clock.advance(3 * DAY);
    await pages.keep('b', {});
    const { entities } = await storage.table('querypages').query({ limit: 10 });
    expect(entities.map(({ properties }) => properties['listing'])).toEqual([listingDigest('b')]);
  });
});
