import { ConfidentialClientApplication } from '@azure/msal-node';
import { ENVIRONMENT, openConnection, SECRET } from './connection.ts';
import { report } from './result.ts';

const COLD_CALLERS = 1_000;
const WARM_CALLS = 5_000_000;
const WARM_CALLS_OF_MSAL = 50_000;

const bench = await openConnection();
const { identity, application } = bench;

let requests = 0;
identity.faults.add({
  path: /\/oauth2\/v2\.0\/token$/,
  answer() {
    requests += 1;
    return undefined;
  },
});

const { token } = bench.connections.get('default');
const msal = new ConfidentialClientApplication({
  auth: {
    clientId: application.clientId,
    authority: identity.authority,
    knownAuthorities: [new URL(identity.url).host],
    clientSecret: SECRET,
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
await bench.close();
