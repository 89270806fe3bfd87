import { describe, expect, test } from 'vitest';
import { operation, post, statuses } from './batch-body.ts';
import { ADMIN_CLIENT, APP_CLIENT, APP_USER, type Call, idOf, openSecuredEnvironment } from './environment.ts';

const OTHER_CLIENT = '0a000000-0000-4000-8000-00000000000a';
const OTHER_USER = '0b000000-0000-4000-8000-00000000000a';
const OTHER_OBJECT = '0c000000-0000-4000-8000-00000000000a';
const DISABLED_USER = '0b000000-0000-4000-8000-00000000000b';
const PLAIN_CLIENT = '0a000000-0000-4000-8000-00000000000c';
const PLAIN_USER = '0b000000-0000-4000-8000-00000000000c';
const MISSING = '11111111-1111-4111-8111-111111111111';

const account = { prvCreateAccount: 'Global', prvReadAccount: 'Global', prvWriteAccount: 'Global' } as const;

const open = () =>
  openSecuredEnvironment({
    users: [
      { clientId: APP_CLIENT, systemUserId: APP_USER, roles: ['Delegate of accounts and leads'] },
      {
        clientId: OTHER_CLIENT,
        systemUserId: OTHER_USER,
        objectId: OTHER_OBJECT,
        roles: ['Accounts and contacts'],
      },
      { clientId: MISSING, systemUserId: DISABLED_USER, roles: ['Accounts and contacts'], disabled: true },
      { clientId: PLAIN_CLIENT, systemUserId: PLAIN_USER, roles: ['Plain'] },
      { clientId: ADMIN_CLIENT, systemUserId: '0b000000-0000-4000-8000-000000000001', roles: ['System Administrator'] },
    ],
    roles: {
      'Delegate of accounts and leads': {
        ...account,
        prvActOnBehalfOfAnotherUser: 'Global',
        prvCreateLead: 'Global',
        prvReadLead: 'Global',
        prvReadContact: 'Global',
      },
      'Accounts and contacts': { ...account, prvCreateContact: 'Global', prvReadContact: 'Basic' },
      Plain: account,
    },
  });

const asOther = { MSCRMCallerID: OTHER_USER };

