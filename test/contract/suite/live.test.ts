import { describe, expect, test, vi } from 'vitest';
import { liveTarget } from './live.ts';
import { contractSuite } from './suite.ts';
import { openWorld } from './world.ts';

const URL_ALONE = { DATAVERSE_LIVE_URL: 'https://contoso.crm4.dynamics.com/main.aspx' };

describe('the settings of a live run', () => {
  test('name no environment when they are not there', () => {
    expect(liveTarget({})).toBeUndefined();
    expect(liveTarget({ DATAVERSE_LIVE_URL: '', DATAVERSE_LIVE_TOKEN: 'x' })).toBeUndefined();
  });

  test('are the environment’s URL and a token', async () => {
    const target = liveTarget({ ...URL_ALONE, DATAVERSE_LIVE_TOKEN: 'opaque' });
    expect(target?.url).toBe('https://contoso.crm4.dynamics.com');
    expect(await target?.token?.()).toBe('opaque');
  });

  test('that are half there are refused, by their names and without what is in them', () => {
    expect(() => liveTarget(URL_ALONE)).toThrow('needs DATAVERSE_LIVE_TOKEN, or DATAVERSE_LIVE_TENANT_ID');
    const secret = { DATAVERSE_LIVE_CLIENT_SECRET: 'hush', DATAVERSE_LIVE_URL: 'hush' };
    expect(() => liveTarget(secret)).toThrow(/^Of no use for a live run: DATAVERSE_LIVE_URL\.$/);
    const plain = { DATAVERSE_LIVE_URL: 'http://contoso.example', DATAVERSE_LIVE_TOKEN: 'hush' };
    expect(() => liveTarget(plain)).toThrow(/^DATAVERSE_LIVE_URL must be https/);
  });
});

const target = liveTarget(process.env);
if (target) {
  // Definitions take a real environment up to a minute each.
  vi.setConfig({ testTimeout: 600_000, hookTimeout: 120_000 });
  contractSuite(openWorld(() => Promise.resolve(target)));
}
