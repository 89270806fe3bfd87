import { X509Certificate } from 'node:crypto';
import { ClientSecretCredential, ManagedIdentityCredential } from '@azure/identity';
import { SecretClient } from '@azure/keyvault-secrets';
import { ConfidentialClientApplication, type Configuration } from '@azure/msal-node';
import { BlobServiceClient } from '@azure/storage-blob';
import { createLocalJWKSet, createRemoteJWKSet, jwtVerify } from 'jose';
import forge from 'node-forge';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { addClientSecret } from '../../src/local/entra/directory.ts';
import { importCertificate } from '../../src/local/key-vault/vault.ts';
import {
  CERTIFICATE_NAME,
  ENVIRONMENT_URL,
  startTestIdentity,
  type TestIdentity,
  useManagedIdentity,
} from '../support/identity.ts';
import { freshStorage } from '../support/storage.ts';

let identity: TestIdentity;

beforeAll(async () => {
  identity = await startTestIdentity();
  useManagedIdentity(identity);
});
afterAll(() => identity.close());

const secrets = () =>
  new SecretClient(identity.vaultUri, new ManagedIdentityCredential(), { disableChallengeResourceVerification: true });

function confidentialClient(credential: Partial<Configuration['auth']>): ConfidentialClientApplication {
  return new ConfidentialClientApplication({
    auth: {
      clientId: identity.company.application.clientId,
      authority: identity.authority,
      knownAuthorities: [new URL(identity.url).host],
      ...credential,
    },
  });
}

const dataverseToken = (app: ConfidentialClientApplication) =>
  app.acquireTokenByClientCredential({ scopes: [`${ENVIRONMENT_URL}/.default`] });

test('the managed identity reads the certificate from the vault and MSAL turns it into a Dataverse token', async () => {
  const { vault } = identity.company.state;
  const name = 'pem-certificate';
  importCertificate(vault, name, identity.company.certificate, {
    now: Date.now(),
    policy: { contentType: 'application/x-pem-file' },
  });
  const { value = '', properties } = await secrets().getSecret(name);
  expect(properties.contentType).toBe('application/x-pem-file');
  const thumbprintSha256 = new X509Certificate(value.slice(value.indexOf('-----BEGIN CERTIFICATE'))).fingerprint256;

  const app = confidentialClient({
    clientCertificate: { thumbprintSha256: thumbprintSha256.replaceAll(':', ''), privateKey: value },
  });
  const result = await dataverseToken(app);

  const { payload, protectedHeader } = await jwtVerify(result?.accessToken ?? '', createLocalJWKSet(identity.jwks), {
    issuer: `https://sts.windows.net/${identity.tenantId}/`,
    audience: ENVIRONMENT_URL,
  });
  expect(protectedHeader).toEqual({ typ: 'JWT', alg: 'RS256', kid: expect.any(String), x5t: expect.any(String) });
  expect(payload).toMatchObject({
    appid: identity.company.application.clientId,
    appidacr: '2',
    idtyp: 'app',
    oid: identity.company.application.objectId,
    sub: identity.company.application.objectId,
    tid: identity.tenantId,
    ver: '1.0',
  });
});

test('a certificate stored as PFX is read with its key', async () => {
  const { value = '', properties } = await secrets().getSecret(CERTIFICATE_NAME);
  expect(properties.contentType).toBe('application/x-pkcs12');
  const der = forge.util.createBuffer(Buffer.from(value, 'base64').toString('binary'));
  const bags = forge.pkcs12.pkcs12FromAsn1(forge.asn1.fromDer(der), '').getBags({
    bagType: forge.pki.oids['pkcs8ShroudedKeyBag'] ?? '',
  });
  const key = Object.values(bags).flat()[0]?.key;
  expect(key && forge.pki.privateKeyToPem(key)).toBe(
    forge.pki.privateKeyToPem(forge.pki.privateKeyFromPem(identity.company.certificate.keyPem)),
  );
});

test('MSAL obtains a token with the managed identity as federated credential', async () => {
  const { application, userAssigned } = identity.company;
  application.federatedCredentials.push({
    issuer: `https://login.microsoftonline.com/${identity.tenantId}/v2.0`,
    subject: userAssigned.objectId,
    audience: 'api://AzureADTokenExchange',
  });
  const managedIdentity = new ManagedIdentityCredential({ clientId: userAssigned.clientId });
  const app = confidentialClient({
    clientAssertion: async () => (await managedIdentity.getToken('api://AzureADTokenExchange/.default')).token,
  });
  expect((await dataverseToken(app))?.accessToken).toMatch(/^ey/);
});

test('MSAL and @azure/identity obtain tokens with a client secret', async () => {
  const { application } = identity.company;
  addClientSecret(application, 'a secret of the test', Date.now() + 60_000);
  const app = confidentialClient({ clientSecret: 'a secret of the test' });
  expect((await dataverseToken(app))?.tokenType).toBe('Bearer');

  const credential = new ClientSecretCredential(identity.tenantId, application.clientId, 'a secret of the test', {
    authorityHost: identity.url,
    disableInstanceDiscovery: true,
  });
  expect((await credential.getToken(`${ENVIRONMENT_URL}/.default`)).token).toMatch(/^ey/);
});

test('MSAL tells the AADSTS number of a refusal', async () => {
  const app = confidentialClient({ clientSecret: 'not the secret' });
  await expect(dataverseToken(app)).rejects.toMatchObject({
    errorCode: 'invalid_client',
    errorNo: 7000215,
    status: 401,
  });
});

test('Azurite takes the tokens of a managed identity', async () => {
  const { blobServiceUri } = freshStorage();
  const blobs = new BlobServiceClient(blobServiceUri, new ManagedIdentityCredential());
  await blobs.createContainer('with-identity');
  expect(await blobs.getContainerClient('with-identity').exists()).toBe(true);
});

test('the published keys verify tokens for anyone who reads the metadata', async () => {
  const response = await fetch(`${identity.authority}/v2.0/.well-known/openid-configuration`);
  const metadata = z.looseObject({ jwks_uri: z.url() }).parse(await response.json());
  expect(metadata).toMatchObject({
    issuer: `${identity.authority}/v2.0`,
    token_endpoint: `${identity.authority}/oauth2/v2.0/token`,
  });
  const keys = createRemoteJWKSet(new URL(metadata.jwks_uri));
  const { token } = await new ManagedIdentityCredential().getToken('https://storage.azure.com/.default');
  await expect(jwtVerify(token, keys)).resolves.toBeDefined();
});
