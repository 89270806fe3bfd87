import { expect, test } from 'vitest';
import { defineKey, openEnvironment } from './environment.ts';

const TYPE = { '@odata.type': 'Microsoft.Dynamics.CRM.account' };
const CREATE = 'accounts/Microsoft.Dynamics.CRM.CreateMultiple';
const UPDATE = 'accounts/Microsoft.Dynamics.CRM.UpdateMultiple';
const UPSERT = 'accounts/Microsoft.Dynamics.CRM.UpsertMultiple';

test('CreateMultiple answers the ids in the order of its targets', async () => {
  const { call } = await openEnvironment();
  const Targets = Array.from({ length: 1000 }, (_, index) => ({ ...TYPE, name: `n${index}` }));
  const answer = await call('POST', CREATE, { Targets });
  expect(answer.status).toBe(200);
  expect(answer.json['@odata.context']).toMatch(/\$metadata#Microsoft\.Dynamics\.CRM\.CreateMultipleResponse$/);
  expect(answer.json.Ids).toHaveLength(1000);
  expect((await call('GET', `accounts(${answer.json.Ids[7]})?$select=name`)).json.name).toBe('n7');
});

test('one bad target undoes all of them', async () => {
  const { call } = await openEnvironment();
  const Targets = [
    { ...TYPE, name: 'a' },
    { ...TYPE, name: 'x'.repeat(200) },
  ];
  const answer = await call('POST', CREATE, { Targets });
  expect(answer.status).toBe(400);
  expect(answer.json.error.code).toBe('0x80044331');
  expect((await call('GET', 'accounts/$count')).text).toBe('0');
});

test('UpdateMultiple answers 204, takes the first of two targets for one row, and fails for a missing row', async () => {
  const { call } = await openEnvironment();
  const { json } = await call('POST', CREATE, {
    Targets: [
      { ...TYPE, name: 'a' },
      { ...TYPE, name: 'b' },
    ],
  });
  const [a, b] = json.Ids;
  const answer = await call('POST', UPDATE, {
    Targets: [
      { ...TYPE, accountid: a, name: 'a2' },
      { ...TYPE, '@odata.id': `accounts(${b})`, name: 'b2' },
      { ...TYPE, accountid: a, name: 'a3' },
    ],
  });
  expect(answer.status).toBe(204);
  expect(answer.text).toBe('');
  const { json: rows } = await call('GET', 'accounts?$select=name&$orderby=name');
  expect(rows.value.map(({ name }: { name: string }) => name)).toEqual(['a2', 'b2']);
  const missing = '22222222-2222-4222-8222-222222222222';
  const failed = await call('POST', UPDATE, {
    Targets: [
      { ...TYPE, accountid: a, name: 'a4' },
      { ...TYPE, accountid: missing },
    ],
  });
  expect(failed.status).toBe(404);
  expect((await call('GET', `accounts(${a})?$select=name`)).json.name).toBe('a2');
});

test('UpsertMultiple creates and updates by alternate key and by id, and answers no body', async () => {
  const environment = await openEnvironment();
  const { call } = environment;
  await defineKey(environment, 'account', ['accountnumber']);
  await call('POST', 'accounts', { name: 'old', accountnumber: 'A' });
  const answer = await call('POST', UPSERT, {
    Targets: [
      { ...TYPE, '@odata.id': "accounts(accountnumber='a')", name: 'new A' },
      { ...TYPE, '@odata.id': "accounts(accountnumber='B%2F1')", name: 'new B' },
      { ...TYPE, accountid: '33333333-3333-4333-8333-333333333333', name: 'new C' },
    ],
  });
  expect(answer.status).toBe(204);
  expect(answer.text).toBe('');
  const { json } = await call('GET', 'accounts?$select=name,accountnumber&$orderby=name');
  expect(json.value.map((row: { name: string; accountnumber: string }) => [row.name, row.accountnumber])).toEqual([
    ['new A', 'A'],
    ['new B', 'B/1'],
    ['new C', null],
  ]);
});

test('UpsertMultiple fails as a whole when two targets name one row', async () => {
  const environment = await openEnvironment();
  const { call } = environment;
  await defineKey(environment, 'account', ['accountnumber']);
  const answer = await call('POST', UPSERT, {
    Targets: [
      { ...TYPE, '@odata.id': "accounts(accountnumber='a')", name: 'one' },
      { ...TYPE, '@odata.id': "accounts(accountnumber='A')", name: 'two' },
    ],
  });
  expect(answer.status).toBe(400);
  expect(answer.json.error.code).toBe('0x80040203');
  expect((await call('GET', 'accounts/$count')).text).toBe('0');
});

test('every target must say its type, and it must be the table’s', async () => {
  const { call } = await openEnvironment();
  for (const target of [{ name: 'a' }, { '@odata.type': 'Microsoft.Dynamics.CRM.contact', lastname: 'a' }]) {
    const answer = await call('POST', CREATE, { Targets: [target] });
    expect(answer.status).toBe(400);
    expect(answer.json.error.code).toBe('0x80048d19');
  }
  expect((await call('POST', CREATE, {})).status).toBe(400);
});

test('DeleteMultiple is refused in the service’s words, and a bulk message by GET is not found', async () => {
  const { call } = await openEnvironment();
  const answer = await call('POST', 'accounts/Microsoft.Dynamics.CRM.DeleteMultiple', { Targets: [] });
  expect(answer.json.error.message).toBe('DeleteMultiple has not yet been implemented.');
  expect((await call('GET', CREATE)).status).toBe(404);
});

test('support for bulk messages shows in sdkmessagefilters, where UpsertMultiple is never listed', async () => {
  const { call } = await openEnvironment();
  const listed = async (message: string) =>
    (
      await call(
        'GET',
        'sdkmessagefilters?$select=sdkmessagefilterid&$filter=sdkmessageid/name eq @message and primaryobjecttypecode eq @table' +
          `&@message='${message}'&@table='account'`,
      )
    ).json.value.length;
  expect([await listed('CreateMultiple'), await listed('UpdateMultiple'), await listed('UpsertMultiple')]).toEqual([
    1, 1, 0,
  ]);
});