describe('acting for another user', () => {
  test('makes rows that are the other user’s, and says who really made them', async () => {
    const { as } = await open();
    const call = await as({ appid: APP_CLIENT });
    for (const headers of [asOther, { CallerObjectId: OTHER_OBJECT }, { CallerObjectId: OTHER_OBJECT.toUpperCase() }]) {
      const id = idOf(await call('POST', 'accounts', { name: 'a' }, headers));
      expect((await call('GET', `accounts(${id})`)).json).toMatchObject({
        _createdby_value: OTHER_USER,
        _createdonbehalfby_value: APP_USER,
        _ownerid_value: OTHER_USER,
        _owninguser_value: OTHER_USER,
        _modifiedby_value: OTHER_USER,
        _modifiedonbehalfby_value: APP_USER,
      });
      await call('PATCH', `accounts(${id})`, { name: 'b' });
      expect((await call('GET', `accounts(${id})`)).json).toMatchObject({
        _createdonbehalfby_value: APP_USER,
        _modifiedby_value: APP_USER,
        _modifiedonbehalfby_value: null,
      });
    }
    expect((await call('GET', 'WhoAmI', undefined, asOther)).json.UserId).toBe(OTHER_USER);
    expect((await call('GET', 'WhoAmI')).json.UserId).toBe(APP_USER);
  });

  test('allows what both users may, at the smaller depth', async () => {
    const { as } = await open();
    const call = await as({ appid: APP_CLIENT });
    const other = await as({ appid: OTHER_CLIENT });
    const admin = await as({});
    const refusal = async (...given: Parameters<Call>) => {
      const answer = await call(...given);
      expect([answer.status, answer.json.error.code]).toEqual([403, '0x80040220']);
      return answer.json.error.message;
    };
    // Only the other user may create contacts, only the caller leads.
    expect(await refusal('POST', 'contacts', { lastname: 'x' }, asOther)).toContain('prvCreateContact');
    expect(await refusal('POST', 'leads', { lastname: 'x' }, asOther)).toContain('prvCreateLead');
    const own = idOf(await other('POST', 'contacts', { lastname: 'own' }));
    const stranger = idOf(await admin('POST', 'contacts', { lastname: 'of nobody here' }));
    // The caller may read all contacts, the other user its own.
    const read = (id: string, headers = {}) => call('GET', `contacts(${id})?$select=lastname`, undefined, headers);
    expect((await read(stranger)).status).toBe(200);
    expect((await read(stranger, asOther)).status).toBe(403);
    expect((await read(own, asOther)).status).toBe(200);
    expect((await call('GET', 'contacts?$select=lastname', undefined, asOther)).json.value).toMatchObject([
      { lastname: 'own' },
    ]);
  });

  test('needs a privilege in a role of the user’s own', async () => {
    const { as } = await open();
    const plain = await as({ appid: PLAIN_CLIENT });
    const answer = await plain('POST', 'accounts', { name: 'a' }, asOther);
    expect(answer.status).toBe(403);
    expect(answer.json.error).toEqual({
      code: '0x8004A110',
      message: 'User does not have the privilege to act on behalf another user.',
    });
    const admin = await as({});
    const [role] = (await admin('GET', "roles?$filter=name eq 'Delegate of accounts and leads'")).json.value;
    const team = idOf(await admin('POST', 'teams', { name: 'Delegates' }));
    const link = (path: string, target: string) => admin('POST', `${path}/$ref`, { '@odata.id': target });
    expect((await link(`teams(${team})/teamroles_association`, `roles(${role.roleid})`)).status).toBe(204);
    expect((await link(`teams(${team})/teammembership_association`, `systemusers(${PLAIN_USER})`)).status).toBe(204);
    expect((await plain('GET', 'leads')).status).toBe(200);
    expect((await plain('POST', 'accounts', { name: 'a' }, asOther)).json.error.code).toBe('0x8004A110');
    expect((await plain('GET', 'accounts/$count')).text).toBe('0');
  });

  test('is refused for users that are unknown, disabled or no id', async () => {
    const { as } = await open();
    const call = await as({ appid: APP_CLIENT });
    const refusals: [Record<string, string>, number, string][] = [
      [{ MSCRMCallerID: MISSING }, 404, '0x80040217'],
      [{ CallerObjectId: MISSING }, 403, '0x80072560'],
      [{ MSCRMCallerID: DISABLED_USER }, 403, '0x80072560'],
      [{ MSCRMCallerID: "x' OR 1=1" }, 400, '0x80040203'],
    ];
    for (const [headers, status, code] of refusals) {
      const answer = await call('GET', 'WhoAmI', undefined, headers);
      expect([answer.status, answer.json.error.code]).toEqual([status, code]);
    }
  });

  test('counts for single operations of a $batch, and for all of them where the batch itself says so', async () => {
    const { as } = await open();
    const call = await as({ appid: APP_CLIENT });
    const whoAmI = (headers: Record<string, string>) => operation({ method: 'GET', url: 'WhoAmI', headers });
    const users = (text: string) => [...text.matchAll(/"UserId":"([^"]+)"/g)].map((found) => found[1]);
    const each = await post(call, [whoAmI({}), whoAmI(asOther), whoAmI({})]);
    expect(users(each.text)).toEqual([APP_USER, OTHER_USER, APP_USER]);
    const own = { mscrmcallerid: APP_USER };
    const all = await post(call, [whoAmI({}), whoAmI(own)], asOther);
    expect(users(all.text)).toEqual([OTHER_USER, APP_USER]);
    const unknown = [whoAmI({ MSCRMCallerID: MISSING }), whoAmI({})];
    expect(statuses((await post(call, unknown, { Prefer: 'odata.continue-on-error' })).text)).toEqual([404, 200]);
    expect((await post(call, [whoAmI({})], { MSCRMCallerID: MISSING })).status).toBe(404);
  });
});
