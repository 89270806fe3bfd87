import { generateKeyPairSync } from 'node:crypto';
import { inspect } from 'node:util';
import { ManagedIdentityCredential } from '@azure/identity';
import { decodeJwt } from 'jose';
import forge from 'node-forge';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { parseSettings } from '../../src/config/settings.ts';
import { type Connection, type Connections, createConnections } from '../../src/connections/connections.ts';
import { createEntraClient } from '../../src/connections/entra-client.ts';
import { openVault } from '../../src/connections/vault.ts';
import { makeCertificate } from '../../src/local/certificates.ts';
import {
  type Application,
  addClientSecret,
  addResource,
  registerApplication,
} from '../../src/local/entra/directory.ts';
import { homeTenant } from '../../src/local/identity-state.ts';
import { importCertificate, setSecret } from '../../src/local/key-vault/vault.ts';
import { type Clock, systemClock } from '../../src/shared/clock.ts';
import { newGuid } from '../../src/shared/ids.ts';
import {
  CERTIFICATE_NAME,
  ENVIRONMENT_URL,
  startTestIdentity,
  type TestIdentity,
  useManagedIdentity,
} from '../support/identity.ts';

const DAY_MS = 86_400_000;
const OTHER_URL = 'https://fabrikam.crm4.dynamics.com';
const started = systemClock.now();

/** The clock of Entra and the vault may be put off the app's. */
let skew = 0;
const cloudClock: Clock = { now: () => systemClock.now() + skew, sleep: systemClock.sleep };

let identity: TestIdentity;
/** What the app asked Entra and the vault, as `POST token` or `GET secrets/name`. */
const requests: string[] = [];
let intercept: ((request: Request) => Promise<Response | undefined> | Response | undefined) | undefined;
const opened: Connections[] = [];
/** Everything that was said or thrown, and everything that must not be in it. */
const said: unknown[] = [];
const secret: string[] = [];

beforeAll(async () => {
  identity = await startTestIdentity(undefined, { clock: cloudClock });
  addResource(homeTenant(identity.company.state), { uri: OTHER_URL, name: 'Dataverse' });
  identity.faults.add({
    path: '/',
    async answer(request) {
      const { pathname } = new URL(request.url);
      requests.push(`${request.method} ${pathname.endsWith('/token') ? 'token' : pathname.split('/')[1]}`);
      const body = new URLSearchParams(await request.clone().text());
      const assertion = body.get('client_assertion');
      if (assertion) secret.push(assertion);
      return intercept?.(request);
    },
  });
  useManagedIdentity(identity);
  secret.push(identity.company.certificate.keyPem, identity.managedIdentity.header);
});
afterEach(async () => {
  intercept = undefined;
  skew = 0;
  await Promise.all(opened.splice(0).map((each) => each.close()));
});
afterAll(() => identity.close());

const made = () => requests.filter((each) => each === 'POST token').length;

interface Properties {
  readonly [property: string]: string;
}

/** An instance of the app with connections by name. */
function instance(connections: Readonly<Record<string, Properties>>, clock: Clock = systemClock): Connections {
  const env = Object.entries(connections).flatMap(([name, properties]) =>
    Object.entries({
      url: ENVIRONMENT_URL,
      tenantId: identity.tenantId,
      clientId: identity.company.application.clientId,
      tokenUrl: `${identity.authority}/oauth2/v2.0/token`,
      ...properties,
    }).map(([property, value]) => [`Dataverse__${name}__${property}`, value]),
  );
  const settings = parseSettings({ KEY_VAULT_URI: identity.vaultUri, ...Object.fromEntries(env) });
  expect([...settings.connectionFaults.values()]).toEqual([]);
  const app = createConnections({
    settings,
    identity: new ManagedIdentityCredential(),
    clock,
    random: () => 0,
    newId: newGuid,
    log: (message, facts) => said.push(message, facts),
  });
  opened.push(app);
  return app;
}

const connection = (properties: Properties, clock?: Clock): Connection =>
  instance({ one: properties }, clock).get('one');

/** What a promise rejects with. */
async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  said.push(error);
  return error;
}

// Keys take a while, so that tests share these; each test has an application of its own.
const newCertificate = (from: number, to: number) => {
  const certificate = makeCertificate({ subject: 'Bridge', validFrom: started + from, validTo: started + to });
  secret.push(certificate.keyPem);
  return certificate;
};
const today = newCertificate(-DAY_MS, 30 * DAY_MS);
const next = newCertificate(-DAY_MS, 90 * DAY_MS);
const expired = newCertificate(-9 * DAY_MS, -DAY_MS);
const early = newCertificate(DAY_MS, 90 * DAY_MS);

