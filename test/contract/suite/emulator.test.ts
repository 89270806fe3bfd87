import { randomUUID } from 'node:crypto';
import { DynamicsWebApi } from 'dynamics-web-api';
import { afterAll, describe, expect, test } from 'vitest';
import { startDataverse } from '../../../src/local/dataverse/server.ts';
import { contractSuite } from './suite.ts';
import { openWorld, refusal } from './world.ts';

const ID = '00000000-0000-0000-0000-000000000001';

const OTHER = {
  clientId: '0a000000-0000-4000-8000-000000000009',
  systemUserId: '0b000000-0000-4000-8000-000000000009',
  objectId: '0c000000-0000-4000-8000-000000000009',
  roles: ['System Administrator'],
};

const faults: string[] = [];

const world = openWorld(async () => {
  const log = (line: string) => void faults.push(line);
  const dataverse = await startDataverse({ auth: { kind: 'none' }, users: [OTHER], keyStepMs: 1, log });
  return { url: dataverse.url, close: () => dataverse.close() };
});

afterAll(() => expect(faults).toEqual([]));

contractSuite(world);

test('rows of an elastic table are addressed by their partition', async () => {
  const { client } = world;
  const row = { collection: 'contoso_sensordatas', partitionId: 'Device-1' };
  // The client reads no id from an address with two keys.
  const key = randomUUID();
  const values = {
    contoso_sensordataid: key,
    contoso_deviceid: 'Device-1',
    contoso_value: 40,
    partitionid: 'Device-1',
  };
  await client.create({ ...row, data: values });
  // PATCH takes the partition from the body alone.
  await client.update({ ...row, key, data: { contoso_value: 41, partitionid: 'Device-1' } });
  expect(await client.retrieve({ ...row, key, select: ['contoso_value'] })).toMatchObject({ contoso_value: 41 });
  await client.upsert({ ...row, key, data: { ...values, contoso_value: 42 } });
  const { value } = await client.retrieveMultiple({ ...row, select: ['contoso_value'] });
  expect(value).toMatchObject([{ contoso_sensordataid: key, contoso_value: 42 }]);
  expect(await client.deleteRecord({ ...row, key })).toBe(true);
});

test('a user is acted for by its object in Entra too', async () => {
  const asOther = world.newClient({ impersonateAAD: OTHER.objectId });
  expect(await asOther.callFunction('WhoAmI')).toMatchObject({ UserId: OTHER.systemUserId });
});

describe('what is not emulated answers 501', () => {
  const account = { collection: 'accounts', data: { name: 'never' } };
  const column = { collection: 'accounts', key: ID, property: 'entityimage' };
  const requests: readonly (readonly [string, (client: DynamicsWebApi) => Promise<unknown>])[] = [
    ['duplicate detection', (client) => client.create({ ...account, duplicateDetection: true })],
    ['passing over business logic', (client) => client.create({ ...account, bypassCustomPluginExecution: true })],
    ['change tracking', (client) => client.retrieveMultiple({ collection: 'accounts', trackChanges: true })],
    ['files, up', (client) => client.uploadFile({ ...column, fileName: 'a.png', data: Buffer.from('image') })],
    ['files, down', (client) => client.downloadFile(column)],
    ['search', (client) => client.search('contoso')],
    ['search by query', (client) => client.query({ query: { search: 'contoso' } })],
    ['suggestions', (client) => client.suggest('contoso')],
    ['completions', (client) => client.autocomplete('contoso')],
    ['the state of background work', (client) => client.getBackgroundOperationStatus(ID)],
    ['the end of background work', (client) => client.cancelBackgroundOperation(ID)],
    ['sharing', (client) => client.callAction({ actionName: 'GrantAccess', action: {} })],
  ];

  test.each(requests)('%s', async (_what, request) => {
    expect(await refusal(request(world.client))).toBe('501 0x80040219');
    expect(await world.client.count({ collection: 'accounts', filter: "name eq 'never'" })).toBe(0);
  });
});

test('no function of the client is left untried', () => {
  // These send nothing.
  world.client.initializeInstance();
  world.newClient({}).setConfig({ timeout: 10_000 });
  expect(world.client.Utility.toAbsoluteUrl('accounts')).toBe(`${world.apiUrl}accounts`);
  const all = Object.keys(new DynamicsWebApi({ serverUrl: world.url }));
  expect(all.filter((name) => !world.called.has(name))).toEqual([]);
});
