import { createHash, createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { decodeJwt, SignJWT } from 'jose';
import { beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { makeCertificate } from '../../../../src/local/certificates.ts';
import {
  type Application,
  addClientSecret,
  addResource,
  newTenant,
  registerApplication,
  type Tenant,
} from '../../../../src/local/entra/directory.ts';
import { createEntra } from '../../../../src/local/entra/entra.ts';
import { newSigningKeyPem, openSigningKey } from '../../../../src/local/entra/signing-key.ts';
import { issueToken } from '../../../../src/local/entra/tokens.ts';

const ORIGIN = 'https://localhost:1';
const ENVIRONMENT = 'https://contoso.crm4.dynamics.com';
const NOW = Date.parse('2026-11-20T17:11:27Z');
const SECONDS = NOW / 1000;
const DAY_MS = 86_400_000;

const key = openSigningKey(newSigningKeyPem());
const certificate = makeCertificate({ subject: 'Bridge', validFrom: NOW - DAY_MS, validTo: NOW + DAY_MS });
const otherCertificate = makeCertificate({ subject: 'Other', validFrom: NOW - DAY_MS, validTo: NOW + DAY_MS });

const refusalSchema = z.object({
  error: z.string(),
  error_description: z.string(),
  error_codes: z.array(z.number()),
  timestamp: z.string(),
  trace_id: z.guid(),
  correlation_id: z.string(),
  error_uri: z.string(),
});

let tenant: Tenant;
let application: Application;
let now: number;

beforeEach(() => {
  now = NOW;
  tenant = newTenant('Contoso');
  addResource(tenant, { uri: ENVIRONMENT, name: 'Dataverse' });
  application = registerApplication(tenant, { name: 'Bridge', certificates: [certificate.certPem] });
});

function ask(form: Record<string, string>, tenantName = tenant.id): Promise<Response> {
  const entra = createEntra({
    directory: { tenants: [tenant] },
    key,
    origin: ORIGIN,
    clock: { now: () => now, sleep: async () => {} },
    tokenLifetimeSeconds: 3599,
    clockToleranceSeconds: 300,
  });
  return entra(
    new Request(`${ORIGIN}/${tenantName}/oauth2/v2.0/token?client-request-id=1`, {
      method: 'POST',
      headers: { 'client-request-id': 'of-the-client' },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: application.clientId,
        scope: `${ENVIRONMENT}/.default`,
        ...form,
      }),
    }),
  );
}

async function refusal(response: Response) {
  const body = refusalSchema.parse(await response.json());
  return { status: response.status, error: body.error, code: body.error_codes[0], text: body.error_description };
}

interface AssertionChanges {
  claims?: Record<string, unknown>;
  header?: Record<string, unknown>;
  alg?: string;
  signedWith?: string;
}

async function assertion(changes: AssertionChanges = {}): Promise<Record<string, string>> {
  const jwt = await new SignJWT({
    aud: `${ORIGIN}/${tenant.id}/oauth2/v2.0/token`,
    iss: application.clientId,
    sub: application.clientId,
    jti: 'one',
    nbf: SECONDS,
    exp: SECONDS + 600,
    ...changes.claims,
  })
    .setProtectedHeader({
      alg: changes.alg ?? 'PS256',
      typ: 'JWT',
      'x5t#S256': Buffer.from(certificate.thumbprintSha256, 'hex').toString('base64url'),
      ...changes.header,
    })
    .sign(createPrivateKey(changes.signedWith ?? certificate.keyPem));
  return asAssertion(jwt);
}

const asAssertion = (jwt: string) => ({
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  client_assertion: jwt,
});

const sha1Of = (pem: string) => createHash('sha1').update(new X509Certificate(pem).raw).digest('base64url');

