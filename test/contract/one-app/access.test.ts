import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { healthRoutes } from '../../../src/functions/health.ts';
import { appRoutes } from '../../../src/functions/register.ts';
import { createServices } from '../../../src/functions/services.ts';
import { KEYS, type TestApp } from '../../support/app.ts';
import { mintToken } from '../../support/identity.ts';
import { sharedApp } from '../../support/shared-app.ts';

const routes = [...healthRoutes, ...appRoutes(createServices({}))];
const cases = routes.flatMap((route) => route.methods.map((method) => ({ ...route, method })));
const levels = { anonymous: 'anonymous', use: 'function', admin: 'admin' } as const;
const byAccess = (access: keyof typeof levels) => cases.filter((each) => each.access === access);

let app: TestApp;

beforeAll(async () => {
  app = await sharedApp();
});
afterAll(() => app.assertNoSecret());

const pathOf = ({ route }: (typeof cases)[number]): string => route.replaceAll(/\{\w+\}/g, 'x');
const statusOf = async (each: (typeof cases)[number], key: string | null): Promise<number> =>
  (await app.call(each.method, pathOf(each), { key })).status;

test('every HTTP function of the host is a route of the wrapper, and every route is one of the host', () => {
  const registered = app.host.functions.filter(({ type }) => type === 'http');
  const described = registered.map(({ name, route, methods, authLevel }) => ({ name, route, methods, authLevel }));
  const expected = routes.map(({ name, route, methods, access }) => ({
    name,
    route: `api/${route}`,
    methods,
    authLevel: levels[access],
  }));
  const sorted = <T extends { name: string }>(all: readonly T[]): T[] =>
    [...all].sort((a, b) => a.name.localeCompare(b.name));
  expect(sorted(described)).toEqual(sorted(expected));
});

describe.each([...byAccess('use'), ...byAccess('admin')])('$method $route', (each) => {
  test('is closed without a key and with a wrong one, and open to the master key', async () => {
    expect(await statusOf(each, null)).toBe(401);
    expect(await statusOf(each, 'wrong')).toBe(401);
    expect(await statusOf(each, KEYS.master)).not.toBe(401);
  });

  test('is closed to a token of Entra, and to what Azure would say about a caller', async () => {
    const caller = { ...app.identity.company.application, roles: ['Bridge.Use', 'Bridge.Admin'] };
    const token = await mintToken(app.identity, app.environmentUrl, caller);
    const headers = { authorization: `Bearer ${token}`, 'x-ms-client-principal-id': caller.objectId };
    expect((await app.call(each.method, pathOf(each), { key: null, headers })).status).toBe(401);
  });
});

test.each(byAccess('use'))('$method $route is open to the function key', async (each) => {
  expect(await statusOf(each, KEYS.function)).not.toBe(401);
});

test.each(byAccess('admin'))('$method $route is closed to the function key', async (each) => {
  expect(await statusOf(each, KEYS.function)).toBe(401);
});

test('what changes the app, or reaches out where a body says, is for the operator', () => {
  expect(byAccess('admin').map(({ method, route }) => `${method} ${route}`)).toEqual([
    'POST connections/test',
    'POST tables/{table}/columns',
    'PUT tables/{table}/columns/{column}',
    'POST tables/{table}/keys',
    'POST raw',
    'PUT activations/{name}',
    'DELETE activations/{name}',
    'POST activations/{name}/pause',
    'POST activations/{name}/resume',
  ]);
});

test('only health and the webhook receiver, which has a secret of its own, need no key', async () => {
  expect(byAccess('anonymous').map(({ method, route }) => `${method} ${route}`)).toEqual([
    'GET health',
    'POST webhooks/dataverse/{endpoint}',
  ]);
  const health = await app.call('GET', 'health', { key: null });
  expect([health.status, health.json]).toEqual([200, { status: 'ok' }]);
  expect((await app.call('POST', 'webhooks/dataverse/main', { key: null, body: '{}' })).json.code).toBe('secretWrong');
});
