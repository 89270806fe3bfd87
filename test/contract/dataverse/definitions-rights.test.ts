import { expect, test } from 'vitest';
import type { Clock } from '../../../src/shared/clock.ts';
import { BANK, balance, bankAccount, column, label, oneToMany, refusal } from './definition-bodies.ts';
import { APP_CLIENT, idOf, openEnvironment, openSecuredEnvironment } from './environment.ts';

const ACCOUNT = "EntityDefinitions(LogicalName='account')";

test('everybody reads definitions, and only customizers write them, told by the privilege that is missing', async () => {
  const { as } = await openSecuredEnvironment();
  const admin = await as({});
  const app = await as({ appid: APP_CLIENT });
  for (const path of [
    'EntityDefinitions?$select=LogicalName',
    `${ACCOUNT}/Attributes?$select=LogicalName`,
    '$metadata',
  ]) {
    expect((await app('GET', path)).status).toBe(200);
  }
  const attempts: [string, string, unknown, string][] = [
    ['POST', 'EntityDefinitions', bankAccount(), 'prvCreateEntity'],
    ['PUT', ACCOUNT, {}, 'prvWriteEntity'],
    ['DELETE', ACCOUNT, undefined, 'prvDeleteEntity'],
    ['POST', `${ACCOUNT}/Attributes`, balance, 'prvCreateAttribute'],
    ['PUT', `${ACCOUNT}/Attributes(LogicalName='name')`, {}, 'prvWriteAttribute'],
    ['DELETE', `${ACCOUNT}/Attributes(LogicalName='name')`, undefined, 'prvDeleteAttribute'],
    ['POST', 'RelationshipDefinitions', oneToMany('contact'), 'prvCreateRelationship'],
    ['POST', `${ACCOUNT}/Keys`, {}, 'prvCreateEntityKey'],
    ['POST', 'GlobalOptionSetDefinitions', {}, 'prvCreateOptionSet'],
    ['POST', 'InsertOptionValue', { OptionSetName: 'budgetstatus', Label: label('x') }, 'prvWriteOptionSet'],
    ['POST', 'PublishAllXml', undefined, 'prvPublishCustomization'],
  ];
  for (const [method, path, body, privilege] of attempts) {
    const answer = await app(method, path, body);
    expect([path, refusal(answer)]).toEqual([path, '403 0x80040220']);
    expect(answer.json.error.message).toContain(`is missing ${privilege} privilege`);
  }
  // A new table is nobody's but the customizers', until a role is given its privileges.
  expect((await admin('POST', 'EntityDefinitions', bankAccount())).status).toBe(204);
  const hidden = await app('GET', 'new_bankaccounts');
  expect(hidden.json.error.message).toContain('is missing prvReadnew_BankAccount privilege');
  const [role] = (await admin('GET', "roles?$select=roleid&$filter=name eq 'Bridge'")).json.value;
  const [privilege] = (await admin('GET', "privileges?$filter=name eq 'prvReadnew_BankAccount'")).json.value;
  const Privileges = [{ PrivilegeId: privilege.privilegeid, Depth: 'Global' }];
  await admin('POST', `roles(${role.roleid})/Microsoft.Dynamics.CRM.AddPrivilegesRole`, { Privileges });
  expect((await app('GET', 'new_bankaccounts')).status).toBe(200);
});

test('a role with System Customizer defines tables and uses them', async () => {
  const { as } = await openSecuredEnvironment({
    users: [
      { clientId: APP_CLIENT, systemUserId: '0b000000-0000-4000-8000-000000000002', roles: ['System Customizer'] },
    ],
  });
  const call = await as({ appid: APP_CLIENT });
  expect((await call('POST', 'EntityDefinitions', bankAccount())).status).toBe(204);
  expect((await call('POST', 'new_bankaccounts', { new_accountname: 'Mine' })).status).toBe(204);
});

/** A clock on which a wait lasts until it is let go. */
function heldClock(): Clock & { letGo(): void; readonly waiting: number } {
  let waits: (() => void)[] = [];
  return {
    now: () => Date.parse('2026-11-21T10:00:00Z'),
    sleep: () => new Promise((resolve) => waits.push(resolve)),
    letGo() {
      const due = waits;
      waits = [];
      for (const resolve of due) resolve();
    },
    get waiting() {
      return waits.length;
    },
  };
}