describe('a client assertion signed with a certificate', () => {
  test('obtains a token, and again when it is sent once more', async () => {
    const form = await assertion();
    for (const response of [await ask(form), await ask(form)]) {
      expect(response.status).toBe(200);
      expect(await response.json()).toEqual({
        token_type: 'Bearer',
        expires_in: 3599,
        ext_expires_in: 3599,
        access_token: expect.any(String),
      });
    }
  });

  test('may be signed with RS256 and name the certificate by SHA-1', async () => {
    const header = { 'x5t#S256': undefined, x5t: sha1Of(certificate.certPem) };
    expect((await ask(await assertion({ alg: 'RS256', header }))).status).toBe(200);
  });

  test('may name the tenant instead of the token endpoint as audience, and leave nbf out', async () => {
    const claims = { aud: `${ORIGIN}/${tenant.id}/v2.0`, nbf: undefined };
    expect((await ask(await assertion({ claims }))).status).toBe(200);
  });

  test('is refused with 700027 when its certificate is not registered', async () => {
    application.certificates = [otherCertificate.certPem];
    expect(await refusal(await ask(await assertion()))).toMatchObject({
      status: 401,
      error: 'invalid_client',
      code: 700027,
      text: expect.stringContaining(
        `is not registered on application. [Reason - The key was not found., Thumbprint of key used by client: '${certificate.thumbprintSha256}'`,
      ),
    });
  });

  test('is refused with 700027 when another key has signed it', async () => {
    const form = await assertion({ signedWith: otherCertificate.keyPem });
    expect(await refusal(await ask(form))).toMatchObject({
      status: 401,
      code: 700027,
      text: expect.stringContaining('did not match the expected signature value'),
    });
  });

  test.each([
    ['has expired', NOW + 2 * DAY_MS],
    ['is not valid yet', NOW - 2 * DAY_MS],
  ])('is refused with 700027 when the registered certificate %s', async (_, at) => {
    now = at;
    const claims = { nbf: at / 1000, exp: at / 1000 + 600 };
    expect(await refusal(await ask(await assertion({ claims })))).toMatchObject({
      status: 401,
      code: 700027,
      text: expect.stringContaining('[Reason - The key used is expired., Thumbprint'),
    });
  });

  test.each([
    ['has expired', { nbf: SECONDS - 1200, exp: SECONDS - 301 }],
    ['is of the future', { nbf: SECONDS + 301, exp: SECONDS + 900 }],
  ])('is refused with 700024 when it %s', async (_, claims) => {
    expect(await refusal(await ask(await assertion({ claims })))).toMatchObject({
      status: 401,
      error: 'invalid_client',
      code: 700024,
      text: expect.stringContaining('Current time: 2026-11-20T17:11:27.0000000Z, assertion valid from 2026-11-20T'),
    });
  });

  test('is accepted from a clock that is off by five minutes', async () => {
    expect((await ask(await assertion({ claims: { nbf: SECONDS + 299, exp: SECONDS + 900 } }))).status).toBe(200);
    expect((await ask(await assertion({ claims: { nbf: SECONDS - 900, exp: SECONDS - 299 } }))).status).toBe(200);
  });

  test.each([
    ['700023 when it is for another audience', { aud: 'https://login.microsoftonline.com/common' }, 401, 700023],
    ['700021 when its issuer is another application', { iss: 'b', sub: 'b' }, 401, 700021],
    ['50048 when its subject is not its issuer', { sub: 'b' }, 401, 50048],
    ['50027 when it has a list of audiences', { aud: [`${ORIGIN}/v2.0`] }, 400, 50027],
    ['50027 when it never expires', { exp: undefined }, 400, 50027],
  ])('is refused with %s', async (_, claims, status, code) => {
    expect(await refusal(await ask(await assertion({ claims })))).toMatchObject({ status, code });
  });

  test('is refused with 50027 when it names no certificate', async () => {
    const form = await assertion({ header: { 'x5t#S256': undefined } });
    expect(await refusal(await ask(form))).toMatchObject({ status: 400, error: 'invalid_request', code: 50027 });
  });

  test.each([
    ['is no JWT', 'abc'],
    ['is not signed', `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`],
  ])('is refused with 50027 when it %s', async (_, jwt) => {
    expect(await refusal(await ask(asAssertion(jwt)))).toMatchObject({ status: 400, code: 50027 });
  });

  test('is refused with 50027 when it is signed with another algorithm', async () => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });
    const form = await assertion({ alg: 'ES256', signedWith: ec.toString() });
    expect(await refusal(await ask(form))).toMatchObject({ status: 400, code: 50027 });
  });

  test('is refused with 50027 when its type is not that of a JWT', async () => {
    const form = { ...(await assertion()), client_assertion_type: 'saml' };
    expect(await refusal(await ask(form))).toMatchObject({ status: 400, code: 50027 });
  });
});

