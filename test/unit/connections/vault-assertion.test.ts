import { createHash, X509Certificate } from 'node:crypto';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { expect, test, vi } from 'vitest';
import { createVaultAssertion } from '../../../src/connections/vault-assertion.ts';
import { makeCertificate } from '../../../src/local/certificates.ts';
import { signDigest } from '../../../src/local/key-vault/sign.ts';
import { fakeClock } from '../../support/clock.ts';

const clock = fakeClock();
const own = makeCertificate({ subject: 'Bridge', validFrom: clock.now() - 1_000, validTo: clock.now() + 1e9 });
const { raw: der, publicKey } = new X509Certificate(own.certPem);
const client = { clientId: 'the-client', tokenEndpoint: 'https://login.example/t/oauth2/v2.0/token' };

function assertions() {
  const sign = vi.fn(async (data: Buffer) =>
    signDigest(own.keyPem, 'PS256', createHash('sha256').update(data).digest()),
  );
  return { sign, assertion: createVaultAssertion({ der, sign, clock, newId: () => `id-${sign.mock.calls.length}` }) };
}

test('an assertion names the certificate and is signed by its key, for ten minutes', async () => {
  const { assertion } = assertions();
  const text = await assertion(client);
  expect(decodeProtectedHeader(text)).toEqual({
    alg: 'PS256',
    typ: 'JWT',
    'x5t#S256': createHash('sha256').update(der).digest('base64url'),
    x5c: [der.toString('base64')],
  });
  const now = clock.now() / 1_000;
  const { payload } = await jwtVerify(text, publicKey, { algorithms: ['PS256'], currentDate: new Date(clock.now()) });
  expect(payload).toEqual({
    aud: client.tokenEndpoint,
    iss: client.clientId,
    sub: client.clientId,
    jti: 'id-0',
    nbf: now,
    iat: now,
    exp: now + 600,
  });
});

test('is signed once for all who ask at the same time, and again a minute before its end', async () => {
  const { assertion, sign } = assertions();
  const [first, second] = await Promise.all([assertion(client), assertion(client)]);
  expect(second).toBe(first);
  clock.advance(539_000);
  expect(await assertion(client)).toBe(first);
  expect(sign).toHaveBeenCalledTimes(1);
  clock.advance(1_000);
  expect(await assertion(client)).not.toBe(first);
});

test('is another for another token endpoint', async () => {
  const { assertion } = assertions();
  const first = await assertion(client);
  expect(await assertion({ ...client, tokenEndpoint: 'https://login.example/u/oauth2/v2.0/token' })).not.toBe(first);
});

test('that could not be signed is asked for again', async () => {
  const { assertion, sign } = assertions();
  sign.mockRejectedValueOnce(new Error('the vault is down'));
  await expect(assertion(client)).rejects.toThrow('the vault is down');
  expect(await assertion(client)).toMatch(/^ey/);
});
