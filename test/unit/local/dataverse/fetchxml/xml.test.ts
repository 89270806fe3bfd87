import fc from 'fast-check';
import { expect, test } from 'vitest';
import { escapeXml, parseXml, tagOf } from '../../../../../src/local/dataverse/fetchxml/xml.ts';

test('reads elements, attributes in either quotes, text and CDATA', () => {
  const root = parseXml(`<?xml version="1.0"?><!-- said --><a one='1' two="&lt;&#50;"><b>x<![CDATA[<y>]]></b> </a>`);
  expect(root).toMatchObject({ name: 'a', children: [{ name: 'b', text: 'x<y>', children: [] }], text: ' ' });
  expect([...root.attributes]).toEqual([
    ['one', '1'],
    ['two', '<2'],
  ]);
  expect(tagOf(root)).toBe('<a one="1" two="&lt;2" />');
});

test('reads back what it has escaped, whatever the text is', () => {
  const isXml = (text: string) => !/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u.test(text);
  const text = fc
    .oneof(fc.string({ unit: 'binary' }), fc.constantFrom('"\'<&>\t\r\n', ']]>', '&amp;lt;'))
    .filter(isXml);
  fc.assert(
    fc.property(text, (value) => {
      expect(parseXml(`<a b="${escapeXml(value)}"/>`).attributes.get('b')).toBe(value);
    }),
  );
});

const bomb = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]><a>&y;</a>';

test.each([
  ['a document type', bomb],
  ['an outside document type', '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>'],
  ['an undeclared entity', '<a>&x;</a>'],
  ['an attribute given twice', '<a b="1" b="2"/>'],
  ['an attribute without quotes', '<a b=1/>'],
  ['two roots', '<a/><b/>'],
  ['text without an element', 'fetch'],
  ['nothing', '   '],
  ['an open element', '<a><b></a>'],
  ['a control character', '<a b="\u0000"/>'],
  ['elements without end', '<a>'.repeat(10_000)],
  ['a text without end', `<a b="${'x'.repeat(300_000)}"/>`],
])('refuses %s', (_what, xml) => {
  expect(() => parseXml(xml)).toThrow(expect.objectContaining({ status: 400, serviceCode: '0x80040303' }));
});
