import { describe, expect, test } from 'vitest';
import { fakeClock } from '../../support/clock.ts';
import type { Call } from './environment.ts';
import { create, queryEnvironment } from './query-environment.ts';

const NOW = Date.parse('2026-11-21T10:00:00Z');

/** Five accounts, two of them with a contact, on Saturday, 21 November 2026. */
const environment = queryEnvironment({ clock: fakeClock(NOW), pageSizeMax: 6 }, async (call) => {
  const contact = await create(call, 'contacts', { firstname: 'Ada', lastname: 'Lovelace' });
  const bind = { 'primarycontactid@odata.bind': `/contacts(${contact})` };
  const rows = [
    { name: 'Alpha', accountnumber: 'a-1', numberofemployees: 10, revenue: 1.5, industrycode: 1, ...bind },
    { name: 'beta', accountnumber: 'b_2', numberofemployees: 20, revenue: 2.5, industrycode: 2, ...bind },
    {
      name: 'Gamma',
      accountnumber: 'c%3',
      numberofemployees: 30,
      industrycode: 1,
      lastonholdtime: '2026-11-20T12:00:00Z',
    },
    { name: "O'Brien & Söhne", numberofemployees: 40, donotemail: true, lastonholdtime: '2026-10-05T00:00:00Z' },
    { name: 'delta ', tickersymbol: 'delta', lastonholdtime: '2026-11-21T09:00:00Z' },
  ];
  for (const row of rows) await create(call, 'accounts', row);
  return { contact };
});

const names = async (call: Call, options: string): Promise<string[]> => {
  const answer = await call('GET', `accounts?$select=name&${options}`);
  if (answer.status !== 200) throw new Error(answer.text);
  return answer.json.value.map(({ name }: { name: string }) => name.trim());
};

describe('$filter', () => {
  const filters: [filter: string, found: string[]][] = [
    ["name eq 'ALPHA'", ['Alpha']],
    ["name eq 'delta'", ['delta']],
    ["name eq 'O''Brien %26 Söhne'", ["O'Brien & Söhne"]],
    ["accountnumber ne 'A-1'", ['beta', 'delta', 'Gamma', "O'Brien & Söhne"]],
    ['accountnumber eq null', ['delta', "O'Brien & Söhne"]],
    ['accountnumber ne null and numberofemployees gt 10', ['beta', 'Gamma']],
    ['numberofemployees ge 20 and numberofemployees le 30', ['beta', 'Gamma']],
    ['20 lt numberofemployees', ['Gamma', "O'Brien & Söhne"]],
    ['revenue lt 2', ['Alpha']],
    ["contains(name,'ET')", ['beta']],
    ["startswith(name,'a') or endswith(name,'ma')", ['Alpha', 'Gamma']],
    ["not contains(accountnumber,'1')", ['beta', 'delta', 'Gamma', "O'Brien & Söhne"]],
    ["contains(name,'_amm')", ['Gamma']],
    ["contains(name,'[gb]')", ['beta', 'Gamma', "O'Brien & Söhne"]],
    ['donotemail', ["O'Brien & Söhne"]],
    ['donotemail eq false and (industrycode eq 1 or industrycode eq 2)', ['Alpha', 'beta', 'Gamma']],
    ["primarycontactid/fullname eq 'ada lovelace'", ['Alpha', 'beta']],
    ['_primarycontactid_value ne null', ['Alpha', 'beta']],
    ["primarycontactid/lastname eq 'Lovelace' and primarycontactid/firstname ne 'x' and name eq 'beta'", ['beta']],
    ['name eq tickersymbol', ['delta']],
    ['lastonholdtime ge 2026-11-01T00:00:00Z', ['delta', 'Gamma']],
    ["Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=['alpha','GAMMA'])", ['Alpha', 'Gamma']],
    [
      'Microsoft.Dynamics.CRM.In(PropertyName=\'numberofemployees\',PropertyValues=["10","40"])',
      ['Alpha', "O'Brien & Söhne"],
    ],
    ['Microsoft.Dynamics.CRM.NotIn(PropertyName=\'industrycode\',PropertyValues=["1"])', ['beta']],
    [
      'Microsoft.Dynamics.CRM.Between(PropertyName=\'numberofemployees\',PropertyValues=["15","30"])',
      ['beta', 'Gamma'],
    ],
    ["Microsoft.Dynamics.CRM.Today(PropertyName='lastonholdtime')", ['delta']],
    ["Microsoft.Dynamics.CRM.Yesterday(PropertyName='lastonholdtime')", ['Gamma']],
    ["Microsoft.Dynamics.CRM.LastMonth(PropertyName='lastonholdtime')", ["O'Brien & Söhne"]],
    ["Microsoft.Dynamics.CRM.LastXDays(PropertyName='lastonholdtime',PropertyValue=3)", ['delta', 'Gamma']],
    ["Microsoft.Dynamics.CRM.OlderThanXMonths(PropertyName='lastonholdtime',PropertyValue=1)", ["O'Brien & Söhne"]],
    ["Microsoft.Dynamics.CRM.On(PropertyName='lastonholdtime',PropertyValue='2026-11-20')", ['Gamma']],
    ["Microsoft.Dynamics.CRM.EqualUserId(PropertyName='ownerid') and name eq 'beta'", ['beta']],
    ["@p1 eq @p2&@p1=name&@p2='beta'", ['beta']],
  ];
  test('finds what the service finds', async () => {
    const { call } = environment;
    for (const [filter, found] of filters) {
      expect({ filter, found: await names(call, `$orderby=name&$filter=${filter}`) }).toEqual({ filter, found });
    }
  });

  test('looks into collections with any and all', async () => {
    const { call, rows } = environment;
    const { contact } = rows;
    const found = await call('GET', "accounts?$select=name&$filter=name eq 'Alpha'");
    const account = found.json.value[0].accountid;
    await call('PATCH', `contacts(${contact})`, { 'parentcustomerid_account@odata.bind': `/accounts(${account})` });
    expect(await names(call, "$filter=contact_customer_accounts/any(c:c/lastname eq 'lovelace')")).toEqual(['Alpha']);
    expect(await names(call, '$filter=contact_customer_accounts/any()')).toEqual(['Alpha']);
    expect(await names(call, "$filter=contact_customer_accounts/all(c:c/lastname eq 'x')")).not.toContain('Alpha');
  });

  const refused: [filter: string, status: number, message: string | RegExp][] = [
    ["Name eq 'x'", 400, "Could not find a property named 'Name' on type 'Microsoft.Dynamics.CRM.account'."],
    ["name eq 'O'Brien'", 400, /unterminated literal at position/],
    ['name eq 5', 400, /incompatible types/],
    ["contains(numberofemployees,'1')", 400, /No function signature/],
    [Array.from({ length: 501 }, (_, n) => `revenue eq ${n}`).join(' or '), 400, /exceeded maximum limit/],
  ];
  test.each(refused)('refuses %s', async (filter, status, message) => {
    const { call } = environment;
    const answer = await call('GET', `accounts?$filter=${filter}`);
    expect(answer.json.error.message).toMatch(message);
    expect(answer.status).toBe(status);
  });
});

