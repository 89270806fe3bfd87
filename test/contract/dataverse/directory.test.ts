import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { fakeClock } from '../../support/clock.ts';
import { ADMIN_CLIENT, APP_CLIENT, APP_USER, type Call, idOf, openSecuredEnvironment } from './environment.ts';

const NEW_CLIENT = '0a000000-0000-4000-8000-0000000000aa';

async function open() {
  const environment = await openSecuredEnvironment();
  const admin = await environment.as({ appid: ADMIN_CLIENT });
  const root = (await admin('GET', 'businessunits?$filter=_parentbusinessunitid_value eq null')).json.value[0]
    .businessunitid;
  return { ...environment, admin, root, app: await environment.as({ appid: APP_CLIENT }) };
}

const privilegeId = async (call: Call, name: string): Promise<string> =>
  (await call('GET', `privileges?$select=privilegeid&$filter=name eq '${name}'`)).json.value[0].privilegeid;

const namesOf = (answer: { json: { value: { name: string }[] } }) => answer.json.value.map(({ name }) => name).sort();

describe('an application user', () => {
  test('is created with an application id and a business unit, once', async () => {
    const { admin, root, as } = await open();
    const body = { applicationid: NEW_CLIENT, 'businessunitid@odata.bind': `/businessunits(${root})` };
    const created = await admin('POST', 'systemusers', { ...body, firstname: 'Data', lastname: 'Bridge' });
    expect(created.status).toBe(204);
    const select = '$select=fullname,accessmode,isdisabled,applicationid,_businessunitid_value';
    const { json } = await admin('GET', `systemusers(${idOf(created)})?${select}`);
    expect(json).toMatchObject({
      fullname: 'Data Bridge',
      accessmode: 4,
      isdisabled: false,
      applicationid: NEW_CLIENT,
      _businessunitid_value: root,
    });
    expect((await (await as({ appid: NEW_CLIENT }))('GET', 'WhoAmI')).json.UserId).toBe(idOf(created));
    const again = await admin('POST', 'systemusers', body);
    expect(again.status).toBe(400);
    expect(again.json.error).toEqual({
      code: '0x8004F511',
      message: `You are attempting to create an Application ID = ${NEW_CLIENT} that already exists.`,
    });
    const mode = await admin('PATCH', `systemusers(${idOf(created)})`, { accessmode: 0 });
    expect(mode.json.error.code).toBe('0x80040d40');
  });

  test('needs the right to create users', async () => {
    const { app } = await open();
    const answer = await app('POST', 'systemusers', { applicationid: NEW_CLIENT });
    expect(answer.json.error.message).toContain('prvCreateUser');
  });

  test('gains and loses a role at once, and only one of its business unit', async () => {
    const { admin, app, root } = await open();
    const role = idOf(
      await admin('POST', 'roles', { name: 'Leads', 'businessunitid@odata.bind': `/businessunits(${root})` }),
    );
    const add = { Privileges: [{ PrivilegeId: await privilegeId(admin, 'prvReadLead'), Depth: 'Global' }] };
    await admin('POST', `roles(${role})/Microsoft.Dynamics.CRM.AddPrivilegesRole`, add);
    const roles = `systemusers(${APP_USER})/systemuserroles_association`;
    const assign = (id: string) => admin('POST', `${roles}/$ref`, { '@odata.id': `/roles(${id})` });

    expect((await app('GET', 'leads')).status).toBe(403);
    expect((await assign(role)).status).toBe(204);
    expect((await assign(role)).status).toBe(204);
    expect((await app('GET', 'leads')).status).toBe(200);
    expect(namesOf(await admin('GET', `${roles}?$select=name,roleid`))).toEqual(['Bridge', 'Leads']);
    expect((await admin('GET', `${roles}/$count`)).text).toBe('2');
    expect((await admin('GET', `${roles}/$ref`)).json.value).toHaveLength(2);
    expect((await admin('DELETE', `${roles}(${role})/$ref`)).status).toBe(204);
    expect((await app('GET', 'leads')).status).toBe(403);

    const unit = idOf(await admin('POST', 'businessunits', { name: 'North' }));
    const copy = (await admin('GET', `roles?$filter=name eq 'Leads' and _businessunitid_value eq ${unit}`)).json
      .value[0];
    expect(copy._parentrootroleid_value).toBe(role);
    expect((await assign(copy.roleid)).status).toBe(400);
    expect((await app('POST', `${roles}/$ref`, { '@odata.id': `/roles(${role})` })).json.error.message).toContain(
      'prvAssignRole',
    );
  });

  test('loses its roles when it moves to another business unit', async () => {
    const { admin } = await open();
    const unit = idOf(await admin('POST', 'businessunits', { name: 'North' }));
    const moved = { 'businessunitid@odata.bind': `/businessunits(${unit})` };
    expect((await admin('PATCH', `systemusers(${APP_USER})`, moved)).status).toBe(204);
    expect(namesOf(await admin('GET', `systemusers(${APP_USER})/systemuserroles_association`))).toEqual([]);
    expect((await admin('GET', `systemusers(${APP_USER})/businessunitid?$select=name`)).json.name).toBe('North');
  });
});

