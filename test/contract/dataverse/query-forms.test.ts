import { describe, expect, test } from 'vitest';
import { fakeClock } from '../../support/clock.ts';
import { create, queryEnvironment } from './query-environment.ts';

const NOW = Date.parse('2026-11-21T10:00:00Z');

/** A chain of accounts root > north > tip, and south beside it; contacts and tasks below them; a team of the caller. */
const environment = queryEnvironment({ clock: fakeClock(NOW) }, async (call) => {
  const account = (name: string, parent?: string, more = {}) =>
    create(call, 'accounts', {
      name,
      ...(parent === undefined ? {} : { 'parentaccountid@odata.bind': `/accounts(${parent})` }),
      ...more,
    });
  const root = await account('root', undefined, { revenue: 3, lastonholdtime: '2026-11-20T12:00:00Z' });
  const north = await account('north', root, { revenue: 1, description: 'north' });
  const tip = await account('tip', north, { revenue: 2 });
  const south = await account('south + 50%', undefined, { lastonholdtime: '2026-11-21T01:00:00Z' });
  const contact = (lastname: string, parent: string) =>
    create(call, 'contacts', {
      lastname,
      jobtitle: 'buyer',
      'parentcustomerid_account@odata.bind': `/accounts(${parent})`,
    });
  const zoe = await contact('Zoe', root);
  const amy = await contact('Amy', north);
  await call('PATCH', `accounts(${root})`, { 'primarycontactid@odata.bind': `/contacts(${zoe})` });
  await call('PATCH', `accounts(${north})`, { 'primarycontactid@odata.bind': `/contacts(${amy})` });
  await create(call, 'tasks', { subject: 'call', 'regardingobjectid_contact_task@odata.bind': `/contacts(${zoe})` });
  return { root, north, tip, south, zoe, amy };
});

const names = async (options: string): Promise<string[]> => {
  const answer = await environment.call('GET', `accounts?$select=name&${options}`);
  if (answer.status !== 200) throw new Error(`${options}: ${answer.text}`);
  return answer.json.value.map(({ name }: { name: string }) => name);
};

const SOUTH = 'south + 50%';

describe('parameter aliases', () => {
  test.each([
    ["$filter=contains(@p1,'o') and @p2 ne @p3&$orderby=@p4 desc&@p1=name&@p2=revenue&@p4=name", ['root', 'north']],
    ['$filter=@p1 ne @p3&$orderby=@p1 asc,@p2 desc&@p1=revenue&@p2=name', ['north', 'tip', 'root']],
    [
      '$filter=Microsoft.Dynamics.CRM.In(PropertyName=@p1,PropertyValues=@p2)&@p1=\'name\'&@p2=["tip","O\'Brian"]',
      ['tip'],
    ],
    ['$filter=primarycontactid/lastname eq @p1&@p1=%27Amy%27', ['north']],
    ['$filter=@p1 eq @p2&@p1=name&@p2=description', ['north']],
  ])('stand for columns, values and sort columns: %s', async (options, found) => {
    expect(await names(options)).toEqual(found);
  });
});

describe('lambdas', () => {
  test.each([
    ['contact_customer_accounts/any()', ['north', 'root']],
    ['not contact_customer_accounts/any()', [SOUTH, 'tip']],
    ["contact_customer_accounts/any(c:c/jobtitle eq 'BUYER' and c/Contact_Tasks/any(t:t/subject eq 'call'))", ['root']],
    ["contact_customer_accounts/all(c:c/lastname eq 'Amy')", ['north', SOUTH, 'tip']],
    ["contact_customer_accounts/any(c:c/parentcustomerid_account/parentaccountid/name eq 'root')", ['north']],
    [
      "contact_customer_accounts/any(c:startswith(c/lastname,'A') or startswith(c/lastname,'Z')) and revenue gt 2",
      ['root'],
    ],
    [
      "primarycontactid/lastname eq 'Zoe' or contact_customer_accounts/any(c:primarycontactid/lastname eq 'Amy')",
      ['north', 'root'],
    ],
    ["createdby/systemuserroles_association/any(r:r/name eq 'x')", 400],
    ['nothing/any(c:c/x eq 1)', 400],
  ])('%s', async (filter, found) => {
    if (typeof found === 'number') {
      expect((await environment.call('GET', `accounts?$filter=${filter}`)).status).toBe(found);
    } else expect(await names(`$orderby=name&$filter=${filter}`)).toEqual(found);
  });

  test('go over many-to-many relationships', async () => {
    const { json } = await environment.call(
      'GET',
      "systemusers?$select=fullname&$filter=systemuserroles_association/any(r:r/name eq 'System Administrator')",
    );
    expect(json.value.length).toBeGreaterThan(0);
    const none = await environment.call(
      'GET',
      "systemusers?$filter=systemuserroles_association/any(r:r/name eq 'none')",
    );
    expect(none.json.value).toEqual([]);
  });
});

