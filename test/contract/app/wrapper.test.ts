import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { healthRoutes } from '../../../src/functions/health.ts';
import { appRoutes } from '../../../src/functions/register.ts';
import { createServices } from '../../../src/functions/services.ts';
import { KEYS, startApp, type TestApp } from '../../support/app.ts';

const routes = [...healthRoutes, ...appRoutes(createServices({}))];
const cases = routes.flatMap((route) => route.methods.map((method) => ({ ...route, method })));
const parametersOf = (route: string): string[] => [...route.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '');

let app: TestApp;

beforeAll(async () => {
  app = await startApp({ entry: new URL('../../fixtures/host-apps/wrapper-app.ts', import.meta.url).pathname });
});
afterAll(() => app.close());

describe.each(cases)('$method $route', ({ name, method, route }) => {
  const path = route.replaceAll(/\{(\w+)\}/g, 'in-path-$1');

  test.each(['throw', 'throw-text', 'reject', 'return-nothing'])(
    'answers a problem when its handler does %s',
    async (act) => {
      const answer = await app.call(method, path, {
        key: KEYS.master,
        headers: { 'x-do': act, 'x-request-id': `${name}.${act}` },
      });
      expect(answer.status).toBe(500);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
      expect(answer.headers.get('x-request-id')).toBe(`${name}.${act}`);
      expect(answer.json).toMatchObject({ status: 500, code: 'internal', requestId: `${name}.${act}` });
      expect(answer.text).not.toContain('secret');
      expect(app.lines.join('\n')).toContain(`"requestId":"${name}.${act}"`);
    },
  );

  // In Azure a query value takes the place of the parameter in `request.params` under its own spelling.
  test.each([
    ['as the route spells them', (text: string) => text],
    ['in capitals', (text: string) => text.toUpperCase()],
  ])('takes its parameters from the path, also when the query has them %s', async (_, spelled) => {
    const query = parametersOf(route).map((parameter) => `${spelled(parameter)}=in-query`);
    const answer = await app.call(method, `${path}?${query.join('&')}`, { key: KEYS.master });
    expect(answer.json).toEqual(Object.fromEntries(parametersOf(route).map((each) => [each, `in-path-${each}`])));
  });
});

test('a request id that could do harm in a log is not taken over', async () => {
  const answer = await app.call('GET', 'health', { headers: { 'x-request-id': 'a b"c' } });
  expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
});

test('a query value named headers leaves a request without headers but answered', async () => {
  const answer = await app.call('GET', 'activations/one?headers=1&params=2&url=3&method=4&body=5', {
    key: KEYS.master,
  });
  expect(answer.json).toEqual({ name: 'one' });
});