/** An application with a certificate in the vault, registered unless told otherwise. */
function withCertificate(name: string, certificate = today, registered = true): Application {
  importCertificate(identity.company.state.vault, name, certificate, { now: started });
  return registerApplication(homeTenant(identity.company.state), {
    name,
    certificates: registered ? [certificate.certPem] : [],
  });
}

/** Puts a younger version of a certificate into the vault. */
const renew = (name: string) => importCertificate(identity.company.state.vault, name, next, { now: started + 1_000 });

/** A version of a secret in the vault, the youngest by `age` seconds. */
function putSecret(
  name: string,
  value: string,
  more: { order?: number; nbf?: number; exp?: number; contentType?: string } = {},
) {
  const { order = 0, contentType, ...attributes } = more;
  secret.push(value);
  return setSecret(identity.company.state.vault, name, value, {
    now: started + order * 1_000,
    contentType,
    attributes,
  });
}

const seconds = (ms: number): number => Math.floor((started + ms) / 1_000);

describe('a token for Dataverse is had', () => {
  test.each(['certificate', 'vaultKey'])('with the credential %s', async (credential) => {
    const { token } = connection({ credential, certificateName: CERTIFICATE_NAME });
    expect(decodeJwt(await token())).toMatchObject({
      aud: ENVIRONMENT_URL,
      appid: identity.company.application.clientId,
      appidacr: '2',
    });
  });

  test('with a key that cannot leave the vault, which only the vault can use', async () => {
    const { vault } = identity.company.state;
    importCertificate(vault, 'inside', today, { now: started, policy: { exportable: false } });
    identity.company.application.certificates.push(today.certPem);
    const inside = connection({ credential: 'vaultKey', certificateName: 'inside' });
    expect(decodeJwt(await inside.token())).toMatchObject({ aud: ENVIRONMENT_URL, appidacr: '2' });
    const outside = connection({ credential: 'certificate', certificateName: 'inside' });
    expect(await failureOf(Promise.resolve(outside.token()))).toMatchObject({ code: 'certificateUnusable' });
  });

  test('with a client secret', async () => {
    putSecret('a-secret', 'the value of a secret\n');
    addClientSecret(identity.company.application, 'the value of a secret', started + DAY_MS);
    const { token } = connection({ credential: 'secret', secretName: 'a-secret' });
    expect(decodeJwt(await token())).toMatchObject({ aud: ENVIRONMENT_URL, appidacr: '1' });
  });

  test('with the managed identity alone, and nothing is asked of the vault', async () => {
    const application = registerApplication(homeTenant(identity.company.state), { name: 'Federated' });
    application.federatedCredentials.push({
      issuer: `https://login.microsoftonline.com/${identity.tenantId}/v2.0`,
      subject: identity.company.systemAssigned.objectId,
      audience: 'api://AzureADTokenExchange',
    });
    const { token, credential, vault } = connection({ credential: 'managedIdentity', clientId: application.clientId });
    requests.length = 0;
    expect(decodeJwt(await token())).toMatchObject({ appid: application.clientId, appidacr: '2' });
    expect(requests).toEqual(['POST token']);
    expect(vault).toBeUndefined();
    expect(await credential.describe()).toEqual({ kind: 'managedIdentity' });
    expect(await credential.rehearse()).toBeUndefined();
  });

  test('once for a thousand callers of a cold start, signed once in the vault', async () => {
    const { token } = connection({ credential: 'vaultKey', certificateName: CERTIFICATE_NAME });
    requests.length = 0;
    const tokens = await Promise.all(Array.from({ length: 1_000 }, () => token()));
    expect(new Set(tokens).size).toBe(1);
    expect(made()).toBe(1);
    expect(requests.filter((each) => each === 'POST keys')).toHaveLength(1);
    expect(requests.filter((each) => each.endsWith('secrets'))).toEqual([]);
    expect(token()).toBe(tokens[0]);
  });

  test('by each connection for itself, also where application and certificate are the same', async () => {
    const app = instance({
      one: { certificateName: CERTIFICATE_NAME },
      two: { certificateName: CERTIFICATE_NAME, url: OTHER_URL },
      three: { certificateName: CERTIFICATE_NAME },
    });
    const tokens = await Promise.all(['one', 'two', 'three'].map((name) => app.get(name).token()));
    expect(tokens.map((each) => decodeJwt(each).aud)).toEqual([ENVIRONMENT_URL, OTHER_URL, ENVIRONMENT_URL]);
    expect(new Set(tokens).size).toBe(3);
    expect(app.get('one').token()).toBe(tokens[0]);
  });

  test('with the claims that Dataverse asks for', async () => {
    const { credential } = connection({ certificateName: CERTIFICATE_NAME });
    const forms: string[] = [];
    intercept = async (request) => {
      if (request.url.includes('/token')) forms.push(await request.clone().text());
      return undefined;
    };
    const claims = { access_token: { nbf: { essential: true, value: '1604106651' } } };
    await credential.fetchToken({ claims: JSON.stringify(claims) });
    expect(JSON.parse(new URLSearchParams(forms[0]).get('claims') ?? '')).toMatchObject(claims);
  });
});

