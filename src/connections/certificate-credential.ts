import type { ConfidentialClientApplication } from '@azure/msal-node';
import { isLoopback } from '../config/clouds.ts';
import type { ConnectionSettings } from '../config/settings.ts';
import type { Clock } from '../shared/clock.ts';
import { messageOf } from '../shared/errors.ts';
import { type AppCertificate, assertCurrent, readCertificate } from './certificate.ts';
import { ConnectionError, refusedByEntra } from './errors.ts';
import type { Token } from './token-source.ts';
import type { Vault } from './vault.ts';

/** The certificate of a connection, kept for a while, and the tokens that it buys. */
export interface CertificateCredential {
  /** The one in use, or with `fresh` the one that the vault has now. Throws ConnectionError `vault…` or `certificate…`. */
  certificate(options?: { fresh?: boolean; signal?: AbortSignal | undefined }): Promise<AppCertificate>;
  /** Asks Entra for a token. Throws ConnectionError. */
  fetchToken(): Promise<Token>;
}

/** How long a certificate is used before the vault is asked for a newer one. */
const LIFETIME_MS = 10 * 60_000;

const CERTIFICATE_NOT_REGISTERED = 700027;

export function createCertificateCredential(
  settings: ConnectionSettings,
  vault: Vault,
  clock: Clock,
): CertificateCredential {
  let held: { readonly certificate: AppCertificate; readonly until: number } | undefined;
  let application: { readonly version: string; readonly client: ConfidentialClientApplication } | undefined;

  const isUsable = (now: number): boolean =>
    held !== undefined && now < held.until && now < held.certificate.validTo.getTime();

  const certificate: CertificateCredential['certificate'] = async ({ fresh = false, signal } = {}) => {
    if (!held || fresh || !isUsable(clock.now())) {
      try {
        const secret = await vault.latest(settings.certificateName, signal);
        held = { certificate: await readCertificate(secret), until: clock.now() + LIFETIME_MS };
      } catch (error) {
        // An outage of the vault does not matter while there is a certificate that still works.
        const outage = error instanceof ConnectionError && error.code === 'vaultUnavailable';
        if (!held || !outage) throw error;
      }
    }
    assertCurrent(held.certificate, clock.now());
    return held.certificate;
  };

  const clientFor = async (current: AppCertificate): Promise<ConfidentialClientApplication> => {
    if (application?.version !== current.version) {
      application = { version: current.version, client: await makeClient(settings, current) };
    }
    return application.client;
  };

  return {
    certificate,
    async fetchToken() {
      const client = await clientFor(await certificate());
      try {
        return await acquire(client, settings.scope);
      } catch (error) {
        if (error instanceof ConnectionError && error.aadsts === CERTIFICATE_NOT_REGISTERED) held = undefined;
        // MSAL throttles a client object after a failure; the next try gets a fresh one.
        application = undefined;
        throw error;
      }
    },
  };
}

async function makeClient(
  settings: ConnectionSettings,
  certificate: AppCertificate,
): Promise<ConfidentialClientApplication> {
  const { ConfidentialClientApplication } = await import('@azure/msal-node');
  const authority = new URL(settings.authority);
  return new ConfidentialClientApplication({
    auth: {
      clientId: settings.clientId,
      authority: authority.href,
      // Entra's discovery does not know the local cloud's authority; MSAL compares host and port.
      ...(isLoopback(authority.hostname) && { knownAuthorities: [authority.host] }),
      clientCertificate: {
        thumbprintSha256: certificate.thumbprintSha256,
        privateKey: certificate.privateKeyPem,
        x5c: certificate.chainPem,
      },
    },
  });
}

async function acquire(client: ConfidentialClientApplication, scope: string): Promise<Token> {
  const { ServerError } = await import('@azure/msal-node');
  try {
    const result = await client.acquireTokenByClientCredential({ scopes: [scope], skipCache: true });
    if (!result?.expiresOn) throw new ConnectionError('tokenRefused', 'Entra answered without a token.');
    return { value: result.accessToken, expiresAt: result.expiresOn.getTime(), refreshAt: result.refreshOn?.getTime() };
  } catch (error) {
    if (error instanceof ConnectionError) throw error;
    if (error instanceof ServerError) {
      const number = Number(error.errorNo ?? error.errorCode);
      throw refusedByEntra(Number.isInteger(number) ? number : undefined, error.errorMessage, error);
    }
    throw new ConnectionError('entraUnreachable', `No token could be asked for: ${messageOf(error).slice(0, 300)}`, {
      cause: error,
      hint: 'Check the tenant id, the token URL, and that the app reaches Entra over the network.',
    });
  }
}
