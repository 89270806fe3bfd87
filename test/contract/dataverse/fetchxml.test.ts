import { describe, expect, test } from 'vitest';
import { fakeClock } from '../../support/clock.ts';
import type { Call } from './environment.ts';
import { create, queryEnvironment } from './query-environment.ts';

const NOW = Date.parse('2026-11-21T10:00:00Z');

/** The accounts of the documentation's aggregate example, in a hierarchy, with contacts. */
async function fill(call: Call) {
  const ada = await create(call, 'contacts', { firstname: 'Ada', lastname: 'Lovelace', annualincome: 45_000 });
  const bob = await create(call, 'contacts', { firstname: 'Bob', lastname: 'bob', spousesname: 'BOB' });
  const rows = [
    { name: 'Example Account' },
    {
      name: 'Contoso',
      numberofemployees: 1500,
      address1_city: 'Redmond',
      industrycode: 1,
      address1_addresstypecode: 2,
      lastonholdtime: '2026-11-21T09:00:00Z',
    },
    {
      name: 'Fabrikam',
      numberofemployees: 2700,
      address1_city: 'Lynnwood',
      industrycode: 2,
      address1_addresstypecode: 3,
      lastonholdtime: '2026-11-20T12:00:00Z',
    },
    {
      name: 'Blue Yonder',
      numberofemployees: 2900,
      address1_city: 'Los Angeles',
      lastonholdtime: '2026-10-05T00:00:00Z',
    },
    { name: 'City Power', numberofemployees: 2900, address1_city: 'redmond ', lastonholdtime: '2026-02-01T00:00:00Z' },
    {
      name: "O'Datum & <Sons>",
      numberofemployees: 6200,
      address1_city: 'Redmond',
      revenue: 10.5,
      donotemail: true,
      lastonholdtime: '2027-01-02T00:00:00Z',
    },
  ];
  const ids: string[] = [];
  for (const row of rows) ids.push(await create(call, 'accounts', row));
  const [example = '', contoso = '', fabrikam = '', blue = ''] = ids;
  for (const [child, parent] of [
    [fabrikam, contoso],
    [blue, fabrikam],
  ] as const) {
    await call('PATCH', `accounts(${child})`, { 'parentaccountid@odata.bind': `/accounts(${parent})` });
  }
  for (const id of [contoso, fabrikam]) {
    await call('PATCH', `accounts(${id})`, { 'primarycontactid@odata.bind': `/contacts(${ada})` });
  }
  await call('PATCH', `contacts(${bob})`, { 'parentcustomerid_account@odata.bind': `/accounts(${contoso})` });
  await create(call, 'msevtmgt_events', { msevtmgt_name: 'Fair' });
  return { ada, bob, example, contoso, fabrikam, blue };
}

const environment = queryEnvironment({ clock: fakeClock(NOW) }, fill);

const get = (set: string, xml: string, prefer = '') =>
  environment.call(
    'GET',
    `${set}?fetchXml=${encodeURIComponent(xml)}`,
    undefined,
    prefer === '' ? {} : { Prefer: prefer },
  );

async function names(filter: string, inside = ''): Promise<string[]> {
  const answer = await get(
    'accounts',
    `<fetch><entity name="account"><attribute name="name"/>${inside}<filter>${filter}</filter><order attribute="name"/></entity></fetch>`,
  );
  if (answer.status !== 200) throw new Error(answer.text);
  return answer.json.value.map(({ name }: { name: string }) => name);
}

const condition = (attribute: string, operator: string, ...values: string[]) =>
  `<condition attribute="${attribute}" operator="${operator}">${values.map((value) => `<value>${value}</value>`).join('')}</condition>`;

const ALL = ['Blue Yonder', 'City Power', 'Contoso', 'Example Account', 'Fabrikam', "O'Datum & <Sons>"];
const without = (...some: string[]) => ALL.filter((name) => !some.includes(name));

