import { constants, createHash, createPublicKey, randomUUID, verify } from 'node:crypto';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { makeCertificate } from '../../../../src/local/certificates.ts';
import { addResource, findResource, newTenant } from '../../../../src/local/entra/directory.ts';
import { newSigningKeyPem, openSigningKey } from '../../../../src/local/entra/signing-key.ts';
import { issueToken } from '../../../../src/local/entra/tokens.ts';
import { createKeyVault, isKeyVaultPath } from '../../../../src/local/key-vault/key-vault.ts';
import type { RoleAssignment } from '../../../../src/local/key-vault/roles.ts';
import { importCertificate, newVault, setSecret, type Vault } from '../../../../src/local/key-vault/vault.ts';

const ORIGIN = 'https://localhost:1';
const NOW = Date.parse('2026-11-20T17:11:27Z');
const DAY_MS = 86_400_000;
const CALLER = randomUUID();
const CLIENT = randomUUID();

const tenant = newTenant('Contoso');
addResource(tenant, { uri: 'https://management.azure.com', name: 'Azure' });
const key = openSigningKey(newSigningKeyPem());
const certificate = makeCertificate({ subject: 'Bridge', validFrom: NOW - DAY_MS, validTo: NOW + DAY_MS });

let vault: Vault;
let now: number;
const save = vi.fn();

beforeEach(() => {
  vault = newVault(tenant.id);
  now = NOW;
  save.mockClear();
});

function grant(role: RoleAssignment['role'], object?: string): void {
  vault.roleAssignments.push({ principalId: CALLER, role, object });
}

function token(
  changes: { resource?: string; tenantId?: string; now?: number; signedBy?: typeof key } = {},
): Promise<string> {
  const resource = findResource(tenant, changes.resource ?? 'https://vault.azure.net');
  if (!resource) throw new Error('The tenant does not know the resource.');
  return issueToken(
    { key: changes.signedBy ?? key, origin: ORIGIN, now: changes.now ?? NOW, lifetimeSeconds: 3599 },
    resource,
    resource.uri,
    { tenantId: changes.tenantId ?? tenant.id, clientId: CLIENT, objectId: CALLER, authentication: '2' },
  );
}

async function call(
  method: string,
  path: string,
  options: { body?: unknown; bearer?: string | null; version?: string } = {},
): Promise<Response> {
  const answer = createKeyVault({ vault, save, key, origin: ORIGIN, clock: { now: () => now, sleep: async () => {} } });
  const bearer = options.bearer === undefined ? await token() : options.bearer;
  const url = new URL(path, ORIGIN);
  if (options.version !== '') url.searchParams.set('api-version', options.version ?? '2025-07-01');
  return answer(
    new Request(url, {
      method,
      headers: bearer === null ? {} : { authorization: `Bearer ${bearer}` },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    }),
  );
}

const errorSchema = z.strictObject({
  error: z.strictObject({
    code: z.string(),
    message: z.string(),
    innererror: z.strictObject({ code: z.string() }).optional(),
  }),
});

async function refusal(response: Response) {
  const { error } = errorSchema.parse(await response.json());
  return { status: response.status, code: error.code, inner: error.innererror?.code, message: error.message };
}

