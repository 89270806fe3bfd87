import { DynamicsWebApi } from 'dynamics-web-api';
import { afterAll, describe, expect, test } from 'vitest';
import { startDataverse } from '../../../src/local/dataverse/server.ts';
import { contractSuite } from './suite.ts';
import { openWorld, refusal } from './world.ts';

const ID = '00000000-0000-0000-0000-000000000001';

const faults: string[] = [];

const world = openWorld(async () => {
  const dataverse = await startDataverse({ auth: { kind: 'none' }, keyStepMs: 1, log: (line) => faults.push(line) });
  return { url: dataverse.url, close: () => dataverse.close() };
});

afterAll(() => expect(faults).toEqual([]));

contractSuite(world);

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
