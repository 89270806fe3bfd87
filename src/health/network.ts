import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import type { ConnectionSettings } from '../config/connection-settings.ts';
import { type Finding, StageError } from './stages.ts';

/** A host that a connection needs, and the setting that names it. */
export interface Host {
  readonly what: 'environment' | 'Entra' | 'vault';
  readonly url: URL;
  readonly setting: string;
}

/** Resolves a name and shakes hands by TLS; rejects with an error that carries a `code` of Node's. */
export type Reach = (url: URL, signal: AbortSignal) => Promise<void>;

type Obstacle = 'nameUnknown' | 'nameServer' | 'refused' | 'timeout' | 'certificate' | 'notTls' | 'unreachable';

const HOST_TIMEOUT_MS = 10_000;

/** The hosts of a connection. */
export function hostsOf(settings: ConnectionSettings, vaultUri: string | undefined): Host[] {
  const setting = (property: string): string => `Dataverse__${settings.name}__${property}`;
  return [
    { what: 'environment', url: new URL(settings.apiUrl), setting: setting('url') },
    { what: 'Entra', url: new URL(settings.authority), setting: setting('tokenUrl') },
    ...(vaultUri === undefined ? [] : [{ what: 'vault' as const, url: new URL(vaultUri), setting: 'KEY_VAULT_URI' }]),
  ];
}

/** Reaches every host at once, and tells of all that cannot be reached. Throws StageError. */
export async function checkNetwork(
  hosts: readonly Host[],
  signal: AbortSignal,
  reach: Reach = reachByTls,
): Promise<Finding> {
  const outcomes = await Promise.all(hosts.map((host) => tryHost(host, signal, reach)));
  signal.throwIfAborted();
  const [first, ...others] = outcomes.filter((outcome) => outcome !== undefined);
  const names = [...new Set(hosts.map(({ url }) => url.host))].join(', ');
  if (!first) return { detail: `Names are known and TLS works: ${names}.` };
  throw new StageError(first.code, [first, ...others].map(({ detail }) => detail).join(' '), {
    hint: [...new Set([first, ...others].map(({ hint }) => hint))].join(' '),
    facts: { hosts: [first, ...others].map(({ host, code }) => ({ host, code })) },
  });
}

async function tryHost(host: Host, signal: AbortSignal, reach: Reach) {
  const limit = AbortSignal.timeout(HOST_TIMEOUT_MS);
  try {
    await reach(host.url, AbortSignal.any([signal, limit]));
    return undefined;
  } catch (error) {
    const reason = codeOf(error);
    const code = limit.aborted ? 'timeout' : obstacleOf(reason);
    return { host: host.url.host, code, ...explain(code, host, reason) };
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

const BY_CODE: Readonly<Record<string, Obstacle>> = {
  ENOTFOUND: 'nameUnknown',
  ENODATA: 'nameUnknown',
  EAI_NONAME: 'nameUnknown',
  EAI_AGAIN: 'nameServer',
  ECONNREFUSED: 'refused',
  ETIMEDOUT: 'timeout',
  EPROTO: 'notTls',
};

/** Codes of OpenSSL's verification, as Node passes them on, and of Node's own check of the name. */
const CERTIFICATE = /CERT|CRL|ALTNAME|UNABLE_TO_|INVALID_(?:CA|PURPOSE)|PATH_LENGTH|HOSTNAME/;

function obstacleOf(code: string): Obstacle {
  const known = BY_CODE[code];
  if (known) return known;
  if (CERTIFICATE.test(code)) return 'certificate';
  return code.startsWith('ERR_SSL') ? 'notTls' : 'unreachable';
}

function explain(obstacle: Obstacle, { what, url, setting }: Host, reason: string): { detail: string; hint: string } {
  const name = `The host of ${what === 'Entra' ? 'Entra' : `the ${what}`}, ${url.host},`;
  switch (obstacle) {
    case 'nameUnknown':
      return {
        detail: `${name} is unknown to name resolution.`,
        hint:
          what === 'environment'
            ? `Compare ${setting} with the environment’s URL in the Power Platform admin centre (Environments); a deleted environment loses its name.`
            : `Check ${setting}, and the private DNS zones of the app’s virtual network.`,
      };
    case 'nameServer':
      return {
        detail: `The name ${url.hostname} could not be looked up: no name server answered.`,
        hint: 'Check the DNS servers of the app’s virtual network.',
      };
    case 'refused':
      return {
        detail: `${name} refuses connections.`,
        hint: `Check host and port in ${setting}, and a firewall or proxy between.`,
      };
    case 'timeout':
      return {
        detail: `${name} did not answer within ${HOST_TIMEOUT_MS / 1000} s.`,
        hint: `Check the outbound rules of the app’s virtual network${what === 'vault' ? ' and the vault’s Networking page' : ''}.`,
      };
    case 'certificate':
      return {
        detail: `${name} presents a certificate that is not trusted (${reason}).`,
        hint: 'A proxy that opens TLS needs its authority in NODE_EXTRA_CA_CERTS before Node starts; otherwise another server answers under this name.',
      };
    case 'notTls':
      return {
        detail: `${name} does not speak TLS (${reason}).`,
        hint: `Check host and port in ${setting}; a proxy may answer instead.`,
      };
    case 'unreachable':
      return {
        detail: `${name} cannot be reached (${reason || 'no reason given'}).`,
        hint: `Check ${setting} and the app’s route to the network.`,
      };
  }
}

/** As Node's clients do it: the system's resolver, the process’s trusted authorities, the host's name checked. */
export const reachByTls: Reach = async (url, signal) => {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (!isIP(host)) await untilAborted(lookup(host), signal);
  const socket = connect({ host, port: Number(url.port || 443), ...(!isIP(host) && { servername: host }) });
  const shaken = new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('The connection was closed during the handshake.')));
  });
  try {
    await untilAborted(shaken, signal);
  } finally {
    socket.destroy();
  }
};

/** What cannot be stopped is no longer waited for. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
