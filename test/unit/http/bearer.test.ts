import { createHmac, generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { type JWTPayload, SignJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import type { EntraCallers } from '../../../src/config/caller-settings.ts';
import { bearerAuthorization } from '../../../src/http/bearer.ts';
import { newSigningKeyPem, openSigningKey, type SigningKey } from '../../../src/local/entra/signing-key.ts';
import { fakeClock } from '../../support/clock.ts';

const TENANT = '5a0b6a0e-1111-4a4a-8b8b-000000000001';
const OTHER_TENANT = '5a0b6a0e-1111-4a4a-8b8b-000000000009';
const CLIENT = '5a0b6a0e-2222-4a4a-8b8b-000000000002';
const AUTHORITY = 'https://login.microsoftonline.com';
const callers: EntraCallers = {
  kind: 'entra',
  tenantId: TENANT,
  audiences: [CLIENT, `api://${CLIENT}`],
  authority: AUTHORITY,
  issuers: [`${AUTHORITY}/${TENANT}/v2.0`, `https://sts.windows.net/${TENANT}/`],
};
const first = openSigningKey(newSigningKeyPem());
const second = openSigningKey(newSigningKeyPem());
const MINUTE = 60_000;

/** An app and an Entra that a test can turn: which keys it publishes, and whether it answers. */
function world() {
  const clock = fakeClock();
  const entra = {
    keys: [first],
    issuer: callers.issuers[0] as string,
    answer: undefined as (() => Promise<Response>) | undefined,
    requests: [] as string[],
  };
  const lines: string[] = [];
  const answer = async (input: string | URL | Request): Promise<Response> => {
    const url = String(input);
    entra.requests.push(url);
    if (entra.answer) return entra.answer();
    if (url === `${AUTHORITY}/${TENANT}/v2.0/.well-known/openid-configuration`) {
      return Response.json({ issuer: entra.issuer, jwks_uri: `${AUTHORITY}/${TENANT}/discovery/v2.0/keys` });
    }
    return Response.json({ keys: entra.keys.flatMap((key) => key.jwks.keys) });
  };
  const authorize = bearerAuthorization(callers, {
    clock,
    send: answer,
    log: (message, facts) => lines.push(`${message} ${JSON.stringify(facts)}`),
  });
  const now = (): number => Math.floor(clock.now() / 1000);
  return {
    clock,
    entra,
    lines,
    authorize,
    claims: (changes: Record<string, unknown> = {}): JWTPayload => ({
      aud: CLIENT,
      iss: callers.issuers[0],
      tid: TENANT,
      azp: 'caller',
      iat: now(),
      nbf: now(),
      exp: now() + 3600,
      roles: ['Bridge.Use'],
      ...changes,
    }),
    call: (token: string) => authorize(`Bearer ${token}`, 'use'),
  };
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const challengeOf = (error: string, description: string) => ({
  'www-authenticate': `Bearer realm="Dataverse Bridge", error="${error}", error_description="${description}"`,
});
const NO_CHALLENGE = { 'www-authenticate': 'Bearer realm="Dataverse Bridge"' };
const MALFORMED = 'The token is no JWT signed with RS256.';

describe('a token of the tenant', () => {
  test.each([
    { iss: callers.issuers[0], aud: CLIENT, azp: 'caller', appid: undefined },
    { iss: callers.issuers[1], aud: `api://${CLIENT}`, azp: undefined, appid: 'caller' },
    { iss: callers.issuers[1], aud: CLIENT, azp: undefined, appid: 'caller' },
    { roles: ['Other', 'Bridge.Use'] },
    { roles: ['Bridge.Admin'] },
  ])('with %o opens what is for users', async (changes) => {
    const { call, claims } = world();
    await expect(call(await first.sign(claims(changes)))).resolves.toBeUndefined();
  });

  test('may stand behind the scheme in any case', async () => {
    const { authorize, claims } = world();
    await expect(authorize(`bearer ${await first.sign(claims())}`, 'use')).resolves.toBeUndefined();
  });

  test.each([
    ['Bridge.Use', undefined],
    ['Bridge.Use', []],
    ['Bridge.Use', ['bridge.use', 'Bridge.User', '']],
    ['Bridge.Admin', ['Bridge.Use']],
  ])('without the role %s is refused with 403 (%o)', async (role, roles) => {
    const { authorize, claims } = world();
    const access = role === 'Bridge.Admin' ? 'admin' : 'use';
    await expect(authorize(`Bearer ${await first.sign(claims({ roles }))}`, access)).rejects.toMatchObject({
      status: 403,
      code: 'roleMissing',
      message: `The token lacks the role ${role}.`,
      headers: challengeOf('insufficient_scope', `The token lacks the role ${role}.`),
    });
  });

  test.each([
    ['tokenAudience', { aud: 'https://graph.microsoft.com' }],
    ['tokenAudience', { aud: undefined }],
    ['tokenAudience', { aud: `api://${CLIENT}/` }],
    ['tokenIssuer', { iss: `${AUTHORITY}/${OTHER_TENANT}/v2.0`, tid: OTHER_TENANT }],
    ['tokenIssuer', { tid: OTHER_TENANT }],
    ['tokenIssuer', { iss: `https://login.example.com/${TENANT}/v2.0` }],
    ['tokenIssuer', { iss: undefined }],
    ['tokenKind', { azp: undefined }],
    ['tokenKind', { tid: undefined }],
    ['tokenKind', { roles: 'Bridge.Use' }],
    ['tokenMalformed', { exp: undefined }],
    ['tokenMalformed', { exp: 'tomorrow' }],
    ['tokenMalformed', { nbf: undefined }],
    ['tokenMalformed', { nbf: 'now' }],
  ])('is refused as %s with %o', async (code, changes) => {
    const { call, claims } = world();
    await expect(call(await first.sign(claims(changes)))).rejects.toMatchObject({ status: 401, code });
  });

  test('is taken for five minutes before and after its time, for clocks that differ', async () => {
    const { call, claims, clock } = world();
    const token = await first.sign(claims());
    clock.advance(-5 * MINUTE);
    await expect(call(token)).resolves.toBeUndefined();
    clock.advance(-1000);
    await expect(call(token)).rejects.toMatchObject({
      code: 'tokenNotYetValid',
      headers: challengeOf('invalid_token', 'The token is not valid yet.'),
    });
    clock.advance(1000 + 5 * MINUTE + 65 * MINUTE - 1000);
    await expect(call(token)).resolves.toBeUndefined();
    clock.advance(1000);
    await expect(call(token)).rejects.toMatchObject({
      status: 401,
      code: 'tokenExpired',
      headers: challengeOf('invalid_token', 'The token has expired.'),
    });
  });
});

describe('what is no token of the tenant', () => {
  test.each([null, '', 'Basic dXNlcjpwYXNz', 'Bearertoken', 'Negotiate abc'])(
    'such as the header %o is asked for one',
    async (authorization) => {
      const { authorize, entra } = world();
      await expect(authorize(authorization, 'use')).rejects.toMatchObject({
        status: 401,
        code: 'tokenMissing',
        headers: NO_CHALLENGE,
      });
      expect(entra.requests).toEqual([]);
    },
  );

  test.each([
    'Bearer',
    'Bearer ',
    'Bearer a b',
    'Bearer a.b.c, Bearer d.e.f',
    'Bearer ü',
    `Bearer ${'a'.repeat(17_000)}`,
  ])('is refused without asking Entra: %.40s', async (authorization) => {
    const { authorize, entra } = world();
    await expect(authorize(authorization, 'use')).rejects.toMatchObject({ status: 401, code: 'tokenMalformed' });
    expect(entra.requests).toEqual([]);
  });

  test('is one without signature', async () => {
    const { call, claims } = world();
    for (const alg of ['none', 'None', 'RS256']) {
      const unsigned = `${part({ typ: 'JWT', alg, kid: first.kid })}.${part(claims())}.`;
      await expect(call(unsigned)).rejects.toMatchObject({ status: 401 });
    }
    await expect(call(`${part({ alg: 'none' })}.${part(claims())}.`)).rejects.toMatchObject({
      code: 'tokenMalformed',
      headers: challengeOf('invalid_token', MALFORMED),
    });
  });

  test('is one signed with HS256 and the public key as secret', async () => {
    const { call, claims } = world();
    const secrets = [
      first.publicKey.export({ type: 'spki', format: 'pem' }),
      first.publicKey.export({ type: 'spki', format: 'der' }),
      JSON.stringify(first.jwks.keys[0]),
    ];
    for (const secret of secrets) {
      const text = `${part({ typ: 'JWT', alg: 'HS256', kid: first.kid })}.${part(claims())}`;
      const signature = createHmac('sha256', secret).update(text).digest('base64url');
      await expect(call(`${text}.${signature}`)).rejects.toMatchObject({ status: 401, code: 'tokenMalformed' });
    }
  });

  test('is one signed by the right key with another algorithm', async () => {
    const { call, claims } = world();
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const token = await new SignJWT(claims())
      .setProtectedHeader({ alg: 'PS256', kid: first.kid })
      .sign(pair.privateKey);
    await expect(call(token)).rejects.toMatchObject({ code: 'tokenMalformed' });
  });

  test('is one signed by another key, under its own or a borrowed name', async () => {
    const { call, claims } = world();
    const stranger = second;
    await expect(call(await stranger.sign(claims()))).rejects.toMatchObject({
      status: 401,
      code: 'tokenNotTrusted',
      headers: challengeOf('invalid_token', 'The token is not signed by a key of the tenant.'),
    });
    const [, body, signature] = (await stranger.sign(claims())).split('.');
    const borrowed = `${part({ typ: 'JWT', alg: 'RS256', kid: first.kid })}.${body}.${signature}`;
    await expect(call(borrowed)).rejects.toMatchObject({ code: 'tokenNotTrusted' });
  });

  test('is one that brings its own key or says where to find it', async () => {
    const { call, claims, entra } = world();
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const header = {
      alg: 'RS256',
      kid: 'mine',
      jwk: pair.publicKey.export({ format: 'jwk' }),
      jku: 'https://evil.example.com/keys',
      x5u: 'https://evil.example.com/certificate',
    };
    const token = await new SignJWT(claims()).setProtectedHeader(header).sign(pair.privateKey);
    await expect(call(token)).rejects.toMatchObject({ code: 'tokenNotTrusted' });
    expect(entra.requests.filter((url) => !url.startsWith(AUTHORITY))).toEqual([]);
  });

  test('is one whose claims were changed', async () => {
    const { call, claims } = world();
    const [header, , signature] = (await first.sign(claims({ roles: [] }))).split('.');
    await expect(call(`${header}.${part(claims())}.${signature}`)).rejects.toMatchObject({ code: 'tokenNotTrusted' });
  });

  test('is whatever else somebody sends, and it is never quoted in the answer', async () => {
    const { authorize, claims } = world();
    const good = await first.sign(claims());
    const piece = fc.oneof(
      fc.constantFrom(...good.split('.')),
      fc.base64String(),
      fc.string().map(part),
      fc.json().map(part),
    );
    const garbage = fc.oneof(
      fc.string(),
      fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join('.')),
    );
    await fc.assert(
      fc.asyncProperty(garbage, async (text) => {
        fc.pre(text !== good);
        const error: unknown = await authorize(`Bearer ${text}`, 'use').catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({ status: 401 });
        const { headers, message, hint } = error as { headers: object; message: string; hint: string };
        expect(JSON.stringify(headers)).toMatch(/^[ -~]*$/);
        if (text.length > 20) expect(`${message} ${hint} ${JSON.stringify(headers)}`).not.toContain(text);
      }),
      { numRuns: 300 },
    );
  });

  test('is a header parameter that nobody knows, whose name stays out of the challenge', async () => {
    const { call, claims } = world();
    const header = part({ alg: 'RS256', kid: first.kid, crit: ['"\r\nx'], '"\r\nx': 1 });
    await expect(call(`${header}.${part(claims())}.${part('')}`)).rejects.toMatchObject({
      headers: challengeOf('invalid_token', MALFORMED),
    });
  });
});

describe('the tenant’s keys', () => {
  const good = async (token: string, call: (token: string) => Promise<void>) =>
    expect(call(token)).resolves.toBeUndefined();

  test('are read once, however many callers a cold start has', async () => {
    const { call, claims, entra } = world();
    const token = await first.sign(claims());
    await Promise.all(Array.from({ length: 50 }, () => call(token)));
    await good(token, call);
    expect(entra.requests).toEqual([
      `${AUTHORITY}/${TENANT}/v2.0/.well-known/openid-configuration`,
      `${AUTHORITY}/${TENANT}/discovery/v2.0/keys`,
    ]);
  });

  test('are read again as soon as a token names a new one', async () => {
    const { call, claims, clock, entra } = world();
    await good(await first.sign(claims()), call);
    entra.keys = [second];
    clock.advance(MINUTE);
    await good(await second.sign(claims()), call);
    await expect(call(await first.sign(claims()))).rejects.toMatchObject({ code: 'tokenNotTrusted' });
  });

  test('are not read for every invented name', async () => {
    const { call, claims, clock, entra } = world();
    await good(await first.sign(claims()), call);
    clock.advance(MINUTE);
    const before = entra.requests.length;
    for (let at = 0; at < 20; at += 1) {
      const token = `${part({ alg: 'RS256', kid: `invented-${at}` })}.${part(claims())}.${part('x')}`;
      await expect(call(token)).rejects.toMatchObject({ code: 'tokenNotTrusted' });
    }
    expect(entra.requests.length - before).toBe(2);
  });

  test('are read anew each hour without a caller waiting for it', async () => {
    const { call, claims, clock, entra } = world();
    await good(await first.sign(claims()), call);
    clock.advance(61 * MINUTE);
    const token = await first.sign(claims());
    entra.answer = () => new Promise(() => {});
    await good(token, call);
    expect(entra.requests).toHaveLength(3);
  });

  test.each([
    ['refuses connections', () => Promise.reject(new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') }))],
    ['answers 503', async () => new Response('busy', { status: 503 })],
    ['answers a page', async () => new Response('<html>', { headers: { 'content-type': 'text/html' } })],
    [
      'answers no keys',
      async () => Response.json({ issuer: callers.issuers[0], jwks_uri: `${AUTHORITY}/keys`, keys: [] }),
    ],
    ['names plain http', async () => Response.json({ issuer: callers.issuers[0], jwks_uri: 'http://127.0.0.1/keys' })],
  ])('serve for a day while Entra %s', async (_, answer) => {
    const { call, claims, clock, entra, lines } = world();
    await good(await first.sign(claims()), call);
    entra.answer = answer;
    clock.advance(23 * 60 * MINUTE);
    await good(await first.sign(claims()), call);
    clock.advance(60 * MINUTE);
    await expect(call(await first.sign(claims()))).rejects.toMatchObject({
      status: 503,
      code: 'tenantKeysUnavailable',
      headers: { 'retry-after': '10' },
    });
    expect(lines.length).toBeGreaterThan(0);
    entra.answer = undefined;
    clock.advance(10_000);
    await good(await first.sign(claims()), call);
  });

  test('that were never read make a 503, and Entra is left alone for a while', async () => {
    const { call, claims, clock, entra } = world();
    entra.answer = () => Promise.reject(new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') }));
    const token = await first.sign(claims());
    for (let at = 0; at < 5; at += 1) {
      await expect(call(token)).rejects.toMatchObject({ status: 503, code: 'tenantKeysUnavailable' });
    }
    expect(entra.requests).toHaveLength(1);
    entra.answer = undefined;
    clock.advance(10_000);
    await good(token, call);
  });

  test('are those of the tenant: metadata of another issuer is not taken', async () => {
    const { call, claims, entra, lines } = world();
    entra.issuer = `${AUTHORITY}/${OTHER_TENANT}/v2.0`;
    await expect(call(await first.sign(claims()))).rejects.toMatchObject({ code: 'tenantKeysUnavailable' });
    expect(lines.join()).toContain('names another issuer');
  });

  test('are told apart by name when there are several', async () => {
    const { call, claims, entra } = world();
    entra.keys = [second, first];
    for (const key of [first, second] satisfies SigningKey[]) await good(await key.sign(claims()), call);
    const unnamed = await new SignJWT(claims())
      .setProtectedHeader({ alg: 'RS256' })
      .sign(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
    await expect(call(unnamed)).rejects.toMatchObject({ code: 'tokenNotTrusted' });
  });
});