describe('conditions', () => {
  const found: [condition: string, names: string[]][] = [
    [condition('name', 'eq', 'CONTOSO'), ['Contoso']],
    [condition('name', 'eq', "O'Datum &amp; &lt;Sons>"), ["O'Datum & <Sons>"]],
    [condition('name', 'eq', "' OR 1=1 --"), []],
    [condition('address1_city', 'ne', 'Redmond'), ['Blue Yonder', 'Example Account', 'Fabrikam']],
    [condition('address1_city', 'neq', 'Redmond'), ['Blue Yonder', 'Example Account', 'Fabrikam']],
    [condition('numberofemployees', 'gt', '2900'), ["O'Datum & <Sons>"]],
    [condition('numberofemployees', 'le', '2700'), ['Contoso', 'Fabrikam']],
    [condition('name', 'lt', 'city power'), ['Blue Yonder']],
    [condition('revenue', 'ge', '10.5'), ["O'Datum & <Sons>"]],
    [condition('address1_city', 'null'), ['Example Account']],
    [condition('address1_city', 'not-null'), without('Example Account')],
    [condition('name', 'like', '%on%'), ['Blue Yonder', 'Contoso', "O'Datum & <Sons>"]],
    [condition('name', 'like', '[bc]%'), ['Blue Yonder', 'City Power', 'Contoso']],
    [condition('address1_city', 'not-like', '%d%'), ['Blue Yonder', 'Example Account']],
    [condition('name', 'begins-with', 'c'), ['City Power', 'Contoso']],
    [condition('name', 'not-begin-with', 'c'), without('City Power', 'Contoso')],
    [condition('name', 'ends-with', 'SO'), ['Contoso']],
    [condition('name', 'not-end-with', 'so'), without('Contoso')],
    [condition('numberofemployees', 'in', '1500', '6200'), ['Contoso', "O'Datum & <Sons>"]],
    [condition('numberofemployees', 'not-in', '1500', '6200'), ['Blue Yonder', 'City Power', 'Fabrikam']],
    [condition('numberofemployees', 'between', '1500', '2700'), ['Contoso', 'Fabrikam']],
    [condition('numberofemployees', 'not-between', '1500', '2800'), ['Blue Yonder', 'City Power', "O'Datum & <Sons>"]],
    [condition('industrycode', 'eq', '2'), ['Fabrikam']],
    [condition('statecode', 'eq', 'active'), ALL],
    [condition('donotemail', 'eq', '1'), ["O'Datum & <Sons>"]],
    [condition('primarycontactidname', 'like', '%lovelace'), ['Contoso', 'Fabrikam']],
    [condition('lastonholdtime', 'today'), ['Contoso']],
    [condition('lastonholdtime', 'yesterday'), ['Fabrikam']],
    [condition('lastonholdtime', 'tomorrow'), []],
    [condition('lastonholdtime', 'on', '2026-11-20'), ['Fabrikam']],
    [condition('lastonholdtime', 'on-or-after', '11/20/2026'), ['Contoso', 'Fabrikam', "O'Datum & <Sons>"]],
    [condition('lastonholdtime', 'on-or-before', '2026-10-05'), ['Blue Yonder', 'City Power']],
    [condition('lastonholdtime', 'eq', '2026-11-20T13:00:00+01:00'), ['Fabrikam']],
    [condition('lastonholdtime', 'last-seven-days'), ['Contoso', 'Fabrikam']],
    [condition('lastonholdtime', 'next-seven-days'), []],
    [condition('lastonholdtime', 'this-week'), ['Contoso', 'Fabrikam']],
    [condition('lastonholdtime', 'this-month'), ['Contoso', 'Fabrikam']],
    [condition('lastonholdtime', 'last-month'), ['Blue Yonder']],
    [condition('lastonholdtime', 'this-year'), without('Example Account', "O'Datum & <Sons>")],
    [condition('lastonholdtime', 'next-year'), ["O'Datum & <Sons>"]],
    [condition('lastonholdtime', 'last-x-hours', '2'), ['Contoso']],
    [condition('lastonholdtime', 'last-x-days', '1'), ['Contoso', 'Fabrikam']],
    [condition('lastonholdtime', 'next-x-months', '2'), ["O'Datum & <Sons>"]],
    [condition('lastonholdtime', 'last-x-years', '999999'), without('Example Account', "O'Datum & <Sons>")],
    [condition('lastonholdtime', 'olderthan-x-weeks', '2'), ['Blue Yonder', 'City Power']],
    [condition('lastonholdtime', 'olderthan-x-minutes', '30'), without('Example Account', "O'Datum & <Sons>")],
    [condition('lastonholdtime', 'this-fiscal-period'), ['Blue Yonder', 'Contoso', 'Fabrikam']],
    [condition('lastonholdtime', 'next-fiscal-year'), ["O'Datum & <Sons>"]],
    [condition('lastonholdtime', 'in-fiscal-period', '1'), ['City Power', "O'Datum & <Sons>"]],
    [condition('lastonholdtime', 'in-fiscal-period-and-year', '1', '2026'), ['City Power']],
    [condition('lastonholdtime', 'in-or-before-fiscal-period-and-year', '3', '2026'), ['City Power']],
    [condition('ownerid', 'eq-userid'), ALL],
    [condition('ownerid', 'ne-userid'), []],
    [condition('ownerid', 'eq-useroruserteams'), ALL],
    [condition('ownerid', 'eq-userteams'), []],
    [condition('owningbusinessunit', 'eq-businessid'), ALL],
    [condition('owningbusinessunit', 'ne-businessid'), []],
    [condition('numberofemployees', 'eq-userlanguage'), []],
  ];
  test.each(found)('%s', async (filter, expected) => {
    expect(await names(filter)).toEqual(expected);
  });

  test('follow the hierarchy of a table', async () => {
    const { contoso, blue } = environment.rows;
    expect(await names(condition('accountid', 'under', contoso))).toEqual(['Blue Yonder', 'Fabrikam']);
    expect(await names(condition('accountid', 'eq-or-under', `{${contoso.toUpperCase()}}`))).toEqual([
      'Blue Yonder',
      'Contoso',
      'Fabrikam',
    ]);
    expect(await names(condition('accountid', 'above', blue))).toEqual(['Contoso', 'Fabrikam']);
    expect(await names(condition('accountid', 'eq-or-above', blue))).toEqual(['Blue Yonder', 'Contoso', 'Fabrikam']);
    expect(await names(condition('accountid', 'not-under', contoso))).toEqual(without('Blue Yonder', 'Fabrikam'));
  });

  test('look for choices in multi-select columns only', async () => {
    const answer = await get(
      'accounts',
      `<fetch><entity name="account"><filter>${condition('industrycode', 'contain-values', '1')}</filter></entity></fetch>`,
    );
    expect(answer.json.error.code).toBe('0x80041106');
  });

  test('compare two columns of a row and of joined rows', async () => {
    const same = `<fetch><entity name="contact"><attribute name="fullname"/><filter><condition attribute="firstname" operator="eq" valueof="lastname"/><condition attribute="firstname" operator="eq" valueof="spousesname"/></filter></entity></fetch>`;
    expect((await get('contacts', same)).json.value).toMatchObject([{ fullname: 'Bob bob' }]);
    const joined = '<link-entity name="account" from="accountid" to="parentaccountid" link-type="outer" alias="up"/>';
    expect(
      await names('<condition attribute="numberofemployees" operator="gt" valueof="up.numberofemployees"/>', joined),
    ).toEqual(['Blue Yonder', 'Fabrikam']);
    expect(await names('<condition attribute="name" operator="ne" valueof="up.name"/>', joined)).toEqual(ALL);
  });

  test('nest, any of them or all', async () => {
    const nested = `<filter type="or">${condition('name', 'eq', 'Contoso')}<filter>${condition('name', 'like', '%y%')}${condition('numberofemployees', 'eq', '2900')}</filter></filter>`;
    expect(await names(nested)).toEqual(['Blue Yonder', 'City Power', 'Contoso']);
    expect(await names('<filter type="or"/>')).toEqual(ALL);
  });
});

