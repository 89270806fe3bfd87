import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type FetchElement,
  pageOf,
  parseFetchXml,
  readCookie,
  withPage,
  writeXml,
} from '../../../src/dataverse/fetch-xml.ts';

const fetchOf = (inner: string, attributes = ''): string =>
  `<fetch${attributes}><entity name="account">${inner}</entity></fetch>`;

/** Characters that XML 1.0 can carry, those that mean something to it often among them. */
const text = fc
  .string({
    unit: fc.oneof(fc.constantFrom(...'<>&"\'\t\n\r %;]'), fc.string({ unit: 'binary', minLength: 1, maxLength: 1 })),
    maxLength: 12,
  })
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the very characters that XML does not have
  .filter((value) => !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ud800-\udfff\ufffe\uffff]/.test(value));
const attributes = fc.array(fc.tuple(fc.constantFrom('name', 'alias', 'value', 'paging-cookie'), text), {
  maxLength: 3,
});
const element = (
  name: string,
  children: readonly (FetchElement | string)[],
  own: readonly (readonly [string, string])[],
): FetchElement => ({
  name,
  attributes: new Map(own),
  children,
});
const value = fc.tuple(attributes, text).map(([own, inner]) => element('value', inner === '' ? [] : [inner], own));
const condition = fc
  .tuple(attributes, fc.array(value, { maxLength: 3 }))
  .map(([own, values]) => element('condition', values, own));
const query = fc
  .tuple(attributes, fc.array(condition, { maxLength: 3 }))
  .map(([own, conditions]) =>
    element('fetch', [element('entity', [element('filter', conditions, [])], [['name', 'account']])], own),
  );

/** Without three that have a placeholder in the place of elements. */
const samples = globSync('test/fixtures/fetchxml/*.xml')
  .sort()
  .map((file) => [basename(file), readFileSync(file, 'utf8')] as const)
  .filter(([file]) => !/-0[278]\.xml$/.test(file));

describe('a query', () => {
  test('is the same after it has been written and read again, whatever its values hold', () => {
    fc.assert(
      fc.property(query, (root) => {
        expect(parseFetchXml(writeXml(root)).root).toEqual(root);
      }),
      { numRuns: 200 },
    );
  });

  test.each(samples)('from Microsoft’s samples is understood: %s', (_, xml) => {
    const { root } = parseFetchXml(xml);
    expect(parseFetchXml(writeXml(root)).root).toEqual(root);
  });

  test('names every table that it reads, also those that it passes through', () => {
    const links =
      '<link-entity name="listmember" from="entityid" to="accountid" intersect="true"><link-entity name="list" from="listid" to="listid" /></link-entity>' +
      '<filter><filter><link-entity name="contact" from="parentcustomerid" to="accountid" link-type="any" /></filter></filter>';
    expect(parseFetchXml(fetchOf(links))).toMatchObject({
      table: 'account',
      tables: ['account', 'listmember', 'list', 'contact'],
    });
  });

  test.each([
    ['', 'document must contain a root element'],
    ['<fetch>', 'no well-formed XML'],
    ['<fetch><entity name="account"></fetch>', 'no well-formed XML'],
    ['<fetch/><fetch/>', 'no well-formed XML'],
    ['<!DOCTYPE fetch [<!ENTITY x "y">]><fetch/>', 'A document type is not taken'],
    ['<?php x ?><fetch/>', 'A processing instruction is not taken'],
    [fetchOf('<condition attribute="a" value="&x;" />'), 'no well-formed XML'],
    [fetchOf('<filter><condition value="&#0;" /></filter>'), 'no well-formed XML'],
    ['<query />', "The outermost element is 'query'"],
    ['<fetch />', 'A query has one entity'],
    ['<fetch><entity name="account" /><entity name="contact" /></fetch>', 'A query has one entity'],
    ['<fetch><entity /></fetch>', "An element 'entity' does not name its table"],
    ['<fetch><entity name="a/b" /></fetch>', "An element 'entity' does not name its table"],
    [fetchOf('<link-entity from="a" to="b" />'), "An element 'link-entity' does not name its table"],
    [fetchOf('<savedquery />'), "An element 'savedquery' cannot stand in 'entity'"],
    [fetchOf('<condition />'), "An element 'condition' cannot stand in 'entity'"],
    [fetchOf('text'), "There is text in an element 'entity'"],
    [fetchOf('<filter><condition entityname="lead" attribute="a" /></filter>'), "names 'lead', which is not linked"],
    [fetchOf('<filter>'.repeat(60) + '</filter>'.repeat(60)), 'nested more than'],
    [fetchOf(`<attribute name="${'x'.repeat(60_000)}" />`), 'longer than'],
  ])('is refused where it is not as it should be (%#)', (xml, message) => {
    expect(() => parseFetchXml(xml)).toThrow(
      expect.objectContaining({ code: 'xmlInvalid', message: expect.stringContaining(message) }),
    );
  });
});

describe('a page', () => {
  const { root } = parseFetchXml(fetchOf('', ' page="3" count="7" paging-cookie="old"'));
  const cookie = { text: '<cookie page="1"><accountid last="{A}" first="{B}" /></cookie>', page: 1 };

  test('is the query’s own unless another is wanted', () => {
    expect(withPage(root, {})).toBe(root);
    expect(pageOf(root)).toBe(3);
    expect(pageOf(withPage(root, { page: 4, pageSize: 9 }))).toBe(4);
    expect(Object.fromEntries(withPage(root, { page: 4, pageSize: 9 }).attributes)).toEqual({ page: '4', count: '9' });
  });

  test('is the one behind a cookie, which is written so that it cannot be anything but a value', () => {
    const next = withPage(root, { cookie: { ...cookie, text: `${cookie.text}" top="1` } });
    expect(pageOf(next)).toBe(2);
    const read = parseFetchXml(writeXml(next)).root.attributes;
    expect(read.get('paging-cookie')).toBe(`${cookie.text}" top="1`);
    expect(read.has('top')).toBe(false);
  });

  test('is refused of a query for its first rows only', () => {
    const top = parseFetchXml(fetchOf('', ' top="5"')).root;
    expect(() => withPage(top, { page: 2 })).toThrow(expect.objectContaining({ code: 'topWithPaging' }));
    expect(withPage(top, {})).toBe(top);
  });

  test('is found by a cookie in each of its forms', () => {
    const once = encodeURIComponent(cookie.text);
    const twice = encodeURIComponent(once);
    const annotation = `<cookie pagenumber="2" pagingcookie="${twice}" istracking="False" />`;
    for (const form of [cookie.text, once, twice, annotation, ` ${cookie.text} `])
      expect(readCookie(form)).toEqual(cookie);
  });

  test.each([
    '',
    'x',
    '%',
    '%zz',
    '<cookie',
    '<cookie/>',
    '<cookie page="0"/>',
    '<cookie page="x"/>',
    '<fetch page="1"/>',
    '<cookie pagingcookie="x"/>',
    '<!DOCTYPE c><cookie page="1"/>',
  ])('is not found by what is no cookie (%#)', (form) => {
    expect(() => readCookie(form)).toThrow(expect.objectContaining({ code: 'cookieInvalid' }));
  });
});