describe('a rotation', () => {
  test('of a certificate serves with the one before until the new one is registered', async () => {
    const application = withCertificate('rotated');
    const { credential, token } = connection({ clientId: application.clientId, certificateName: 'rotated' });
    await token();
    const first = (await credential.describe()).version;

    const second = renew('rotated');
    expect(await credential.rehearse()).toMatchObject({ version: second.version, accepted: false, aadsts: 700027 });
    await token({ renew: true });
    expect(credential.known()).toMatchObject({ version: first, accepted: first, thumbprint: today.thumbprintSha256 });

    application.certificates.push(next.certPem);
    expect(await credential.rehearse()).toEqual({ version: second.version, accepted: true });
    await token({ renew: true });
    expect(credential.known()).toMatchObject({ accepted: second.version, thumbprint: next.thumbprintSha256 });
    expect(await credential.rehearse()).toBeUndefined();
  });

  test('of a key that stays in the vault goes the same way', async () => {
    const application = withCertificate('rotated-key');
    const properties = { credential: 'vaultKey', clientId: application.clientId, certificateName: 'rotated-key' };
    const { credential, token } = connection(properties);
    await token();
    const second = renew('rotated-key');
    expect(await credential.rehearse()).toMatchObject({ accepted: false, aadsts: 700027 });
    await token({ renew: true });
    application.certificates.push(next.certPem);
    await token({ renew: true });
    expect(credential.known()).toMatchObject({ kind: 'vaultKey', accepted: second.version });
  });

  test('of a secret is noticed when Entra refuses the old one, without a restart', async () => {
    const application = registerApplication(homeTenant(identity.company.state), { name: 'Secret' });
    putSecret('changed', 'the first secret value');
    addClientSecret(application, 'the first secret value', started + DAY_MS);
    const { token, credential } = connection({
      credential: 'secret',
      clientId: application.clientId,
      secretName: 'changed',
    });
    await token();
    application.secrets.length = 0;
    const second = putSecret('changed', 'the second secret value', { order: 1 });
    addClientSecret(application, 'the second secret value', started + DAY_MS);
    await token({ renew: true });
    expect(credential.known().accepted).toBe(second.version);

    for (const each of application.secrets) each.expires = started - 1;
    expect(await failureOf(credential.fetchToken())).toMatchObject({ code: 'tokenRefused', aadsts: 7000222 });
    const third = putSecret('changed', 'the third secret value', { order: 2 });
    addClientSecret(application, 'the third secret value', started + DAY_MS);
    await credential.fetchToken();
    expect(credential.known().accepted).toBe(third.version);
  });

  test('is rehearsed before the new secret becomes current', async () => {
    const application = registerApplication(homeTenant(identity.company.state), { name: 'Rehearsal' });
    const first = putSecret('rehearsed', 'the secret of today', { exp: seconds(10.5 * DAY_MS) });
    addClientSecret(application, 'the secret of today', started + DAY_MS);
    const { token, credential } = connection({
      credential: 'secret',
      clientId: application.clientId,
      secretName: 'rehearsed',
    });
    expect(await credential.rehearse()).toBeUndefined();
    const later = putSecret('rehearsed', 'the secret of tomorrow', { order: 1, nbf: seconds(DAY_MS) });
    const report = { version: later.version, currentFrom: seconds(DAY_MS) * 1_000 };
    expect(await credential.rehearse()).toMatchObject({
      ...report,
      accepted: false,
      code: 'tokenRefused',
      aadsts: 7000215,
    });
    addClientSecret(application, 'the secret of tomorrow', started + DAY_MS);
    expect(await credential.rehearse()).toEqual({ ...report, accepted: true });
    await token();
    expect(credential.known()).toMatchObject({ accepted: first.version, daysLeft: 10 });
  });

  test('cannot be rehearsed before the vault signs with the new key, and says so', async () => {
    const application = withCertificate('locked-key');
    const properties = { credential: 'vaultKey', clientId: application.clientId, certificateName: 'locked-key' };
    const { credential, token } = connection(properties);
    await token();
    const { vault } = identity.company.state;
    const attributes = { nbf: seconds(DAY_MS) };
    importCertificate(vault, 'locked-key', next, { now: started + 1_000, attributes });
    expect(await credential.rehearse()).toMatchObject({
      accepted: false,
      currentFrom: seconds(DAY_MS) * 1_000,
      code: 'certificateNotYetValid',
    });
    await token({ renew: true });
  });

  test('on two instances at once fails no call', async () => {
    const application = withCertificate('shared');
    const instances = [0, 1].map(() => connection({ clientId: application.clientId, certificateName: 'shared' }));
    const renewAll = () => Promise.all(instances.map(({ token }) => token({ renew: true })));
    await renewAll();
    renew('shared');
    await Promise.all([renewAll(), instances[0]?.credential.describe()]);
    application.certificates.push(next.certPem);
    await renewAll();
    application.certificates.shift();
    await renewAll();
    await Promise.all(instances.map(({ credential }) => credential.describe()));
    expect(instances.map(({ credential }) => credential.known().thumbprint)).toEqual(
      Array(2).fill(next.thumbprintSha256),
    );
  });

  test('that nobody made leaves a secret in use that only the vault calls expired', async () => {
    const application = registerApplication(homeTenant(identity.company.state), { name: 'Overdue' });
    const overdue = putSecret('overdue', 'a secret with a wrong date', { exp: seconds(-DAY_MS) });
    putSecret('overdue', 'a secret that was withdrawn', { order: 1 }).attributes.enabled = false;
    addClientSecret(application, 'a secret with a wrong date', started + DAY_MS);
    const properties = { credential: 'secret', clientId: application.clientId, secretName: 'overdue' };
    const { token, credential } = connection(properties);
    await token();
    expect(credential.known()).toMatchObject({ accepted: overdue.version, daysLeft: expect.any(Number) });
    expect(credential.known().daysLeft).toBeLessThan(0);
  });

  test('leaves a version that cannot be used aside', async () => {
    const application = registerApplication(homeTenant(identity.company.state), { name: 'Mistake' });
    application.certificates.push(today.certPem);
    putSecret('mistake', today.keyPem + today.certPem, { contentType: 'application/x-pem-file' });
    const wrong = putSecret('mistake', 'this is no certificate', { order: 1, contentType: 'application/x-pem-file' });
    const { token, credential } = connection({ clientId: application.clientId, certificateName: 'mistake' });
    await token();
    expect(await credential.rehearse()).toMatchObject({ version: wrong.version, code: 'certificateUnusable' });
  });
});

