import { readFileSync } from 'node:fs';
import { DynamicsWebApi } from 'dynamics-web-api';
import { describe, expect, test } from 'vitest';
import { type Call, openSecuredEnvironment } from './environment.ts';
import { create, queryEnvironment } from './query-environment.ts';

const ANNOTATED = {
  Prefer: 'odata.include-annotations="Microsoft.Dynamics.CRM.fetchxmlpagingcookie,Microsoft.Dynamics.CRM.morerecords"',
};
const COOKIE = '@Microsoft.Dynamics.CRM.fetchxmlpagingcookie';
const MORE = '@Microsoft.Dynamics.CRM.morerecords';

/** The example of the documentation, "Page results using FetchXml", and an account whose contacts they are. */
const PEOPLE = [
  {
    firstname: 'Yvonne',
    lastname: 'McKay (sample)',
    jobtitle: 'Coffee Master',
    annualincome: 45_000,
    id: '49b0be2e-d01c-ed11-b83e-000d3a572421',
  },
  {
    firstname: 'Thomas',
    lastname: 'Andersen (sample)',
    jobtitle: 'Purchasing Manager',
    id: '86bf4d48-34cb-ed11-b596-0022481d68cd',
  },
  {
    firstname: 'Susanna',
    lastname: 'Stubberod (sample)',
    jobtitle: 'Purchasing Manager',
    id: '70bf4d48-34cb-ed11-b596-0022481d68cd',
  },
  { firstname: 'Susan', lastname: 'Burk (sample)', jobtitle: 'Owner', id: '84bf4d48-34cb-ed11-b596-0022481d68cd' },
];

async function fill(call: Call) {
  const account = await create(call, 'accounts', { name: 'Litware' });
  const other = await create(call, 'accounts', { name: 'Contoso' });
  for (const { id, ...person } of PEOPLE) {
    const parent = { 'parentcustomerid_account@odata.bind': `/accounts(${account})` };
    await create(call, 'contacts', { contactid: id, ...person, ...parent });
  }
  const view = { returnedtypecode: 'contact', querytype: 0 };
  const xml =
    '<fetch><entity name="contact"><attribute name="fullname"/><order attribute="fullname"/>' +
    '<filter><condition attribute="jobtitle" operator="eq" value="owner"/></filter></entity></fetch>';
  const savedQuery = await create(call, 'savedqueries', { name: 'Owners', fetchxml: xml, ...view });
  const userQuery = await create(call, 'userqueries', { name: 'Mine', fetchxml: xml, ...view });
  return { account, other, savedQuery, userQuery };
}

const environment = queryEnvironment({}, fill);

const path = (set: string, xml: string) => `${set}?fetchXml=${encodeURIComponent(xml)}`;
const get = (set: string, xml: string, headers: Record<string, string> = ANNOTATED) =>
  environment.call('GET', path(set, xml), undefined, headers);

const example = (options: string) =>
  `<fetch ${options}><entity name="contact"><attribute name="fullname"/><attribute name="jobtitle"/>` +
  '<attribute name="annualincome"/><order descending="true" attribute="fullname"/></entity></fetch>';

/** The `paging-cookie` for the next page, as the documentation makes it of the annotation. */
function nextCookie(annotation: string): string {
  const [, encoded = ''] = /pagingcookie="([^"]*)"/.exec(annotation) ?? [];
  const inner = decodeURIComponent(decodeURIComponent(encoded));
  return inner.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

