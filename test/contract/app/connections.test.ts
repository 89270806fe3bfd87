import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { STAGES } from '../../../src/health/stages.ts';
import { makeCertificate } from '../../../src/local/certificates.ts';
import { registerApplication } from '../../../src/local/entra/directory.ts';
import { homeTenant } from '../../../src/local/identity-state.ts';
import { importCertificate, setSecret } from '../../../src/local/key-vault/vault.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import { KEYS, startApp, type TestApp, WEBHOOK_SECRET, type World } from '../../support/app.ts';
import { ENVIRONMENT_URL } from '../../support/identity.ts';

const DAY_MS = 86_400_000;
const answers: string[] = [];
const privateKeys: string[] = [];
let app: TestApp;

/** Connections of which each has one thing wrong. */
function connections({ identity, connection }: World): Record<string, string> {
  const { state } = identity.company;
  const now = systemClock.now();
  const certificateIn = (name: string, from: number, to: number): string => {
    const certificate = makeCertificate({ subject: name, validFrom: from, validTo: to });
    privateKeys.push(certificate.keyPem);
    importCertificate(state.vault, name, certificate, { now });
    return name;
  };
  privateKeys.push(identity.company.certificate.keyPem);
  setSecret(state.vault, 'no-certificate', 'hunter2-is-no-certificate', { now });
  const stranger = registerApplication(homeTenant(state), {
    name: 'Stranger',
    certificates: [identity.company.certificate.certPem],
  });
  return {
    ...connection('missing', { certificateName: 'not-there' }),
    ...connection('expired', { certificateName: certificateIn('expired', now - 9 * DAY_MS, now - DAY_MS) }),
    ...connection('early', { certificateName: certificateIn('early', now + DAY_MS, now + 9 * DAY_MS) }),
    ...connection('unusable', { certificateName: 'no-certificate' }),
    ...connection('unregistered', { certificateName: certificateIn('unregistered', now - DAY_MS, now + DAY_MS) }),
    ...connection('client', { clientId: '00000000-0000-4000-8000-00000000dead' }),
    ...connection('entra', { tokenUrl: 'https://localhost:1/tenant/oauth2/v2.0/token' }),
    ...connection('audience', { scope: `${ENVIRONMENT_URL}/.default` }),
    ...connection('stranger', { clientId: stranger.clientId }),
    ...connection('privilege', { allowedTables: 'account,invoice' }),
    ...connection('table', { allowedTables: 'acount' }),
    ...connection('network', { url: 'https://localhost:1', scope: `${ENVIRONMENT_URL}/.default` }),
    ...connection('open'),
    Dataverse__broken__url: 'https://example.org',
    Dataverse__broken__colour: 'blue',
    Webhook__half__connection: 'nowhere',
  };
}

beforeAll(async () => {
  app = await startApp({ settings: connections });
});
afterEach(() => app.clearRules());
afterAll(() => app.close());

interface Stage {
  name: string;
  status: string;
  ms: number;
  detail: string;
  hint?: string;
}

async function testOf(name: string): Promise<{ status: string; environment: string; stages: Stage[] }> {
  const answer = await app.call('POST', `connections/${name}/test`);
  answers.push(answer.text);
  expect(answer.status, answer.text).toBe(200);
  return answer.json;
}

/** Holds a test to its one failing stage and resolves with it. */
async function failureOf(name: string, stage: string): Promise<Stage> {
  const { status, stages } = await testOf(name);
  const at = STAGES.indexOf(stage as (typeof STAGES)[number]);
  expect(stages.map((each) => [each.name, each.status])).toEqual(
    STAGES.map((each, position) => [each, position < at ? 'passed' : position === at ? 'failed' : 'skipped']),
  );
  expect(status).toBe('failed');
  const failed = stages[at];
  if (!failed) throw new Error('no such stage');
  expect(failed.detail).not.toBe('');
  return failed;
}