describe('the vault', () => {
  const refusals = {
    denies: () =>
      Response.json({ error: { code: 'Forbidden', innererror: { code: 'ForbiddenByRbac' } } }, { status: 403 }),
    'does not know the object': () => Response.json({ error: { code: 'SecretNotFound' } }, { status: 404 }),
    throttles: () => new Response(null, { status: 429, headers: { 'retry-after': '0' } }),
    'is down': () => new Response('down', { status: 503, headers: { 'retry-after': '0' } }),
  };
  const faults = Object.entries(refusals);
  // A client's first request carries no token, and is answered with the challenge in any case.
  const ofVault = (answer: () => Response) => (request: Request) =>
    request.headers.has('authorization') && /\/(secrets|certificates|keys)\//.test(request.url) ? answer() : undefined;
  const codes = ['vaultDenied', 'vaultObjectMissing', 'vaultUnavailable', 'vaultUnavailable'];

  test.each(faults)('that %s is told to a connection that has nothing yet', async (name, answer) => {
    intercept = ofVault(answer);
    for (const credential of ['certificate', 'vaultKey']) {
      const { token } = connection({ credential, certificateName: CERTIFICATE_NAME });
      const error = await failureOf(Promise.resolve(token()));
      expect(error).toMatchObject({ code: codes[Object.keys(refusals).indexOf(name)], hint: expect.any(String) });
    }
  });

  test('tells why it denies', async () => {
    // The SDK keeps the inner code of single objects only, not of lists.
    intercept = (request) => (request.url.includes('/versions') ? undefined : ofVault(refusals.denies)(request));
    const { token } = connection({ certificateName: CERTIFICATE_NAME });
    expect(await failureOf(Promise.resolve(token()))).toMatchObject({
      message: expect.stringContaining('(ForbiddenByRbac)'),
      hint: expect.stringContaining('Key Vault Secrets User'),
    });
  });

  test.each(faults)('that %s stops no connection that has a credential', async (_, answer) => {
    let now = systemClock.now();
    const clock: Clock = { now: () => now, sleep: systemClock.sleep };
    const { token, credential } = connection({ certificateName: CERTIFICATE_NAME }, clock);
    await token();
    now += 11 * 60_000;
    intercept = ofVault(answer);
    requests.length = 0;
    const before = said.length;
    await token({ renew: true });
    expect(requests).toContain('GET secrets');
    expect(said.slice(before)).toContain('vault could not be read');
    expect(await failureOf(credential.describe())).toMatchObject({ code: expect.stringMatching(/^vault/) });
  });

  test('that does not answer is given up after a while', async () => {
    let release = (): void => {};
    intercept = () =>
      new Promise((resolve) => {
        release = () => resolve(new Response(null, { status: 503 }));
      });
    const vault = openVault(identity.vaultUri, new ManagedIdentityCredential(), { clock: systemClock, timeoutMs: 50 });
    expect(await failureOf(vault.latest(CERTIFICATE_NAME))).toMatchObject({
      code: 'vaultUnavailable',
      message: expect.stringContaining('no answer in time'),
    });
    release();
  });

  test('is not read again for every token', async () => {
    const { credential } = connection({ certificateName: CERTIFICATE_NAME });
    await credential.fetchToken();
    requests.length = 0;
    await credential.fetchToken();
    expect(requests).toEqual(['POST token']);
  });
});

