import { describe, expect, test } from 'vitest';
import type { Call } from './environment.ts';
import { openEnvironment } from './environment.ts';
import { create, queryEnvironment } from './query-environment.ts';

const ID = '22222222-2222-4222-8222-222222222222';
const EVENT = 'msevtmgt_events';
const WRONG_KEY =
  "The key in the request URI is not valid for resource 'Microsoft.Dynamics.CRM.account'. Ensure that the names and " +
  'number of key properties match the declared or alternate key properties for the resource ' +
  "'Microsoft.Dynamics.CRM.account'.";

async function define(call: Call, table: string, columns: string[]): Promise<void> {
  const answer = await call('POST', `EntityDefinitions(LogicalName='${table}')/Keys`, {
    SchemaName: `new_${columns.join('_')}`,
    DisplayName: { LocalizedLabels: [{ Label: columns.join(), LanguageCode: 1033 }] },
    KeyAttributes: columns,
  });
  if (answer.status !== 204) throw new Error(answer.text);
}

const environment = queryEnvironment({ keyStepMs: 1 }, async (call) => {
  await define(call, 'account', ['accountnumber']);
  await define(call, 'account', ['numberofemployees', 'industrycode', 'primarycontactid']);
  await define(call, 'account', ['lastonholdtime']);
  await define(call, 'msevtmgt_event', ['msevtmgt_eventscore']);
  await define(call, 'contact', ['birthdate', 'employeeid']);
  await call('GET', '/emulator/idle');
  const contact = await create(call, 'contacts', { lastname: 'c', birthdate: '1999-12-31', employeeid: 'E 1' });
  const account = await create(call, 'accounts', {
    name: 'a',
    accountnumber: "O'B-1",
    numberofemployees: 7,
    industrycode: 1,
    'primarycontactid@odata.bind': `contacts(${contact})`,
    lastonholdtime: '2024-01-31T10:00:00Z',
  });
  return { contact, account };
});
const call = (...given: Parameters<Call>) => environment.call(...given);
const idAt = async (path: string) => (await call('GET', `${path}?$select=name`)).json.accountid;

