import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addClientSecret } from '../../../src/local/entra/directory.ts';
import { setSecret } from '../../../src/local/key-vault/vault.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import { openStorage } from '../../../src/storage/storage.ts';
import { type Answer, KEYS, startApp, type TestApp, WEBHOOK_SECRET, type World } from '../../support/app.ts';
import { CERTIFICATE_NAME, mintToken } from '../../support/identity.ts';
import { storageCredential } from '../../support/storage.ts';

const DAY_MS = 86_400_000;
const CLIENT_SECRET = 'the-client-secret-of-this-test';
const answers: string[] = [];
let app: TestApp;

/** A connection of every kind, and broken ones. */
function connections({ identity, connection }: World): Record<string, string> {
  const { state, application, userAssigned } = identity.company;
  const now = systemClock.now();
  addClientSecret(application, CLIENT_SECRET, now + 20 * DAY_MS);
  setSecret(state.vault, 'client-secret', CLIENT_SECRET, {
    now,
    attributes: { exp: Math.floor((now + 20 * DAY_MS) / 1000) },
  });
  setSecret(state.vault, 'wrong-secret', `${CLIENT_SECRET}-but-wrong`, { now });
  application.federatedCredentials.push({
    issuer: `https://login.microsoftonline.com/${identity.tenantId}/v2.0`,
    subject: userAssigned.objectId,
    audience: 'api://AzureADTokenExchange',
  });
  const without = (name: string, changes: Record<string, string>): Record<string, string> => {
    const { [`Dataverse__${name}__certificateName`]: _, ...others } = connection(name, changes);
    return others;
  };
  return {
    MANAGED_IDENTITY_CLIENT_ID: userAssigned.clientId,
    ...connection('vaultkey', { credential: 'vaultKey', certificateName: CERTIFICATE_NAME }),
    ...without('secret', { credential: 'secret', secretName: 'client-secret' }),
    ...without('wrong', { credential: 'secret', secretName: 'wrong-secret' }),
    ...without('federated', { credential: 'managedIdentity' }),
    Dataverse__broken__url: 'https://example.org',
  };
}

beforeAll(async () => {
  app = await startApp({ settings: connections });
});
afterAll(() => app.close());

async function call(method: string, path: string, options: Parameters<TestApp['call']>[2] = {}): Promise<Answer> {
  const answer = await app.call(method, path, options);
  answers.push([...answer.headers].join('\n'), answer.text);
  return answer;
}

