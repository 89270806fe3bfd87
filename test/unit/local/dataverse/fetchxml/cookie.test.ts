import { expect, test } from 'vitest';
import { pagingAnnotation, readCookie } from '../../../../../src/local/dataverse/fetchxml/cookie.ts';
import type { SortTerm } from '../../../../../src/local/dataverse/fetchxml/order.ts';
import { parseXml } from '../../../../../src/local/dataverse/fetchxml/xml.ts';

const term = (name: string, read: (text: string) => string | undefined): SortTerm => ({
  name,
  compared: name,
  shown: name,
  descending: false,
  ofEntity: true,
  write: String,
  read,
});

const terms = [term('name', (text) => text), term('accountid', (text) => (text === 'bad' ? undefined : text))];

const innerOf = (annotation: string): string =>
  decodeURIComponent(decodeURIComponent(parseXml(annotation).attributes.get('pagingcookie') ?? ''));

test('carries the last values of a page, nulls and line ends too', () => {
  for (const name of ['a', null, `"<&'>\r\n\t ü`, '%25']) {
    const rows = [
      { sort0: 'first', sort1: '1' },
      { sort0: name, sort1: '2' },
    ];
    const annotation = pagingAnnotation(4, terms, rows);
    expect(annotation).toMatch(/^<cookie pagenumber="5" pagingcookie="%253ccookie[%\w.~-]*" istracking="False" \/>$/);
    expect(readCookie(innerOf(annotation), terms)).toEqual({ page: 4, values: [name, '2'] });
  }
});

test('names the next page only where rows are paged by number', () => {
  expect(pagingAnnotation(1, [], [{}])).toBe('<cookie pagenumber="2" istracking="False" />');
});

const good = '<cookie page="1"><name last="x" first="x" /><accountid last="1" first="1" /></cookie>';

test('takes cookies in another hand', () => {
  expect(readCookie(good.replaceAll('"', "'").replaceAll(' />', '/>'), terms).values).toEqual(['x', '1']);
});

test.each([
  good.replace('cookie page', 'biscuit page'),
  good.replace('page="1"', 'page="-1"'),
  good.replace('page="1"', ''),
  good.replace('name', 'revenue'),
  good.replace('<accountid last="1" first="1" />', ''),
  good.replace('last="x"', ''),
  good.replace('last="1"', 'last="bad"'),
  `<!DOCTYPE cookie>${good}`,
  good.slice(1),
])('refuses %s', (text) => {
  expect(() => readCookie(text, terms)).toThrow(
    expect.objectContaining({ status: 400, message: 'Malformed XML in the Paging Cookie' }),
  );
});