describe('an address by key', () => {
  test('takes every kind of literal, in any order, encoded or by alias', async () => {
    const { contact, account } = environment.rows;
    for (const path of [
      `accounts(${account})`,
      `accounts(${account.toUpperCase()})`,
      `accounts(accountid=${account})`,
      "accounts(accountnumber='O''B-1')",
      "accounts(accountnumber='o%27%27b-1')",
      "accounts(accountnumber=%27O''B-1%27)",
      'accounts(lastonholdtime=2024-01-31T10:00:00Z)',
      'accounts(lastonholdtime=2024-01-31T11:00:00%2B01:00)',
      `accounts(numberofemployees=7,industrycode=1,_primarycontactid_value=${contact})`,
      `accounts(_primarycontactid_value=${contact},industrycode=1,numberofemployees=7)`,
    ]) {
      expect([path, await idAt(path)]).toEqual([path, account]);
    }
    const aliased = await call('GET', "accounts(accountnumber=@k)?@k='O''B-1'&$select=name");
    expect(aliased.json.accountid).toBe(account);
    const byDate = await call('GET', "contacts(birthdate=1999-12-31,employeeid='e%201')?$select=lastname");
    expect(byDate.json.contactid).toBe(contact);
  });

  test('must name a key of the table with literals of its types', async () => {
    const { account } = environment.rows;
    for (const key of [
      "name='a'",
      'numberofemployees=7',
      "accountnumber='x',name='y'",
      `'${account}'`,
      '5',
      '',
      'accountnumber=null',
      `primarycontactid=${ID}`,
      `ownerid=${ID}`,
    ]) {
      const answer = await call('GET', `accounts(${key})`);
      expect([key, answer.status, answer.json.error]).toEqual([key, 400, { code: '0x80060890', message: WRONG_KEY }]);
    }
    expect((await call('GET', 'accounts(accountnumber=5)')).status).toBe(400);
    expect((await call('GET', "accounts(accountnumber='a'")).status).toBe(400);
    expect((await call('GET', "accounts(accountnumber='a',accountnumber='b')")).status).toBe(400);
  });

  test('of users and teams is called ownerid', async () => {
    const { UserId } = (await call('GET', 'WhoAmI')).json;
    expect((await call('GET', `systemusers(${UserId})`)).status).toBe(200);
    expect((await call('GET', `systemusers(ownerid=${UserId})`)).status).toBe(200);
    expect((await call('GET', `systemusers(systemuserid=${UserId})`)).json.error.code).toBe('0x80060890');
    expect((await call('GET', `teams(teamid=${UserId})`)).json.error.code).toBe('0x80060890');
  });

  test.each([...'/<>*%&:\\?+'])('with %s in its value does not work in a path, as documented', async (character) => {
    const number = `A${character}1`;
    const path = `accounts(accountnumber='${encodeURIComponent(number)}')`;
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const answer = await call(method, path, method === 'PATCH' ? { name: 'x' } : undefined);
      expect([method, answer.status]).toEqual([method, 400]);
    }
    const id = await create(call, 'accounts', { name: 'special', accountnumber: number });
    const alias = `accounts(accountnumber=@k)?@k='${encodeURIComponent(number)}'&$select=name`;
    expect((await call('GET', alias)).json.accountid).toBe(id);
    const bound = { lastname: 'x', 'parentcustomerid_account@odata.bind': path };
    expect((await call('POST', 'contacts', bound)).status).toBe(204);
    await call('DELETE', `accounts(${id})`);
  });

  test('with such a character works where the emulator is told so', async () => {
    const { call, idle } = await openEnvironment({ assumptions: { keyCharacters: 'taken' } });
    await define(call, 'account', ['accountnumber']);
    await idle();
    const path = `accounts(accountnumber='${encodeURIComponent("a/b?c%d+e:'")}%27')`;
    expect((await call('PATCH', path, { name: 'x' })).status).toBe(204);
    expect((await call('GET', `${path}?$select=accountnumber`)).json.accountnumber).toBe("a/b?c%d+e:'");
  });
});