describe('Entra', () => {
  const outages: readonly [string, () => Response][] = [
    ['a 503', () => Response.json({ error: 'temporarily_unavailable', error_codes: [90033] }, { status: 503 })],
    ['a 429', () => Response.json({ error: 'temporarily_unavailable', error_codes: [50196] }, { status: 429 })],
    [
      'a page of HTML',
      () => new Response('<html>proxy</html>', { status: 502, headers: { 'content-type': 'text/html' } }),
    ],
  ];
  const ofEntra = (answer: () => Response) => (request: Request) =>
    request.url.includes('/oauth2/') ? answer() : undefined;

  test.each(outages)('that answers with %s leaves the good token in use and is asked again soon', async (_, answer) => {
    let now = systemClock.now();
    const clock: Clock = { now: () => now, sleep: systemClock.sleep };
    const { token } = connection({ certificateName: CERTIFICATE_NAME }, clock);
    const good = await token();
    now += 31 * 60_000;
    intercept = ofEntra(answer);
    const before = said.length;
    expect(token()).toBe(good);
    await expect.poll(() => said.slice(before)).toContain('token renewal failed');
    expect(await failureOf(Promise.resolve(token({ renew: true })))).toMatchObject({ code: 'entraUnreachable' });
    expect(token()).toBe(good);
    intercept = undefined;
    expect(await token({ renew: true })).not.toBe(good);
  });

  test('that does not answer is given up after a while', async () => {
    let release = (): void => {};
    intercept = () =>
      new Promise((resolve) => {
        release = () => resolve(new Response(null, { status: 503 }));
      });
    const { settings } = connection({ certificateName: CERTIFICATE_NAME });
    const client = createEntraClient(settings, { clientSecret: 'any' }, { timeoutMs: 50 });
    expect(await failureOf(client())).toMatchObject({
      code: 'entraUnreachable',
      message: expect.stringContaining('no answer in time'),
    });
    release();
  });

  test('is not reached where nobody listens', async () => {
    const tokenUrl = 'https://localhost:1/tenant/oauth2/v2.0/token';
    const { token } = connection({ certificateName: CERTIFICATE_NAME, tokenUrl });
    expect(await failureOf(Promise.resolve(token()))).toMatchObject({ code: 'entraUnreachable' });
  });
});

