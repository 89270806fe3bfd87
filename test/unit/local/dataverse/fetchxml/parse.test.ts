import { expect, test } from 'vitest';
import { parseFetch } from '../../../../../src/local/dataverse/fetchxml/parse.ts';

const refusal = (code: string) => expect.objectContaining({ status: 400, serviceCode: code });

test('passes over attributes that change nothing here', () => {
  const fetch = parseFetch(
    '<fetch version="1.0" mapping="logical" no-lock="true" latematerialize="true" options="HashJoin" output-format="xml-platform">' +
      '<entity name="account" enableprefiltering="1"><attribute name="createdon" usertimezone="false"/>' +
      '<filter hint="union"><condition attribute="name" operator="eq" value="x" uiname="X" uitype="account"/></filter></entity></fetch>',
  );
  expect(fetch).toMatchObject({ aggregate: false, distinct: false, count: undefined, rawOrder: false });
  expect(fetch.entity.filters).toMatchObject([{ type: 'and', items: [{ operator: 'eq', values: ['x'] }] }]);
});

test('prefers value elements to the attribute, as the service does', () => {
  const { entity } = parseFetch(
    '<fetch><entity name="a"><filter><condition attribute="b" operator="in" value=""><value>1</value><value/></condition></filter></entity></fetch>',
  );
  expect(entity.filters[0]?.items).toMatchObject([{ values: ['1', ''] }]);
});

test('numbers links in the order of the text, those in filters too', () => {
  const link = (inside: string, type = 'inner') =>
    `<link-entity name="b" from="c" to="d" link-type="${type}">${inside}</link-entity>`;
  const { entity } = parseFetch(
    `<fetch><entity name="a">${link(link(''))}<filter>${link('', 'any')}</filter>${link('')}</entity></fetch>`,
  );
  expect(entity.links).toMatchObject([{ ordinal: 1, links: [{ ordinal: 2 }] }, { ordinal: 4 }]);
  expect(entity.filters).toMatchObject([{ items: [{ ordinal: 3 }] }]);
});

test('takes 500 conditions and links, and not one more', () => {
  const xml = (count: number) =>
    `<fetch><entity name="a"><link-entity name="b" from="c" to="d"/><filter>${'<condition attribute="e" operator="null"/>'.repeat(count)}</filter></entity></fetch>`;
  expect(parseFetch(xml(499)).entity.filters[0]?.items).toHaveLength(499);
  expect(() => parseFetch(xml(500))).toThrow(refusal('0x8004430C'));
});

test.each([
  ['<fetch/>', '0x80041123'],
  ['<fetch><entity/></fetch>', '0x8004111E'],
  ['<fetch><entity name="a"/><entity name="b"/></fetch>', '0x8004111c'],
  ['<fetch><entity name="a"><filter type="xor"/></entity></fetch>', '0x80041108'],
  ['<fetch><entity name="a"><filter><condition attribute="b"/></filter></entity></fetch>', '0x8004111E'],
  ['<fetch><entity name="a"><filter><link-entity name="b" from="c" to="d"/></filter></entity></fetch>', '0x80041121'],
  ['<fetch><entity name="a"><order/></entity></fetch>', '0x8004111E'],
  ['<fetch><entity name="a"><attribute name="b" aggregate="median" alias="c"/></entity></fetch>', '0x8004111A'],
  ['<fetch><entity name="a"><attribute name="b" dategrouping="hour"/></entity></fetch>', '0x80041108'],
  ['<fetch top="5001"><entity name="a"/></fetch>', '0x80041108'],
  ['<fetch page="0"><entity name="a"/></fetch>', '0x8004110C'],
  ['<fetch page="-1"><entity name="a"/></fetch>', '0x8004110C'],
])('refuses %s', (xml, code) => {
  expect(() => parseFetch(xml)).toThrow(refusal(code));
});