describe('a caller', () => {
  const CHALLENGE = `Bearer authorization="${ORIGIN}/${tenant.id}", resource="https://vault.azure.net"`;

  test('without a token is told where to get one', async () => {
    const response = await call('GET', '/secrets/a', { bearer: null });
    expect(response.headers.get('www-authenticate')).toBe(CHALLENGE);
    expect(await refusal(response)).toEqual({
      status: 401,
      code: 'Unauthorized',
      inner: undefined,
      message: 'AKV10000: Request is missing a Bearer or PoP token.',
    });
  });

  test.each([
    ['a token for another resource', { resource: 'https://management.azure.com' }, 'AKV10022: Invalid audience.'],
    ['a token of another tenant', { tenantId: randomUUID() }, 'AKV10032: Invalid issuer. Expected one of'],
    ['an expired token', { now: NOW - DAY_MS }, '[TokenExpired]'],
    ['a token of the future', { now: NOW + DAY_MS }, 'AKV10046'],
    ['a token that somebody else signed', { signedBy: openSigningKey(newSigningKeyPem()) }, 'AKV10046'],
  ])('with %s is refused', async (_, changes, message) => {
    const response = await call('GET', '/secrets/a', { bearer: await token(changes) });
    expect(response.headers.get('www-authenticate')).toBe(CHALLENGE);
    expect(await refusal(response)).toMatchObject({ status: 401, message: expect.stringContaining(message) });
  });

  test('without a role is refused as role-based access control does', async () => {
    const found = await refusal(await call('GET', '/secrets/webhook-key'));
    expect(found).toMatchObject({ status: 403, code: 'Forbidden', inner: 'ForbiddenByRbac' });
    expect(found.message.split('\r\n').slice(0, 5)).toEqual([
      'Caller is not authorized to perform action on resource.',
      'If role assignments, deny assignments or role definitions were changed recently, please observe propagation time.',
      `Caller: appid=${CLIENT};oid=${CALLER};iss=https://sts.windows.net/${tenant.id}/`,
      "Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'",
      `Resource: '${vault.resourceId}/secrets/webhook-key'`,
    ]);
  });

  test.each([
    ['Key Vault Secrets User', ['GET /secrets/s', 'GET /secrets', 'GET /secrets/c']],
    ['Key Vault Secrets Officer', ['GET /secrets/s', 'GET /secrets', 'PUT /secrets/s', 'GET /secrets/c']],
    [
      'Key Vault Certificate User',
      ['GET /secrets/s', 'GET /secrets', 'GET /certificates/c', 'GET /keys/c', 'GET /secrets/c'],
    ],
    ['Key Vault Crypto User', ['GET /keys/c', 'POST /keys/c/sign']],
  ] as const)('with the role %s may do what the role says, and nothing else', async (role, allowed) => {
    setSecret(vault, 's', 'x', { now });
    importCertificate(vault, 'c', certificate, { now });
    grant(role);
    const calls = {
      'GET /secrets/s': undefined,
      'GET /secrets': undefined,
      'PUT /secrets/s': { value: 'y' },
      'GET /certificates/c': undefined,
      'GET /keys/c': undefined,
      'GET /secrets/c': undefined,
      'POST /keys/c/sign': { alg: 'RS256', value: Buffer.alloc(32).toString('base64url') },
    };
    const statuses: Record<string, number> = {};
    for (const [name, body] of Object.entries(calls)) {
      const [method = '', path = ''] = name.split(' ');
      statuses[name] = (await call(method, path, { body })).status;
    }
    expect(
      Object.keys(statuses)
        .filter((name) => statuses[name] === 200)
        .toSorted(),
    ).toEqual([...allowed].toSorted());
    expect(new Set(Object.values(statuses))).toEqual(new Set([200, 403]));
  });

  test('has no use of the role of somebody else', async () => {
    setSecret(vault, 'a', '1', { now });
    vault.roleAssignments.push({ principalId: randomUUID(), role: 'Key Vault Secrets User' });
    expect((await call('GET', '/secrets/a')).status).toBe(403);
  });

  test('with a role on one secret may not read another', async () => {
    setSecret(vault, 'a', '1', { now });
    setSecret(vault, 'b', '2', { now });
    grant('Key Vault Secrets User', 'secrets/a');
    expect((await call('GET', '/secrets/a')).status).toBe(200);
    expect((await call('GET', '/secrets/b')).status).toBe(403);
    expect((await call('GET', '/secrets')).status).toBe(403);
  });
});

