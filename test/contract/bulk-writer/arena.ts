import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { createDataverseClient } from '../../../src/dataverse/client.ts';
import { createMetadata } from '../../../src/dataverse/metadata.ts';
import { createPace } from '../../../src/dataverse/pace.ts';
import { poolTransport } from '../../../src/dataverse/transport.ts';
import { startDataverse } from '../../../src/local/dataverse/server.ts';
import { newGuid } from '../../../src/shared/ids.ts';
import { ADDRESSES } from './cases.ts';
import { fastClock } from './fast-clock.ts';
import type { Arena } from './trial.ts';

const TENANT = '6c1d4a05-2a8e-4f3a-9d0e-1f2a3b4c5d6e';
const ISSUER = `https://sts.windows.net/${TENANT}/`;
const CLIENT = '0a000000-0000-4000-8000-000000000001';
/** A token that has expired is still taken for so long, by the service and by the emulator. */
const SKEW_SECONDS = 300;
/** Waits are over so much faster than they say, on both sides. */
const SPEED = 200;
const MOST_CONNECTIONS = 16;

/** An emulator that wants tokens, with the keys and rows that trials need. */
export async function openArena(): Promise<Arena & { close(): Promise<void> }> {
  const clock = fastClock(SPEED);
  const { privateKey, publicKey } = await generateKeyPair('RS256');
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: 'soak', alg: 'RS256' }] };
  const dataverse = await startDataverse({
    host: '127.0.0.1',
    clock,
    keyStepMs: 1,
    auth: {
      kind: 'entra',
      tenantId: TENANT,
      issuers: [ISSUER],
      keys,
      authorityUrl: 'https://login.microsoftonline.com',
    },
    users: [
      { clientId: CLIENT, systemUserId: '0b000000-0000-4000-8000-000000000001', roles: ['System Administrator'] },
    ],
  });
  const { apiUrl, url } = dataverse;
  const token = (lifetimeMs: number): Promise<string> => {
    const now = Math.floor(clock.now() / 1000);
    const claims = {
      iss: ISSUER,
      aud: url,
      tid: TENANT,
      appid: CLIENT,
      oid: newGuid(),
      nbf: now - SKEW_SECONDS,
      iat: now,
    };
    const exp = Math.ceil((clock.now() + lifetimeMs) / 1000) - SKEW_SECONDS;
    return new SignJWT({ ...claims, exp }).setProtectedHeader({ alg: 'RS256', kid: 'soak' }).sign(privateKey);
  };
  const lasting = await token(1e10);
  const { transport, close } = poolTransport(url, MOST_CONNECTIONS);
  const client = createDataverseClient({
    apiUrl,
    tokens: () => lasting,
    transport,
    clock,
    pace: createPace({ clock, maxConcurrency: 1 }),
    random: Math.random,
    newId: newGuid,
  });
  const call: Arena['call'] = async (method, path, body) => {
    const answer = await fetch(new URL(path, apiUrl.replace('v9.2', 'v9.1')), {
      method,
      headers: { authorization: `Bearer ${lasting}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, json: text === '' ? undefined : JSON.parse(text) };
  };
  for (const { kind, columns } of Object.values(ADDRESSES)) if (kind === 'alternateKey') await defineKey(call, columns);
  await dataverse.idle();
  const contacts = await Promise.all(['Ann', 'Bob', 'Eve'].map((name) => contactNamed(call, name)));
  const apiPath = new URL(apiUrl).pathname;
  const metadata = createMetadata({ client, apiPath, newId: newGuid, allowedTables: undefined, clock });
  return {
    apiUrl,
    clock,
    speed: SPEED,
    transport,
    table: await metadata.table('account'),
    contacts: contacts as [string, ...string[]],
    token,
    call,
    async rules(rules) {
      await fetch(new URL('/emulator/rules', url), { method: 'DELETE' });
      for (const rule of rules) {
        const body = JSON.stringify(rule);
        const { status } = await fetch(new URL('/emulator/rules', url), { method: 'POST', body });
        if (status !== 201) throw new Error(`The emulator refused the rule ${body}`);
      }
    },
    async close() {
      await close();
      await dataverse.close();
    },
  };
}

async function defineKey(call: Arena['call'], columns: readonly string[]): Promise<void> {
  const { status, json } = await call('POST', "EntityDefinitions(LogicalName='account')/Keys", {
    SchemaName: `new_${columns.join('_')}`,
    DisplayName: { LocalizedLabels: [{ Label: columns.join(' and '), LanguageCode: 1033 }] },
    KeyAttributes: columns,
  });
  if (status !== 204) throw new Error(`The key was refused: ${JSON.stringify(json)}`);
}

async function contactNamed(call: Arena['call'], lastname: string): Promise<string> {
  const contactid = newGuid();
  const { status } = await call('POST', 'contacts', { contactid, lastname });
  if (status !== 204) throw new Error('The contact was refused.');
  return contactid;
}
