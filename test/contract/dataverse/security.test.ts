import { describe, expect, test } from 'vitest';
import {
  ADMIN_CLIENT,
  APP_CLIENT,
  APP_USER,
  client,
  DISABLED_CLIENT,
  ISSUER,
  idOf,
  openSecuredEnvironment,
  ROLELESS_CLIENT,
  TENANT,
  type TokenClaims,
} from './environment.ts';

describe('a token', () => {
  test('signs in the application user of its client id, in both token versions and audience forms', async () => {
    const { as, url } = await openSecuredEnvironment();
    const forms: TokenClaims[] = [
      { appid: APP_CLIENT },
      { azp: APP_CLIENT, appid: undefined },
      { appid: APP_CLIENT, aud: `${url}/` },
    ];
    for (const claims of forms) {
      const answer = await (await as(claims))('GET', 'WhoAmI');
      expect(answer.status).toBe(200);
      expect(answer.json.UserId).toBe(APP_USER);
    }
  });

  const refused: [title: string, claims: TokenClaims][] = [
    ['another audience', { aud: 'https://other.crm4.dynamics.com' }],
    ['another issuer', { iss: 'https://sts.windows.net/other/' }],
    ['another tenant', { tid: '00000000-0000-4000-8000-000000000000' }],
    ['an expiry in the past', { exp: 1_700_000_000 }],
    ['a signature of somebody else', { forged: true }],
  ];
  test.each(refused)('with %s is answered by the challenge and no JSON', async (_, claims) => {
    const { as, url } = await openSecuredEnvironment();
    const answer = await (await as(claims))('GET', 'accounts');
    expect(answer.status).toBe(401);
    expect(answer.json).toBeUndefined();
    expect(answer.headers.get('www-authenticate')).toBe(
      `Bearer authorization_uri=https://login.microsoftonline.com/${TENANT}/oauth2/authorize, resource_id=${url}/`,
    );
    expect(answer.text).toBe('HTTP Error 401 - Unauthorized: Access is denied');
  });

  test('is needed, and must be one', async () => {
    const { apiUrl } = await openSecuredEnvironment();
    expect((await client(apiUrl)('GET', 'WhoAmI')).status).toBe(401);
    expect((await client(apiUrl, 'x.y.z')('GET', 'WhoAmI')).status).toBe(401);
    expect((await client(apiUrl)('GET', 'WhoAmI', undefined, { Authorization: 'Basic YTpi' })).status).toBe(401);
  });

  test('of an application without an enabled user is 403', async () => {
    const { as } = await openSecuredEnvironment();
    for (const appid of [DISABLED_CLIENT, '0a000000-0000-4000-8000-00000000ffff']) {
      const answer = await (await as({ appid }))('GET', 'WhoAmI');
      expect(answer.status).toBe(403);
      expect(answer.json.error).toEqual({
        code: '0x80072560',
        message: 'The user is not a member of the organization.',
      });
    }
  });

  test('stops working when the user is disabled', async () => {
    const { as } = await openSecuredEnvironment();
    const app = await as({ appid: APP_CLIENT, iss: ISSUER });
    const admin = await as({ appid: ADMIN_CLIENT });
    expect((await app('GET', 'WhoAmI')).status).toBe(200);
    expect((await admin('PATCH', `systemusers(${APP_USER})`, { isdisabled: true })).status).toBe(204);
    expect((await app('GET', 'WhoAmI')).status).toBe(403);
  });
});

describe('a role', () => {
  test('allows what it names and nothing else, and the refusal names the privilege', async () => {
    const { as } = await openSecuredEnvironment();
    const app = await as({ appid: APP_CLIENT });
    const id = idOf(await app('POST', 'accounts', { name: 'a' }));
    expect((await app('PATCH', `accounts(${id})`, { name: 'b' })).status).toBe(204);
    const refused: [Awaited<ReturnType<typeof app>>, string][] = [
      [await app('DELETE', `accounts(${id})`), 'prvDeleteAccount'],
      [await app('POST', 'contacts', { lastname: 'x' }), 'prvCreateContact'],
      [await app('GET', 'leads'), 'prvReadLead'],
      [await app('GET', 'accounts?$filter=originatingleadid/subject eq null'), 'prvReadLead'],
      [await app('POST', 'tasks', { subject: 'x' }), 'prvCreateActivity'],
    ];
    for (const [answer, privilege] of refused) {
      expect(answer.status).toBe(403);
      expect(answer.json.error.code).toBe('0x80040220');
      expect(answer.json.error.message).toMatch(
        new RegExp(`^Principal user \\(Id=${APP_USER}, .* is missing ${privilege} privilege`),
      );
    }
  });

  test('of an application can neither create keys nor register webhooks; an administrator can', async () => {
    const { as } = await openSecuredEnvironment();
    const key = { SchemaName: 'new_Key', KeyAttributes: ['accountnumber'] };
    const endpoint = { name: 'hook', contract: 8, authtype: 4, authvalue: 'secret', url: 'http://localhost:1/' };
    const app = await as({ appid: APP_CLIENT });
    const admin = await as({ appid: ADMIN_CLIENT });

    const noKey = await app('POST', "EntityDefinitions(LogicalName='account')/Keys", key);
    expect(noKey.status).toBe(403);
    expect(noKey.json.error.message).toContain('prvCreateEntityKey');
    const noEndpoint = await app('POST', 'serviceendpoints', endpoint);
    expect(noEndpoint.json.error.message).toContain('prvCreateServiceEndpoint');
    expect((await app('POST', 'sdkmessageprocessingsteps', { name: 's' })).status).toBe(403);

    expect((await admin('POST', "EntityDefinitions(LogicalName='account')/Keys", key)).status).toBe(204);
    expect((await admin('POST', 'serviceendpoints', endpoint)).status).toBe(204);
  });

  test('of depth Basic reaches own rows only', async () => {
    const { as } = await openSecuredEnvironment();
    const admin = await as({ appid: ADMIN_CLIENT });
    const app = await as({ appid: APP_CLIENT });
    const others = idOf(await admin('POST', 'contacts', { lastname: 'theirs' }));
    const own = idOf(
      await admin('POST', 'contacts', { lastname: 'ours', 'ownerid@odata.bind': `/systemusers(${APP_USER})` }),
    );
    expect((await app('GET', 'contacts?$select=lastname')).json.value).toMatchObject([{ lastname: 'ours' }]);
    expect((await app('GET', `contacts(${own})`)).status).toBe(200);
    const refused = await app('GET', `contacts(${others})`);
    expect(refused.status).toBe(403);
    expect(refused.json.error.code).toBe('0x80048306');
  });

  test('is missed by name when the user has none at all', async () => {
    const { as } = await openSecuredEnvironment();
    const answer = await (await as({ appid: ROLELESS_CLIENT }))('GET', 'accounts');
    expect(answer.status).toBe(403);
    expect(answer.json.error.message).toMatch(/has not been assigned any roles.*prvReadAccount privilege/);
  });

  test('needs Append and AppendTo for lookups', async () => {
    const { as } = await openSecuredEnvironment({
      roles: { Bridge: { prvCreateAccount: 'Global', prvReadAccount: 'Global', prvAppendAccount: 'Global' } },
    });
    const contact = idOf(await (await as({ appid: ADMIN_CLIENT }))('POST', 'contacts', { lastname: 'x' }));
    const app = await as({ appid: APP_CLIENT });
    const answer = await app('POST', 'accounts', { name: 'a', 'primarycontactid@odata.bind': `/contacts(${contact})` });
    expect(answer.status).toBe(403);
    expect(answer.json.error.message).toContain('prvAppendToContact');
  });
});
