import { decodeJwt, jwtVerify } from 'jose';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { addManagedIdentity, newTenant } from '../../../../src/local/entra/directory.ts';
import { createManagedIdentity } from '../../../../src/local/entra/managed-identity.ts';
import { newSigningKeyPem, openSigningKey } from '../../../../src/local/entra/signing-key.ts';

const NOW = Date.parse('2026-11-20T17:11:27Z');
const HEADER = 'the-header';
const tenant = newTenant('Contoso');
const system = addManagedIdentity(tenant, { kind: 'systemAssigned', resourceId: '/subscriptions/1/sites/bridge' });
const user = addManagedIdentity(tenant, { kind: 'userAssigned', resourceId: '/subscriptions/1/identities/bridge' });
const key = openSigningKey(newSigningKeyPem());

function ask(
  query: Record<string, string>,
  { header = HEADER, of = tenant }: { header?: string; of?: typeof tenant } = {},
): Promise<Response> {
  const answer = createManagedIdentity({
    tenant: of,
    key,
    entraOrigin: 'https://localhost:1',
    header: HEADER,
    clock: { now: () => NOW, sleep: async () => {} },
    tokenLifetimeSeconds: 86_400,
  });
  const search = new URLSearchParams({ 'api-version': '2019-08-01', resource: 'https://vault.azure.net', ...query });
  return answer(new Request(`http://127.0.0.1:1/msi/token?${search}`, { headers: { 'x-identity-header': header } }));
}

const answerSchema = z.strictObject({
  access_token: z.string(),
  expires_on: z.string(),
  resource: z.string(),
  token_type: z.literal('Bearer'),
  client_id: z.string(),
});

test('the system-assigned identity gets a signed token of 24 hours', async () => {
  const answer = answerSchema.parse(await (await ask({})).json());
  expect(answer).toMatchObject({
    client_id: system.clientId,
    resource: 'https://vault.azure.net',
    expires_on: String(NOW / 1000 + 86_400),
  });
  const { payload } = await jwtVerify(answer.access_token, key.publicKey, { currentDate: new Date(NOW) });
  expect(payload).toMatchObject({
    iss: `https://sts.windows.net/${tenant.id}/`,
    aud: 'https://vault.azure.net',
    oid: system.objectId,
    appid: system.clientId,
    xms_mirid: '/subscriptions/1/sites/bridge',
  });
});

test.each([
  ['client_id', user.clientId],
  ['object_id', user.objectId],
  ['principal_id', user.objectId],
  ['mi_res_id', user.resourceId],
])('a user-assigned identity is found by %s', async (name, value) => {
  expect(answerSchema.parse(await (await ask({ [name]: value })).json()).client_id).toBe(user.clientId);
});

test('an unknown identity is refused with the body of App Service', async () => {
  const response = await ask({ client_id: '72f988bf-86f1-41af-91ab-2d7cd011db47' });
  expect(response.status).toBe(400);
  expect(await response.json()).toEqual({
    statusCode: 400,
    message: 'No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.',
    correlationId: expect.any(String),
  });
});

test('an app without a system-assigned identity has to name one', async () => {
  const response = await ask({}, { of: { ...tenant, managedIdentities: [user] } });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    message: 'No Managed Identity found for specified ClientId/ResourceId/PrincipalId.',
  });
});

test.each(['', 'the-heade', 'the-header2'])('a request with the identity header "%s" is refused', async (header) => {
  expect((await ask({}, { header })).status).toBe(401);
});

test('a resource that the tenant does not know is refused', async () => {
  const response = await ask({ resource: 'https://unknown.example' });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ message: expect.stringContaining('AADSTS500011') });
});

test('another api-version is refused', async () => {
  expect((await ask({ 'api-version': '2017-09-01' })).status).toBe(400);
});

test('a token for the exchange has the version 2 form that a federated credential names', async () => {
  const answer = answerSchema.parse(await (await ask({ resource: 'api://AzureADTokenExchange' })).json());
  expect(decodeJwt(answer.access_token)).toMatchObject({
    iss: `https://localhost:1/${tenant.id}/v2.0`,
    aud: 'fb60f99c-7a34-4190-8149-302f77469936',
    sub: system.objectId,
    ver: '2.0',
  });
});
