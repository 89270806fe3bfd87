import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, startApp, type TestApp } from '../../support/app.ts';

let app: TestApp;

beforeAll(async () => {
  app = await startApp({ settings: ({ connection }) => connection('wide') });
  const rows = ['A', 'B', 'C', 'D', 'E'].map((letter, at) => ({
    accountnumber: letter,
    name: `Company ${letter}`,
    industrycode: 1,
    revenue: 10.5 + at,
  }));
  for (const row of rows) expect((await app.admin('POST', 'accounts', row)).status).toBe(204);
  const parent = (await app.admin('GET', "accounts?$select=accountid&$filter=name eq 'Company A'")).json.value[0]
    .accountid;
  await app.admin('POST', 'contacts', {
    lastname: 'Doe',
    'parentcustomerid_account@odata.bind': `/accounts(${parent})`,
    preferredcontactmethodcode: 2,
  });
});
afterAll(() => app.close());

const run = (body: unknown, connection = 'default'): Promise<Answer> =>
  app.call('POST', `fetchxml?connection=${connection}`, { body: JSON.stringify(body), type: 'application/json' });

const accounts = (inner: string, attributes = ''): string =>
  `<fetch${attributes}><entity name="account">${inner}</entity></fetch>`;
const byName = accounts('<attribute name="name" /><order attribute="name" />');

/** Gives the application user a role that lets it act for others. */
async function allowImpersonation(): Promise<void> {
  const [unit, privilege] = await Promise.all([
    app.admin('GET', 'businessunits?$select=businessunitid&$filter=_parentbusinessunitid_value eq null'),
    app.admin('GET', "privileges?$select=privilegeid&$filter=name eq 'prvActOnBehalfOfAnotherUser'"),
  ]);
  const BusinessUnitId = unit.json.value[0].businessunitid;
  const PrivilegeId = privilege.json.value[0].privilegeid;
  await app.admin('POST', 'roles', { name: 'Act', 'businessunitid@odata.bind': `/businessunits(${BusinessUnitId})` });
  const [{ roleid }] = (await app.admin('GET', "roles?$select=roleid&$filter=name eq 'Act'")).json.value;
  await app.admin('POST', `roles(${roleid})/Microsoft.Dynamics.CRM.AddPrivilegesRole`, {
    Privileges: [{ PrivilegeId, Depth: 'Global', BusinessUnitId }],
  });
  const user = 'systemusers(0b000000-0000-4000-8000-000000000001)';
  const reference = { '@odata.id': `${app.environmentUrl}/api/data/v9.2/roles(${roleid})` };
  await app.admin('POST', `${user}/systemuserroles_association/$ref`, reference);
}

