import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { STAGES, type Stage, type StageName } from '../../../src/health/stages.ts';
import { registerApplication } from '../../../src/local/entra/directory.ts';
import { homeTenant } from '../../../src/local/identity-state.ts';
import { KEYS, startApp, type TestApp, type World } from '../../support/app.ts';

let app: TestApp;
let unprovisioned: string;

function connections({ identity, environmentUrl, connection }: World): Record<string, string> {
  const unknownTenant = '00000000-0000-4000-8000-0000000000aa';
  const { certPem } = identity.company.certificate;
  const stranger = registerApplication(homeTenant(identity.company.state), { name: 'X', certificates: [certPem] });
  const bare = registerApplication(homeTenant(identity.company.state), { name: 'Y' });
  unprovisioned = environmentUrl.replace('localhost', '127.0.0.1');
  return {
    ...connection('tenant', {
      tenantId: unknownTenant,
      tokenUrl: `${identity.url}/${unknownTenant}/oauth2/v2.0/token`,
    }),
    ...connection('application', { clientId: '00000000-0000-4000-8000-00000000dead' }),
    ...connection('stranger', { clientId: stranger.clientId }),
    ...connection('bare', { clientId: bare.clientId }),
    ...connection('unprovisioned', { url: unprovisioned }),
    ...connection('name', { url: 'https://nowhere-at-all.crm4.dynamics.com' }),
    ...connection('refused', { url: 'https://localhost:1' }),
    ...connection('scope', { scope: 'https://contoso.crm4.dynamics.com/.default' }),
  };
}

beforeAll(async () => {
  app = await startApp({ settings: connections });
});
afterEach(async () => {
  app.identity.faults.clear();
  await app.clearRules();
});
afterAll(() => app.close());

/** The one stage of the connection's test that failed; those before it passed and those behind it say why they were skipped. */
async function failureOf(name = 'default'): Promise<Stage> {
  const answer = await app.call('POST', `connections/${name}/test`);
  expect(answer.status, answer.text).toBe(200);
  const stages: Stage[] = answer.json.stages;
  expect(stages.map((stage) => stage.name)).toEqual(STAGES);
  const at = stages.findIndex(({ status }) => status === 'failed');
  const failed = stages[at];
  if (!failed) throw new Error(`Nothing failed: ${answer.text}`);
  expect(stages.slice(0, at).filter(({ status }) => status !== 'passed')).toEqual([]);
  for (const stage of stages.slice(at + 1))
    expect(stage).toMatchObject({ status: 'skipped', detail: `Skipped, since the stage ${failed.name} failed.` });
  expect(failed.hint, failed.detail).toMatch(/\S/);
  return failed;
}

/** What Entra says to a request for a token. */
function entraSays(number: number, status = 401): void {
  app.identity.faults.add({
    path: /\/oauth2\/v2\.0\/token$/,
    answer: () =>
      Response.json(
        { error: 'invalid_client', error_description: `AADSTS${number}: So it is.`, error_codes: [number] },
        { status },
      ),
  });
}

const dataverseSays = (path: string, status: number, code: string, message = 'So it is.') =>
  app.rule({ match: { path }, action: { status, body: { error: { code, message } } } });

describe('a token that is not to be had', () => {
  test.each<[string, StageName, RegExp, RegExp]>([
    ['tenant', 'token', /AADSTS90002/, /tenant id/],
    ['application', 'token', /AADSTS700016/, /client id/],
    ['bare', 'token', /AADSTS700027/, /app registration/],
    ['scope', 'token', /for https:..contoso.*, but the environment is/, /scope/],
  ])('for the wrong %s is told at %s', async (name, stage, detail, hint) => {
    const failed = await failureOf(name);
    expect(failed.name).toBe(stage);
    expect(failed.detail).toMatch(detail);
    expect(failed.hint).toMatch(hint);
  });

  test.each([
    [50034, 400, /tenant id/],
    [90002, 400, /tenant id/],
    [700016, 400, /client id/],
    [700024, 401, /clock/],
    [700027, 401, /app registration/],
    [50013, 401, /key is the registered one/],
    [7000215, 401, /value, not its id/],
    [7000222, 401, /expired.*secret:set/],
    [7000218, 401, /allow client credentials/],
    [70021, 400, /federated credential/],
    [700213, 401, /federated credential/],
    [7002138, 401, /case counts/],
    [500011, 400, /provisioned in this tenant/],
    [1002012, 400, /\.default/],
    [70011, 400, /\.default/],
    [50196, 429, /outage of Entra/],
    [90033, 503, /outage of Entra/],
    [53003, 400, /learn\.microsoft\.com/],
  ])('because of AADSTS%i (HTTP %i) says what to do', async (number, status, hint) => {
    entraSays(number, status);
    const failed = await failureOf();
    expect(failed).toMatchObject({ name: 'token', hint: expect.stringMatching(hint) });
  });

  test('since Entra answers with a page says that Entra is in the way', async () => {
    app.identity.faults.add({
      path: /\/oauth2\/v2\.0\/token$/,
      answer: () => new Response('<html>', { status: 502, headers: { 'content-type': 'text/html' } }),
    });
    expect(await failureOf()).toMatchObject({ name: 'token', code: 'entraUnreachable' });
  });
});

describe('a host that cannot be reached', () => {
  test('for its name is told apart from one that refuses', async () => {
    expect(await failureOf('name')).toMatchObject({
      name: 'network',
      code: expect.stringMatching(/nameUnknown|nameServer/),
    });
    expect(await failureOf('refused')).toMatchObject({ name: 'network', code: 'refused' });
  });
});

