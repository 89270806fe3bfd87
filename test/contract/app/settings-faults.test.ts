import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { appRoutes } from '../../../src/functions/register.ts';
import { createServices } from '../../../src/functions/services.ts';
import { KEYS, startApp, type TestApp } from '../../support/app.ts';

let app: TestApp;
const logged: string[] = [];

beforeAll(async () => {
  const log = vi.spyOn(console, 'log').mockImplementation((line) => logged.push(String(line)));
  app = await startApp({
    settings: () => ({
      KEY_VAULT_URI: 'http://vault.example',
      BRIDGE_WRITES: 'never',
      AzureWebJobsStorage__tableServiceUri: 'not a URL',
      MANAGED_IDENTITY_CLIENT_ID: 'bridge',
    }),
  });
  log.mockRestore();
});
afterAll(() => app.close());

const FAULTY = ['AzureWebJobsStorage__tableServiceUri', 'BRIDGE_WRITES', 'KEY_VAULT_URI', 'MANAGED_IDENTITY_CLIENT_ID'];

describe('while app-wide settings have faults', () => {
  test('health answers', async () => {
    expect((await app.call('GET', 'health', { key: null })).json).toEqual({ status: 'ok' });
  });

  test.each(
    appRoutes(createServices({})).flatMap(({ methods, route }) => methods.map((method) => ({ method, route }))),
  )('$method $route answers 503 with every one of them', async ({ method, route }) => {
    const answer = await app.call(method, route.replaceAll(/\{\w+\}/g, 'default'), { key: KEYS.master });
    expect(answer.status).toBe(503);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.json).toMatchObject({ code: 'settingsFault', hint: expect.any(String) });
    expect(answer.json.errors.map(({ path }: { path: string }) => path).sort()).toEqual(FAULTY);
  });

  test('the log tells each of them once', () => {
    for (const setting of FAULTY) expect(logged.filter((line) => line.includes(`"${setting}"`))).toHaveLength(1);
  });
});