/** Lets the timer tick now, and waits until its invocation has ended. */
async function tick(): Promise<string[]> {
  const from = app.lines.length;
  const answer = await fetch(`${app.url}/admin/functions/connectionHealth`, {
    method: 'POST',
    headers: { 'x-functions-key': KEYS.master, 'content-type': 'application/json' },
    body: '{}',
  });
  expect(answer.status).toBe(202);
  await expect
    .poll(() => app.lines.slice(from).join('\n'), { interval: 20 })
    .toMatch(/Executed 'Functions\.connectionHealth' \(Succeeded/);
  return app.lines.slice(from);
}

const toldBy = (lines: readonly string[]): string[] =>
  lines.flatMap(
    (line) =>
      /(connection broke|connection works again|credential of connection ends soon|poison queue has grown) (\{.*\})/
        .exec(line)
        ?.slice(1, 3)
        .join(' ') ?? [],
  );

describe('the connections of an app', () => {
  test('are listed before anything was checked', async () => {
    const { status, json } = await call('GET', 'connections');
    expect(status).toBe(200);
    expect(
      json.map(({ name, credential, environment }: Record<string, string>) => [name, credential, environment]),
    ).toEqual([
      ['broken', undefined, undefined],
      ['default', 'certificate', app.environmentUrl],
      ['federated', 'managedIdentity', app.environmentUrl],
      ['secret', 'secret', app.environmentUrl],
      ['vaultkey', 'vaultKey', app.environmentUrl],
      ['wrong', 'secret', app.environmentUrl],
    ]);
    expect(json[0].faults.map(({ setting }: { setting: string }) => setting)).toContain('Dataverse__broken__url');
  });

  test('are not ready before anything was checked, and nothing is checked for the asking', async () => {
    await app.forgetCalls();
    const answers = await Promise.all(Array.from({ length: 20 }, () => call('GET', 'health/ready')));
    for (const { status, headers, json } of answers) {
      expect([status, headers.get('content-type')]).toEqual([200, 'application/health+json']);
      expect(json ?? JSON.parse(answers[0]?.text ?? '')).toMatchObject({ status: 'warn' });
    }
    expect(await app.calls()).toEqual([]);
    expect((await call('GET', 'health/ready', { key: null })).status).toBe(401);
  });

  test('are checked by the timer, which tells what changed and nothing else', async () => {
    const first = toldBy(await tick()).sort();
    expect(first.map((line) => line.replace(/"detail.*/, ''))).toEqual([
      'connection broke {"connection":"broken","stage":"settings",',
      'connection broke {"connection":"wrong","stage":"token",',
      'credential of connection ends soon {"connection":"secret","daysLeft":19,"expiresAt":"' +
        `${/"expiresAt":"([^"]+)/.exec(first[2] ?? '')?.[1]}"}`,
    ]);
    expect(first[1]).toContain('"hint":"The client secret is wrong');
    expect(toldBy(await tick())).toEqual([]);
    const { vault } = app.identity.company.state;
    setSecret(vault, 'wrong-secret', CLIENT_SECRET, { now: systemClock.now() });
    expect(toldBy(await tick()).map((line) => line.replace(/"since.*/, ''))).toEqual([
      'connection works again {"connection":"wrong",',
    ]);
  });

  test('are listed with what the last check found', async () => {
    const { json } = await call('GET', 'connections');
    const byName = Object.fromEntries(json.map((each: { name: string }) => [each.name, each]));
    expect(byName['default']).toMatchObject({
      expiresAt: expect.stringMatching(/^\d{4}-.*Z$/),
      lastCheck: { status: 'passed', at: expect.any(String) },
    });
    expect(byName['broken'].lastCheck).toMatchObject({ status: 'failed', stage: 'settings' });
    expect(byName['federated'].expiresAt).toBeUndefined();
    for (const kind of ['default', 'federated', 'secret', 'vaultkey'])
      expect([kind, byName[kind].lastCheck.status]).toEqual([kind, 'passed']);
  });

  test('of which one is broken make the app unready', async () => {
    const { status, text } = await call('GET', 'health/ready');
    expect(status).toBe(503);
    const { checks } = JSON.parse(text);
    expect(checks['connection:broken'][0]).toMatchObject({
      status: 'fail',
      output: expect.stringContaining('settings'),
    });
    expect(checks['connection:secret'][0]).toMatchObject({
      status: 'warn',
      output: expect.stringContaining('19 days'),
    });
    expect(checks['webhook-events-poison:messages'][0]).toMatchObject({ status: 'pass', observedValue: 0 });
  });

  test('are tested with every kind of credential', async () => {
    for (const kind of ['federated', 'secret', 'vaultkey', 'default', 'broken', 'wrong']) {
      const { json } = await call('POST', `connections/${kind}/test`);
      expect([kind, json.status]).toEqual([kind, kind === 'broken' ? 'failed' : 'passed']);
    }
    const { json } = await call('POST', 'connections/federated/test');
    expect(json.stages[2]).toMatchObject({ name: 'vault', status: 'skipped' });
    expect((await call('POST', 'connections/nowhere/test')).status).toBe(404);
  });
});

describe('liveness', () => {
  test('is told without asking anybody', async () => {
    await app.forgetCalls();
    expect((await call('GET', 'health', { key: null })).json).toEqual({ status: 'ok' });
    expect(await app.calls()).toEqual([]);
  });
});

test('a message that failed too often is counted and told once', async () => {
  const storage = openStorage(app.storage, storageCredential());
  // Nobody listens to this one in the app, so that the message stays.
  await storage.queue('webhook-events-poison').send({ lost: true });
  expect(toldBy(await tick())).toEqual(['poison queue has grown {"queue":"webhook-events-poison","messages":1}']);
  expect(toldBy(await tick())).toEqual([]);
});

test('no secret, key, token, assertion or cookie is in any answer, log line or blob', async () => {
  const { identity } = app;
  const body = JSON.stringify({
    url: app.environmentUrl,
    clientSecret: CLIENT_SECRET,
    secretName: { a: CLIENT_SECRET },
  });
  await call('POST', 'connections/test', { key: KEYS.master, type: 'application/json', body });
  identity.faults.add({
    path: /\/oauth2\/v2\.0\/token$/,
    answer: () =>
      Response.json(
        { error: 'invalid_client', error_description: 'AADSTS7000222: No.', error_codes: [7000222] },
        { status: 401 },
      ),
  });
  for (const name of ['secret', 'federated', 'vaultkey', 'default']) await call('POST', `connections/${name}/test`);
  identity.faults.clear();
  const blobs: string[] = [];
  const store = openStorage(app.storage, storageCredential()).blobs('health');
  for await (const { path } of store.list('')) blobs.push(path, (await store.read(path))?.body.toString('utf8') ?? '');
  expect(blobs.length).toBeGreaterThan(10);
  const told = [...answers, ...app.lines, ...blobs].join('\n');
  const token = await mintToken(identity, app.environmentUrl);
  expect(token).toMatch(/^eyJ[\w-]+\.eyJ/);
  // The first part of every JWT, and what begins each PEM, assertion and cookie.
  expect(told).not.toMatch(
    /eyJ[\w-]{10,}\.|PRIVATE KEY|BEGIN CERTIFICATE|client_assertion=|client_secret=|ARRAffinity|[Ss]et-[Cc]ookie/,
  );
  const { keyPem } = identity.company.certificate;
  for (const secret of [
    CLIENT_SECRET,
    WEBHOOK_SECRET,
    KEYS.function,
    KEYS.master,
    identity.managedIdentity.header,
    keyPem.split('\n')[3] ?? 'x',
  ]) {
    expect(told).not.toContain(secret);
  }
});