describe('a FetchXML query', () => {
  test('answers rows in users’ terms', async () => {
    const xml = `<fetch><entity name="contact">
      <attribute name="lastname" /><attribute name="parentcustomerid" /><attribute name="preferredcontactmethodcode" />
      <link-entity name="account" from="accountid" to="parentcustomerid" alias="company">
        <attribute name="name" /><attribute name="revenue" />
      </link-entity></entity></fetch>`;
    const plain = await run({ table: 'contact', xml });
    expect(plain.json).toMatchObject({ moreRecords: false, page: 1 });
    expect(plain.json.value).toEqual([
      {
        contactid: expect.any(String),
        lastname: 'Doe',
        parentcustomerid: { table: 'account', id: expect.any(String) },
        preferredcontactmethodcode: 2,
        'company.name': 'Company A',
        'company.revenue': 10.5,
      },
    ]);
    const annotated = await run({ table: 'contacts', xml, annotations: '*' });
    expect(annotated.json.value[0]).toMatchObject({
      parentcustomerid: { table: 'account', name: 'Company A' },
      _formatted: { preferredcontactmethodcode: 'Email', 'company.revenue': expect.stringContaining('10.50') },
      _annotations: { parentcustomerid: { 'Microsoft.Dynamics.CRM.lookuplogicalname': 'account' } },
    });
  });

  test('comes in pages that hold every row once', async () => {
    const seen: string[] = [];
    let next: { page?: number; cookie?: string } = {};
    for (let more = true; more; ) {
      const { json } = await run({ table: 'account', xml: byName, pageSize: 2, ...next });
      seen.push(...json.value.map(({ name }: { name: string }) => name));
      more = json.moreRecords;
      expect(json.cookie !== undefined).toBe(more);
      next = { page: json.page + 1, cookie: json.cookie };
    }
    expect(seen).toEqual(['A', 'B', 'C', 'D', 'E'].map((letter) => `Company ${letter}`));
  });

  test('goes on behind a cookie alone', async () => {
    const first = await run({ table: 'account', xml: byName, pageSize: 2 });
    const second = await run({ table: 'account', xml: byName, pageSize: 2, cookie: first.json.cookie });
    expect(second.json).toMatchObject({ page: 2, value: [{ name: 'Company C' }, { name: 'Company D' }] });
  });

  test('counts all rows where it asks for that', async () => {
    const xml = accounts('<attribute name="name" />', ' returntotalrecordcount="true"');
    expect((await run({ table: 'account', xml, pageSize: 1 })).json).toMatchObject({ count: 5, moreRecords: true });
    expect((await run({ table: 'account', xml: byName })).json).not.toHaveProperty('count');
  });

  test('aggregates', async () => {
    const xml = accounts('<attribute name="revenue" aggregate="sum" alias="total" />', ' aggregate="true"');
    expect((await run({ table: 'account', xml })).json.value).toEqual([{ total: 62.5 }]);
  });

  test('may be longer than a URL', async () => {
    await app.forgetCalls();
    const values = Array.from({ length: 400 }, (_, at) => `<value>Company ${at}</value>`).join('');
    const xml = accounts(
      `<attribute name="name" /><filter><condition attribute="name" operator="in">${values}<value>Company B</value></condition></filter>`,
    );
    expect((await run({ table: 'account', xml })).json.value).toMatchObject([{ name: 'Company B' }]);
    expect((await app.calls()).map(({ path }) => path.split('/').at(-1))).toContain('$batch');
  });

  test('reads no table that the connection may not touch, wherever it stands', async () => {
    const link = (name: string, inner = ''): string =>
      `<link-entity name="${name}" from="a" to="b" alias="x">${inner}</link-entity>`;
    for (const xml of [
      accounts(link('opportunity')),
      accounts(link('contact', link('systemuser'))),
      accounts(`<filter>${link('opportunity')}</filter>`),
    ]) {
      expect((await run({ table: 'account', xml })).json.code).toBe('tableNotAllowed');
    }
    const own = '<fetch><entity name="opportunity" /></fetch>';
    expect((await run({ table: 'opportunity', xml: own })).json.code).toBe('tableNotAllowed');
    expect((await run({ table: 'opportunity', xml: own }, 'wide')).status).toBe(200);
  });

  test('is refused by Dataverse with its own words', async () => {
    const answer = await run({ table: 'account', xml: accounts('<attribute name="nothing" />') });
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ code: 'refused', detail: expect.stringContaining('nothing') });
  });

  test('acts as another user only where the application user may', async () => {
    const act = (impersonate: unknown) => run({ table: 'account', xml: byName, impersonate });
    const administrator = '0b000000-0000-4000-8000-000000000002';
    expect((await act(administrator)).status).toBe(403);
    expect((await act({ entraObjectId: administrator })).status).toBe(403);
    await allowImpersonation();
    expect((await act(administrator)).json.value).toHaveLength(5);
    expect((await act('0b000000-0000-4000-8000-000000000404')).status).toBeGreaterThanOrEqual(400);
  });

  test.each([
    ['xml', { table: 'account' }],
    ['xml', { table: 'account', xml: 7 }],
    ['xml', { table: 'account', xml: '' }],
    ['xml', { table: 'account', xml: 'x'.repeat(60_001) }],
    ['xml', { table: 'account', xml: '<fetch>' }],
    ['xml', { table: 'account', xml: '<!DOCTYPE fetch [<!ENTITY e SYSTEM "file:///etc/passwd">]><fetch>&e;</fetch>' }],
    ['xml', { table: 'contact', xml: byName }],
    ['xml', { table: 'account', xml: accounts('', ' top="1"'), page: 2 }],
    ['table', { xml: byName }],
    ['table', { table: ['account'], xml: byName }],
    ['table', { table: 'x'.repeat(200), xml: byName }],
    ['page', { table: 'account', xml: byName, page: 0 }],
    ['page', { table: 'account', xml: byName, page: '1' }],
    ['pageSize', { table: 'account', xml: byName, pageSize: 5001 }],
    ['cookie', { table: 'account', xml: byName, cookie: 'x' }],
    ['cookie', { table: 'account', xml: byName, cookie: '<cookie page="1"' }],
    ['cookie', { table: 'account', xml: byName, cookie: 'x'.repeat(30_000) }],
    ['annotations', { table: 'account', xml: byName, annotations: 'a",return=representation' }],
    ['annotations', { table: 'account', xml: byName, annotations: 'a\r\nx: y' }],
    ['impersonate', { table: 'account', xml: byName, impersonate: 'me' }],
    ['impersonate.entraObjectId', { table: 'account', xml: byName, impersonate: { entraObjectId: 'x\r\ny' } }],
    ['other', { table: 'account', xml: byName, other: true }],
  ])('is refused for a bad %s (%#)', async (field, body) => {
    const answer = await run(body);
    expect(answer.status).toBe(400);
    expect(answer.json.errors[0].path).toBe(field);
  });
});
