import { describe, expect, test } from 'vitest';
import { parseCallers } from '../../../src/config/caller-settings.ts';

const TENANT = '5a0b6a0e-1111-4a4a-8b8b-000000000001';
const CLIENT = '5a0b6a0e-2222-4a4a-8b8b-000000000002';
const complete = { BRIDGE_AUTH: 'entra', BRIDGE_TENANT_ID: TENANT, BRIDGE_AUDIENCE: `api://${CLIENT}` };

const parse = (settings: Record<string, string>) => parseCallers(new Map(Object.entries(settings)));
const faultsOf = (settings: Record<string, string>): string[] => parse(settings).faults.map((fault) => fault.setting);

describe('callers', () => {
  test.each([{}, { BRIDGE_AUTH: 'keys' }])('are asked for keys with %o', (settings) => {
    expect(parse(settings)).toEqual({ callers: { kind: 'keys' }, faults: [] });
  });

  test('bring tokens of the public cloud, of version 1 or 2, unless another authority is set', () => {
    expect(parse(complete)).toEqual({
      callers: {
        kind: 'entra',
        tenantId: TENANT,
        audiences: [CLIENT, `api://${CLIENT}`],
        authority: 'https://login.microsoftonline.com',
        issuers: [`https://login.microsoftonline.com/${TENANT}/v2.0`, `https://sts.windows.net/${TENANT}/`],
      },
      faults: [],
    });
  });

  test.each([
    ['https://login.microsoftonline.us', 'https://sts.windows.net'],
    ['https://login.partner.microsoftonline.cn/', 'https://sts.chinacloudapi.cn'],
    ['https://localhost:7443', 'https://sts.windows.net'],
  ])('bring tokens of %s where it is the authority', (authority, issuerV1) => {
    const { origin } = new URL(authority);
    expect(parse({ ...complete, BRIDGE_AUTHORITY: authority }).callers).toMatchObject({
      authority: origin,
      issuers: [`${origin}/${TENANT}/v2.0`, `${issuerV1}/${TENANT}/`],
    });
  });
});

test.each([
  [CLIENT, [CLIENT, `api://${CLIENT}`]],
  [`api://${CLIENT.toUpperCase()}`, [CLIENT, `api://${CLIENT}`]],
  ['api://bridge', ['api://bridge']],
  ['https://contoso.com/bridge', ['https://contoso.com/bridge']],
])('the audience %s takes tokens for %o', (audience, audiences) => {
  expect(parse({ ...complete, BRIDGE_AUDIENCE: audience }).callers).toMatchObject({ audiences });
});

describe('a fault', () => {
  test('is told with all others, and leaves the app to the host’s keys', () => {
    const settings = {
      BRIDGE_AUTH: 'entra',
      BRIDGE_TENANT_ID: 'contoso.com',
      BRIDGE_AUDIENCE: 'bridge',
      BRIDGE_AUTHORITY: 'https://login.example.com',
    };
    expect(faultsOf(settings).sort()).toEqual(['BRIDGE_AUDIENCE', 'BRIDGE_AUTHORITY', 'BRIDGE_TENANT_ID']);
    expect(parse(settings).callers).toEqual({ kind: 'keys' });
  });

  test('is what is missing', () => {
    expect(faultsOf({ BRIDGE_AUTH: 'entra' })).toEqual(['BRIDGE_TENANT_ID', 'BRIDGE_AUDIENCE']);
  });

  test.each([undefined, 'keys'])('is a setting for tokens where BRIDGE_AUTH is %s', (auth) => {
    const { BRIDGE_AUTH: _, ...rest } = complete;
    const settings = auth === undefined ? rest : { ...rest, BRIDGE_AUTH: auth };
    expect(faultsOf(settings)).toEqual(['BRIDGE_TENANT_ID', 'BRIDGE_AUDIENCE']);
  });

  test('is an unknown way to call', () => {
    expect(parse({ ...complete, BRIDGE_AUTH: 'Entra' })).toEqual({
      callers: { kind: 'keys' },
      faults: [{ setting: 'BRIDGE_AUTH', message: "must be 'keys' or 'entra'" }],
    });
  });

  test.each([
    'http://localhost:7443',
    'https://localhost:7443/tenant',
    'https://login.microsoftonline.com:8443',
    'https://login.microsoftonline.com.example.com',
    'https://user@login.microsoftonline.com',
  ])('is the authority %s', (authority) => {
    expect(faultsOf({ ...complete, BRIDGE_AUTHORITY: authority })).toEqual(['BRIDGE_AUTHORITY']);
  });

  test.each(['bridge', 'api://', 'api://a b', 'api://a"b', 'http://contoso.com'])('is the audience %s', (audience) => {
    expect(faultsOf({ ...complete, BRIDGE_AUDIENCE: audience })).toEqual(['BRIDGE_AUDIENCE']);
  });
});