describe('$orderby, $top and $count', () => {
  test('sort without regard to case, nulls first', async () => {
    const { call } = environment;
    expect(await names(call, '$orderby=name desc')).toEqual(["O'Brien & Söhne", 'Gamma', 'delta', 'beta', 'Alpha']);
    expect(await names(call, '$orderby=numberofemployees desc,name&$top=2')).toEqual(["O'Brien & Söhne", 'Gamma']);
    expect((await names(call, '$orderby=revenue'))[4]).toBe('beta');
    expect(await names(call, '$orderby=primarycontactid/fullname desc,name&$top=2')).toEqual(['Alpha', 'beta']);
  });

  test('count what the filter finds', async () => {
    const { call } = environment;
    const { json } = await call('GET', 'accounts?$select=name&$top=1&$count=true&$filter=industrycode eq 1');
    expect(json['@odata.count']).toBe(2);
    expect(json.value).toHaveLength(1);
    expect(json['@odata.nextLink']).toBeUndefined();
    const counted = await fetch(`${environment.apiUrl}accounts/$count?$filter=industrycode eq 1`);
    expect(Buffer.from(await counted.arrayBuffer())).toEqual(Buffer.from('\uFEFF2'));
    expect(counted.headers.get('content-type')).toMatch(/^text\/plain/);
  });
});