describe('query functions', () => {
  const over = (name: string, row: 'root' | 'north' | 'tip') =>
    names(
      `$orderby=name&$filter=Microsoft.Dynamics.CRM.${name}(PropertyName='accountid',PropertyValue='${environment.rows[row]}')`,
    );
  test('follow the hierarchy of a table', async () => {
    expect(await over('Above', 'tip')).toEqual(['north', 'root']);
    expect(await over('AboveOrEqual', 'tip')).toEqual(['north', 'root', 'tip']);
    expect(await over('Under', 'root')).toEqual(['north', 'tip']);
    expect(await over('UnderOrEqual', 'north')).toEqual(['north', 'tip']);
    expect(await over('NotUnder', 'root')).toEqual(['root', SOUTH]);
    const none = await environment.call(
      'GET',
      `contacts?$filter=Microsoft.Dynamics.CRM.Under(PropertyName='contactid',PropertyValue='${environment.rows.zoe}')`,
    );
    expect(none.json.error.message).toBe('The table contact has no hierarchical relationship.');
  });

  test('know the caller, days and values', async () => {
    expect(await names("$filter=Microsoft.Dynamics.CRM.EqualUserTeams(PropertyName='ownerid')")).toEqual([]);
    expect(await names("$filter=Microsoft.Dynamics.CRM.EqualUserOrUserTeams(PropertyName='ownerid')")).toHaveLength(4);
    const fiscal: [name: string, values: string, found: string[]][] = [
      ['ThisFiscalYear', '', ['root', SOUTH]],
      ['LastFiscalPeriod', '', []],
      ['InFiscalYear', ',PropertyValue=2026', ['root', SOUTH]],
      ['InFiscalPeriod', ',PropertyValue=4', ['root', SOUTH]],
      ['InFiscalPeriod', ',PropertyValue=1', []],
      ['InFiscalPeriodAndYear', ',PropertyValue1=4,PropertyValue2=2026', ['root', SOUTH]],
      ['InOrAfterFiscalPeriodAndYear', ',PropertyValue1=1,PropertyValue2=2027', []],
      ['LastXFiscalYears', ',PropertyValue=9999', []],
    ];
    for (const [name, values, found] of fiscal) {
      const condition = `Microsoft.Dynamics.CRM.${name}(PropertyName='lastonholdtime'${values})`;
      expect({ name, found: await names(`$orderby=name&$filter=${condition}`) }).toEqual({ name, found });
    }
    const tooLong = 'Microsoft.Dynamics.CRM.InFiscalYear(PropertyName=%27lastonholdtime%27,PropertyValue=12345)';
    expect((await environment.call('GET', `accounts?$filter=${tooLong}`)).status).toBe(400);
    const notOn = "Microsoft.Dynamics.CRM.NotOn(PropertyName='lastonholdtime',PropertyValue='2026-11-20')";
    expect(await names(`$orderby=name&$filter=${notOn}`)).toEqual(['north', SOUTH, 'tip']);
  });

  test.each(['EqualUserOrUserHierarchy', 'Contains', 'constructor', '__proto__', 'toString'])(
    'names %s as one that is not emulated',
    async (name) => {
      const { status, json } = await environment.call(
        'GET',
        `accounts?$filter=Microsoft.Dynamics.CRM.${name}(PropertyName='name',PropertyValue='x')`,
      );
      expect({ status, message: json.error.message }).toEqual({
        status: 501,
        message: `The query function ${name} is not emulated`,
      });
    },
  );
});

