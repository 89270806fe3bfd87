import { expect, test } from 'vitest';
import { parseConnection } from '../../../src/config/connection-settings.ts';
import { checkToken } from '../../../src/health/token-check.ts';

const TENANT = '11111111-1111-4111-8111-111111111111';
const CLIENT = '22222222-2222-4222-8222-222222222222';
const ENVIRONMENT = 'https://contoso.crm4.dynamics.com';

function settingsOf(changes: Readonly<Record<string, string>> = {}) {
  const properties = {
    url: ENVIRONMENT,
    tenantId: TENANT,
    clientId: CLIENT,
    credential: 'managedIdentity',
    ...changes,
  };
  const parsed = parseConnection('default', new Map(Object.entries(properties)));
  if ('faults' in parsed) throw new Error(JSON.stringify(parsed.faults));
  return parsed;
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const tokenOf = (claims: Readonly<Record<string, unknown>>): string =>
  `${part({ alg: 'RS256' })}.${part({ iss: 'https://sts', tid: TENANT, appid: CLIENT, exp: 1_800_000_000, ...claims })}.signature`;

test.each([ENVIRONMENT, `${ENVIRONMENT}/`, '00000007-0000-0000-c000-000000000000'])(
  'a token for %s is one for the environment',
  (aud) => {
    const { detail, facts } = checkToken(tokenOf({ aud, uti: 'not shown', oid: 'shown' }), settingsOf());
    expect(detail).toContain('good until 2027-01-15T08:00:00.000Z');
    expect(facts).toEqual({
      claims: { aud, iss: 'https://sts', tid: TENANT, appid: CLIENT, oid: 'shown', exp: 1_800_000_000 },
    });
    expect(JSON.stringify({ detail, facts })).not.toContain('signature');
  },
);

test('the environment may be reached by its address with .api.', () => {
  const settings = settingsOf({ url: 'https://contoso.api.crm4.dynamics.com/api/data/v9.2/' });
  expect(() => checkToken(tokenOf({ aud: ENVIRONMENT }), settings)).not.toThrow();
});

test.each([
  ['scopeMismatch', { aud: 'https://fabrikam.crm4.dynamics.com' }],
  ['scopeMismatch', { aud: undefined }],
  ['tenantMismatch', { aud: ENVIRONMENT, tid: CLIENT }],
  ['applicationMismatch', { aud: ENVIRONMENT, appid: TENANT }],
])('%s is told of %j', (code, claims) => {
  expect(() => checkToken(tokenOf(claims), settingsOf())).toThrow(expect.objectContaining({ code }));
});

test('a tenant that is named by its domain is not compared', () => {
  const settings = settingsOf({ tenantId: 'contoso.onmicrosoft.com' });
  expect(() => checkToken(tokenOf({ aud: ENVIRONMENT }), settings)).not.toThrow();
});

test('what is no JWT is said to be none', () => {
  expect(() => checkToken('opaque', settingsOf())).toThrow(expect.objectContaining({ code: 'tokenUnreadable' }));
});