describe('a managed identity as federated credential', () => {
  const SUBJECT = '5f0a0b8c-1111-4222-8333-abcdefabcdef';

  async function managedIdentityToken(issuing: Partial<Parameters<typeof issueToken>[0]> = {}) {
    const resource = tenant.resources.find(({ uri }) => uri === 'api://AzureADTokenExchange');
    if (!resource) throw new Error('The tenant has no token exchange.');
    const subject = { tenantId: tenant.id, clientId: 'c', objectId: SUBJECT, authentication: '2' } as const;
    const defaults = { key, origin: ORIGIN, now: NOW, lifetimeSeconds: 86_400 };
    return asAssertion(await issueToken({ ...defaults, ...issuing }, resource, resource.uri, subject));
  }

  function trust(changes: Partial<Application['federatedCredentials'][number]> = {}): void {
    application.federatedCredentials.push({
      issuer: `https://login.microsoftonline.com/${tenant.id}/v2.0`,
      subject: SUBJECT,
      audience: 'api://AzureADTokenExchange',
      ...changes,
    });
  }

  test('obtains a token of the application', async () => {
    trust();
    const response = await ask(await managedIdentityToken());
    const { access_token } = z.object({ access_token: z.string() }).parse(await response.json());
    expect(decodeJwt(access_token)).toMatchObject({ appid: application.clientId, appidacr: '2' });
  });

  test.each([
    ['700211 when no credential names its issuer', { issuer: 'https://token.actions.githubusercontent.com' }, 700211],
    ['700212 when none names its audience', { audience: 'api://other' }, 700212],
    ['700213 when none names its subject', { subject: 'b' }, 700213],
    ['7002138 when its subject differs in case', { subject: SUBJECT.toUpperCase() }, 7002138],
  ])('is refused with %s', async (_, changes, code) => {
    trust(changes);
    const found = await refusal(await ask(await managedIdentityToken()));
    expect(found).toMatchObject({ status: 401, error: 'invalid_client', code });
    expect(found.text).toContain('No matching federated identity record found for presented assertion');
  });

  test('is refused with 5000811 when another Entra has signed its token', async () => {
    trust();
    const form = await managedIdentityToken({ key: openSigningKey(newSigningKeyPem()) });
    expect(await refusal(await ask(form))).toMatchObject({ status: 401, code: 5000811 });
  });

  test('is refused with 700024 when its token has expired', async () => {
    trust();
    const form = await managedIdentityToken({ now: NOW - DAY_MS - 400_000 });
    expect(await refusal(await ask(form))).toMatchObject({ status: 401, code: 700024 });
  });
});

describe('a client secret', () => {
  beforeEach(() => addClientSecret(application, 'correct', NOW + DAY_MS));

  test('obtains a token that says so', async () => {
    const { access_token } = z
      .object({ access_token: z.string() })
      .parse(await (await ask({ client_secret: 'correct' })).json());
    expect(decodeJwt(access_token)).toMatchObject({ appidacr: '1' });
  });

  test('is not kept in the directory', () => {
    expect(JSON.stringify(tenant)).not.toContain('correct');
  });

  test('is refused with 7000215 when it is wrong', async () => {
    expect(await refusal(await ask({ client_secret: 'wrong' }))).toMatchObject({
      status: 401,
      error: 'invalid_client',
      code: 7000215,
      text: expect.stringContaining(`for a secret added to app '${application.clientId}'.`),
    });
  });

  test('is refused with 7000222 once it has expired', async () => {
    now = NOW + DAY_MS;
    expect(await refusal(await ask({ client_secret: 'correct' }))).toMatchObject({ status: 401, code: 7000222 });
  });
});