describe('a Dataverse that does not work', () => {
  test('since it is not provisioned in the tenant is told at the token', async () => {
    expect(await failureOf('unprovisioned')).toMatchObject({
      name: 'token',
      detail: expect.stringContaining('AADSTS500011'),
      hint: expect.stringContaining('provisioned'),
    });
  });

  test.each([403, 400])('since the environment is inactive (HTTP %i) is told so', async (status) => {
    await dataverseSays('RetrieveVersion', status, '0x8004A104');
    expect(await failureOf()).toMatchObject({
      name: 'api',
      code: 'environmentDisabled',
      hint: expect.stringContaining('admin centre'),
    });
  });

  test('since a page answers under its URL is told so', async () => {
    await app.rule({ match: { path: 'RetrieveVersion' }, action: { html: 200 } });
    expect(await failureOf()).toMatchObject({
      name: 'api',
      code: 'notDataverse',
      hint: expect.stringContaining('URL'),
    });
  });

  test('since there is no Web API is told so', async () => {
    await app.rule({ match: { path: 'RetrieveVersion' }, action: { status: 404, body: 'Not found' } });
    expect(await failureOf()).toMatchObject({
      name: 'api',
      code: 'apiMissing',
      hint: expect.stringContaining('database'),
    });
  });

  test('in an older version is a warning where another one is used', async () => {
    await app.rule({ match: { path: '/v9.0/' }, action: { status: 404, body: 'Not found' } });
    const { stages } = (await app.call('POST', 'connections/default/test?probe=never')).json;
    expect(stages[STAGES.indexOf('api')]).toMatchObject({ status: 'passed', warnings: ['v9.0 did not answer.'] });
  });
});

describe('a refusal by Dataverse', () => {
  test.each([
    [401, '0x80044302', 'unauthenticated', /scope/],
    [401, '0x80040277', 'unauthenticated', /scope|tenant/],
    [401, '0x8004A105', 'unauthenticated', /tampered/],
    [401, '', 'unauthenticated', /scope/],
  ])('of the token (%i %s) is told at the api', async (status, code, expected, hint) => {
    await dataverseSays('RetrieveVersion', status, code);
    expect(await failureOf()).toMatchObject({ name: 'api', code: expected, hint: expect.stringMatching(hint) });
  });

  test.each([
    [403, '0x80072560', /application user/],
    [401, '0x8004A112', /Activate the application user/],
    [403, '0x80042f09', /Assign a security role/],
    [403, '0x80042f0a', /team/],
    [403, '0x80040220', /privilege that the message names/],
    [403, '0x80040299', /privilege that the message names/],
    [403, '0x80048306', /wider depth/],
    [403, '0x80040231', /new owner/],
    [403, '0x80048405', /security role/],
  ])('of the user (%i %s) is told at the user', async (status, code, hint) => {
    await dataverseSays('WhoAmI', status, code);
    expect(await failureOf()).toMatchObject({ name: 'user', hint: expect.stringMatching(hint) });
  });

  test('of a registration without application user is told at the user', async () => {
    expect(await failureOf('stranger')).toMatchObject({
      name: 'user',
      code: 'forbidden',
      hint: expect.stringContaining('application user'),
    });
  });

  test('of an application user that was disabled is told at the user', async () => {
    const user = `systemusers(0b000000-0000-4000-8000-000000000001)`;
    expect((await app.admin('PATCH', user, { isdisabled: true })).status).toBe(204);
    try {
      expect(await failureOf()).toMatchObject({ name: 'user', hint: expect.stringContaining('enable it') });
    } finally {
      await app.admin('PATCH', user, { isdisabled: false });
    }
  });
});

describe('settings before they are saved', () => {
  const properties = () => ({
    url: app.environmentUrl,
    tenantId: app.identity.tenantId,
    clientId: app.identity.company.application.clientId,
    credential: 'certificate',
    certificateName: 'dataverse-bridge',
    tokenUrl: `${app.identity.authority}/oauth2/v2.0/token`,
    allowedTables: 'account',
  });
  const testOf = (body: unknown, key = KEYS.master) =>
    app.call('POST', 'connections/test', {
      key,
      type: 'application/json',
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });

  test('are tested like saved ones, and leave nothing behind', async () => {
    const answer = await testOf(properties());
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({ connection: 'unsaved', environment: app.environmentUrl, status: 'passed' });
    const { json } = await app.call('GET', 'connections');
    expect(json.map(({ name }: { name: string }) => name)).not.toContain('unsaved');
  });

  test('are answered with 200 and their faults, by their own names', async () => {
    const { status, json } = await testOf({ ...properties(), url: 'http://x', colour: 'blue', clientId: 7, scope: {} });
    expect(status).toBe(200);
    expect(json.stages[0]).toMatchObject({ name: 'settings', status: 'failed', code: 'settingsFault' });
    expect(json.stages[0].facts.faults.map(({ setting }: { setting: string }) => setting).sort()).toEqual([
      'clientId',
      'colour',
      'scope',
      'url',
    ]);
  });

  test.each(['[]', 'null', '"x"', '{', ''])('are refused with 400 where the body is %j', async (body) => {
    expect((await testOf(body)).status).toBe(400);
  });

  test('need the master key', async () => {
    expect((await testOf(properties(), KEYS.function)).status).toBe(401);
  });
});

test('GET whoami answers whom a connection acts as', async () => {
  const { status, json } = await app.call('GET', 'connections/default/whoami');
  expect(status).toBe(200);
  expect(json).toEqual({
    userId: '0b000000-0000-4000-8000-000000000001',
    businessUnitId: expect.any(String),
    organizationId: expect.any(String),
    name: expect.any(String),
  });
  expect((await app.call('GET', 'connections/nowhere/whoami')).status).toBe(404);
});