describe('pages with cookies', () => {
  test('have the form of the documentation’s example', async () => {
    const recorded = JSON.parse(
      readFileSync(new URL('../../fixtures/dataverse/http/fetchxml-page-response.json', import.meta.url), 'utf8'),
    );
    const { text, json } = await get('contacts', example("count='3' page='1'"));
    expect(json['@odata.context'].split('/api/')[1]).toBe(recorded['@odata.context'].split('/api/')[1]);
    expect(json[COOKIE]).toBe(recorded[COOKIE]);
    expect(json[MORE]).toBe(true);
    expect(Object.keys(json)).toEqual(Object.keys(recorded));
    expect(text).toContain('"annualincome":45000.0000,');
    for (const [index, row] of recorded.value.entries()) {
      // Here an amount that was never there brings no currency.
      const { _transactioncurrencyid_value: currency, '@odata.etag': _, ...values } = row;
      expect(json.value[index]).toMatchObject(values);
      if (row.annualincome !== undefined) expect(Object.keys(json.value[index])).toEqual(Object.keys(row));
      expect(currency).toBeTypeOf('string');
    }
  });

  test('go on behind the cookie, and end without annotations', async () => {
    const first = await get('contacts', example("count='3' page='1'"));
    const last = await get('contacts', example(`count='3' page='2' paging-cookie='${nextCookie(first.json[COOKIE])}'`));
    expect(last.json.value).toMatchObject([{ fullname: 'Susan Burk (sample)' }]);
    expect([last.json[COOKIE], last.json[MORE]]).toEqual([undefined, undefined]);
    expect(last.json['@odata.context']).toMatch(
      /#contacts\(fullname,jobtitle,contactid,annualincome,transactioncurrencyid,transactioncurrencyid\(\)\)$/,
    );
    expect((await get('contacts', example("count='3' page='1'"), {})).json[MORE]).toBeUndefined();
  });

  test('pass over the cookie of a page that is not the one before', async () => {
    const first = await get('contacts', example("count='1' page='1'"));
    const cookie = nextCookie(first.json[COOKIE]);
    const third = await get('contacts', example(`count='1' page='3' paging-cookie='${cookie}'`));
    expect(third.json.value).toMatchObject([{ fullname: 'Susanna Stubberod (sample)' }]);
  });

  // Known of the service: github.com/rappen/FetchXMLBuilder/pull/616.
  test('lose the rest of an entity’s joined rows, as in the service; pages by number do not', async () => {
    const joined = (options: string) =>
      `<fetch count='3' ${options}><entity name="account"><attribute name="name"/><link-entity name="contact" from="parentcustomerid" to="accountid" alias="c"><attribute name="fullname"/></link-entity></entity></fetch>`;
    const first = await get('accounts', joined("page='1'"));
    expect(first.json.value).toHaveLength(3);
    const cookie = nextCookie(first.json[COOKIE]);
    expect((await get('accounts', joined(`page='2' paging-cookie='${cookie}'`))).json.value).toEqual([]);
    expect((await get('accounts', joined("page='2'"))).json.value).toHaveLength(1);
  });

  test('are walked by an independent client', async () => {
    const client = new DynamicsWebApi({ serverUrl: new URL(environment.apiUrl).origin, dataApi: { version: '9.2' } });
    const { value } = await client.fetchAll({
      collection: 'contacts',
      fetchXml: example("count='1'"),
      includeAnnotations: '*',
    });
    expect(value?.map((row) => row['fullname'])).toEqual(
      PEOPLE.map(({ firstname, lastname }) => `${firstname} ${lastname}`),
    );
  });
});

describe('pages by number', () => {
  const byLink = (options: string) =>
    `<fetch ${options}><entity name="contact"><attribute name="firstname"/><link-entity name="account" from="accountid" to="parentcustomerid" alias="a"><order attribute="name"/></link-entity></entity></fetch>`;

  test('are all that a query has that is sorted by a linked table', async () => {
    const first = await get('contacts', byLink("count='3' page='1'"));
    expect(first.json[COOKIE]).toBe('<cookie pagenumber="2" istracking="False" />');
    const last = await get('contacts', byLink("count='3' page='2'"));
    expect([...first.json.value, ...last.json.value].map(({ firstname }) => firstname).sort()).toEqual([
      'Susan',
      'Susanna',
      'Thomas',
      'Yvonne',
    ]);
    expect(last.json[MORE]).toBeUndefined();
  });

  test('end at 50,000 rows', async () => {
    expect((await get('contacts', byLink("count='5000' page='10'"))).json.value).toEqual([]);
    const { status, json } = await get('contacts', byLink("count='5000' page='11'"));
    expect([status, json.error.code]).toEqual([400, '0x80040315']);
    expect(json.error.message).toMatch(/Paging cookie required to retrieve more records/);
  });

  test('hold for distinct rows and for groups', async () => {
    const distinct = (page: number) =>
      get(
        'contacts',
        `<fetch distinct="true" count="2" page="${page}"><entity name="contact"><attribute name="jobtitle"/><order attribute="jobtitle"/></entity></fetch>`,
      );
    expect((await distinct(1)).json).toMatchObject({
      [MORE]: true,
      value: [{ jobtitle: 'Coffee Master' }, { jobtitle: 'Owner' }],
    });
    expect((await distinct(2)).json.value).toEqual([{ jobtitle: 'Purchasing Manager' }]);
    const groups = (page: number) =>
      get(
        'contacts',
        `<fetch aggregate="true" count="2" page="${page}"><entity name="contact"><attribute name="jobtitle" alias="job" groupby="true"/><attribute name="jobtitle" alias="n" aggregate="count"/></entity></fetch>`,
      );
    expect((await groups(1)).json).toMatchObject({
      [MORE]: true,
      value: [
        { job: 'Coffee Master', n: 1 },
        { job: 'Owner', n: 1 },
      ],
    });
    expect((await groups(2)).json.value).toEqual([{ job: 'Purchasing Manager', n: 2 }]);
  });
});

