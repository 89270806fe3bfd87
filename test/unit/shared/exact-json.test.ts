import fc from 'fast-check';
import { expect, test } from 'vitest';
import { exactNumber, isExactNumber, parseExactJson } from '../../../src/shared/exact-json.ts';

test.each([
  '123456789012345678901234567890',
  '12345678901.1234567891',
  '-0.12345678901234567891',
  '9007199254740993',
  '1.00000000000000000001e5',
])('%s comes out with every digit', (text) => {
  expect(JSON.stringify(parseExactJson(`{"a":[${text}]}`))).toBe(`{"a":[${text}]}`);
  expect(isExactNumber(exactNumber(text))).toBe(true);
});

test.each([
  ['5000000.0000000000000', 5_000_000],
  ['9007199254740992', 9_007_199_254_740_992],
  ['0.1000000000000000000', 0.1],
  ['-0.0000000000000000', -0],
  ['1e21', 1e21],
])('%s, which a double holds, is a number', (text, number) => {
  expect(parseExactJson(text)).toBe(number);
});

test('everything else is as JSON.parse has it', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(JSON.stringify(parseExactJson(text))).toBe(JSON.stringify(JSON.parse(text)));
    }),
    { numRuns: 200 },
  );
});

test('long texts with digits stay texts', () => {
  expect(parseExactJson('["1234567890123456789012", "a.................b"]')).toEqual([
    '1234567890123456789012',
    'a.................b',
  ]);
});