describe('the forms of a request', () => {
  test.each([
    ['%24filter=name%20eq%20%27tip%27', ['tip']],
    ['$filter=name+eq+%27south+%2B+50%25%27', [SOUTH]],
    ["$filter= ( name eq 'tip' ) ", ['tip']],
    ["$filter=name eq 'tip'&", ['tip']],
    ["$filter=(((name eq 'tip')))&$top=5", ['tip']],
  ])('%s', async (options, found) => {
    expect(await names(options)).toEqual(found);
    const { json } = await environment.call('GET', 'accounts?$select=name,&$top=1');
    expect(Object.keys(json.value[0])).toEqual(['@odata.etag', 'name', 'accountid']);
    const spaced = await environment.call(
      'GET',
      'accounts?$expand=primarycontactid($select%20=%20lastname,%20jobtitle)&$top=1',
    );
    expect(spaced.status).toBe(200);
  });

  test.each([
    '$skip=1',
    '$search=x',
    '$format=json',
    '$Filter=name eq null',
    '$filter%20x=1',
    'utm_source=x',
    'api-version=9',
  ])('the option %s is unknown', async (option) => {
    const name = decodeURIComponent(option).split('=')[0];
    for (const path of ['accounts', 'accounts/$count', `accounts(${environment.rows.root})`]) {
      const { status, json } = await environment.call('GET', `${path}?${option}`);
      expect({ status, ...json.error }).toEqual({
        status: 400,
        code: '0x0',
        message: `The query parameter ${name} is not supported`,
      });
    }
  });

  test('a URL has a greatest length, a longer one inside a batch', async () => {
    const long = (length: number) => `accounts?$filter=name eq '${'x'.repeat(length)}'`;
    expect((await environment.call('GET', long(32_000))).status).toBe(200);
    expect((await environment.call('GET', long(33_000))).status).toBe(414);
    const batch = async (length: number) => {
      const part = ['--b', 'Content-Type: application/http', '', `GET ${long(length)} HTTP/1.1`, '', '', '--b--', ''];
      const answer = await environment.call('POST', '$batch', part.join('\r\n'), {
        'Content-Type': 'multipart/mixed; boundary=b',
      });
      return /HTTP\/1\.1 (\d+)/.exec(answer.text)?.[1];
    };
    expect(await batch(60_000)).toBe('200');
    expect(await batch(66_000)).toBe('414');
  });
});

describe('order', () => {
  test('by a lookup is that of the names behind it', async () => {
    expect(await names('$orderby=_primarycontactid_value desc,name&$top=2')).toEqual(['root', 'north']);
    expect(await names('$orderby=_primarycontactid_value,name')).toEqual([SOUTH, 'tip', 'north', 'root']);
    expect(await names('$orderby=_ownerid_value,name&$top=1')).toEqual(['north']);
  });

  test('takes a bounded number of columns', async () => {
    const { status } = await environment.call('GET', `accounts?$orderby=${Array(60).fill('name').join()}`);
    expect(status).toBe(400);
  });
});

