import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isLike } from '../../../../src/local/dataverse/like.ts';

test.each([
  ['abc', 'abc', true],
  ['abc', 'ab', false],
  ['abc', '%', true],
  ['', '%', true],
  ['', '', true],
  ['abc', 'a%', true],
  ['abc', '%c', true],
  ['abc', '%b%', true],
  ['abc', 'a_c', true],
  ['ac', 'a_c', false],
  ['abc', '[a-b]%', true],
  ['abc', '[^a]%', false],
  ['bcd', '[^a]%', true],
  ['a%c', 'a[%]c', true],
  ['abc', 'a[%]c', false],
  ['a[c', 'a[c', true],
  ['aab', '%ab', true],
  ['abcabd', '%ab_', true],
  ['mississippi', '%iss%ip%', true],
])('%j is like %j: %s', (text, pattern, expected) => {
  expect(isLike(text, pattern)).toBe(expected);
});

test('a text without wildcards is like itself and lies within its surroundings', () => {
  const plain = fc.string().map((text) => text.replace(/[%_[\]^]/g, ''));
  fc.assert(
    fc.property(plain, plain, plain, (before, text, after) => {
      expect(isLike(text, text)).toBe(true);
      expect(isLike(before + text + after, `%${text}%`)).toBe(true);
    }),
  );
});

test('agrees with a regular expression on short patterns', () => {
  const short = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 });
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '%', '_'), maxLength: 6 });
  fc.assert(
    fc.property(short, pattern, (text, like) => {
      const expression = new RegExp(`^${like.replaceAll('%', '.*').replaceAll('_', '.')}$`);
      expect(isLike(text, like)).toBe(expression.test(text));
    }),
  );
});