describe('a role', () => {
  test('begins with nine privileges; they are added, replaced and removed', async () => {
    const { admin } = await open();
    const role = idOf(await admin('POST', 'roles', { name: 'Sync' }));
    const privileges = async () =>
      namesOf(await admin('GET', `roles(${role})/roleprivileges_association?$select=name`));
    expect(await privileges()).toHaveLength(9);
    expect(await privileges()).toContain('prvReadSdkMessageProcessingStep');

    const action = (name: string, body: unknown) =>
      admin('POST', `roles(${role})/Microsoft.Dynamics.CRM.${name}`, body);
    const read = await privilegeId(admin, 'prvReadAccount');
    const write = await privilegeId(admin, 'prvWriteAccount');
    await action('AddPrivilegesRole', { Privileges: [{ PrivilegeId: read, Depth: 'Basic' }] });
    await action('AddPrivilegesRole', { Privileges: [{ PrivilegeId: read, Depth: 'Deep' }] });
    expect(await privileges()).toHaveLength(10);
    const masks = await admin('GET', `roleprivilegescollection?$filter=roleid eq ${role} and privilegeid eq ${read}`);
    expect(masks.json.value[0].privilegedepthmask).toBe(4);
    const whole = await admin('GET', `RetrieveRolePrivilegesRole(RoleId=${role})`);
    expect(whole.json.RolePrivileges).toContainEqual(
      expect.objectContaining({ PrivilegeName: 'prvReadAccount', Depth: 'Deep' }),
    );
    const replacement = [read, write].map((PrivilegeId) => ({ PrivilegeId, Depth: 'Global' }));
    expect((await action('ReplacePrivilegesRole', { Privileges: replacement })).status).toBe(204);
    expect(await privileges()).toEqual(['prvReadAccount', 'prvWriteAccount']);
    expect((await action('RemovePrivilegeRole', { PrivilegeId: read })).status).toBe(204);
    expect(await privileges()).toEqual(['prvWriteAccount']);
    expect((await admin('DELETE', `roles(${role})`)).status).toBe(204);
  });

  test('of depth Local and Deep reaches the rows of the business unit and of those below', async () => {
    const { admin, as, root } = await open();
    const unit = async (name: string, parent: string) =>
      idOf(
        await admin('POST', 'businessunits', { name, 'parentbusinessunitid@odata.bind': `/businessunits(${parent})` }),
      );
    const north = await unit('North', root);
    const oslo = await unit('Oslo', north);
    const user = async (client: string, of: string) =>
      idOf(
        await admin('POST', 'systemusers', {
          applicationid: client,
          'businessunitid@odata.bind': `/businessunits(${of})`,
        }),
      );
    const reader = await user(NEW_CLIENT, north);
    const owners = [root, north, oslo].map((of, index) => user(`0a000000-0000-4000-8000-0000000000b${index}`, of));
    for (const [index, owner] of (await Promise.all(owners)).entries()) {
      await admin('POST', 'accounts', { name: `a${index}`, 'ownerid@odata.bind': `/systemusers(${owner})` });
    }
    const role = idOf(
      await admin('POST', 'roles', { name: 'Reader', 'businessunitid@odata.bind': `/businessunits(${north})` }),
    );
    await admin('POST', `systemusers(${reader})/systemuserroles_association/$ref`, { '@odata.id': `/roles(${role})` });
    const read = await privilegeId(admin, 'prvReadAccount');
    const seen = async (Depth: string) => {
      const body = { Privileges: [{ PrivilegeId: read, Depth }] };
      await admin('POST', `roles(${role})/Microsoft.Dynamics.CRM.AddPrivilegesRole`, body);
      return namesOf(await (await as({ appid: NEW_CLIENT }))('GET', 'accounts?$select=name'));
    };
    expect(await seen('Basic')).toEqual([]);
    expect(await seen('Local')).toEqual(['a1']);
    expect(await seen('Deep')).toEqual(['a1', 'a2']);
    expect(await seen('Global')).toEqual(['a0', 'a1', 'a2']);
  });
});

test('a change of roles can be made to lag behind', async () => {
  const clock = fakeClock();
  const { as } = await openSecuredEnvironment({ clock, roleLagMs: 30_000 });
  const exp = clock.now() / 1000 + 3600;
  const admin = await as({ appid: ADMIN_CLIENT, exp });
  const app = await as({ appid: APP_CLIENT, exp });
  expect((await app('GET', 'accounts')).status).toBe(200);
  const [role] = (await admin('GET', "roles?$select=roleid&$filter=name eq 'Bridge'")).json.value;
  await admin('DELETE', `systemusers(${APP_USER})/systemuserroles_association(${role.roleid})/$ref`);
  expect((await app('GET', 'accounts')).status).toBe(200);
  clock.advance(30_000);
  expect((await app('GET', 'accounts')).status).toBe(403);
});

test('roles keep over a restart what they were changed to, and are enforced from it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dataverse-roles-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const database = join(folder, 'dataverse.db');
  const first = await openSecuredEnvironment({ database });
  const admin = await first.as({ appid: ADMIN_CLIENT });
  const [role] = (await admin('GET', "roles?$select=roleid&$filter=name eq 'Bridge'")).json.value;
  const change = {
    Privileges: [{ PrivilegeId: await privilegeId(admin, 'prvReadLead'), Depth: 'Global' }],
  };
  await admin('POST', `roles(${role.roleid})/Microsoft.Dynamics.CRM.ReplacePrivilegesRole`, change);
  await first.close();
  const second = await openSecuredEnvironment({ database });
  const app = await second.as({ appid: APP_CLIENT });
  expect((await app('GET', 'leads')).status).toBe(200);
  expect((await app('GET', 'accounts')).status).toBe(403);
});