describe('a secret', () => {
  beforeEach(() => grant('Key Vault Secrets Officer'));

  const idOf = async (response: Response) => z.object({ id: z.string() }).parse(await response.json()).id;

  test('is stored with its attributes, read back whatever the case, and saved', async () => {
    const body = { value: 'v', contentType: 'text/plain', attributes: { exp: 1900000000 }, tags: { owner: 'crm' } };
    const stored = await call('PUT', '/secrets/webhook-key', { body });
    const expected = {
      value: 'v',
      contentType: 'text/plain',
      id: expect.stringMatching(/^https:\/\/localhost:1\/secrets\/webhook-key\/[0-9a-f]{32}$/),
      attributes: {
        enabled: true,
        exp: 1900000000,
        created: NOW / 1000,
        updated: NOW / 1000,
        recoveryLevel: 'Recoverable+Purgeable',
        recoverableDays: 90,
      },
      tags: { owner: 'crm' },
    };
    expect(await stored.json()).toEqual(expected);
    expect(await (await call('GET', '/secrets/Webhook-Key/')).json()).toEqual(expected);
    expect(save).toHaveBeenCalledOnce();
  });

  test('keeps its older versions, and the newest is the current one', async () => {
    const first = await idOf(await call('PUT', '/secrets/a', { body: { value: '1' } }));
    await call('PUT', '/secrets/a', { body: { value: '2' } });
    expect(await (await call('GET', '/secrets/a')).json()).toMatchObject({ value: '2' });
    expect(await (await call('GET', new URL(first).pathname)).json()).toMatchObject({ value: '1' });
  });

  test('that is disabled cannot be read, but is listed', async () => {
    const stored = await call('PUT', '/secrets/a', { body: { value: '1', tags: { owner: 'crm' } } });
    const path = new URL(await idOf(stored)).pathname;
    const updated = await (await call('PATCH', path, { body: { attributes: { enabled: false } } })).json();
    expect(updated).toMatchObject({ attributes: { enabled: false }, tags: { owner: 'crm' } });
    expect(updated).not.toHaveProperty('value');
    expect(await refusal(await call('GET', '/secrets/a'))).toEqual({
      status: 403,
      code: 'Forbidden',
      inner: 'SecretDisabled',
      message: 'Operation get is not allowed on a disabled secret.',
    });
    expect(await (await call('GET', '/secrets/a/versions')).json()).toMatchObject({
      value: [{ id: ORIGIN + path, attributes: { enabled: false } }],
      nextLink: null,
    });
  });

  test('that has expired or is not valid yet can still be read, as in Key Vault', async () => {
    setSecret(vault, 'old', '1', { now, attributes: { exp: NOW / 1000 - 1 } });
    setSecret(vault, 'new', '1', { now, attributes: { nbf: NOW / 1000 + 1 } });
    expect((await call('GET', '/secrets/old')).status).toBe(200);
    expect((await call('GET', '/secrets/new')).status).toBe(200);
  });

  test.each(['/secrets/nothing', '/secrets/constructor', '/secrets/a/00000000000000000000000000000000'])(
    'at %s is not found',
    async (path) => {
      setSecret(vault, 'a', '1', { now });
      const found = await refusal(await call('GET', path));
      expect(found).toMatchObject({ status: 404, code: 'SecretNotFound' });
      expect(found.message).toContain(
        `A secret with (name/id) ${path.slice('/secrets/'.length)} was not found in this key vault.`,
      );
    },
  );

  test('cannot take the name of a certificate', async () => {
    importCertificate(vault, 'c', certificate, { now });
    expect(await refusal(await call('PUT', '/secrets/c', { body: { value: '1' } }))).toMatchObject({ status: 409 });
  });

  test.each([
    ['a name that Key Vault does not allow', '/secrets/a_b', { value: '1' }],
    ['no value', '/secrets/a', {}],
    ['attributes of the wrong type', '/secrets/a', { value: '1', attributes: { exp: 'soon' } }],
  ])('with %s is refused', async (_, path, body) => {
    expect(await refusal(await call('PUT', path, { body }))).toMatchObject({ status: 400, code: 'BadParameter' });
    expect(save).not.toHaveBeenCalled();
  });

  test('is listed by id in pages, each with the address of the next', async () => {
    for (let number = 6; number >= 0; number -= 1) setSecret(vault, `secret-${number}`, 'x', { now });
    const pageSchema = z.object({ value: z.array(z.object({ id: z.string() })), nextLink: z.string().nullable() });
    const sizes: number[] = [];
    const ids: string[] = [];
    let next: string | null = '/secrets?maxresults=3';
    while (next) {
      const page: z.infer<typeof pageSchema> = pageSchema.parse(await (await call('GET', next)).json());
      sizes.push(page.value.length);
      ids.push(...page.value.map(({ id }) => id));
      next = page.nextLink;
    }
    expect(sizes).toEqual([3, 3, 1]);
    expect(ids).toEqual([0, 1, 2, 3, 4, 5, 6].map((number) => `${ORIGIN}/secrets/secret-${number}`));
  });
});