describe('stored queries', () => {
  test('run by the id of a view or of a personal view, also over related rows', async () => {
    const { account, other, savedQuery, userQuery } = environment.rows;
    for (const query of [
      `contacts?savedQuery=${savedQuery}`,
      `contacts?userQuery=${userQuery}`,
      `accounts(${account})/contact_customer_accounts?savedQuery=${savedQuery}`,
    ]) {
      const { json } = await environment.call('GET', query);
      expect(json.value).toMatchObject([{ fullname: 'Susan Burk (sample)' }]);
    }
    const none = await environment.call('GET', `accounts(${other})/contact_customer_accounts?savedQuery=${savedQuery}`);
    expect(none.json.value).toEqual([]);
  });

  test('are refused for another table, and when they are not there', async () => {
    const { savedQuery } = environment.rows;
    expect((await environment.call('GET', `accounts?savedQuery=${savedQuery}`)).json.error.code).toBe('0x80041128');
    const missing = await environment.call('GET', 'contacts?savedQuery=00000000-0000-0000-0000-000000000001');
    expect([missing.status, missing.json.error.code]).toEqual([404, '0x80040217']);
    expect((await environment.call('GET', 'contacts?userQuery=mine')).status).toBe(400);
  });
});

test('a long query goes as a part of a $batch', async () => {
  const values = Array.from({ length: 1300 }, (_, at) => `<value>Nobody number ${at}</value>`).join('');
  const xml = `<fetch><entity name="contact"><attribute name="fullname"/><filter><condition attribute="jobtitle" operator="in">${values}<value>Owner</value></condition></filter></entity></fetch>`;
  const target = path('contacts', xml);
  expect(target.length).toBeGreaterThan(32_768);
  expect(target.length).toBeLessThan(65_536);
  const body = `--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nGET ${target} HTTP/1.1\r\nAccept: application/json\r\n\r\n\r\n--b--\r\n`;
  const answer = await environment.call('POST', '$batch', body, { 'Content-Type': 'multipart/mixed; boundary=b' });
  expect(answer.status).toBe(200);
  expect(answer.text).toContain('"fullname":"Susan Burk (sample)"');
});

test('shows only what the caller may read of each table that it joins', async () => {
  const secured = await openSecuredEnvironment();
  const admin = await secured.as({});
  const app = await secured.as({ appid: '0a000000-0000-4000-8000-000000000002' });
  const contact = await create(admin, 'contacts', { lastname: 'Theirs' });
  await create(admin, 'accounts', { name: 'A', 'primarycontactid@odata.bind': `/contacts(${contact})` });
  const query = (link: string) =>
    path('accounts', `<fetch><entity name="account"><attribute name="name"/>${link}</entity></fetch>`);
  const toContact = (type: string) =>
    `<link-entity name="contact" from="contactid" to="primarycontactid" link-type="${type}" alias="c"><attribute name="lastname"/></link-entity>`;
  expect((await app('GET', query(toContact('outer')))).json.value).toMatchObject([{ name: 'A' }]);
  expect((await app('GET', query(toContact('outer')))).text).not.toContain('Theirs');
  expect((await app('GET', query(toContact('inner')))).json.value).toEqual([]);
  expect((await admin('GET', query(toContact('inner')))).json.value).toMatchObject([{ 'c.lastname': 'Theirs' }]);

  for (const link of [
    '<link-entity name="opportunity" from="customerid" to="accountid" link-type="outer"/>',
    '<filter type="or"><link-entity name="opportunity" from="customerid" to="accountid" link-type="not any"/></filter>',
  ]) {
    const refused = await app('GET', query(link));
    expect([refused.status, refused.json.error.message]).toEqual([403, expect.stringContaining('prvReadOpportunity')]);
  }
});