describe('paging', () => {
  for (const order of [
    '',
    '$orderby=revenue desc',
    '$orderby=revenue,name desc',
    '$orderby=primarycontactid/fullname',
  ]) {
    test(`goes through every row once ${order}`, async () => {
      const { call } = environment;
      const headers = { Prefer: 'odata.maxpagesize=2' };
      const found: string[] = [];
      const sizes: number[] = [];
      let next: string | undefined = `accounts?$select=name&${order}`;
      while (next !== undefined) {
        const answer = await call('GET', next, undefined, headers);
        expect(answer.headers.get('preference-applied')).toBe('odata.maxpagesize=2');
        sizes.push(answer.json.value.length);
        found.push(...answer.json.value.map(({ name }: { name: string }) => name.trim()));
        next = answer.json['@odata.nextLink'];
      }
      expect(sizes).toEqual([2, 2, 1]);
      const sorted = await names(call, order);
      expect(found).toEqual(order === '' ? expect.arrayContaining(sorted) : sorted);
      expect(new Set(found).size).toBe(5);
    });
  }

  test('has the service’s cookie, never more rows than its limit, and refuses a made-up token', async () => {
    const { call, apiUrl } = environment;
    const extra = [await create(call, 'accounts', { name: 'x' }), await create(call, 'accounts', { name: 'y' })];
    const { json } = await call('GET', 'accounts?$select=name', undefined, { Prefer: 'odata.maxpagesize=100' });
    expect(json.value).toHaveLength(6);
    const id = (row: { accountid: string }) => `%257b${row.accountid.toUpperCase()}%257d`;
    expect(json['@odata.nextLink']).toBe(
      `${apiUrl}accounts?$select=name&$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22` +
        `%253ccookie%2520page%253d%25221%2522%253e%253caccountid%2520last%253d%2522${id(json.value[5])}%2522%2520` +
        `first%253d%2522${id(json.value[0])}%2522%2520%252f%253e%253c%252fcookie%253e%22%20istracking=%22False%22%20/%3E`,
    );
    expect((await call('GET', 'accounts?$skiptoken=%3Ccookie/%3E')).status).toBe(400);
    for (const id of extra) await call('DELETE', `accounts(${id})`);
  });
});

describe('answers', () => {
  test('hold annotations only when they are asked for', async () => {
    const { call } = environment;
    const path =
      "accounts?$select=name,revenue,industrycode,donotemail,lastonholdtime,numberofemployees&$filter=name eq 'beta'";
    const plain = await call('GET', path);
    expect(Object.keys(plain.json.value[0]).filter((name) => name.includes('@'))).toEqual(['@odata.etag']);
    const annotated = await call('GET', path, undefined, {
      Prefer: 'odata.include-annotations="OData.Community.Display.V1.FormattedValue"',
    });
    expect(annotated.json.value[0]).toMatchObject({
      'revenue@OData.Community.Display.V1.FormattedValue': '$2.50',
      'industrycode@OData.Community.Display.V1.FormattedValue':
        'Agriculture and Non-petrol Natural Resource Extraction',
      'donotemail@OData.Community.Display.V1.FormattedValue': 'Allow',
      'numberofemployees@OData.Community.Display.V1.FormattedValue': '20',
    });
    expect(annotated.json['@Microsoft.Dynamics.CRM.totalrecordcount']).toBeUndefined();
    const all = await call('GET', 'accounts?$select=name', undefined, { Prefer: 'odata.include-annotations=*' });
    expect(all.json['@Microsoft.Dynamics.CRM.totalrecordcount']).toBe(-1);
    expect(all.json['@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded']).toBe(false);
  });

  test('hold one level of expanded lookups', async () => {
    const { call, rows } = environment;
    const { contact } = rows;
    const { json } = await call(
      'GET',
      'accounts?$select=name&$expand=primarycontactid($select=fullname)&$orderby=name&$top=3',
    );
    expect(json['@odata.context']).toMatch(/#accounts\(name,primarycontactid\(fullname\)\)$/);
    expect(json.value[0].primarycontactid).toEqual({ fullname: 'Ada Lovelace', contactid: contact });
    expect(json.value[2].primarycontactid).toBeNull();
  });

  test('name what is not emulated', async () => {
    const { call } = environment;
    const paths: [string, string][] = [
      ['accounts?$apply=concat(groupby((name)),aggregate($count as n))', 'concat in $apply'],
      ['accounts?$apply=groupby((name))&$top=1', '$top beside $apply'],
      ["accounts?$expand=primarycontactid($filter=lastname eq 'x')", '$filter on the lookup primarycontactid'],
    ];
    for (const [path, what] of paths) {
      const answer = await call('GET', path);
      expect({ status: answer.status, error: answer.json.error }).toEqual({
        status: 501,
        error: { code: '0x80040219', message: `${what} is not emulated` },
      });
    }
    const tracked = await call('GET', 'accounts', undefined, { Prefer: 'odata.track-changes' });
    expect(tracked.status).toBe(501);
  });

  test('refuse unknown options, properties and entity sets', async () => {
    const { call } = environment;
    expect((await call('GET', 'accounts?$skip=1')).status).toBe(400);
    expect((await call('GET', 'accounts?$select=Name')).json.error.code).toBe('0x0');
    const segment = await call('GET', 'Accounts');
    expect(segment.status).toBe(404);
    expect(segment.json.error).toEqual({
      code: '0x8006088a',
      message: "Resource not found for the segment 'Accounts'.",
    });
    expect((await call('DELETE', 'accounts')).status).toBe(405);
    expect((await call('POST', 'WhoAmI')).status).toBe(404);
  });
});
