import { ManagedIdentityCredential } from '@azure/identity';
import { SecretClient, type SecretProperties } from '@azure/keyvault-secrets';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { disabled, forbiddenByRbac, notFound, throttled, unavailable } from '../../src/local/key-vault/errors.ts';
import { mintToken, startTestIdentity, type TestIdentity, useManagedIdentity } from '../support/identity.ts';

let identity: TestIdentity;
let client: SecretClient;

beforeAll(async () => {
  identity = await startTestIdentity();
  const { vault } = identity.company.state;
  const principalId = identity.company.systemAssigned.objectId;
  vault.roleAssignments.push({ principalId, role: 'Key Vault Secrets Officer' });
  useManagedIdentity(identity);
  client = new SecretClient(identity.vaultUri, new ManagedIdentityCredential(), {
    disableChallengeResourceVerification: true,
    retryOptions: { maxRetries: 1, retryDelayInMs: 1 },
  });
});
afterEach(() => identity.faults.clear());
afterAll(() => identity.close());

async function all(pages: AsyncIterable<SecretProperties>): Promise<SecretProperties[]> {
  const found: SecretProperties[] = [];
  for await (const properties of pages) found.push(properties);
  return found;
}

test('the SDK sets, reads, updates and lists secrets and their versions', async () => {
  const expiresOn = new Date('2030-01-01T00:00:00Z');
  const first = await client.setSecret('webhook-key', 'one', { expiresOn, contentType: 'text/plain' });
  await client.setSecret('webhook-key', 'two');
  expect((await client.getSecret('webhook-key')).value).toBe('two');

  const version = first.properties.version ?? '';
  const old = await client.getSecret('webhook-key', { version });
  expect(old).toMatchObject({ value: 'one', properties: { expiresOn, contentType: 'text/plain', enabled: true } });

  await client.updateSecretProperties('webhook-key', version, { enabled: false });
  await expect(client.getSecret('webhook-key', { version })).rejects.toMatchObject({
    statusCode: 403,
    code: 'Forbidden',
    details: { error: { innerError: { code: 'SecretDisabled' } } },
  });
  const versions = await all(client.listPropertiesOfSecretVersions('webhook-key'));
  expect(versions.map(({ enabled }) => enabled).toSorted()).toEqual([false, true]);

  for (let number = 0; number < 30; number += 1) await client.setSecret(`many-${number}`, 'x');
  const names = (await all(client.listPropertiesOfSecrets())).map(({ name }) => name);
  expect(names.filter((name) => name.startsWith('many-'))).toHaveLength(30);
});

test('the SDK tells a missing secret', async () => {
  await expect(client.getSecret('nothing')).rejects.toMatchObject({ statusCode: 404, code: 'SecretNotFound' });
});

test('the SDK says that deleting is not emulated', async () => {
  await expect(client.beginDeleteSecret('webhook-key')).rejects.toMatchObject({ statusCode: 501, code: 'NotEmulated' });
});

test.each([
  ['denies', 403, 'Forbidden', 'denied'],
  ['does not know the secret', 404, 'SecretNotFound', 'missing'],
  ['has the secret disabled', 403, 'Forbidden', 'disabled'],
  ['is down', 503, 'ServiceUnavailable', 'unavailable'],
  ['throttles', 429, 'Throttled', 'throttled'],
] as const)('the SDK tells that the vault %s', async (_, statusCode, code, fault) => {
  await client.setSecret('present', 'x');
  const { vault } = identity.company.state;
  const caller = { clientId: 'c', objectId: 'o', issuer: 'i', action: 'secrets/getSecret/action' };
  const refusals = {
    denied: forbiddenByRbac({ ...caller, object: 'secrets/present', vault }),
    missing: notFound('secrets', 'present'),
    disabled: disabled('secrets', 'get'),
    unavailable: unavailable(),
    throttled: throttled(0),
  };
  identity.faults.add({ path: '/secrets/present', answer: () => refusals[fault].toResponse() });
  await expect(client.getSecret('present')).rejects.toMatchObject({ statusCode, code });
});

test('the SDK goes on when throttling ends', async () => {
  await client.setSecret('busy', 'x');
  identity.faults.add({ path: '/secrets/busy', times: 1, answer: () => throttled(0).toResponse() });
  expect((await client.getSecret('busy')).value).toBe('x');
});

test('a token minted for another resource does not open the vault', async () => {
  const bearer = await mintToken(identity, 'https://storage.azure.com', identity.company.systemAssigned);
  const response = await fetch(`${identity.vaultUri}secrets/webhook-key?api-version=2025-07-01`, {
    headers: { authorization: `Bearer ${bearer}` },
  });
  expect(response.status).toBe(401);
});