describe('the answer', () => {
  test('leaves out empty columns, and adds the key and the currency', async () => {
    const { json } = await get(
      'contacts',
      '<fetch><entity name="contact"><attribute name="fullname"/><attribute name="annualincome"/><attribute name="jobtitle"/><order attribute="fullname"/></entity></fetch>',
    );
    expect(json['@odata.context']).toMatch(
      /\$metadata#contacts\(fullname,annualincome,_transactioncurrencyid_value,transactioncurrencyid,contactid,jobtitle,transactioncurrencyid\(\)\)$/,
    );
    expect(json.value).toEqual([
      {
        '@odata.etag': expect.stringMatching(/^W\/"\d+"$/),
        fullname: 'Ada Lovelace',
        annualincome: 45_000,
        _transactioncurrencyid_value: expect.any(String),
        contactid: environment.rows.ada,
      },
      { '@odata.etag': expect.any(String), fullname: 'Bob bob', contactid: environment.rows.bob },
    ]);
  });

  // The example of the documentation, "Column aliases".
  test('shows aliased columns with the name of the column and its annotations', async () => {
    const { json, headers } = await get(
      'accounts',
      `<fetch><entity name="account"><attribute name="industrycode" alias="code"/><attribute name="createdby" alias="whocreated"/>
       <attribute name="createdon" alias="whencreated"/><attribute name="name" alias="companyname"/><filter>${condition('name', 'eq', 'Contoso')}</filter></entity></fetch>`,
      'odata.include-annotations="*"',
    );
    expect(headers.get('preference-applied')).toBe('odata.include-annotations="*"');
    expect(json['@odata.context']).toMatch(
      /#accounts\(accountid,industrycode,createdby,createdon,name,createdby\(\)\)$/,
    );
    expect(json.value).toEqual([
      {
        '@odata.etag': expect.any(String),
        accountid: environment.rows.contoso,
        'code@OData.Community.Display.V1.AttributeName': 'industrycode',
        'code@OData.Community.Display.V1.FormattedValue': 'Accounting',
        code: 1,
        'whocreated@OData.Community.Display.V1.AttributeName': 'createdby',
        'whocreated@OData.Community.Display.V1.FormattedValue': 'System Administrator',
        'whocreated@Microsoft.Dynamics.CRM.lookuplogicalname': 'systemuser',
        whocreated: expect.any(String),
        'whencreated@OData.Community.Display.V1.AttributeName': 'createdon',
        'whencreated@OData.Community.Display.V1.FormattedValue': '11/21/2026 10:00 AM',
        whencreated: '2026-11-21T10:00:00Z',
        'companyname@OData.Community.Display.V1.AttributeName': 'name',
        companyname: 'Contoso',
      },
    ]);
  });

  test('has all columns of an entity without attributes, and none of a link', async () => {
    const { json } = await get(
      'accounts',
      `<fetch><entity name="account"><link-entity name="contact" from="contactid" to="primarycontactid"/><filter>${condition('name', 'eq', 'Contoso')}</filter></entity></fetch>`,
    );
    expect(json.value[0]).toMatchObject({
      name: 'Contoso',
      numberofemployees: 1500,
      _primarycontactid_value: environment.rows.ada,
      statecode: 0,
    });
    expect(Object.keys(json.value[0]).filter((name) => name.startsWith('contact'))).toEqual([]);
    const bare = await get('accounts', '<fetch top="1"><entity name="account"><no-attrs/></entity></fetch>');
    expect(Object.keys(bare.json.value[0])).toEqual(['@odata.etag', 'accountid']);
  });

  test('takes __proto__ for an alias like any other', async () => {
    const { text } = await get(
      'accounts',
      `<fetch><entity name="account"><attribute name="name" alias="__proto__"/><filter>${condition('name', 'eq', 'Contoso')}</filter></entity></fetch>`,
    );
    expect(text).toContain('"__proto__":"Contoso"');
  });

  test('counts all rows when asked to', async () => {
    const entity = '<entity name="account"><attribute name="name"/></entity>';
    const counted = await get(
      'accounts',
      `<fetch count="1" returntotalrecordcount="true">${entity}</fetch>`,
      'odata.include-annotations="*"',
    );
    expect(counted.json).toMatchObject({
      '@odata.count': 6,
      '@Microsoft.Dynamics.CRM.totalrecordcount': 6,
      '@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded': false,
    });
    const option = await environment.call(
      'GET',
      `accounts?fetchXml=${encodeURIComponent(`<fetch top="2">${entity}</fetch>`)}&$count=true`,
    );
    expect(option.json['@odata.count']).toBe(6);
    expect(option.json.value).toHaveLength(2);
  });
});