describe('what is wrong is told by its cause:', () => {
  const unknown = '5a0b6a0e-9999-4a4a-8b8b-000000000009';
  const ec = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  const withPassword = (): string => {
    const { keyPem, certPem } = identity.company.certificate;
    const file = forge.pkcs12.toPkcs12Asn1(
      forge.pki.privateKeyFromPem(keyPem),
      [forge.pki.certificateFromPem(certPem)],
      'a password',
      { algorithm: '3des' },
    );
    return Buffer.from(forge.asn1.toDer(file).getBytes(), 'binary').toString('base64');
  };

  test.each<[string, () => Properties, object]>([
    [
      'an unknown tenant',
      () => ({ certificateName: CERTIFICATE_NAME, tokenUrl: `${identity.url}/${unknown}/oauth2/v2.0/token` }),
      { aadsts: 90002 },
    ],
    ['an unknown application', () => ({ certificateName: CERTIFICATE_NAME, clientId: unknown }), { aadsts: 700016 }],
    [
      'a certificate that is not registered',
      () => ({ certificateName: 'stray', clientId: withCertificate('stray', today, false).clientId }),
      { aadsts: 700027 },
    ],
    [
      'an elliptic key',
      () => {
        putSecret('elliptic', ec.privateKey + identity.company.certificate.certPem, {
          contentType: 'application/x-pem-file',
        });
        return { certificateName: 'elliptic' };
      },
      { code: 'certificateUnusable', message: expect.stringContaining('ec') },
    ],
    [
      'a certificate that has expired',
      () => ({
        certificateName: 'old',
        clientId: withCertificate('old', expired).clientId,
      }),
      { code: 'certificateExpired' },
    ],
    [
      'a certificate that is not valid yet',
      () => ({ certificateName: 'early', clientId: withCertificate('early', early).clientId }),
      { code: 'certificateNotYetValid' },
    ],
    [
      'a PFX with a password',
      () => {
        putSecret('locked', withPassword(), { contentType: 'application/x-pkcs12' });
        return { certificateName: 'locked' };
      },
      { code: 'certificateUnusable', message: expect.stringContaining('password') },
    ],
    [
      'a secret that is not to be used yet',
      () => {
        putSecret('tomorrow', 'the value of tomorrow', { nbf: seconds(DAY_MS) });
        return { credential: 'secret', secretName: 'tomorrow' };
      },
      { code: 'secretNotYetValid' },
    ],
    [
      'an object of which every version is disabled',
      () => {
        putSecret('disabled', 'the value of a disabled one').attributes.enabled = false;
        return { credential: 'secret', secretName: 'disabled' };
      },
      { code: 'vaultObjectMissing', message: expect.stringContaining('enabled') },
    ],
    [
      'a managed identity that the registration does not trust',
      () => ({ credential: 'managedIdentity' }),
      { code: 'tokenRefused', hint: expect.stringContaining('federated') },
    ],
  ])('%s', async (_, properties, expected) => {
    const { token } = connection(properties());
    expect(await failureOf(Promise.resolve(token()))).toMatchObject({ hint: expect.any(String), ...expected });
  });

  test.each(['certificate', 'vaultKey'])('a clock that is off by ten minutes, with %s', async (credential) => {
    const { token } = connection({ credential, certificateName: CERTIFICATE_NAME });
    intercept = (request) => {
      skew = request.url.includes('/oauth2/') ? -10 * 60_000 : 0;
      return undefined;
    };
    expect(await failureOf(Promise.resolve(token()))).toMatchObject({
      aadsts: 700024,
      hint: expect.stringContaining('clock'),
    });
  });
});

test('a credential is described by version, thumbprint and days left', async () => {
  const { credential } = connection({ credential: 'vaultKey', certificateName: CERTIFICATE_NAME });
  expect(credential.known()).toEqual({ kind: 'vaultKey', name: CERTIFICATE_NAME });
  expect(await credential.describe()).toEqual({
    kind: 'vaultKey',
    name: CERTIFICATE_NAME,
    version: expect.stringMatching(/^[0-9a-f]{32}$/),
    thumbprint: identity.company.certificate.thumbprintSha256,
    validFrom: expect.any(Number),
    expiresAt: expect.any(Number),
    daysLeft: 89,
  });
});

test('nothing secret is in any error or line of the log', () => {
  const text = inspect(said, { depth: 20, maxStringLength: null, maxArrayLength: null });
  expect(text.length).toBeGreaterThan(10_000);
  for (const each of secret) expect(text.includes(each.trim()), 'a secret').toBe(false);
  expect(text).not.toMatch(/eyJ[\w-]+\.[\w-]+\./);
  expect(text).not.toContain('PRIVATE KEY');
});