describe('a token request', () => {
  test('without a credential is refused with 7000218', async () => {
    expect(await refusal(await ask({}))).toMatchObject({ status: 401, error: 'invalid_client', code: 7000218 });
  });

  test('of an unknown tenant is refused with 90002', async () => {
    expect(await refusal(await ask(await assertion(), 'contoso.onmicrosoft.com'))).toMatchObject({
      status: 400,
      error: 'invalid_request',
      code: 90002,
      text: expect.stringContaining("Tenant 'contoso.onmicrosoft.com' not found."),
    });
  });

  test('of no tenant in particular is refused with 50059', async () => {
    expect(await refusal(await ask(await assertion(), 'common'))).toMatchObject({ status: 400, code: 50059 });
  });

  test('finds its tenant whatever the case', async () => {
    expect((await ask(await assertion(), tenant.id.toUpperCase())).status).toBe(200);
  });

  test('of an unknown application is refused with 700016', async () => {
    expect(await refusal(await ask({ ...(await assertion()), client_id: 'nobody' }))).toMatchObject({
      status: 400,
      error: 'unauthorized_client',
      code: 700016,
      text: expect.stringContaining("'nobody' was not found in the directory 'Contoso'."),
    });
  });

  test.each([
    ['without /.default', 1002012, 'invalid_scope', `${ENVIRONMENT}/user_impersonation`],
    ['of two resources', 1002012, 'invalid_scope', `${ENVIRONMENT}/.default https://vault.azure.net/.default`],
    ['of an unknown resource', 500011, 'invalid_resource', 'https://fabrikam.crm4.dynamics.com/.default'],
  ])('for a scope %s is refused with %i', async (_, code, error, scope) => {
    expect(await refusal(await ask({ ...(await assertion()), scope }))).toMatchObject({ status: 400, error, code });
  });

  test('for a resource that demands an app role is refused with 501051 until one is granted', async () => {
    const api = addResource(tenant, { uri: 'api://bridge', name: 'Bridge', assignmentRequired: true, tokenVersion: 2 });
    const form = { ...(await assertion()), scope: 'api://bridge/.default' };
    expect(await refusal(await ask(form))).toMatchObject({ status: 400, error: 'invalid_grant', code: 501051 });

    application.appRoles['api://bridge'] = ['Bridge.Use'];
    const { access_token } = z.object({ access_token: z.string() }).parse(await (await ask(form)).json());
    expect(decodeJwt(access_token)).toMatchObject({
      aud: api.appId,
      iss: `${ORIGIN}/${tenant.id}/v2.0`,
      azp: application.clientId,
      azpacr: '2',
      roles: ['Bridge.Use'],
      ver: '2.0',
    });
  });

  test('for a resource with a slash at its end gets that audience', async () => {
    const response = await ask({ ...(await assertion()), scope: `${ENVIRONMENT}//.default` });
    const { access_token } = z.object({ access_token: z.string() }).parse(await response.json());
    expect(decodeJwt(access_token).aud).toBe(`${ENVIRONMENT}/`);
  });

  test.each(['grant_type', 'client_id', 'scope'])('without %s is refused with 900144', async (name) => {
    expect(await refusal(await ask({ ...(await assertion()), [name]: '' }))).toMatchObject({
      status: 400,
      code: 900144,
      text: expect.stringContaining(`'${name}'`),
    });
  });

  test('for another grant is refused with 70003', async () => {
    expect(await refusal(await ask({ grant_type: 'password' }))).toMatchObject({
      status: 400,
      error: 'unsupported_grant_type',
      code: 70003,
    });
  });

  test('that is refused gets the one body that all refusals have', async () => {
    const response = await ask({});
    const body = refusalSchema.parse(await response.json());
    expect(body).toMatchObject({
      timestamp: '2026-11-20 17:11:27Z',
      correlation_id: 'of-the-client',
      error_uri: 'https://login.microsoftonline.com/error?code=7000218',
    });
    expect(body.error_description).toMatch(
      /^AADSTS7000218: .* Trace ID: \S{36} Correlation ID: of-the-client Timestamp: 2026-11-20 17:11:27Z$/,
    );
    expect(response.headers.get('x-ms-request-id')).toBe(body.trace_id);
  });
});

test('tokens are dated back by five minutes and last as long as the answer says', async () => {
  const { access_token } = z.object({ access_token: z.string() }).parse(await (await ask(await assertion())).json());
  expect(decodeJwt(access_token)).toMatchObject({ iat: SECONDS - 300, nbf: SECONDS - 300, exp: SECONDS + 3599 });
});
