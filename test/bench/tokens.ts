import { ManagedIdentityCredential } from '@azure/identity';
import { ConfidentialClientApplication } from '@azure/msal-node';
import { parseSettings } from '../../src/config/settings.ts';
import { createConnections } from '../../src/connections/connections.ts';
import { openAuthority } from '../../src/local/certificates.ts';
import {
  addClientSecret,
  addManagedIdentity,
  addResource,
  registerApplication,
} from '../../src/local/entra/directory.ts';
import { startIdentity } from '../../src/local/identity.ts';
import { homeTenant, newIdentityState } from '../../src/local/identity-state.ts';
import { setSecret } from '../../src/local/key-vault/vault.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { newGuid } from '../../src/shared/ids.ts';
import { report } from './result.ts';

const ENVIRONMENT = 'https://contoso.crm4.dynamics.com';
const COLD_CALLERS = 1_000;
const WARM_CALLS = 5_000_000;
const WARM_CALLS_OF_MSAL = 50_000;

const authority = openAuthority(process.env['BENCH_AUTHORITY'] ?? '');
const state = newIdentityState();
const tenant = homeTenant(state);
addResource(tenant, { uri: ENVIRONMENT, name: 'Dataverse' });
const application = registerApplication(tenant, { name: 'Bench' });
const now = systemClock.now();
addClientSecret(application, 'a secret of the benchmark', now + 86_400_000);
setSecret(state.vault, 'bench', 'a secret of the benchmark', { now });
const { objectId: principalId } = addManagedIdentity(tenant, { kind: 'systemAssigned', resourceId: '/bench' });
state.vault.roleAssignments.push({ principalId, role: 'Key Vault Secrets User' });
const identity = await startIdentity({ state, tls: authority.server });
process.env['IDENTITY_ENDPOINT'] = identity.managedIdentity.endpoint;
process.env['IDENTITY_HEADER'] = identity.managedIdentity.header;

let requests = 0;
identity.faults.add({
  path: /\/oauth2\/v2\.0\/token$/,
  answer() {
    requests += 1;
    return undefined;
  },
});

const connections = createConnections({
  settings: parseSettings({
    KEY_VAULT_URI: identity.vaultUri,
    Dataverse__default__url: ENVIRONMENT,
    Dataverse__default__tenantId: identity.tenantId,
    Dataverse__default__clientId: application.clientId,
    Dataverse__default__credential: 'secret',
    Dataverse__default__secretName: 'bench',
    Dataverse__default__tokenUrl: `${identity.authority}/oauth2/v2.0/token`,
  }),
  identity: new ManagedIdentityCredential(),
  clock: systemClock,
  random: Math.random,
  newId: newGuid,
  log: () => {},
});
const { token } = connections.get('default');
const msal = new ConfidentialClientApplication({
  auth: {
    clientId: application.clientId,
    authority: identity.authority,
    knownAuthorities: [new URL(identity.url).host],
    clientSecret: 'a secret of the benchmark',
  },
});
const tokenOfMsal = () => msal.acquireTokenByClientCredential({ scopes: [`${ENVIRONMENT}/.default`] });

/** Requests to Entra that all these callers together cause, none having a token yet. */
async function coldRequests(call: () => unknown): Promise<number> {
  requests = 0;
  await Promise.all(Array.from({ length: COLD_CALLERS }, async () => call()));
  return requests;
}

/** Microseconds and bytes of a call of ours, which answers without a promise while its token is good. */
function warmCost(): { us: number; bytes: number } {
  let length = 0;
  for (let call = 0; call < 100_000; call += 1) length += (token() as string).length;
  globalThis.gc?.();
  const heap = process.memoryUsage().heapUsed;
  const start = process.hrtime.bigint();
  for (let call = 0; call < WARM_CALLS; call += 1) length += (token() as string).length;
  const us = Number(process.hrtime.bigint() - start) / 1_000 / WARM_CALLS;
  const bytes = Math.max(0, process.memoryUsage().heapUsed - heap) / WARM_CALLS;
  if (length === 0) throw new Error('There was no token.');
  return { us, bytes };
}

async function warmCostOfMsal(): Promise<{ us: number; bytes: number }> {
  for (let call = 0; call < 2_000; call += 1) await tokenOfMsal();
  globalThis.gc?.();
  const start = process.hrtime.bigint();
  for (let call = 0; call < WARM_CALLS_OF_MSAL; call += 1) await tokenOfMsal();
  const us = Number(process.hrtime.bigint() - start) / 1_000 / WARM_CALLS_OF_MSAL;
  // Few enough that no collection comes between.
  globalThis.gc?.();
  const heap = process.memoryUsage().heapUsed;
  for (let call = 0; call < 50; call += 1) await tokenOfMsal();
  return { us, bytes: Math.max(0, process.memoryUsage().heapUsed - heap) / 50 };
}

const cold = await coldRequests(token);
const coldOfMsal = await coldRequests(tokenOfMsal);
const warm = warmCost();
const warmOfMsal = await warmCostOfMsal();
const name = 'msal-node';
report({
  bench: 'tokens',
  lines: [
    { what: 'a token that is there', unit: 'us', ours: warm.us, peer: { name, value: warmOfMsal.us } },
    { what: 'memory for it', unit: 'bytes', ours: warm.bytes, peer: { name, value: warmOfMsal.bytes } },
    {
      what: `requests to Entra for ${COLD_CALLERS} callers at a cold start`,
      unit: '',
      ours: cold,
      peer: { name, value: coldOfMsal },
    },
  ],
});
await connections.close();
await identity.close();
