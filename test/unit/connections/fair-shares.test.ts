import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fairShares } from '../../../src/connections/fair-shares.ts';

test.each([
  ['one who wants all', 5, [8], 0, [5]],
  ['two who want all, the first more', 5, [5, 5], 0, [3, 2]],
  ['two of whom one wants little', 8, [1, 8], 0, [1, 7]],
  ['more than there is for', 2, [4, 4, 4], 0, [1, 1, 0]],
  ['the same in another turn', 2, [4, 4, 4], 1, [0, 1, 1]],
  ['those who want nothing', 4, [0, 9, 0], 2, [0, 4, 0]],
  ['nobody', 4, [], 0, []],
])('shares are fair among %s', (_, total, wants, first, shares) => {
  expect(fairShares(total, wants, first)).toEqual(shares);
});

test('shares are never more than wanted, leave nothing over, and differ by one at most where more is wanted', () => {
  const wants = fc.array(fc.nat({ max: 60 }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(fc.nat({ max: 52 }), wants, fc.nat({ max: 11 }), (total, wanted, first) => {
      const shares = fairShares(total, wanted, first);
      expect(shares.every((share, at) => share <= (wanted[at] ?? 0))).toBe(true);
      const sum = (of: readonly number[]) => of.reduce((all, each) => all + each, 0);
      expect(sum(shares)).toBe(Math.min(total, sum(wanted)));
      const hungry = shares.filter((share, at) => share < (wanted[at] ?? 0));
      if (hungry.length > 0) expect(Math.max(...shares) - Math.min(...hungry)).toBeLessThanOrEqual(1);
    }),
    { numRuns: 200 },
  );
});