describe('an upsert by key', () => {
  test('copies every kind of key value from the URL into the new row', async () => {
    const { contact } = environment.rows;
    const path = `accounts(industrycode=2,_primarycontactid_value=${contact},numberofemployees=9)`;
    expect((await call('PATCH', path, { name: 'made' })).status).toBe(204);
    const row = (await call('GET', path)).json;
    expect(row).toMatchObject({ industrycode: 2, _primarycontactid_value: contact, numberofemployees: 9 });
    const time = 'accounts(lastonholdtime=2001-02-03T04:05:06Z)';
    expect((await call('PATCH', time, { name: 'timed' })).status).toBe(204);
    expect((await call('GET', `${time}?$select=lastonholdtime`)).json.lastonholdtime).toBe('2001-02-03T04:05:06Z');
  });

  test('takes decimals with and without a fraction, as its address and as a key', async () => {
    expect((await call('PATCH', `${EVENT}(msevtmgt_eventscore=12.5)`, { msevtmgt_name: 'e' })).status).toBe(204);
    const answer = await call('PATCH', `${EVENT}(msevtmgt_eventscore=12.50)`, { msevtmgt_name: 'f' });
    expect(answer.headers.get('odata-entityid')).toBe(`${environment.apiUrl}${EVENT}(msevtmgt_eventscore=12.50)`);
    await call('PATCH', `${EVENT}(msevtmgt_eventscore=7)`, { msevtmgt_name: 'g' });
    const { value } = (await call('GET', `${EVENT}?$orderby=msevtmgt_name`)).json;
    expect(value).toMatchObject([
      { msevtmgt_name: 'f', msevtmgt_eventscore: 12.5 },
      { msevtmgt_name: 'g', msevtmgt_eventscore: 7 },
    ]);
  });

  test('refuses a lookup to a row that is missing, and values that a body could not hold', async () => {
    const { contact } = environment.rows;
    const key = (industry: number, id: string) =>
      `accounts(industrycode=${industry},_primarycontactid_value=${id},numberofemployees=9)`;
    expect((await call('PATCH', key(2, ID), { name: 'x' })).json.error.code).toBe('0x80040217');
    expect((await call('PATCH', key(99_999, contact), { name: 'x' })).json.error.code).toBe('0x8004431A');
    expect((await call('PATCH', "accounts(accountnumber='a%00b')", { name: 'x' })).json.error.code).toBe('0x80040278');
  });

  test('with a key in the body that another row has is a duplicate', async () => {
    await create(call, 'accounts', { name: 'taken', accountnumber: 'TAKEN' });
    const answer = await call('PATCH', "accounts(accountnumber='NEW')", { accountnumber: 'taken' });
    expect([answer.status, answer.json.error.code]).toEqual([412, '0x80060892']);
  });

  test('creates only, updates only, or at an ETag, as its headers say', async () => {
    const path = "accounts(accountnumber='COND')";
    const missing = await call('PATCH', path, { name: 'x' }, { 'If-Match': '*' });
    expect([missing.status, missing.json.error.code]).toEqual([404, '0x80060891']);
    expect((await call('PATCH', path, { name: 'x' }, { 'If-None-Match': '*' })).status).toBe(204);
    expect((await call('PATCH', path, { name: 'y' }, { 'If-None-Match': '*' })).status).toBe(412);
    const both = { 'If-Match': '*', 'If-None-Match': 'null', Prefer: 'return=representation' };
    const updated = await call('PATCH', `${path}?$select=name`, { name: 'z' }, both);
    expect([updated.status, updated.json.name]).toEqual([200, 'z']);
    const etag = updated.headers.get('etag') ?? '';
    expect(etag).toBe(updated.json['@odata.etag']);
    const several = { 'If-Match': `W/"1", ${etag}` };
    expect((await call('PATCH', path, { name: 'z' }, several)).status).toBe(204);
    expect((await call('DELETE', path, undefined, several)).status).toBe(412);
    for (const wrong of ['W/"1"', 'nonsense', etag.replace('W/', '')]) {
      expect((await call('PATCH', path, { name: 'w' }, { 'If-Match': wrong })).status).toBe(412);
    }
  });
});

describe('a condition', () => {
  test('answers 304 only to plain retrieves of an unchanged row', async () => {
    const { account } = environment.rows;
    const path = `accounts(${account})?$select=name`;
    const etag = (await call('GET', path)).headers.get('etag') ?? '';
    const statusOf = async (url: string, headers = {}) =>
      (await call('GET', url, undefined, { 'If-None-Match': etag, ...headers })).status;
    expect(await statusOf(path)).toBe(304);
    expect(await statusOf(`${path}&$expand=primarycontactid($select=fullname)`)).toBe(200);
    expect(await statusOf(path, { Prefer: 'odata.include-annotations="*"' })).toBe(200);
    expect(await statusOf(path, { 'If-None-Match': 'null' })).toBe(200);
    await call('PATCH', `accounts(${account})`, {});
    expect(await statusOf(path)).toBe(200);
  });

  test('on a table without optimistic concurrency is refused, apart from *', async () => {
    const job = await create(call, 'asyncoperations', {
      name: 'j',
      correlationid: ID,
      correlationupdatedtime: '2024-01-01T00:00:00Z',
      depth: 1,
    });
    const stale = await call('PATCH', `asyncoperations(${job})`, { name: 'k' }, { 'If-Match': 'W/"1"' });
    expect([stale.status, stale.json.error.code]).toEqual([400, '0x8006088D']);
    expect((await call('PATCH', `asyncoperations(${job})`, { name: 'k' }, { 'If-Match': '*' })).status).toBe(204);
  });

  test('holds for single columns and references too', async () => {
    const { account } = environment.rows;
    const stale = { 'If-Match': 'W/"1"' };
    expect((await call('PUT', `accounts(${account})/name`, { value: 'x' }, stale)).status).toBe(412);
    expect((await call('DELETE', `accounts(${account})/name`, undefined, stale)).status).toBe(412);
    expect((await call('DELETE', `accounts(${account})/primarycontactid/$ref`, undefined, stale)).status).toBe(412);
  });
});
