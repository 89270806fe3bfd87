import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { healthRoutes } from '../../../src/functions/health.ts';
import { appRoutes } from '../../../src/functions/register.ts';
import { createServices } from '../../../src/functions/services.ts';
import type { Access } from '../../../src/http/routes.ts';
import {
  addClientSecret,
  addResource,
  newTenant,
  type Resource,
  registerApplication,
} from '../../../src/local/entra/directory.ts';
import { issueToken } from '../../../src/local/entra/tokens.ts';
import { homeTenant } from '../../../src/local/identity-state.ts';
import { newGuid } from '../../../src/shared/ids.ts';
import { type Answer, type CallOptions, KEYS, startApp, type TestApp } from '../../support/app.ts';
import { mintToken } from '../../support/identity.ts';

const BRIDGE = newGuid();
const AUDIENCE = `api://${BRIDGE}`;
const SECRET = 'the-secret-of-a-caller';
const HOUR_MS = 3_600_000;

const routes = [...healthRoutes, ...appRoutes(createServices({}))];
const cases = routes.flatMap((route) => route.methods.map((method) => ({ ...route, method })));

/** The app roles that callers have, and what those open. */
const callers = {
  'without a role': { roles: [], opens: ['anonymous'] },
  'with another role': { roles: ['Bridge.Read', 'bridge.admin'], opens: ['anonymous'] },
  'with Bridge.Use': { roles: ['Bridge.Use'], opens: ['anonymous', 'use'] },
  'with Bridge.Admin': { roles: ['Bridge.Admin'], opens: ['anonymous', 'use', 'admin'] },
} as const satisfies Record<string, { roles: readonly string[]; opens: readonly Access[] }>;
type Caller = keyof typeof callers;
const callerNames = Object.keys(callers) as Caller[];

let app: TestApp;
let resource: Resource;
const tokens = new Map<Caller, string>();
const answers: Answer[] = [];

beforeAll(async () => {
  app = await startApp({
    settings: ({ identity }) => {
      resource = addResource(homeTenant(identity.company.state), { uri: AUDIENCE, name: 'Bridge', appId: BRIDGE });
      return {
        BRIDGE_AUTH: 'entra',
        BRIDGE_TENANT_ID: identity.tenantId,
        BRIDGE_AUDIENCE: AUDIENCE,
        BRIDGE_AUTHORITY: identity.url,
      };
    },
  });
  for (const name of callerNames) tokens.set(name, await tokenOf(name));
});
afterAll(() => app.close());

