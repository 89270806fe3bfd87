import { describe, expect, test } from 'vitest';
import { connectionSettings, parseSettings } from '../../../src/config/settings.ts';

const storage = {
  AzureWebJobsStorage__blobServiceUri: 'https://bridge.blob.core.windows.net',
  AzureWebJobsStorage__queueServiceUri: 'https://bridge.queue.core.windows.net',
  AzureWebJobsStorage__tableServiceUri: 'https://bridge.table.core.windows.net',
};
const connection = {
  Dataverse__default__url: 'https://contoso.crm4.dynamics.com',
  Dataverse__default__tenantId: '5a0b6a0e-1111-4a4a-8b8b-000000000001',
  Dataverse__default__clientId: '5a0b6a0e-2222-4a4a-8b8b-000000000002',
  Dataverse__default__certificateName: 'bridge',
};
const complete = { ...storage, ...connection, KEY_VAULT_URI: 'https://bridge.vault.azure.net/' };

const faultsOf = (env: Record<string, string>): string[] => {
  const settings = parseSettings(env);
  return [
    ...settings.faults,
    ...[...settings.connectionFaults.values()].flat(),
    ...[...settings.webhookFaults.values()].flat(),
  ].map((fault) => fault.setting);
};

describe('a connection', () => {
  test('takes scope and authority from the environment’s URL', () => {
    const settings = connectionSettings(parseSettings(complete), 'default');
    expect(settings).toMatchObject({
      environment: 'https://contoso.crm4.dynamics.com',
      apiUrl: 'https://contoso.crm4.dynamics.com/api/data/v9.2/',
      scope: 'https://contoso.crm4.dynamics.com/.default',
      authority: 'https://login.microsoftonline.com/5a0b6a0e-1111-4a4a-8b8b-000000000001',
      allowedTables: undefined,
    });
  });

  test.each([
    ['https://contoso.api.crm4.dynamics.com', 'https://contoso.api.crm4.dynamics.com/api/data/v9.2/'],
    ['https://contoso.crm4.dynamics.com/api/data/v9.1', 'https://contoso.crm4.dynamics.com/api/data/v9.1/'],
    ['https://contoso.api.crm4.dynamics.com/api/data/v9.2/', 'https://contoso.api.crm4.dynamics.com/api/data/v9.2/'],
  ])('takes %s for the same environment', (url, apiUrl) => {
    const settings = connectionSettings(parseSettings({ ...complete, Dataverse__default__url: url }), 'default');
    expect(settings).toMatchObject({ environment: 'https://contoso.crm4.dynamics.com', apiUrl });
  });

  test.each([
    ['https://contoso.crm.microsoftdynamics.us', 'https://login.microsoftonline.us'],
    ['https://contoso.crm.appsplatform.us', 'https://login.microsoftonline.us'],
    ['https://contoso.crm.dynamics.cn', 'https://login.partner.microsoftonline.cn'],
    ['https://contoso.crm9.dynamics.com', 'https://login.microsoftonline.com'],
  ])('asks the cloud of %s for its tokens', (url, authority) => {
    const settings = connectionSettings(parseSettings({ ...complete, Dataverse__default__url: url }), 'default');
    expect(new URL(settings.authority).origin).toBe(authority);
  });

  test.each([
    'http://contoso.crm4.dynamics.com',
    'https://contoso.example.com',
    'https://crm4.dynamics.com.example.com',
    'https://contoso.crm4.dynamics.com:8443',
    'https://user:password@contoso.crm4.dynamics.com',
    'https://contoso.crm4.dynamics.com/api/data/v8.2/',
    'https://contoso.crm4.dynamics.com/?x=1',
    'https://evil.dynamics.com',
  ])('refuses the URL %s', (url) => {
    expect(faultsOf({ ...complete, Dataverse__default__url: url })).toEqual(['Dataverse__default__url']);
  });

  test('refuses a token URL that is not Entra’s', () => {
    const env = { ...complete, Dataverse__default__tokenUrl: 'https://login.example.com/t/oauth2/v2.0/token' };
    expect(faultsOf(env)).toEqual(['Dataverse__default__tokenUrl']);
  });

  test('tells every fault of its settings together and leaves the others alone', () => {
    const env = {
      ...complete,
      Dataverse__test__url: 'nonsense',
      Dataverse__test__clientId: '12',
      Dataverse__test__colour: 'blue',
      Dataverse__test__maxConcurrency: '500',
    };
    expect(faultsOf(env)).toEqual([
      'Dataverse__test__colour',
      'Dataverse__test__url',
      'Dataverse__test__tenantId',
      'Dataverse__test__clientId',
      'Dataverse__test__credential',
      'Dataverse__test__maxConcurrency',
    ]);
    expect(parseSettings(env).faults).toEqual([]);
    expect([...parseSettings(env).connections.keys()]).toEqual(['default']);
    expect(() => connectionSettings(parseSettings(env), 'test')).toThrow(
      expect.objectContaining({ code: 'settingsFault' }),
    );
  });

  test.each([
    [undefined, 1],
    ['100', 1],
    ['25', 0.25],
  ])('takes the budget %s as a part of the limits', (budget, part) => {
    const env = { ...complete, ...(budget !== undefined && { Dataverse__default__budget: budget }) };
    expect(connectionSettings(parseSettings(env), 'default').budget).toBe(part);
  });

  test.each(['0', '101', '12.5', '50%'])('refuses the budget %s', (budget) => {
    expect(faultsOf({ ...complete, Dataverse__default__budget: budget })).toEqual(['Dataverse__default__budget']);
  });

  test('that nobody defined is named together with those that are', () => {
    expect(() => connectionSettings(parseSettings(complete), 'prod')).toThrow(
      expect.objectContaining({ code: 'connectionUnknown', hint: 'Connections are: default.' }),
    );
  });
});