test('while a change of definitions runs another one is refused, and rows are not', async () => {
  const clock = heldClock();
  const { call } = await openEnvironment({ clock, customizationMs: 5000 });
  const first = call('POST', `${ACCOUNT}/Attributes`, column('String', 'new_One'));
  await expect.poll(() => clock.waiting).toBe(1);
  const second = await call('POST', `${ACCOUNT}/Attributes`, column('String', 'new_Two'));
  expect(second.status).toBe(400);
  expect(second.json.error).toEqual({
    code: '0x80071154',
    message:
      'The current CreateAttribute operation failed due to another concurrent operation running at the same time. ' +
      'Please try again later.',
  });
  expect((await call('POST', 'accounts', { name: 'x', new_one: 'y' })).status).toBe(204);
  clock.letGo();
  expect((await first).status).toBe(204);
  const third = call('POST', `${ACCOUNT}/Attributes`, column('String', 'new_Two'));
  await expect.poll(() => clock.waiting).toBe(1);
  clock.letGo();
  expect((await third).status).toBe(204);
});

test('keys may be over every documented kind of column, and address rows by it', async () => {
  const environment = await openEnvironment();
  const { call } = environment;
  await call('POST', 'EntityDefinitions', bankAccount());
  const columns = [
    column('Integer', 'new_Whole'),
    column('Decimal', 'new_Decimal', { Precision: 2 }),
    column('DateTime', 'new_Day', { Format: 'DateOnly', DateTimeBehavior: { Value: 'DateOnly' } }),
    column('DateTime', 'new_Moment', { Format: 'DateAndTime' }),
    column('Picklist', 'new_Choice', { OptionSet: { Options: [{ Value: 7, Label: label('Seven') }] } }),
    column('Boolean', 'new_Flag'),
    column('Memo', 'new_Memo'),
    ...Array.from({ length: 17 }, (_, at) => column('Integer', `new_N${at}`)),
    ...Array.from({ length: 3 }, (_, at) => column('String', `new_T${at}`, { MaxLength: 200 })),
  ];
  for (const one of columns) expect((await call('POST', `${BANK}/Attributes`, one)).text).toBe('');
  await call('POST', 'RelationshipDefinitions', oneToMany('contact'));
  const contact = idOf(await call('POST', 'contacts', { lastname: 'Key' }));
  const row = {
    new_accountname: 'found',
    new_whole: 5,
    new_decimal: 1.25,
    new_day: '2026-05-01',
    new_moment: '2026-05-01T10:00:00Z',
    new_choice: 7,
    'new_AccountOwner@odata.bind': `/contacts(${contact})`,
  };
  await call('POST', 'new_bankaccounts', row);
  const define = (names: string[], SchemaName = `new_Key_${names.join('_').slice(0, 60)}`) =>
    call('POST', `${BANK}/Keys`, { SchemaName, DisplayName: label('Key'), KeyAttributes: names });
  const addresses: [string, string][] = [
    ['new_whole', 'new_whole=5'],
    ['new_decimal', 'new_decimal=1.25'],
    ['new_day', 'new_day=2026-05-01'],
    ['new_moment', 'new_moment=2026-05-01T10:00:00Z'],
    ['new_choice', 'new_choice=7'],
    ['new_accountowner', `_new_accountowner_value=${contact}`],
  ];
  for (const [name] of addresses) expect((await define([name])).text).toBe('');
  await environment.idle();
  for (const [name, address] of addresses) {
    const found = await call('GET', `new_bankaccounts(${address})?$select=new_accountname`);
    expect([name, found.json?.new_accountname]).toEqual([name, 'found']);
  }
  const again = await call('POST', 'new_bankaccounts', { new_whole: 5 });
  expect(refusal(again)).toBe('412 0x80060892');
  const many = Array.from({ length: 17 }, (_, at) => `new_n${at}`);
  const refused: [string[], string | undefined, string][] = [
    [['new_flag'], undefined, '400 0x8006088F'],
    [['new_memo'], undefined, '400 0x8006088F'],
    [['createdon'], undefined, '400 0x80090112'],
    [['importsequencenumber'], undefined, '400 0x80090111'],
    [many, undefined, '400 0x8006088F'],
    [['new_t0', 'new_t1', 'new_t2'], undefined, '400 0x8006088F'],
    [['new_n0', 'new_n0'], undefined, '400 0x8006088F'],
    [['new_n0'], 'Number', '400 0x80044366'],
    [['new_n0'], 'new_a"b', '400 0x80044364'],
    [['new_whole'], 'new_Second', '400 0x80060894'],
  ];
  for (const [names, schemaName, expected] of refused) {
    const answer = await define(names, schemaName);
    expect([names, refusal(answer)]).toEqual([names, expected]);
  }
  for (const at of [0, 1, 2, 3]) expect((await define([`new_n${at}`])).status).toBe(204);
  expect(refusal(await define(['new_n4']))).toBe('400 0x8006088F');
  expect((await define([...many.slice(0, 16)])).status).toBe(400);
  await environment.idle();
});