describe('a certificate', () => {
  beforeEach(() => {
    grant('Key Vault Certificate User');
    grant('Key Vault Crypto User');
  });

  test('is served with the addresses of its key and its secret', async () => {
    const { version } = importCertificate(vault, 'c', certificate, { now });
    const body = z.looseObject({ cer: z.string() }).parse(await (await call('GET', '/certificates/c/')).json());
    expect(body).toMatchObject({
      id: `${ORIGIN}/certificates/c/${version}`,
      kid: `${ORIGIN}/keys/c/${version}`,
      sid: `${ORIGIN}/secrets/c/${version}`,
      attributes: { enabled: true, nbf: NOW / 1000 - 86_400, exp: NOW / 1000 + 86_400 },
      policy: {
        key_props: { exportable: true, kty: 'RSA', key_size: 2048 },
        secret_props: { contentType: 'application/x-pkcs12' },
        x509_props: { subject: 'CN=Bridge' },
      },
    });
    const thumbprint = createHash('sha256').update(Buffer.from(body.cer, 'base64')).digest('hex').toUpperCase();
    expect(thumbprint).toBe(certificate.thumbprintSha256);
    const policy = await (await call('GET', '/certificates/c/policy')).json();
    expect(policy).toMatchObject({ id: `${ORIGIN}/certificates/c/policy` });
  });

  test('in PEM has its key and itself as secret', async () => {
    importCertificate(vault, 'c', certificate, { now, policy: { contentType: 'application/x-pem-file' } });
    expect(await (await call('GET', '/secrets/c')).json()).toMatchObject({
      value: certificate.keyPem + certificate.certPem,
      contentType: 'application/x-pem-file',
      managed: true,
    });
  });

  test.each(['application/x-pem-file', 'application/x-pkcs12'] as const)(
    'whose key cannot be exported keeps it back (%s)',
    async (contentType) => {
      importCertificate(vault, 'c', certificate, { now, policy: { contentType, exportable: false } });
      const { value } = z.object({ value: z.string() }).parse(await (await call('GET', '/secrets/c')).json());
      const content =
        contentType === 'application/x-pem-file' ? value : Buffer.from(value, 'base64').toString('latin1');
      expect(content).not.toContain('PRIVATE KEY');
      expect(value.length).toBeLessThan(certificate.pfxBase64().length * 0.8);
    },
  );

  test('that is renewed serves both versions and lists them', async () => {
    const first = importCertificate(vault, 'c', certificate, { now }).version;
    const renewed = makeCertificate({ subject: 'Bridge', validFrom: NOW, validTo: NOW + DAY_MS });
    const second = importCertificate(vault, 'c', renewed, { now }).version;
    const current = z.object({ id: z.string() }).parse(await (await call('GET', '/certificates/c')).json());
    expect(current.id).toBe(`${ORIGIN}/certificates/c/${second}`);
    expect((await call('GET', `/certificates/c/${first}`)).status).toBe(200);
    for (const type of ['certificates', 'keys', 'secrets']) {
      const list = await (await call('GET', `/${type}/c/versions`)).json();
      const ids = [first, second].toSorted().map((version) => ({ id: `${ORIGIN}/${type}/c/${version}` }));
      expect(list).toMatchObject({ value: ids });
      expect(await (await call('GET', `/${type}`)).json()).toMatchObject({ value: [{ id: `${ORIGIN}/${type}/c` }] });
    }
  });

  test('that is disabled is served, but neither its key nor its secret', async () => {
    importCertificate(vault, 'c', certificate, { now, attributes: { enabled: false } });
    expect((await call('GET', '/certificates/c')).status).toBe(200);
    expect(await refusal(await call('GET', '/secrets/c'))).toMatchObject({ status: 403, inner: 'SecretDisabled' });
    expect(await refusal(await call('GET', '/keys/c'))).toMatchObject({ status: 403, inner: 'KeyDisabled' });
  });

  test.each([
    ['certificates', 'CertificateNotFound'],
    ['keys', 'KeyNotFound'],
  ])('that is missing is not found under %s', async (type, code) => {
    expect(await refusal(await call('GET', `/${type}/nothing`))).toMatchObject({ status: 404, code });
  });

  describe('has a key that', () => {
    const digest = createHash('sha256').update('signed text').digest();
    const sign = (alg: string, value: Buffer = digest) =>
      call('POST', '/keys/c//sign', { body: { alg, value: value.toString('base64url') } });

    test.each([
      ['PS256', { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }],
      ['RS256', { padding: constants.RSA_PKCS1_PADDING }],
    ])('signs a digest with %s', async (alg, padding) => {
      const { version } = importCertificate(vault, 'c', certificate, { now, policy: { exportable: false } });
      const answer = z.object({ kid: z.string(), value: z.string() }).parse(await (await sign(alg)).json());
      expect(answer.kid).toBe(`${ORIGIN}/keys/c/${version}`);
      const { key: jwk } = z
        .object({ key: z.looseObject({ kty: z.string() }) })
        .parse(await (await call('GET', `/keys/c/${version}`)).json());
      const publicKey = createPublicKey({ key: jwk, format: 'jwk' });
      const signature = Buffer.from(answer.value, 'base64url');
      expect(verify('sha256', Buffer.from('signed text'), { key: publicKey, ...padding }, signature)).toBe(true);
    });

    test('refuses to sign once it has expired, or too early', async () => {
      importCertificate(vault, 'c', certificate, { now });
      now = NOW + DAY_MS;
      const late = await token({ now });
      const body = { alg: 'PS256', value: digest.toString('base64url') };
      expect(await refusal(await call('POST', '/keys/c/sign', { body, bearer: late }))).toMatchObject({
        status: 403,
        inner: 'KeyExpired',
      });
      now = NOW - 2 * DAY_MS;
      const early = await token({ now });
      expect(await refusal(await call('POST', '/keys/c/sign', { body, bearer: early }))).toMatchObject({
        status: 403,
        inner: 'KeyNotYetValid',
      });
    });

    test('refuses to sign while it is disabled', async () => {
      importCertificate(vault, 'c', certificate, { now, attributes: { enabled: false } });
      expect(await refusal(await sign('PS256'))).toEqual({
        status: 403,
        code: 'Forbidden',
        inner: 'KeyDisabled',
        message: 'Operation sign is not allowed on a disabled key.',
      });
    });

    test('refuses a digest of the wrong length and an algorithm that is not emulated', async () => {
      importCertificate(vault, 'c', certificate, { now });
      expect(await refusal(await sign('PS256', Buffer.alloc(20)))).toMatchObject({ status: 400, code: 'BadParameter' });
      expect(await refusal(await sign('ES256'))).toMatchObject({
        status: 501,
        code: 'NotEmulated',
        message: 'Signing with ES256 is not emulated.',
      });
    });
  });
});

describe('a request', () => {
  test('without api-version is refused', async () => {
    expect(await refusal(await call('GET', '/secrets/a', { version: '' }))).toMatchObject({
      status: 400,
      code: 'BadParameter',
    });
  });

  test.each([
    ['DELETE', '/secrets/a'],
    ['GET', '/deletedsecrets'],
    ['POST', '/certificates/a/create'],
    ['POST', '/keys/a/create'],
  ])('for what is not emulated says so (%s %s)', async (method, path) => {
    grant('Key Vault Secrets Officer');
    expect(await refusal(await call(method, path, { body: method === 'GET' ? undefined : {} }))).toMatchObject({
      status: 501,
      code: 'NotEmulated',
    });
  });

  test('belongs to Key Vault or to Entra by its path', () => {
    expect(isKeyVaultPath('/secrets/a/')).toBe(true);
    expect(isKeyVaultPath(`/${tenant.id}/oauth2/v2.0/token`)).toBe(false);
    expect(isKeyVaultPath('/')).toBe(false);
  });
});
