import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readSkipToken, writeSkipToken } from '../../../../src/local/dataverse/paging.ts';

const ID = '49b0be2e-d01c-ed11-b83e-000d3a572421';

test('writes the token of the documentation’s example', () => {
  const token = writeSkipToken(1, [{ name: 'contactid', first: ID, last: 'd5026a4d-d01c-ed11-b83e-000d3a572421' }]);
  expect(token).toBe(
    '%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%2520page%253d%25221%2522%253e%253ccontactid%2520last' +
      '%253d%2522%257bD5026A4D-D01C-ED11-B83E-000D3A572421%257d%2522%2520first%253d%2522%257b49B0BE2E-D01C-ED11-B83E-' +
      '000D3A572421%257d%2522%2520%252f%253e%253c%252fcookie%253e%22%20istracking=%22False%22%20/%3E',
  );
});

test('reads back what it wrote, whatever the values are', () => {
  const value = fc.oneof(fc.string(), fc.constant(null), fc.constant(ID));
  fc.assert(
    fc.property(fc.nat(1_000_000), value, fc.double({ noNaN: true, noDefaultInfinity: true }), (page, text, number) => {
      const columns = [
        { name: 'name', first: text, last: text },
        { name: 'revenue', first: number, last: number },
        { name: 'accountid', first: ID, last: ID },
      ];
      const token = decodeURIComponent(writeSkipToken(page, columns));
      const read = readSkipToken(token, [{ numeric: false }, { numeric: true }, { numeric: false }]);
      expect(read.page).toBe(page);
      expect(read.values[0]).toBe(text);
      expect(read.values[1]).toBeCloseTo(number, 10);
      expect(read.values[2]).toBe(ID);
    }),
  );
});

test.each(['', '<cookie />', 'x', '<cookie pagenumber="2" pagingcookie="%zz" istracking="False" />'])(
  'refuses %j',
  (token) => {
    expect(() => readSkipToken(token, [{ numeric: false }])).toThrow('Malformed XML in the Paging Cookie');
  },
);
