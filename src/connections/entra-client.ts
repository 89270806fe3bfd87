import type { ConfidentialClientApplication, NodeAuthOptions } from '@azure/msal-node';
import { isLoopback } from '../config/clouds.ts';
import type { ConnectionSettings } from '../config/connection-settings.ts';
import { messageOf } from '../shared/errors.ts';
import type { FetchOptions } from './credential.ts';
import { ConnectionError, refusedByEntra } from './errors.ts';
import type { Token } from './token-source.ts';

/** What MSAL takes as proof of a client: exactly one of them. */
export type ClientProof =
  | Required<Pick<NodeAuthOptions, 'clientCertificate'>>
  | Required<Pick<NodeAuthOptions, 'clientSecret'>>
  | Required<Pick<NodeAuthOptions, 'clientAssertion'>>;

export type EntraClientSettings = Pick<ConnectionSettings, 'clientId' | 'authority' | 'scope'>;

/** Asks Entra for tokens with one proof. Throws ConnectionError; never answers from a cache. */
export type EntraClient = (options?: FetchOptions) => Promise<Token>;

/** MSAL sets no limit of its own, and an unanswered request would keep every caller waiting for ever. */
const TIMEOUT_MS = 30_000;

/**
 * MSAL in front of one application and one proof. After a failure the next request goes through a fresh MSAL object:
 * MSAL throttles an object for a minute after a 429 or 5xx, without asking Entra.
 */
export function createEntraClient(
  settings: EntraClientSettings,
  proof: ClientProof,
  { timeoutMs = TIMEOUT_MS }: { readonly timeoutMs?: number } = {},
): EntraClient {
  let application: Promise<ConfidentialClientApplication> | undefined;
  return async ({ signal, claims } = {}) => {
    application ??= makeApplication(settings, proof);
    const mine = application;
    try {
      return await within(acquire(await mine, settings, claims), { timeoutMs, signal, authority: settings.authority });
    } catch (error) {
      if (application === mine) application = undefined;
      throw error;
    }
  };
}

async function makeApplication(
  { clientId, authority }: EntraClientSettings,
  proof: ClientProof,
): Promise<ConfidentialClientApplication> {
  const { ConfidentialClientApplication } = await import('@azure/msal-node');
  const { href, host, hostname } = new URL(authority);
  return new ConfidentialClientApplication({
    auth: {
      clientId,
      authority: href,
      // Entra's discovery does not know the local cloud's authority; MSAL compares host and port.
      ...(isLoopback(hostname) && { knownAuthorities: [host] }),
      // Given, the metadata are not fetched first, where MSAL would hide why a tenant is unknown or Entra unreachable.
      authorityMetadata: JSON.stringify({
        issuer: `${href}/v2.0`,
        token_endpoint: `${href}/oauth2/v2.0/token`,
        authorization_endpoint: `${href}/oauth2/v2.0/authorize`,
        jwks_uri: `${href}/discovery/v2.0/keys`,
      }),
      ...proof,
    },
  });
}

async function acquire(
  application: ConfidentialClientApplication,
  { authority, scope }: EntraClientSettings,
  claims: string | undefined,
): Promise<Token> {
  const { ServerError } = await import('@azure/msal-node');
  try {
    const result = await application.acquireTokenByClientCredential({
      scopes: [scope],
      skipCache: true,
      ...(claims !== undefined && { claims }),
    });
    if (!result?.expiresOn) throw new ConnectionError('tokenRefused', 'Entra answered without a token.');
    return { value: result.accessToken, expiresAt: result.expiresOn.getTime(), refreshAt: result.refreshOn?.getTime() };
  } catch (error) {
    if (error instanceof ConnectionError) throw error;
    if (error instanceof ServerError && !isOutage(error.status)) {
      const number = Number(error.errorNo ?? error.errorCode);
      throw refusedByEntra(Number.isInteger(number) ? number : undefined, error.errorMessage, error);
    }
    throw unreachable(authority, error instanceof ServerError ? `answer ${error.status}` : messageOf(error), error);
  }
}

const isOutage = (status: number | undefined): boolean => status !== undefined && (status >= 500 || status === 429);

const unreachable = (authority: string, why: string, cause?: unknown): ConnectionError =>
  new ConnectionError(
    'entraUnreachable',
    `No token could be asked for at ${new URL(authority).host}: ${why.slice(0, 300)}`,
    {
      cause,
      hint: 'Check the token URL, and that the app reaches Entra over the network; an outage of Entra is shown on its status page.',
    },
  );

/** Rejects with the signal's reason, or once the time is over, whatever becomes of the request. */
async function within(
  request: Promise<Token>,
  limits: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined; readonly authority: string },
): Promise<Token> {
  const timeout = AbortSignal.timeout(limits.timeoutMs);
  const ended = limits.signal ? AbortSignal.any([limits.signal, timeout]) : timeout;
  let stop = (): void => {};
  const end = new Promise<never>((_, reject) => {
    stop = () => reject(timeout.aborted ? unreachable(limits.authority, 'no answer in time.') : ended.reason);
    if (ended.aborted) stop();
    else ended.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([request, end]);
  } finally {
    ended.removeEventListener('abort', stop);
  }
}
