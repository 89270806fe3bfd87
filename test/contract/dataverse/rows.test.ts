import { describe, expect, test } from 'vitest';
import { defineKey, idOf, openEnvironment } from './environment.ts';
import { queryEnvironment } from './query-environment.ts';

const MISSING = '11111111-1111-4111-8111-111111111111';

describe('create', () => {
  test('answers 204 with the address of the new row', async () => {
    const { call, apiUrl } = await openEnvironment();
    const answer = await call('POST', 'accounts', { name: 'Contoso' });
    expect(answer.status).toBe(204);
    expect(answer.text).toBe('');
    expect(answer.headers.get('odata-entityid')).toBe(`${apiUrl}accounts(${idOf(answer)})`);
    expect(answer.headers.get('odata-version')).toBe('4.0');
    expect(answer.headers.get('x-ms-service-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.headers.get('set-cookie')).toContain('ARRAffinity=');
  });

  test('answers 201 with the chosen columns when the representation is asked for', async () => {
    const { call } = await openEnvironment();
    const answer = await call(
      'POST',
      'accounts?$select=name,revenue',
      { name: 'Contoso', revenue: 5_000_000 },
      {
        Prefer: 'return=representation',
      },
    );
    expect(answer.status).toBe(201);
    expect(answer.headers.get('preference-applied')).toBe('return=representation');
    expect(answer.headers.get('etag')).toBe(answer.json['@odata.etag']);
    expect(answer.headers.get('odata-entityid')).toBeNull();
    expect(answer.text).toContain('"revenue":5000000.0000');
    expect(Object.keys(answer.json)).toEqual([
      '@odata.context',
      '@odata.etag',
      'name',
      'revenue',
      '_transactioncurrencyid_value',
      'accountid',
    ]);
    expect(answer.json['@odata.context']).toMatch(/\$metadata#accounts\(name,revenue\)\/\$entity$/);
  });

  test('takes an id from the body and refuses it the second time', async () => {
    const { call } = await openEnvironment();
    expect((await call('POST', 'accounts', { accountid: MISSING, name: 'one' })).status).toBe(204);
    const second = await call('POST', 'accounts', { accountid: MISSING, name: 'two' });
    expect(second.status).toBe(412);
    expect(second.json.error).toEqual({ code: '0x80040237', message: 'Cannot insert duplicate key.' });
  });

  test('sets owner, state, times, defaults and computed columns', async () => {
    const { call } = await openEnvironment();
    const created = await call('POST', 'contacts', {
      firstname: 'Ada',
      lastname: 'Lovelace',
      address1_line1: 'Street 1',
      address1_city: 'London',
      address1_postalcode: 'W1',
      annualincome: 10,
    });
    const { json } = await call('GET', `contacts(${idOf(created)})`);
    const { json: me } = await call('GET', 'WhoAmI');
    expect(json).toMatchObject({
      fullname: 'Ada Lovelace',
      address1_composite: 'Street 1\r\nLondon, W1',
      statecode: 0,
      statuscode: 1,
      preferredcontactmethodcode: 1,
      donotemail: false,
      annualincome_base: 10,
      exchangerate: 1,
      _ownerid_value: me.UserId,
      _owninguser_value: me.UserId,
      _owningbusinessunit_value: me.BusinessUnitId,
      _createdby_value: me.UserId,
    });
    expect(json.createdon).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  });

  test('sets createdon from overriddencreatedon', async () => {
    const { call } = await openEnvironment();
    const created = await call('POST', 'accounts', { name: 'old', overriddencreatedon: '2001-02-03T04:05:06Z' });
    const { json } = await call('GET', `accounts(${idOf(created)})?$select=createdon,overriddencreatedon`);
    expect(json.createdon).toBe('2001-02-03T04:05:06Z');
    expect(json.overriddencreatedon).not.toBe('2001-02-03T04:05:06Z');
  });
});

describe('a refused body', () => {
  const cases: [title: string, body: unknown, status: number, code: string, message: string | RegExp][] = [
    [
      'a text that is too long',
      { name: 'x'.repeat(161) },
      400,
      '0x80044331',
      "A validation error occurred.  The length of the 'name' attribute of the 'account' entity exceeded the maximum allowed length of '160'.",
    ],
    [
      'an unknown property',
      { Name: 'x' },
      400,
      '0x0',
      /Invalid property 'Name' was found in entity 'Microsoft.Dynamics.CRM.account'/,
    ],
    [
      'a text for a number',
      { numberofemployees: 'many' },
      400,
      '0x80048d19',
      /Cannot convert the literal 'many' to the expected type 'Edm.Int32'/,
    ],
    ['a fraction for an integer', { numberofemployees: 1.5 }, 400, '0x80048d19', /expected type 'Edm.Int32'/],
    ['an integer out of range', { numberofemployees: -1 }, 400, '0x80044330', /outside the valid range/],
    [
      'an unknown choice',
      { industrycode: 99_999 },
      400,
      '0x8004431A',
      /The value 99999 of 'industrycode'.*Accepted Values: 1,2,/,
    ],
    ['a text for a boolean', { donotemail: 'yes' }, 400, '0x80048d19', /expected type 'Edm.Boolean'/],
    [
      'a date without offset',
      { lastonholdtime: '2024-05-01' },
      400,
      '0x80048d19',
      /expected type 'Edm.DateTimeOffset'/,
    ],
    [
      'a date before the calendar',
      { lastonholdtime: '1700-01-01T00:00:00Z' },
      400,
      '0x80040239',
      /date-time format is invalid/,
    ],
    [
      'a control character',
      { description: 'a\bb' },
      400,
      '0x80040278',
      /Invalid character in field 'description'.*0x08/,
    ],
    ['no JSON', '{"name":', 400, '0x80048d19', /Invalid JSON/],
    ['an array', [], 400, '0x80048d19', /StartObject/],
    ['a text for an amount', { revenue: '12' }, 400, '0x80048d19', /expected type 'Edm.Decimal'/],
    [
      'a lookup written directly',
      { _primarycontactid_value: MISSING },
      400,
      '0x80048d19',
      /Use Navigation properties instead/,
    ],
    [
      'an unknown navigation property',
      { 'parentcustomerid@odata.bind': '/accounts(1)' },
      400,
      '0x80048d19',
      /An undeclared property 'parentcustomerid'/,
    ],
    [
      'a lookup to a missing row',
      { 'primarycontactid@odata.bind': `/contacts(${MISSING})` },
      404,
      '0x80040217',
      `contact With Id = ${MISSING} Does Not Exist`,
    ],
    [
      'a lookup to the wrong table',
      { 'primarycontactid@odata.bind': '/leads(accountnumber=1)' },
      400,
      '0x80060890',
      /not valid for resource/,
    ],
    ['a status that does not fit the state', { statuscode: 2 }, 400, '0x80048408', /not a valid status code/],
  ];
  const environment = queryEnvironment({}, async () => undefined);
  test.each(cases)('%s', async (_, body, status, code, message) => {
    const answer = await environment.call('POST', 'accounts', body);
    expect(answer.json.error.message).toMatch(message);
    expect({ status: answer.status, code: answer.json.error.code }).toEqual({ status, code });
    expect((await environment.call('GET', 'accounts/$count')).text).toBe('0');
  });
});

describe('values', () => {
  test('are rounded, converted and kept as the service does', async () => {
    const { call } = await openEnvironment();
    const created = await call('POST', 'accounts', {
      name: 'Zoë ☃ "q"\r\nx',
      numberofemployees: '200',
      address1_latitude: 47.639583,
      revenue: 1.005,
      lastonholdtime: '2024-05-01T10:00:00.999+02:00',
      tickersymbol: '',
    });
    const { json } = await call('GET', `accounts(${idOf(created)})`);
    expect(json).toMatchObject({
      name: 'Zoë ☃ "q"\r\nx',
      numberofemployees: 200,
      address1_latitude: 47.63958,
      revenue: 1.01,
      lastonholdtime: '2024-05-01T08:00:00Z',
      tickersymbol: null,
    });
  });

  test('of a date-only column are dates', async () => {
    const { call } = await openEnvironment();
    const created = await call('POST', 'contacts', { lastname: 'x', birthdate: '1999-12-31' });
    expect((await call('GET', `contacts(${idOf(created)})?$select=birthdate`)).json.birthdate).toBe('1999-12-31');
    const refused = await call('PATCH', `contacts(${idOf(created)})`, { birthdate: '1999-12-31T00:00:00Z' });
    expect(refused.json.error.message).toMatch(/expected type 'Edm.Date'/);
  });

  test('that no one may write are passed over', async () => {
    const { call } = await openEnvironment();
    const created = await call('POST', 'accounts', { name: 'x', createdon: '2001-01-01T00:00:00Z', versionnumber: 7 });
    const { json } = await call('GET', `accounts(${idOf(created)})?$select=createdon,versionnumber`);
    expect(json.createdon).not.toBe('2001-01-01T00:00:00Z');
    expect(json.versionnumber).not.toBe(7);
  });
});

describe('retrieve, update and delete', () => {
  test('a missing row is 404 with the service’s words', async () => {
    const { call } = await openEnvironment();
    const error = { code: '0x80040217', message: `account With Id = ${MISSING} Does Not Exist` };
    for (const answer of [
      await call('GET', `accounts(${MISSING})`),
      await call('PATCH', `accounts(${MISSING})`, { name: 'x' }, { 'If-Match': '*' }),
      await call('DELETE', `accounts(${MISSING})`),
    ]) {
      expect(answer.status).toBe(404);
      expect(answer.json.error).toEqual(error);
    }
  });

  test('PATCH without a condition creates what is missing, under the id of the URL', async () => {
    const { call } = await openEnvironment();
    const answer = await call(
      'PATCH',
      `accounts(${MISSING})?$select=name`,
      { name: 'new' },
      { Prefer: 'return=representation' },
    );
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({ name: 'new', accountid: MISSING });
    const again = await call(
      'PATCH',
      `accounts(${MISSING})?$select=name`,
      { name: 'newer' },
      { Prefer: 'return=representation' },
    );
    expect(again.status).toBe(200);
  });

  test('PATCH changes only what was sent, clears with null and gives a new ETag', async () => {
    const { call } = await openEnvironment();
    const id = idOf(await call('POST', 'accounts', { name: 'a', telephone1: '1', fax: '2' }));
    const before = await call('GET', `accounts(${id})`);
    const answer = await call('PATCH', `accounts(${id})`, { fax: null }, { 'If-Match': '*', 'If-None-Match': 'null' });
    expect(answer.status).toBe(204);
    expect(idOf(answer)).toBe(id);
    const after = await call('GET', `accounts(${id})`);
    expect(after.json).toMatchObject({ name: 'a', telephone1: '1', fax: null });
    expect(after.headers.get('etag')).not.toBe(before.headers.get('etag'));
  });

  test('a stale ETag is 412, the current one passes', async () => {
    const { call } = await openEnvironment();
    const id = idOf(await call('POST', 'accounts', { name: 'a' }));
    const etag = (await call('GET', `accounts(${id})`)).headers.get('etag') ?? '';
    expect((await call('PATCH', `accounts(${id})`, { name: 'b' }, { 'If-Match': etag })).status).toBe(204);
    for (const stale of [
      await call('PATCH', `accounts(${id})`, { name: 'c' }, { 'If-Match': etag }),
      await call('DELETE', `accounts(${id})`, undefined, { 'If-Match': etag }),
    ]) {
      expect(stale.status).toBe(412);
      expect(stale.json.error).toEqual({
        code: '0x80060882',
        message: "The version of the existing record doesn't match the RowVersion property provided.",
      });
    }
    expect((await call('GET', `accounts(${id})?$select=name`)).json.name).toBe('b');
  });

  test('If-None-Match: * never changes a row', async () => {
    const { call } = await openEnvironment();
    const id = idOf(await call('POST', 'accounts', { name: 'a' }));
    const answer = await call('PATCH', `accounts(${id})`, { name: 'b' }, { 'If-None-Match': '*' });
    expect(answer.status).toBe(412);
    expect(answer.json.error.message).toBe('A record with matching key values already exists.');
    expect((await call('GET', `accounts(${id})?$select=name`)).json.name).toBe('a');
  });

  test('an unchanged row is 304 without a body', async () => {
    const { call } = await openEnvironment();
    const id = idOf(await call('POST', 'accounts', { name: 'a' }));
    const etag = (await call('GET', `accounts(${id})`)).headers.get('etag') ?? '';
    const answer = await call('GET', `accounts(${id})`, undefined, { 'If-None-Match': etag });
    expect(answer.status).toBe(304);
    expect(answer.text).toBe('');
  });

  test('one column is read, written and cleared by its own address', async () => {
    const { call } = await openEnvironment();
    const id = idOf(await call('POST', 'accounts', { name: 'a' }));
    expect((await call('GET', `accounts(${id})/name`)).json).toMatchObject({ value: 'a' });
    expect((await call('PUT', `accounts(${id})/name`, { value: 'b' })).status).toBe(204);
    expect((await call('GET', `accounts(${id})/name/$value`)).text).toBe('b');
    expect((await call('DELETE', `accounts(${id})/name`)).status).toBe(204);
    expect((await call('GET', `accounts(${id})/name`)).status).toBe(204);
  });

  test('a deleted account takes its contacts along and is cleared from where it was only named', async () => {
    const { call } = await openEnvironment();
    const parent = idOf(await call('POST', 'accounts', { name: 'parent' }));
    const child = idOf(
      await call('POST', 'accounts', { name: 'child', 'parentaccountid@odata.bind': `accounts(${parent})` }),
    );
    const contact = idOf(
      await call('POST', 'contacts', { lastname: 'x', 'parentcustomerid_account@odata.bind': `/accounts(${parent})` }),
    );
    expect((await call('DELETE', `accounts(${parent})`)).status).toBe(204);
    expect((await call('GET', `contacts(${contact})`)).status).toBe(404);
    expect((await call('GET', `accounts(${child})`)).json._parentaccountid_value).toBeNull();
  });

  test('the state brings its default status along', async () => {
    const { call } = await openEnvironment();
    const id = idOf(await call('POST', 'accounts', { name: 'a' }));
    await call('PATCH', `accounts(${id})`, { statecode: 1 });
    expect((await call('GET', `accounts(${id})`)).json).toMatchObject({ statecode: 1, statuscode: 2 });
  });
});

describe('lookups', () => {
  test('are bound by id, alternate key and absolute URL, and cleared by null and by $ref', async () => {
    const environment = await openEnvironment();
    const { call, apiUrl } = environment;
    await defineKey(environment, 'contact', ['employeeid']);
    const contact = idOf(await call('POST', 'contacts', { lastname: 'x', employeeid: "O'1" }));
    const id = idOf(await call('POST', 'accounts', { name: 'a' }));
    const lookup = async () => (await call('GET', `accounts(${id})`)).json._primarycontactid_value;

    for (const url of [
      `/contacts(${contact})`,
      `contacts(${contact})`,
      `${apiUrl}contacts(${contact})`,
      "/contacts(employeeid='o''1')",
    ]) {
      expect((await call('PATCH', `accounts(${id})`, { 'primarycontactid@odata.bind': url })).status).toBe(204);
      expect(await lookup()).toBe(contact);
      await call('PATCH', `accounts(${id})`, { 'primarycontactid@odata.bind': null });
      expect(await lookup()).toBeNull();
    }
    await call('PUT', `accounts(${id})/primarycontactid/$ref`, { '@odata.id': `${apiUrl}contacts(${contact})` });
    expect(await lookup()).toBe(contact);
    expect((await call('DELETE', `accounts(${id})/primarycontactid/$ref`)).status).toBe(204);
    expect(await lookup()).toBeNull();
    const missing = await call('PATCH', `accounts(${id})`, {
      'primarycontactid@odata.bind': "/contacts(employeeid='no')",
    });
    expect(missing.status).toBe(404);
    expect(missing.json.error.code).toBe('0x80060891');
  });

  test('to several tables know which one they mean', async () => {
    const { call } = await openEnvironment();
    const account = idOf(await call('POST', 'accounts', { name: 'Contoso' }));
    const id = idOf(
      await call('POST', 'contacts', { lastname: 'x', 'parentcustomerid_account@odata.bind': `/accounts(${account})` }),
    );
    const { json } = await call('GET', `contacts(${id})?$select=_parentcustomerid_value,_accountid_value`, undefined, {
      Prefer: 'odata.include-annotations="*"',
    });
    expect(json).toMatchObject({
      _parentcustomerid_value: account,
      _accountid_value: account,
      '_parentcustomerid_value@OData.Community.Display.V1.FormattedValue': 'Contoso',
      '_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname': 'account',
      '_parentcustomerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty': 'parentcustomerid_account',
    });
  });
});

describe('alternate keys in URLs', () => {
  test('address rows without regard to case, and PATCH echoes the key', async () => {
    const environment = await openEnvironment();
    const { call, apiUrl } = environment;
    await defineKey(environment, 'account', ['accountnumber']);
    const created = await call('PATCH', "accounts(accountnumber='A-1')", { name: 'a' });
    expect(created.status).toBe(204);
    expect(created.headers.get('odata-entityid')).toBe(`${apiUrl}accounts(accountnumber='A-1')`);
    const { json } = await call('GET', "accounts(accountnumber='a-1')?$select=accountnumber,name");
    expect(json).toMatchObject({ accountnumber: 'A-1', name: 'a' });
  });

  test('drop key columns from the body of a row that exists, and let the body win when it is created', async () => {
    const environment = await openEnvironment();
    const { call } = environment;
    await defineKey(environment, 'account', ['accountnumber']);
    await call('PATCH', "accounts(accountnumber='A-1')", { name: 'a', accountnumber: 'B-1' });
    expect((await call('GET', "accounts(accountnumber='A-1')")).status).toBe(404);
    await call('PATCH', "accounts(accountnumber='B-1')", { name: 'b', accountnumber: 'C-1' });
    expect((await call('GET', "accounts(accountnumber='B-1')?$select=name")).json.name).toBe('b');
  });

  test('are checked like the columns of a body', async () => {
    const environment = await openEnvironment();
    const { call } = environment;
    await defineKey(environment, 'account', ['accountnumber']);
    const tooLong = await call('PATCH', `accounts(accountnumber='${'x'.repeat(21)}')`, { name: 'a' });
    expect(tooLong.json.error.code).toBe('0x80044331');
    expect((await call('PATCH', 'accounts(accountnumber=null)', { name: 'a' })).status).toBe(400);
    expect((await call('PATCH', 'accounts(accountnumber=5)', { name: 'a' })).status).toBe(400);
    expect((await call('GET', 'accounts/$count')).text).toBe('0');
  });

  test('must name all columns of a defined key', async () => {
    const environment = await openEnvironment();
    const { call } = environment;
    await defineKey(environment, 'contact', ['firstname', 'emailaddress1']);
    await call('POST', 'contacts', { firstname: 'Joe', emailaddress1: 'abc@example.com', lastname: 'x' });
    const found = await call('GET', "contacts(emailaddress1='abc%40example.com',firstname='Joe')?$select=lastname");
    expect(found.json.lastname).toBe('x');
    const refused = await call('GET', "contacts(firstname='Joe')");
    expect(refused.status).toBe(400);
    expect(refused.json.error.message).toMatch(
      /^The key in the request URI is not valid for resource 'Microsoft\.Dynamics\.CRM\.contact'/,
    );
  });

  test('are unique once active, rows without a value aside', async () => {
    const environment = await openEnvironment();
    const { call } = environment;
    await defineKey(environment, 'account', ['accountnumber']);
    await call('POST', 'accounts', { name: 'a', accountnumber: 'x' });
    const second = await call('POST', 'accounts', { name: 'b', accountnumber: 'X  ' });
    expect(second.status).toBe(412);
    expect(second.json.error.code).toBe('0x80060892');
    expect(second.json.error.message).toMatch(
      /^Entity Key accountnumber violated\. A record with the same value for Account Number/,
    );
    await call('POST', 'accounts', { name: 'c' });
    expect((await call('POST', 'accounts', { name: 'd' })).status).toBe(204);
  });
});
