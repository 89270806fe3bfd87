import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Utf8Text } from '../../../../src/dataverse/wire/utf8-text.ts';

test('any pieces come out as the UTF-8 of their join, whatever length was expected', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.nat(9000).map((length) => 'ü€😀x'.repeat(length)),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), fc.nat(5000), (pieces, expected) => {
      const text = new Utf8Text(expected);
      for (const each of pieces) text.add(each);
      expect(text.bytes.equals(Buffer.from(pieces.join('')))).toBe(true);
    }),
    { numRuns: 200 },
  );
});

test('more can be added after the bytes were looked at', () => {
  const text = new Utf8Text(0);
  text.add('a');
  expect(text.bytes.toString()).toBe('a');
  text.add('ß');
  expect(text.bytes.toString()).toBe('aß');
});
