import { describe, expect, test } from 'vitest';
import { ADMIN_CLIENT, APP_CLIENT, APP_USER, idOf, openSecuredEnvironment } from './environment.ts';

const ADMIN_USER = '0b000000-0000-4000-8000-000000000001';

async function open(options: Parameters<typeof openSecuredEnvironment>[0] = {}) {
  const environment = await openSecuredEnvironment(options);
  const admin = await environment.as({ appid: ADMIN_CLIENT });
  const app = await environment.as({ appid: APP_CLIENT });
  const roleNamed = async (name: string): Promise<string> =>
    (await admin('GET', `roles?$select=roleid&$filter=name eq '${name}'`)).json.value[0].roleid;
  const dump = async () => (await environment.call('GET', '/emulator/dump')).json;
  return { ...environment, admin, app, roleNamed, dump };
}

const held = (answer: { json: { RolePrivileges: { PrivilegeName: string; Depth: string }[] } }) =>
  Object.fromEntries(answer.json.RolePrivileges.map((one) => [one.PrivilegeName, one.Depth]));

describe('privilege functions of a user', () => {
  test('answer what its roles give, by one name, by several and altogether', async () => {
    const { app, apiUrl, admin } = await open();
    const user = `systemusers(${APP_USER})/Microsoft.Dynamics.CRM`;
    const one = await app('GET', `${user}.RetrieveUserPrivilegeByPrivilegeName(PrivilegeName='prvReadContact')`);
    const unit = (await admin('GET', 'businessunits?$select=businessunitid')).json.value[0].businessunitid;
    expect(one.json).toEqual({
      '@odata.context': `${apiUrl}$metadata#Microsoft.Dynamics.CRM.RetrieveUserPrivilegeByPrivilegeNameResponse`,
      RolePrivileges: [
        {
          Depth: 'Basic',
          PrivilegeId: expect.stringMatching(/^[0-9a-f-]{36}$/),
          BusinessUnitId: unit,
          PrivilegeName: 'prvReadContact',
          RecordFilterId: '00000000-0000-0000-0000-000000000000',
          RecordFilterUniqueName: '',
        },
      ],
    });
    const several = `${user}.RetrieveUserSetOfPrivilegesByNames(PrivilegeNames=@p)?@p=["prvReadAccount","prvDeleteAccount"]`;
    expect(held(await app('GET', several))).toEqual({ prvReadAccount: 'Global' });
    const all = held(await app('GET', `${user}.RetrieveUserPrivileges()`));
    expect(all).toMatchObject({ prvCreateAccount: 'Global', prvReadContact: 'Basic', prvReadSdkMessage: 'Global' });
    expect(all).not.toHaveProperty('prvReadLead');
  });

  test('refuse a name that no privilege has, and do not tell of others without the right to read users', async () => {
    const { app, admin } = await open();
    const named = (user: string, name: string) =>
      `systemusers(${user})/Microsoft.Dynamics.CRM.RetrieveUserPrivilegeByPrivilegeName(PrivilegeName='${name}')`;
    expect((await app('GET', named(APP_USER, 'prvReadNothing'))).status).toBe(400);
    expect((await app('GET', named(ADMIN_USER, 'prvReadAccount'))).json.error.message).toContain('prvReadUser');
    expect(held(await admin('GET', named(ADMIN_USER, 'prvDeleteLead')))).toEqual({ prvDeleteLead: 'Global' });
  });

  test("count the roles of the user's teams, which RetrieveUserPrivileges shows as Basic", async () => {
    const { app, admin, roleNamed } = await open();
    const role = idOf(await admin('POST', 'roles', { name: 'Leads' }));
    const ids = (await admin('GET', "EntityDefinitions(LogicalName='lead')?$select=Privileges")).json.Privileges;
    const read = ids.find((one: { Name: string }) => one.Name === 'prvReadLead').PrivilegeId;
    const add = { Privileges: [{ PrivilegeId: read, Depth: 'Global' }] };
    expect((await admin('POST', `roles(${role})/Microsoft.Dynamics.CRM.AddPrivilegesRole`, add)).status).toBe(204);
    const team = idOf(await admin('POST', 'teams', { name: 'Sellers' }));
    const link = (path: string, target: string) => admin('POST', `${path}/$ref`, { '@odata.id': target });
    expect((await link(`teams(${team})/teamroles_association`, `/roles(${role})`)).status).toBe(204);
    expect((await app('GET', 'leads')).status).toBe(403);
    await link(`teams(${team})/teammembership_association`, `/systemusers(${APP_USER})`);
    expect((await app('GET', 'leads')).status).toBe(200);
    const user = `systemusers(${APP_USER})/Microsoft.Dynamics.CRM`;
    const byName = `${user}.RetrieveUserPrivilegeByPrivilegeName(PrivilegeName='prvReadLead')`;
    expect(held(await app('GET', byName))).toEqual({ prvReadLead: 'Global' });
    expect(held(await app('GET', `${user}.RetrieveUserPrivileges`))).toMatchObject({ prvReadLead: 'Basic' });
    expect((await roleNamed('Leads')) === role).toBe(true);
  });

  test('tell the rights on one row', async () => {
    const { app, admin } = await open();
    const theirs = idOf(await admin('POST', 'contacts', { lastname: 'theirs' }));
    const ours = idOf(
      await admin('POST', 'contacts', { lastname: 'ours', 'ownerid@odata.bind': `/systemusers(${APP_USER})` }),
    );
    const access = async (id: string) =>
      (
        await app(
          'GET',
          `systemusers(${APP_USER})/Microsoft.Dynamics.CRM.RetrievePrincipalAccess(Target=@t)?@t={'@odata.id':'contacts(${id})'}`,
        )
      ).json.AccessRights;
    expect(await access(ours)).toBe('ReadAccess');
    expect(await access(theirs)).toBe('None');
  });
});