describe('link-entity', () => {
  const contactRows = async (link: string) => {
    const { json } = await get(
      'contacts',
      `<fetch><entity name="contact"><attribute name="fullname"/>${link}<order attribute="fullname"/></entity></fetch>`,
    );
    return json.value.map(({ '@odata.etag': _, contactid: __, ...row }: Record<string, unknown>) => row);
  };
  const link = (type: string, inside: string) =>
    `<link-entity name="account" from="primarycontactid" to="contactid" link-type="${type}">${inside}</link-entity>`;
  const name = '<attribute name="name"/><order attribute="name" descending="true"/>';
  const isContoso = `<filter>${condition('name', 'eq', 'Contoso')}</filter>`;

  test('joins by the names that the documentation gives columns', async () => {
    expect(await contactRows(link('inner', name))).toEqual([
      { fullname: 'Ada Lovelace', 'account1.name': 'Fabrikam' },
      { fullname: 'Ada Lovelace', 'account1.name': 'Contoso' },
    ]);
    expect(await contactRows(link('outer', `<attribute name="name" alias="company"/>${isContoso}`))).toEqual([
      { fullname: 'Ada Lovelace', company: 'Contoso' },
      { fullname: 'Bob bob' },
    ]);
    expect(
      await contactRows(
        link(
          'matchfirstrowusingcrossapply',
          `<attribute name="name"/><attribute name="numberofemployees"/>${isContoso}`,
        ),
      ),
    ).toEqual([{ fullname: 'Ada Lovelace', Name: 'Contoso', NumberOfEmployees: 1500 }]);
  });

  test('asks whether there are rows, without repeating the parent', async () => {
    for (const type of ['exists', 'in'])
      expect(await contactRows(link(type, ''))).toEqual([{ fullname: 'Ada Lovelace' }]);
    const inFilter = (type: string, inside: string) => contactRows(`<filter>${link(type, inside)}</filter>`);
    expect(await inFilter('any', isContoso)).toEqual([{ fullname: 'Ada Lovelace' }]);
    expect(await inFilter('not any', isContoso)).toEqual([{ fullname: 'Bob bob' }]);
    expect(await inFilter('not all', isContoso)).toEqual([{ fullname: 'Ada Lovelace' }]);
    expect(await inFilter('all', isContoso)).toEqual([]);
    expect(await inFilter('all', `<filter>${condition('name', 'eq', 'Other')}</filter>`)).toEqual([
      { fullname: 'Ada Lovelace' },
    ]);
  });

  test('finds rows that nothing is joined to', async () => {
    const outer = '<link-entity name="contact" from="contactid" to="primarycontactid" link-type="outer" alias="c"/>';
    expect(await names('<condition entityname="c" attribute="contactid" operator="null"/>', outer)).toEqual(
      without('Contoso', 'Fabrikam'),
    );
    // Without an alias the table's name is meant.
    expect(
      await names(
        '<condition entityname="contact" attribute="contactid" operator="not-null"/>',
        outer.replace(' alias="c"', ''),
      ),
    ).toEqual(['Contoso', 'Fabrikam']);
  });

  test('nests 15 deep, outer and inner, with few columns and with many', async () => {
    const nested = (type: string, inside: string) =>
      Array.from({ length: 14 }).reduce<string>(
        (inner) =>
          `<link-entity name="account" from="accountid" to="parentaccountid" link-type="${type}">${inside}${inner}</link-entity>`,
        '',
      );
    const outer = (inside: string) =>
      `<link-entity name="account" from="accountid" to="parentaccountid" link-type="outer">${inside}</link-entity>`;
    expect(await names('', outer(nested('outer', '<attribute name="name"/>')))).toEqual(ALL);
    expect(await names('', outer(nested('inner', '<attribute name="name"/>')))).toEqual(ALL);
    const all = `<fetch><entity name="account">${outer(nested('outer', '<all-attributes/>'))}</entity></fetch>`;
    expect((await get('accounts', all)).status).toBe(501);
  });

  test('looks at a filter that names another table after the join', async () => {
    const outer = (filter: string) =>
      `<link-entity name="contact" from="contactid" to="primarycontactid" link-type="outer" alias="c"><filter>${filter}</filter></link-entity>`;
    expect(await names('', outer('<condition attribute="lastname" operator="eq" value="Other"/>'))).toEqual(ALL);
    expect(await names('', outer('<condition attribute="lastname" operator="ne" valueof="account.name"/>'))).toEqual(
      ALL,
    );
    expect(await names('', outer('<condition attribute="lastname" operator="eq" valueof="account.name"/>'))).toEqual(
      [],
    );
  });

  test('goes through the table of a many-to-many relationship', async () => {
    const { json } = await get(
      'systemusers',
      `<fetch top="1"><entity name="systemuser"><attribute name="fullname"/><link-entity name="systemuserroles" from="systemuserid" to="systemuserid" intersect="true">
       <link-entity name="role" from="roleid" to="roleid" alias="r"><attribute name="name"/></link-entity></link-entity></entity></fetch>`,
    );
    expect(json.value).toMatchObject([{ fullname: 'System Administrator', 'r.name': 'System Administrator' }]);
  });
});