describe('a credential', () => {
  const { Dataverse__default__certificateName: _, ...bare } = complete;
  const set = (properties: Record<string, string>): Record<string, string> => ({
    ...bare,
    ...Object.fromEntries(Object.entries(properties).map(([name, value]) => [`Dataverse__default__${name}`, value])),
  });

  test.each([
    [{ certificateName: 'bridge' }, { kind: 'certificate', certificateName: 'bridge' }],
    [
      { credential: 'certificate', certificateName: 'bridge' },
      { kind: 'certificate', certificateName: 'bridge' },
    ],
    [
      { credential: 'vaultKey', certificateName: 'bridge' },
      { kind: 'vaultKey', certificateName: 'bridge' },
    ],
    [
      { credential: 'secret', secretName: 'bridge' },
      { kind: 'secret', secretName: 'bridge' },
    ],
    [{ credential: 'managedIdentity' }, { kind: 'managedIdentity' }],
  ])('is read from %j', (properties, credential) => {
    expect(connectionSettings(parseSettings(set(properties)), 'default').credential).toEqual(credential);
  });

  test.each([
    [{}, ['credential']],
    [{ secretName: 'bridge' }, ['credential']],
    [{ credential: 'authorizationCode' }, ['credential']],
    [{ credential: 'password', secretName: 'bridge' }, ['credential']],
    [{ credential: 'secret' }, ['secretName']],
    [{ credential: 'secret', certificateName: 'bridge' }, ['certificateName', 'secretName']],
    [{ credential: 'vaultKey', certificateName: 'a b' }, ['certificateName']],
    [{ certificateName: 'bridge', secretName: 'bridge' }, ['secretName']],
    [
      { credential: 'managedIdentity', certificateName: 'bridge', secretName: 'bridge' },
      ['certificateName', 'secretName'],
    ],
  ])('is refused in %j', (properties, faults) => {
    expect(faultsOf(set(properties))).toEqual(faults.map((property) => `Dataverse__default__${property}`));
  });

  test('that nothing is stored for needs no vault', () => {
    const { KEY_VAULT_URI: _vault, ...env } = set({ credential: 'managedIdentity' });
    expect(faultsOf(env)).toEqual([]);
  });
});

test('a scope for another host than the environment’s is named, and the connection can be tried all the same', () => {
  const warningsFor = (scope: string) => {
    const settings = parseSettings({ ...complete, Dataverse__default__scope: scope });
    expect(settings.connections.has('default')).toBe(true);
    return settings.connectionWarnings.get('default');
  };
  expect(warningsFor('https://contoso.crm4.dynamics.com/.default')).toBeUndefined();
  expect(warningsFor('https://contoso.api.crm4.dynamics.com/.default')).toEqual([
    { setting: 'Dataverse__default__scope', message: expect.stringContaining('contoso.crm4.dynamics.com') },
  ]);
});

describe('app-wide settings', () => {
  test('without faults are accepted', () => {
    expect(faultsOf(complete)).toEqual([]);
  });

  test('that are missing or wrong are told together', () => {
    expect(
      faultsOf({ ...connection, BRIDGE_WRITES: 'maybe', BRIDGE_AUTH: 'none', MANAGED_IDENTITY_CLIENT_ID: 'x' }),
    ).toEqual([
      'KEY_VAULT_URI',
      'MANAGED_IDENTITY_CLIENT_ID',
      'BRIDGE_AUTH',
      'BRIDGE_WRITES',
      'AzureWebJobsStorage__blobServiceUri',
      'AzureWebJobsStorage__queueServiceUri',
      'AzureWebJobsStorage__tableServiceUri',
    ]);
  });

  test('refuse a vault that is not Key Vault and a storage key', () => {
    expect(faultsOf({ ...complete, KEY_VAULT_URI: 'https://vault.example.com/' })).toEqual(['KEY_VAULT_URI']);
    const env = { ...complete, AzureWebJobsStorage: 'DefaultEndpointsProtocol=https;AccountName=a;AccountKey=b' };
    expect(faultsOf(env)).toEqual(['AzureWebJobsStorage']);
  });

  test('take the local cloud on loopback addresses only', () => {
    expect(faultsOf({ ...complete, KEY_VAULT_URI: 'https://localhost:8443/' })).toEqual([]);
    expect(faultsOf({ ...complete, KEY_VAULT_URI: 'https://localhost.example.com:8443/' })).toEqual(['KEY_VAULT_URI']);
    expect(faultsOf({ ...complete, Dataverse__default__url: 'https://127.0.0.1.example.com' })).toEqual([
      'Dataverse__default__url',
    ]);
  });

  test('with a name of the wrong form are told', () => {
    expect(faultsOf({ ...complete, Dataverse__Default__url: 'https://x', Webhook__a: 'b' })).toEqual([
      'Dataverse__Default__url',
      'Webhook__a',
    ]);
  });
});

describe('a webhook endpoint', () => {
  test('has the documented defaults', () => {
    const { webhooks } = parseSettings({ ...complete, Webhook__main__secretName: 'hook' });
    expect(webhooks.get('main')).toEqual({
      name: 'main',
      secretName: 'hook',
      connection: 'default',
      header: 'x-bridge-key',
      query: undefined,
    });
  });

  test('must name a connection that exists', () => {
    expect(faultsOf({ ...complete, Webhook__main__secretName: 'hook', Webhook__main__connection: 'prod' })).toEqual([
      'Webhook__main__connection',
    ]);
  });
});
