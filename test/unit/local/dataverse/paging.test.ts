import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readSkipToken, writeSkipToken } from '../../../../src/local/dataverse/paging.ts';

const ID = '49b0be2e-d01c-ed11-b83e-000d3a572421';

test('writes the token of the documentation’s example', () => {
  const token = writeSkipToken(1, [
    { name: 'contactid', kind: 'guid', first: ID, last: 'd5026a4d-d01c-ed11-b83e-000d3a572421' },
  ]);
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
        { name: 'name', kind: 'text', first: text, last: text },
        { name: 'revenue', kind: 'number', first: number, last: number },
        { name: 'accountid', kind: 'guid', first: ID, last: ID },
      ] as const;
      const token = decodeURIComponent(writeSkipToken(page, columns, page % 2 === 0 ? undefined : 7));
      const read = readSkipToken(token, columns);
      expect(read.page).toBe(page);
      expect(read.values[0]).toBe(text);
      expect(read.values[1]).toBeCloseTo(number, 10);
      expect(read.values[2]).toBe(ID);
    }),
  );
});

const good = decodeURIComponent(writeSkipToken(1, [{ name: 'contactid', kind: 'guid', first: ID, last: ID }]));

test.each([
  '',
  '<cookie />',
  'x',
  '<cookie pagenumber="2" pagingcookie="%zz" istracking="False" />',
  good.replace('pagenumber="2"', 'pagenumber="9"'),
  good.replace('contactid', 'accountid'),
  good.replace('%7b49B0', '%7bX9B0'),
  good.replace('%2f%3e', '%2f%3e%3cx%20last%3d%221%22%20first%3d%221%22%20%2f%3e'),
  good.replace('%3ccontactid', '%27%20OR%201%3d1--%3ccontactid'),
])('refuses %j', (token) => {
  expect(() => readSkipToken(token, [{ name: 'contactid', kind: 'guid' }])).toThrow(
    'Malformed XML in the Paging Cookie',
  );
});

test('refuses a token of another order', () => {
  expect(readSkipToken(good, [{ name: 'contactid', kind: 'guid' }]).values).toEqual([ID]);
  expect(() => readSkipToken(good, [{ name: 'contactid', kind: 'number' }])).toThrow('Malformed XML');
  const two = [{ name: 'name', kind: 'text' } as const, { name: 'contactid', kind: 'guid' } as const];
  expect(() => readSkipToken(good, two)).toThrow('Malformed XML');
});