describe('order', () => {
  const ordered = async (inside: string, options = '') => {
    const { json } = await get(
      'accounts',
      `<fetch${options}><entity name="account"><attribute name="name"/>${inside}</entity></fetch>`,
    );
    return json.value.map(({ name }: { name: string }) => name);
  };

  test('puts choices by their labels, unless numbers are asked for', async () => {
    const inside = `<order attribute="address1_addresstypecode"/><filter>${condition('address1_addresstypecode', 'not-null')}</filter>`;
    // 2 is Ship To, 3 is Primary.
    expect(await ordered(inside)).toEqual(['Fabrikam', 'Contoso']);
    expect(await ordered(inside, ' useraworderby="true"')).toEqual(['Contoso', 'Fabrikam']);
  });

  test('puts lookups by the name behind them, and the entity’s columns before those of links', async () => {
    expect(
      (await ordered('<order attribute="parentaccountid" descending="true"/><order attribute="name"/>')).slice(0, 2),
    ).toEqual(['Blue Yonder', 'Fabrikam']);
    const link = (inside: string) =>
      `<link-entity name="account" from="accountid" to="parentaccountid" alias="p">${inside}</link-entity>`;
    expect(await ordered(`${link('<order attribute="name"/>')}<order attribute="name" descending="true"/>`)).toEqual([
      'Fabrikam',
      'Blue Yonder',
    ]);
    expect(
      await ordered(
        `${link('')}<order entityname="p" attribute="name" descending="true"/><order attribute="name" descending="true"/>`,
      ),
    ).toEqual(['Blue Yonder', 'Fabrikam']);
  });
});

