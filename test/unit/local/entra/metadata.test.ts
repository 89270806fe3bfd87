import { expect, test } from 'vitest';
import { newTenant } from '../../../../src/local/entra/directory.ts';
import { createEntra } from '../../../../src/local/entra/entra.ts';
import { newSigningKeyPem, openSigningKey } from '../../../../src/local/entra/signing-key.ts';
import { systemClock } from '../../../../src/shared/clock.ts';

const ORIGIN = 'https://localhost:1';
const tenant = newTenant('Contoso');
const key = openSigningKey(newSigningKeyPem());
const entra = createEntra({
  directory: { tenants: [tenant] },
  key,
  origin: ORIGIN,
  clock: systemClock,
  tokenLifetimeSeconds: 3599,
  clockToleranceSeconds: 300,
});
const get = (path: string) => entra(new Request(ORIGIN + path));

test('the metadata of a tenant name its endpoints', async () => {
  const response = await get(`/${tenant.id}/v2.0/.well-known/openid-configuration`);
  expect(await response.json()).toMatchObject({
    issuer: `${ORIGIN}/${tenant.id}/v2.0`,
    token_endpoint: `${ORIGIN}/${tenant.id}/oauth2/v2.0/token`,
    authorization_endpoint: `${ORIGIN}/${tenant.id}/oauth2/v2.0/authorize`,
    jwks_uri: `${ORIGIN}/${tenant.id}/discovery/v2.0/keys`,
  });
});

test('the metadata of "common" have a placeholder for the tenant in their issuer', async () => {
  const response = await get('/common/v2.0/.well-known/openid-configuration');
  expect(await response.json()).toMatchObject({
    issuer: `${ORIGIN}/{tenantid}/v2.0`,
    token_endpoint: `${ORIGIN}/common/oauth2/v2.0/token`,
  });
});

test('the metadata of an unknown tenant are refused with 90002', async () => {
  const response = await get('/nobody/v2.0/.well-known/openid-configuration');
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: 'invalid_tenant', error_codes: [90002] });
});

test('the published keys hold no private part', async () => {
  const response = await get(`/${tenant.id}/discovery/v2.0/keys`);
  expect(await response.json()).toEqual({
    keys: [{ kty: 'RSA', use: 'sig', kid: key.kid, x5t: key.kid, n: expect.any(String), e: 'AQAB' }],
  });
});

test('a key that was stored keeps its name', () => {
  const pem = newSigningKeyPem();
  expect(openSigningKey(pem).kid).toBe(openSigningKey(pem).kid);
});

test('a path that Entra does not have is not found', async () => {
  expect((await get(`/${tenant.id}/oauth2/v2.0/authorize`)).status).toBe(404);
});