describe('definitions', () => {
  test('list the privileges of a table with the depths that they can have', async () => {
    const { app } = await open();
    const privilegesOf = async (table: string) =>
      (await app('GET', `EntityDefinitions(LogicalName='${table}')?$select=Privileges`)).json.Privileges;
    const account = await privilegesOf('account');
    expect(account.find((one: { PrivilegeType: string }) => one.PrivilegeType === 'Create')).toMatchObject({
      Name: 'prvCreateAccount',
      PrivilegeId: 'd26fe964-230b-42dd-ad93-5cc879de411e',
      CanBeBasic: true,
      CanBeGlobal: true,
    });
    const names = (await privilegesOf('systemuser')).map((one: { Name: string }) => one.Name);
    expect(names).toEqual(expect.arrayContaining(['prvReadUser', 'prvWriteUser', 'prvAppendToUser']));
    expect(await privilegesOf('systemuserroles')).toEqual([]);
  });
});

describe('the dump', () => {
  test('is the same before and after a change set that was undone, and tells of every change', async () => {
    const { app, dump } = await open();
    await app('POST', 'accounts', { name: 'first' });
    const before = await dump();
    const parts = [
      'POST accounts HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{"name":"probe"}',
      'PATCH accounts(00000000-0000-4000-8000-00000000dead) HTTP/1.1\r\nIf-Match: *\r\nContent-Type: application/json\r\n\r\n{"name":"x"}',
    ].map(
      (request, index) =>
        `--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: ${index + 1}\r\n\r\n${request}\r\n`,
    );
    const body = `--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n${parts.join('')}--c--\r\n--b--\r\n`;
    const answer = await app('POST', '$batch', body, { 'Content-Type': 'multipart/mixed; boundary=b' });
    expect(answer.text).toContain('0x80040217');
    expect(await dump()).toEqual(before);
    await app('POST', 'accounts', { name: 'second' });
    expect((await dump()).account).toHaveLength(2);
  });

  test('holds no secret of a webhook', async () => {
    const { admin, dump } = await open();
    const endpoint = { name: 'hook', contract: 8, authtype: 4, authvalue: 'very-secret', url: 'http://localhost:1/' };
    await admin('POST', 'serviceendpoints', endpoint);
    const text = JSON.stringify(await dump());
    expect(text).toContain('"hook"');
    expect(text).not.toContain('very-secret');
  });
});

test('the organization is told to whoever is a member, in every version of the Web API', async () => {
  const { app, url, organization } = await open();
  for (const version of ['v9.0', 'v9.1', 'v9.2']) {
    const { json } = await app(
      'GET',
      `${url}/api/data/${version}/RetrieveCurrentOrganization(AccessType=Microsoft.Dynamics.CRM.EndpointAccessType'Default')`,
    );
    expect(json['@odata.context']).toBe(
      `${url}/api/data/${version}/$metadata#Microsoft.Dynamics.CRM.RetrieveCurrentOrganizationResponse`,
    );
    expect(json.Detail).toMatchObject({ OrganizationId: organization.id, UniqueName: 'local', State: 'Enabled' });
    expect(json.Detail.Endpoints.Values[0]).toBe(`${url}/`);
  }
});

test('a user is read with its business unit and through collections of its business unit', async () => {
  const { admin } = await open();
  const { json } = await admin('GET', `systemusers(${APP_USER})?$select=fullname&$expand=businessunitid($select=name)`);
  expect(json.businessunitid.name).toBe('local');
  const users = `businessunits(${json.businessunitid.businessunitid})/business_unit_system_users`;
  const found = await admin('GET', `${users}?$select=systemuserid&$filter=applicationid eq ${APP_CLIENT}`);
  expect(found.json.value).toMatchObject([{ systemuserid: APP_USER }]);
  expect((await admin('GET', `systemusers(${APP_USER})/parentsystemuserid`)).status).toBe(204);
});