test('distinct leaves out equal rows, and the key with them', async () => {
  const { json } = await get(
    'accounts',
    '<fetch distinct="true"><entity name="account"><attribute name="address1_city"/><order attribute="address1_city"/></entity></fetch>',
  );
  expect(
    json.value.map((row: Record<string, string>) => [Object.keys(row), row['address1_city']?.trim().toLowerCase()]),
  ).toEqual([
    [[], undefined],
    [['address1_city'], 'los angeles'],
    [['address1_city'], 'lynnwood'],
    [['address1_city'], 'redmond'],
  ]);
});

describe('aggregates', () => {
  const aggregated = (attributes: string, options = '') =>
    get(
      'accounts',
      `<fetch aggregate="true"${options}><entity name="account">${attributes}</entity></fetch>`,
      'odata.include-annotations="OData.Community.Display.V1.FormattedValue"',
    );
  const each = ['avg', 'count', 'countcolumn', 'max', 'min', 'sum']
    .map((method) => `<attribute name="numberofemployees" alias="${method}" aggregate="${method}"/>`)
    .join('');

  test('compute what the documentation’s example computes, with texts for people', async () => {
    const { json } = await aggregated(each);
    expect(json['@odata.context']).toMatch(/\$metadata#accounts$/);
    expect(json.value).toEqual([
      {
        'avg@OData.Community.Display.V1.FormattedValue': '3,240',
        avg: 3240,
        'count@OData.Community.Display.V1.FormattedValue': '6',
        count: 6,
        'countcolumn@OData.Community.Display.V1.FormattedValue': '5',
        countcolumn: 5,
        'max@OData.Community.Display.V1.FormattedValue': '6,200',
        max: 6200,
        'min@OData.Community.Display.V1.FormattedValue': '1,500',
        min: 1500,
        'sum@OData.Community.Display.V1.FormattedValue': '16,200',
        sum: 16_200,
      },
    ]);
  });

  test('group by columns, by lookups and by parts of dates', async () => {
    const cities = await aggregated(
      '<attribute name="numberofemployees" alias="Total" aggregate="sum"/><attribute name="address1_city" alias="Count" aggregate="count"/><attribute name="address1_city" alias="City" groupby="true"/><order alias="Total" descending="true"/>',
    );
    expect(cities.json.value).toMatchObject([
      { Total: 10_600, Count: 3, City: expect.stringMatching(/^redmond/i) },
      { Total: 2900, Count: 1, City: 'Los Angeles' },
      { Total: 2700, Count: 1, City: 'Lynnwood' },
      { Total: 0, Count: 1 },
    ]);
    expect(cities.json.value[3]).not.toHaveProperty('City');
    const people = await aggregated(
      '<attribute name="accountid" alias="n" aggregate="count"/><attribute name="primarycontactid" alias="who" groupby="true"/><order alias="who" descending="true"/>',
    );
    expect(people.json.value[0]).toMatchObject({
      n: 2,
      who: environment.rows.ada,
      'who@OData.Community.Display.V1.FormattedValue': 'Ada Lovelace',
    });
    const parts = ['day', 'week', 'month', 'quarter', 'year']
      .map((part) => `<attribute name="lastonholdtime" alias="${part}" groupby="true" dategrouping="${part}"/>`)
      .join('');
    const dates = await aggregated(
      `<attribute name="accountid" alias="n" aggregate="count"/>${parts}<filter>${condition('name', 'eq', 'Contoso')}</filter>`,
    );
    expect(dates.json.value[0]).toMatchObject({
      n: 1,
      day: 21,
      week: 47,
      month: 11,
      quarter: 4,
      year: 2026,
      'year@OData.Community.Display.V1.FormattedValue': '2,026',
    });
  });

  test('read no more rows than their limit', async () => {
    expect((await aggregated(each, ' aggregatelimit="6"')).status).toBe(200);
    const { status, json } = await aggregated(each, ' aggregatelimit="5"');
    expect([status, json.error.code]).toEqual([400, '0x8004E023']);
  });
});

describe('refusals', () => {
  const entity = (inside: string, options = '') => `<fetch${options}><entity name="account">${inside}</entity></fetch>`;
  const filter = (inside: string) => entity(`<filter>${inside}</filter>`);
  const links = (count: number) => '<link-entity name="contact" from="contactid" to="primarycontactid"/>'.repeat(count);
  const refused: [what: string, xml: string, status: number, code: string, message: RegExp][] = [
    ['another table', '<fetch><entity name="contact"/></fetch>', 400, '0x80041128', /does not match/],
    [
      'an unknown table',
      '<fetch><entity name="nothing"/></fetch>',
      400,
      '0x80041102',
      /The entity with a name = 'nothing' with namemapping = 'Logical' was not found in the MetadataCache\./,
    ],
    ['an unknown linked table', entity('<link-entity name="nothing" from="a" to="b"/>'), 400, '0x80041102', /nothing/],
    [
      'an unknown column',
      entity('<attribute name="Name"/>'),
      400,
      '0x80041103',
      /'account' entity doesn't contain attribute with Name = 'Name' and NameMapping = 'Logical'\./,
    ],
    ['an unknown column of a condition', filter(condition('__proto__', 'eq', '1')), 400, '0x80041103', /__proto__/],
    ['an unknown column of an order', entity('<order attribute="x"/>'), 400, '0x80041103', /'x'/],
    [
      'an unknown column of a link',
      entity('<link-entity name="contact" from="x" to="primarycontactid"/>'),
      400,
      '0x80041103',
      /'x'/,
    ],
    ['an unknown operator', filter(condition('name', 'resembles', 'x')), 400, '0x80041120', /resembles/],
    [
      'an operator of hierarchical security',
      filter(condition('ownerid', 'eq-useroruserhierarchy')),
      501,
      '0x80040219',
      /eq-useroruserhierarchy is not emulated/,
    ],
    [
      'an operator on a column of another type',
      filter(condition('numberofemployees', 'like', '1%')),
      400,
      '0x80041106',
      /account\.numberofemployees/,
    ],
    [
      'a value of another type',
      filter(condition('numberofemployees', 'eq', 'many')),
      400,
      '0x80041106',
      /expected argument\(s\) of type 'System\.Int32'/,
    ],
    [
      'a date that there is not',
      filter(condition('createdon', 'on', '2026-02-30')),
      400,
      '0x80041106',
      /System\.DateTime/,
    ],
    ['a count below one', filter(condition('createdon', 'last-x-days', '0')), 400, '0x8004110C', /last-x-days/],
    [
      'a condition without a value',
      filter('<condition attribute="name" operator="eq"/>'),
      400,
      '0x80041106',
      /'value' or 'valueof' must be specified/,
    ],
    [
      'columns of different types',
      filter('<condition attribute="name" operator="eq" valueof="numberofemployees"/>'),
      400,
      '0x80041106',
      /different types/,
    ],
    [
      'an alias that there is not',
      filter('<condition attribute="name" operator="eq" value="x" entityname="y"/>'),
      400,
      '0x8004110A',
      /The alias y/,
    ],
    [
      'an alias with a blank',
      entity('<attribute name="name" alias="a b"/>'),
      400,
      '0x80041109',
      /Invalid character specified for alias: a b\./,
    ],
    [
      'an alias used twice',
      entity(`${links(1).replace('/>', ' alias="c"/>')}${links(1).replace('/>', ' alias="c"/>')}`),
      400,
      '0x80041109',
      /alias c/,
    ],
    ['a link type that there is not', entity(links(1).replace('/>', ' link-type="full"/>')), 400, '0x80041121', /full/],
    [
      'a filter’s link type outside a filter',
      entity(links(1).replace('/>', ' link-type="any"/>')),
      400,
      '0x80041121',
      /any/,
    ],
    [
      'columns of a link that has none',
      entity(links(1).replace('/>', ' link-type="exists"><attribute name="fullname"/></link-entity>')),
      400,
      '0x80041118',
      /exists/,
    ],
    ['more than 15 links', entity(links(16)), 400, '0x8004430D', /link entities/],
    [
      'an unknown element',
      entity('<sort/>'),
      400,
      '0x8004111c',
      /valid nodes are filter, order, link-entity, attribute, all-attributes, no-attrs\. NodeName = sort/,
    ],
    ['text between elements', entity('{0}'), 400, '0x8004111c', /#text/],
    ['top beside a page', entity('', ' top="1" page="1"'), 400, '0x80041127', /top/],
    ['a page size that is no number', entity('', ' count="many"'), 400, '0x8004110C', /many/],
    ['a flag that is none', entity('', ' distinct="maybe"'), 400, '0x80041108', /maybe/],
    [
      'a made-up cookie',
      entity(
        '',
        ' page="2" count="1" paging-cookie="&lt;cookie page=&quot;1&quot;>&lt;name last=&quot;x&quot;/>&lt;/cookie>"',
      ),
      400,
      '0x80040203',
      /Malformed XML in the Paging Cookie/,
    ],
    [
      'a cookie that is no XML',
      entity('', ' page="2" count="1" paging-cookie="x"'),
      400,
      '0x80040203',
      /Malformed XML in the Paging Cookie/,
    ],
    [
      'an attribute beside aggregates',
      entity('<attribute name="name" alias="n"/>', ' aggregate="true"'),
      400,
      '0x80041107',
      /neither groupby not aggregate/,
    ],
    [
      'an aggregate without an alias',
      entity('<attribute name="name" aggregate="count"/>', ' aggregate="true"'),
      400,
      '0x8004110B',
      /alias/,
    ],
    [
      'a sum of texts',
      entity('<attribute name="name" alias="n" aggregate="sum"/>', ' aggregate="true"'),
      400,
      '0x8004111A',
      /sum/,
    ],
    [
      'fiscal groups',
      entity(
        '<attribute name="createdon" alias="n" groupby="true" dategrouping="fiscal-period"/>',
        ' aggregate="true"',
      ),
      501,
      '0x80040219',
      /fiscal-period/,
    ],
    [
      'a row aggregate',
      entity('<attribute name="accountid" alias="n" rowaggregate="CountChildren"/>'),
      501,
      '0x80040219',
      /rowaggregate/,
    ],
    ['rows of the retention store', entity('', ' datasource="retained"'), 501, '0x80040219', /retained/],
    [
      'an elastic table',
      entity('<link-entity name="contoso_sensordata" from="contoso_sensordataid" to="accountid"/>'),
      501,
      '0x80040219',
      /elastic table contoso_sensordata/,
    ],
    ['an empty text', '', 400, '0x80040303', /Invalid FetchXml/],
    ['another root', '<query/>', 400, '0x80041123', /fetch/],
    [
      'a document type',
      '<!DOCTYPE fetch [<!ENTITY a "aaaa">]><fetch><entity name="account"/></fetch>',
      400,
      '0x80040303',
      /DOCTYPE/,
    ],
    ['an entity that XML does not have', filter(condition('name', 'eq', '&nbsp;')), 400, '0x80040303', /entity/],
    ['elements that are not closed', '<fetch><entity name="account">', 400, '0x80040303', /Invalid FetchXml/],
    [
      'elements nested without end',
      filter(`${'<filter>'.repeat(100)}${'</filter>'.repeat(100)}`),
      400,
      '0x80040303',
      /deeper/,
    ],
  ];
  test.each(refused)('%s', async (_what, xml, status, code, message) => {
    const answer = await get('accounts', xml);
    expect(answer.json.error.message).toMatch(message);
    expect([answer.status, answer.json.error.code]).toEqual([status, code]);
  });

  test('other query options beside FetchXML', async () => {
    const xml = encodeURIComponent('<fetch><entity name="account"/></fetch>');
    expect((await environment.call('GET', `accounts?fetchXml=${xml}&$select=name`)).status).toBe(501);
  });

  test('nothing that is nested as deep as it may be', async () => {
    expect(
      await names(`${'<filter type="or">'.repeat(58)}${condition('name', 'eq', 'Contoso')}${'</filter>'.repeat(58)}`),
    ).toEqual(['Contoso']);
    const many = '<condition attribute="revenue" operator="null"/>'.repeat(400);
    expect(await names(`<filter type="or">${many}</filter>`)).toEqual(without("O'Datum & <Sons>"));
  });
});