describe('counts', () => {
  test('end at 5000, and the annotations tell so', async () => {
    const target = { '@odata.type': 'Microsoft.Dynamics.CRM.lead', lastname: 'x' };
    for (const size of [4999, 2]) {
      const made = await environment.call('POST', 'leads/Microsoft.Dynamics.CRM.CreateMultiple', {
        Targets: Array(size).fill(target),
      });
      expect(made.status).toBe(200);
      const { json } = await environment.call('GET', 'leads?$select=leadid&$count=true&$top=1', undefined, {
        Prefer: 'odata.include-annotations="Microsoft.Dynamics.CRM.totalrecordcount*"',
      });
      const all = size === 4999 ? 4999 : 5000;
      expect(json).toMatchObject({
        '@odata.count': all,
        '@Microsoft.Dynamics.CRM.totalrecordcount': all,
        '@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded': size === 2,
      });
    }
    const response = await fetch(`${environment.apiUrl}leads/$count`);
    expect(Buffer.from(await response.arrayBuffer())).toEqual(Buffer.from('\uFEFF5000'));
  });

  test('of whole tables have no end', async () => {
    const { status, json } = await environment.call(
      'GET',
      "RetrieveTotalRecordCount(EntityNames=@p)?@p=['lead','account']",
    );
    expect({ status, ...json }).toEqual({
      status: 200,
      '@odata.context': expect.stringMatching(/\$metadata#Microsoft\.Dynamics\.CRM\.RetrieveTotalRecordCountResponse$/),
      EntityRecordCountCollection: { Count: 2, IsReadOnly: false, Keys: ['lead', 'account'], Values: [5001, 4] },
    });
    for (const call of [
      'RetrieveTotalRecordCount',
      "RetrieveTotalRecordCount(EntityNames=['nothing'])",
      'RetrieveTotalRecordCount(EntityNames=[7])',
    ]) {
      expect((await environment.call('GET', call)).status).toBe(400);
    }
  });
});

describe('a hostile query is refused as the service refuses it', () => {
  const deep = (open: string, inner: string, close: string, times: number) =>
    open.repeat(times) + inner + close.repeat(times);
  const queries: [what: string, options: string][] = [
    ['brackets within brackets', `$filter=${deep('(', "name eq 'x'", ')', 10_000)}`],
    ['not within not', `$filter=${'not '.repeat(4000)}contains(name,'x')`],
    ['lambdas within lambdas', `$filter=${deep('contact_customer_accounts/any(c:c/', 'x eq 1', ')', 900)}`],
    ['more lambdas than links', `$filter=${Array(16).fill('contact_customer_accounts/any()').join(' or ')}`],
    ['a chain of lookups', `$filter=${'parentaccountid/'.repeat(1500)}name eq 'x'`],
    ['$expand within $expand', `$expand=${deep('parentaccountid($expand=', 'parentaccountid', ')', 1200)}`],
    ['open brackets', `$expand=${'('.repeat(30_000)}`],
    ['an endless list', `$filter=Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=${'['.repeat(25_000)})`],
    ['thousands of conditions', `$filter=${Array(1000).fill('revenue eq 1').join(' or ')}`],
    ['a quote without an end', "$filter=name eq 'x"],
    ['two statements', "$filter=name eq 'x'; DROP TABLE account; --"],
    ['a name that is SQL', "$filter=name%22%20OR%201=1--%20eq%20'x'"],
    ['a property of every object', "$filter=__proto__ eq 'x'"],
    ['a function of every object', '$select=constructor,toString'],
    ['a sort column of every object', '$orderby=hasOwnProperty'],
    ['a navigation property of every object', '$expand=__proto__'],
    ['line breaks in a name', '$filter=na%0D%0Ame eq 1'],
    ['a character that no name has', '$filter=%00 eq 1'],
    ['half a surrogate pair', '$select=%ED%A0%80'],
    ['a number that no column holds', "$filter=revenue eq '99999'"],
    ['deep aggregations', `$apply=${'filter('.repeat(4000)}`],
    ['a cookie that is SQL', '$skiptoken=%27%20OR%201=1--'],
    [
      'a cookie with another order',
      '$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%2520page%253d%25221%2522%253e%253cname%2520last%253d%2522a%2522%2520first%253d%2522a%2522%2520%252f%253e%253c%252fcookie%253e%22%20istracking=%22False%22%20/%3E',
    ],
  ];
  test.each(queries)('%s', async (_, options) => {
    const { status, json } = await environment.call('GET', `accounts?${options}`);
    expect(json.error).toEqual({ code: expect.stringMatching(/^0x/), message: expect.any(String) });
    expect(json.error.message).not.toMatch(/SQLITE|at .*\.ts/i);
    expect(status).toBe(400);
  });

  const harmless: string[] = [
    "$filter=name eq 'x''; DROP TABLE account; --'",
    "$filter=contains(name,'%25_[^a-z]%25%25%25%25%25%25%25%25%25')",
    `$filter=contains(name,'${'%25a'.repeat(7000)}')`,
    "$filter=name eq '\u{1F600}%00%0D%0A'",
    '$filter=revenue eq 1e400 or revenue lt -99999999999999999999',
    `$filter=${deep('(', Array(100).fill('revenue eq 1').join(' or '), ')', 190)}`,
    `$filter=${'not ('.repeat(90)}${Array(400).fill('revenue eq 1').join(' and ')}${')'.repeat(90)}`,
    `$filter=Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=[${Array(3000).fill("'x'").join()}])`,
    "$filter=Microsoft.Dynamics.CRM.LastXYears(PropertyName='createdon',PropertyValue=999999999)",
  ];
  test.each(harmless)('or answered: %#', async (options) => {
    const { status } = await environment.call('GET', `accounts?$select=name&${options}`);
    expect(status).toBe(200);
    expect(await names("$filter=name eq 'tip'")).toEqual(['tip']);
  });
});