describe('the test of a connection', () => {
  test('passes stage by stage where all is well', async () => {
    const { status, environment, stages } = await testOf('default');
    expect(status).toBe('passed');
    expect(environment).toBe(app.environmentUrl);
    expect(stages.map((each) => [each.name, each.status])).toEqual(
      STAGES.map((each) => [each, each === 'keys' ? 'skipped' : 'passed']),
    );
    expect(stages.find(({ name }) => name === 'user')?.detail).toContain('0b000000-0000-4000-8000-000000000001');
    expect(stages.find(({ name }) => name === 'privileges')?.detail).toContain('account, contact, lead');
    for (const each of stages) expect(each.ms).toBeGreaterThanOrEqual(0);
  });

  test('says so where no tables are set that it could check', async () => {
    const { status, stages } = await testOf('open');
    expect(status).toBe('passed');
    expect(stages.find(({ name }) => name === 'privileges')?.detail).toContain('No allowedTables');
  });

  test('of an unknown connection is 404 and names those that there are', async () => {
    const answer = await app.call('POST', 'connections/nowhere/test');
    expect(answer.status).toBe(404);
    expect(answer.json).toMatchObject({ code: 'connectionUnknown', hint: expect.stringContaining('default') });
  });

  test('fails at settings with every fault of them', async () => {
    const { detail } = await failureOf('broken', 'settings');
    for (const property of ['url', 'colour', 'tenantId', 'clientId', 'credential']) {
      expect(detail).toContain(`Dataverse__broken__${property}`);
    }
  });

  test('fails at the vault that denies', async () => {
    const { roleAssignments } = app.identity.company.state.vault;
    const taken = roleAssignments.splice(0);
    try {
      expect(await failureOf('default', 'vault')).toMatchObject({
        detail: expect.stringContaining('does not let the app read'),
        hint: expect.stringContaining('Key Vault Secrets User'),
      });
    } finally {
      roleAssignments.push(...taken);
    }
    expect((await testOf('default')).status).toBe('passed');
  });

  test.each([
    ['missing', 'vault', /has no 'not-there'/, /name in the settings/],
    ['expired', 'credential', /expired on \d{4}/, /Renew the certificate/],
    ['early', 'credential', /valid only from/, /clock/],
    ['unusable', 'credential', /cannot be read/, /PEM|PFX/],
    ['unregistered', 'token', /AADSTS700027/, /certificate/],
    ['client', 'token', /AADSTS700016/, /client id/],
    ['entra', 'network', /host of Entra, localhost:1, refuses/, /tokenUrl/],
    ['audience', 'token', /The token is for .*, but the environment is/, /scope/],
    ['stranger', 'user', /not a member/, /application user/],
    ['network', 'network', /host of the environment, localhost:1, refuses/, /url/],
    ['privilege', 'privileges', /lacks read on invoice/, /role/],
    ['table', 'privileges', /no table 'acount'/, /logical name/],
  ])(
    'of %s fails at %s with cause and hint',
    async (name, stage, detail, hint) => {
      const failed = await failureOf(name, stage);
      expect(failed.detail).toMatch(detail);
      expect(failed.hint).toMatch(hint);
    },
    20_000,
  );

  test('fails at the user where something else than Dataverse answers', async () => {
    await app.rule({ match: { path: 'WhoAmI' }, action: { html: 200 } });
    expect((await failureOf('default', 'user')).hint).toContain('Something other than Dataverse');
  });

  test('sees a certificate that was renewed in the vault at once', async () => {
    const { state, application } = app.identity.company;
    const now = systemClock.now();
    const renewed = makeCertificate({ subject: 'renewed', validFrom: now - DAY_MS, validTo: now + DAY_MS });
    application.certificates.push(renewed.certPem);
    importCertificate(state.vault, 'expired', renewed, { now });
    expect((await testOf('expired')).stages.find(({ name }) => name === 'credential')?.detail).toContain(
      renewed.thumbprintSha256.slice(0, 16),
    );
  });
});

describe('faults of one group of settings', () => {
  test('of a connection keep that connection from being used, and no other', async () => {
    const upsert = (query: string) =>
      app.call('POST', `tables/account/upsert${query}`, { type: 'text/csv', body: 'accountid\n' });
    const broken = await upsert('?connection=broken');
    expect(broken.status).toBe(503);
    expect(broken.json).toMatchObject({ code: 'settingsFault', detail: expect.stringContaining("'broken'") });
    expect(broken.json.errors).toHaveLength(5);
    expect((await upsert('')).status).toBe(200);
  });

  test('of a webhook endpoint keep that endpoint from receiving, and no other', async () => {
    const half = await app.call('POST', 'webhooks/dataverse/half', { key: null, body: '{}' });
    expect(half.status).toBe(503);
    expect(half.json.errors.map(({ path }: { path: string }) => path).sort()).toEqual([
      'Webhook__half__connection',
      'Webhook__half__secretName',
    ]);
    const headers = { 'x-bridge-key': WEBHOOK_SECRET };
    expect((await app.call('POST', 'webhooks/dataverse/main', { key: null, headers, body: '{}' })).status).toBe(202);
  });
});

describe('no secret', () => {
  test.each([
    ['early', 503, 'certificateNotYetValid'],
    ['missing', 503, 'vaultObjectMissing'],
    ['unregistered', 503, 'tokenRefused'],
    ['stranger', 403, 'forbidden'],
    ['audience', 502, 'unauthenticated'],
  ])('is in the problem of a call with the connection %s', async (connection, status, code) => {
    const answer = await app.call('POST', `tables/account/upsert?connection=${connection}`, {
      type: 'text/csv',
      body: 'accountid\n1',
    });
    answers.push(answer.text);
    expect(answer.status, answer.text).toBe(status);
    expect(answer.json).toMatchObject({ code, hint: expect.any(String) });
  });

  test('is in any answer or line of the log of this file', () => {
    const told = [...answers, ...app.lines].join('\n');
    expect(told).not.toMatch(/PRIVATE KEY|eyJ[\w-]{10,}\.|client_assertion=/);
    for (const secret of [WEBHOOK_SECRET, KEYS.function, KEYS.master, 'hunter2', app.identity.managedIdentity.header]) {
      expect(told).not.toContain(secret);
    }
    for (const pem of privateKeys) expect(told).not.toContain(pem.split('\n')[3]);
  });
});