/** A token as a caller gets it: by its client secret, with the app roles that it has in the directory. */
async function tokenOf(caller: Caller): Promise<string> {
  const tenant = homeTenant(app.identity.company.state);
  const application = registerApplication(tenant, {
    name: caller,
    appRoles: { [AUDIENCE]: [...callers[caller].roles] },
  });
  addClientSecret(application, SECRET, Date.now() + HOUR_MS);
  const response = await fetch(`${app.identity.authority}/oauth2/v2.0/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: application.clientId,
      client_secret: SECRET,
      scope: `${AUDIENCE}/.default`,
    }),
  });
  const { access_token: token } = (await response.json()) as { access_token: string };
  return token;
}

/** Calls with a bearer token and without any key. */
async function call(method: string, path: string, token?: string, options: CallOptions = {}): Promise<Answer> {
  const headers = { ...options.headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) };
  const answer = await app.call(method, path, { key: null, ...options, headers });
  answers.push(answer);
  return answer;
}

const pathOf = (route: string): string => route.replaceAll(/\{\w+\}/g, 'x');

/** What our own code says about the caller; `open` where it has nothing against it. */
function verdict({ status, json }: Answer): string {
  if (status === 401 && json?.code.startsWith('token')) return json.code;
  return status === 403 && json?.code === 'roleMissing' ? json.code : 'open';
}

test('every HTTP function is one of the routes, and the host asks nobody for keys', () => {
  const functions = app.host.functions.filter(({ type }) => type === 'http');
  expect(functions.map(({ name }) => name).sort()).toEqual(routes.map(({ name }) => name).sort());
  expect(new Set(functions.map(({ authLevel }) => authLevel))).toEqual(new Set(['anonymous']));
});

describe.each(cases)('$method $route ($access)', ({ method, route, access }) => {
  const path = pathOf(route);

  test.each(callerNames)('answers a caller %s by its role', async (name) => {
    const opens: readonly Access[] = callers[name].opens;
    expect(verdict(await call(method, path, tokens.get(name)))).toBe(opens.includes(access) ? 'open' : 'roleMissing');
  });

  test('is closed to all that is no token, keys of the host among it', async () => {
    const closed = access === 'anonymous' ? 'open' : 'tokenMissing';
    const token = tokens.get('with Bridge.Admin') ?? '';
    const principal = Buffer.from(JSON.stringify({ claims: [{ typ: 'roles', val: 'Bridge.Admin' }] })).toString(
      'base64',
    );
    const tries: readonly CallOptions[] = [
      {},
      { key: KEYS.function },
      { key: KEYS.master },
      { headers: { 'x-ms-client-principal': principal, 'x-ms-client-principal-id': newGuid() } },
      { headers: { 'x-ms-token-aad-access-token': token, cookie: `AppServiceAuthSession=${token}` } },
    ];
    for (const options of tries) expect(verdict(await call(method, path, undefined, options))).toBe(closed);
    expect(verdict(await call(method, `${path}?code=${KEYS.master}&access_token=${token}`))).toBe(closed);
  });
});

describe('a token', () => {
  const caller = { clientId: newGuid(), objectId: newGuid(), roles: ['Bridge.Admin'] };
  const get = (token: string) => call('GET', 'activations', token);

  test('of version 1 opens, and of version 2 as well', async () => {
    for (const tokenVersion of [1, 2] as const) {
      resource.tokenVersion = tokenVersion;
      expect((await get(await mintToken(app.identity, AUDIENCE, caller))).status).toBe(200);
    }
  });

  test('for another application is refused', async () => {
    const answer = await get(await mintToken(app.identity, app.environmentUrl, caller));
    expect([answer.status, answer.json.code]).toEqual([401, 'tokenAudience']);
    expect(answer.json.hint).toContain(`${AUDIENCE}/.default`);
  });

  test.each([1, 2] as const)('of another tenant is refused (version %i)', async (tokenVersion) => {
    const answer = await get(
      await issueToken(
        { key: app.identity.signingKey, origin: app.identity.url, now: Date.now(), lifetimeSeconds: 3599 },
        { ...resource, tokenVersion },
        AUDIENCE,
        { ...caller, tenantId: newTenant('Fabrikam').id, authentication: '2' },
      ),
    );
    expect([answer.status, answer.json.code]).toEqual([401, 'tokenIssuer']);
  });

  test('whose time is over, or has not come, is refused', async () => {
    const at = async (now: number) => (await get(await mintToken(app.identity, AUDIENCE, caller, { now }))).json.code;
    expect(await at(Date.now() - 2 * HOUR_MS)).toBe('tokenExpired');
    expect(await at(Date.now() + HOUR_MS)).toBe('tokenNotYetValid');
  });

  test('without its signature is refused with a problem and the challenge of RFC 6750', async () => {
    const [, claims] = (tokens.get('with Bridge.Admin') ?? '').split('.');
    const header = Buffer.from(JSON.stringify({ typ: 'JWT', alg: 'none' })).toString('base64url');
    const answer = await get(`${header}.${claims}.`);
    expect(answer.status).toBe(401);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.headers.get('www-authenticate')).toBe(
      'Bearer realm="Dataverse Bridge", error="invalid_token", error_description="The token is no JWT signed with RS256."',
    );
    expect(answer.json).toMatchObject({ status: 401, title: 'Unauthorized', code: 'tokenMalformed' });
  });

  test('that lacks the role gets the role’s name', async () => {
    const answer = await call('DELETE', 'activations/x', tokens.get('with Bridge.Use'));
    expect(answer.status).toBe(403);
    expect(answer.headers.get('www-authenticate')).toContain('error="insufficient_scope"');
    expect(answer.json).toMatchObject({ code: 'roleMissing', detail: 'The token lacks the role Bridge.Admin.' });
  });

  test('as long as a book is refused before it is looked at', async () => {
    expect((await get('a'.repeat(40_000))).status).toBe(431);
  });

  test('of a known key is still taken while Entra is down', async () => {
    const up = app.identity.faults.add({ path: '/', answer: () => new Response(null, { status: 503 }) });
    expect((await get(tokens.get('with Bridge.Use') ?? '')).status).toBe(200);
    up();
  });
});

test('the host’s own interface keeps its master key, and no token opens it', async () => {
  const status = async (headers: Record<string, string>) =>
    (await fetch(`${app.url}/admin/functions`, { headers })).status;
  expect(await status({ authorization: `Bearer ${tokens.get('with Bridge.Admin')}` })).toBe(401);
  expect(await status({ 'x-functions-key': KEYS.master })).toBe(200);
});

test('no token, key or header of a caller is in an answer or a log', () => {
  const told = [...app.lines, ...answers.flatMap(({ text, headers }) => [text, JSON.stringify([...headers])])].join(
    '\n',
  );
  expect(told.length).toBeGreaterThan(1000);
  const secrets = [...tokens.values()].flatMap((token) => [
    token,
    token.split('.')[1] ?? '',
    token.split('.')[2] ?? '',
  ]);
  for (const secret of [...secrets, KEYS.function, KEYS.master, SECRET]) expect(told).not.toContain(secret);
});
