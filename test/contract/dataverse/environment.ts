import { type CryptoKey, exportJWK, generateKeyPair, type JSONWebKeySet, SignJWT } from 'jose';
import { onTestFinished } from 'vitest';
import { type Dataverse, type DataverseOptions, startDataverse } from '../../../src/local/dataverse/server.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import { type Call, client } from './http-client.ts';

export const TENANT = '6c1d4a05-2a8e-4f3a-9d0e-1f2a3b4c5d6e';
export const ISSUER = `https://sts.windows.net/${TENANT}/`;
export const ADMIN_CLIENT = '0a000000-0000-4000-8000-000000000001';
export const APP_CLIENT = '0a000000-0000-4000-8000-000000000002';
export const DISABLED_CLIENT = '0a000000-0000-4000-8000-000000000003';
export const ROLELESS_CLIENT = '0a000000-0000-4000-8000-000000000004';
export const APP_USER = '0b000000-0000-4000-8000-000000000002';

export { type Answer, type Call, client, idOf } from './http-client.ts';

/** An environment without authentication that ends with the test. */
export async function openEnvironment(options: Partial<DataverseOptions> = {}): Promise<Dataverse & { call: Call }> {
  const faults: string[] = [];
  const dataverse = await startDataverse({
    auth: { kind: 'none' },
    keyStepMs: 1,
    log: (line) => faults.push(line),
    ...options,
  });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= dataverse.close();
    return closing;
  };
  onTestFinished(async () => {
    await close();
    if (faults.length > 0) throw new Error(`The emulator failed inside: ${faults.join('\n')}`);
  });
  return { ...dataverse, close, call: client(dataverse.apiUrl) };
}

let signing: { privateKey: CryptoKey; keys: JSONWebKeySet } | undefined;

async function signingKeys() {
  if (!signing) {
    const { privateKey, publicKey } = await generateKeyPair('RS256');
    signing = { privateKey, keys: { keys: [{ ...(await exportJWK(publicKey)), kid: 'test', alg: 'RS256' }] } };
  }
  return signing;
}

export interface TokenClaims {
  appid?: string | undefined;
  azp?: string;
  aud?: string;
  iss?: string;
  tid?: string;
  /** Seconds since 1970. */
  exp?: number;
  /** Another key than the tenant's. */
  forged?: boolean;
}

/** An environment that wants tokens, with an administrator, a least-privilege application, a disabled user and one without a role. */
export async function openSecuredEnvironment(options: Partial<DataverseOptions> = {}) {
  const { privateKey, keys } = await signingKeys();
  const environment = await openEnvironment({
    auth: {
      kind: 'entra',
      tenantId: TENANT,
      issuers: [ISSUER],
      keys,
      authorityUrl: 'https://login.microsoftonline.com',
    },
    users: [
      {
        clientId: ADMIN_CLIENT,
        systemUserId: '0b000000-0000-4000-8000-000000000001',
        roles: ['System Administrator'],
      },
      { clientId: APP_CLIENT, systemUserId: APP_USER, roles: ['Bridge'] },
      {
        clientId: DISABLED_CLIENT,
        systemUserId: '0b000000-0000-4000-8000-000000000003',
        roles: ['System Administrator'],
        disabled: true,
      },
      { clientId: ROLELESS_CLIENT, systemUserId: '0b000000-0000-4000-8000-000000000004', roles: [] },
    ],
    roles: {
      Bridge: {
        prvCreateAccount: 'Global',
        prvReadAccount: 'Global',
        prvWriteAccount: 'Global',
        prvReadContact: 'Basic',
      },
    },
    ...options,
  });
  const token = async ({ forged, ...claims }: TokenClaims = {}): Promise<string> => {
    const key = forged ? (await generateKeyPair('RS256')).privateKey : privateKey;
    const now = Math.floor(systemClock.now() / 1000);
    const payload = {
      iss: ISSUER,
      aud: environment.url,
      tid: TENANT,
      appid: ADMIN_CLIENT,
      oid: '0c000000-0000-4000-8000-000000000001',
      iat: now,
      exp: now + 3600,
      ...claims,
    };
    return new SignJWT(payload).setProtectedHeader({ alg: 'RS256', kid: 'test' }).sign(key);
  };
  return {
    ...environment,
    token,
    as: async (claims: TokenClaims) => client(environment.apiUrl, await token(claims)),
  };
}

/** Defines an alternate key on a table and waits until it is active. */
export async function defineKey(
  environment: Dataverse & { call: Call },
  table: string,
  columns: string[],
): Promise<void> {
  const answer = await environment.call('POST', `EntityDefinitions(LogicalName='${table}')/Keys`, {
    SchemaName: `new_${columns.join('_')}_key`,
    DisplayName: { LocalizedLabels: [{ Label: columns.join(' and '), LanguageCode: 1033 }] },
    KeyAttributes: columns,
  });
  if (answer.status !== 204) throw new Error(answer.text);
  await environment.idle();
}
