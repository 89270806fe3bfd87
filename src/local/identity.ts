import { randomBytes } from 'node:crypto';
import type { JSONWebKeySet } from 'jose';
import { type Clock, systemClock } from '../shared/clock.ts';
import type { Authentication } from './dataverse/security.ts';
import type { Directory } from './entra/directory.ts';
import { createEntra } from './entra/entra.ts';
import { createManagedIdentity, MANAGED_IDENTITY_PATH } from './entra/managed-identity.ts';
import { openSigningKey, type SigningKey } from './entra/signing-key.ts';
import { issuerV1, issuerV2 } from './entra/tokens.ts';
import { Faults } from './faults.ts';
import { homeTenant, type IdentityState } from './identity-state.ts';
import { createKeyVault, isKeyVaultPath } from './key-vault/key-vault.ts';
import { type Handler, listen } from './listener.ts';

export interface IdentityOptions {
  state: IdentityState;
  /** PEM texts of the server certificate for localhost. */
  tls: { cert: string; key: string };
  /** 0, the default, is any free port. MSAL's caches hold the first one's number. */
  ports?: { https?: number; managedIdentity?: number };
  clock?: Clock;
  /** Seconds; the defaults are those of Azure: 3599 and 24 hours. */
  tokenLifetimeSeconds?: number;
  managedIdentityTokenLifetimeSeconds?: number;
  /** `refresh_in` of the token endpoint's answers; not sent by default. */
  refreshInSeconds?: number;
  /** How far the clock of a client may be off. */
  clockToleranceSeconds?: number;
  /** Gets a line for each defect of an emulator. */
  log?: (line: string) => void;
}

/** The running local Entra, managed identity endpoint and Key Vault. */
export interface LocalIdentity {
  /** `https://localhost:<port>`: what https://login.microsoftonline.com is in Azure. */
  url: string;
  tenantId: string;
  /** `<url>/<tenantId>`, the authority of MSAL. */
  authority: string;
  /** Issuers of this tenant's tokens, version 1 and version 2. */
  issuers: string[];
  jwks: JSONWebKeySet;
  signingKey: SigningKey;
  vaultUri: string;
  /** What App Service puts into IDENTITY_ENDPOINT and IDENTITY_HEADER. */
  managedIdentity: { endpoint: string; header: string };
  directory: Directory;
  /** Faults of Entra and Key Vault, told apart by path. */
  faults: Faults;
  /** Faults of the managed identity endpoint. */
  managedIdentityFaults: Faults;
  close(): Promise<void>;
}

/** What an environment of Dataverse has to know to take the tokens of this tenant. */
export const trustIn = ({ tenantId, issuers, jwks, url }: LocalIdentity): Authentication => ({
  kind: 'entra',
  tenantId,
  issuers,
  keys: jwks,
  authorityUrl: url,
});

/**
 * Starts one https listener for Entra and Key Vault, whose paths do not meet, and one plain http listener for managed
 * identities, which is plain in Azure too. Both listen on 127.0.0.1 only.
 */
export async function startIdentity(options: IdentityOptions): Promise<LocalIdentity> {
  const { state, clock = systemClock, log = () => {} } = options;
  const tenant = homeTenant(state);
  const key = openSigningKey(state.signingKeyPem);
  const header = randomBytes(32).toString('hex');
  const faults = new Faults();
  const managedIdentityFaults = new Faults();

  const https = await listen({ port: options.ports?.https ?? 0, tls: options.tls, log }, (origin) => {
    const entra = createEntra({
      directory: state.directory,
      key,
      origin,
      clock,
      tokenLifetimeSeconds: options.tokenLifetimeSeconds ?? 3599,
      refreshInSeconds: options.refreshInSeconds,
      clockToleranceSeconds: options.clockToleranceSeconds ?? 300,
    });
    const keyVault = createKeyVault({ vault: state.vault, save: () => state.save(), key, origin, clock });
    return withFaults(faults, (request) =>
      isKeyVaultPath(new URL(request.url).pathname) ? keyVault(request) : entra(request),
    );
  });
  const managedIdentity = createManagedIdentity({
    tenant,
    key,
    entraOrigin: https.origin,
    header,
    clock,
    tokenLifetimeSeconds: options.managedIdentityTokenLifetimeSeconds ?? 86_400,
  });
  const http = await listen({ port: options.ports?.managedIdentity ?? 0, log }, () =>
    withFaults(managedIdentityFaults, managedIdentity),
  ).catch(async (error: unknown) => {
    await https.close();
    throw error;
  });

  return {
    url: https.origin,
    tenantId: tenant.id,
    authority: `${https.origin}/${tenant.id}`,
    issuers: [issuerV1(tenant.id), issuerV2(https.origin, tenant.id)],
    jwks: key.jwks,
    signingKey: key,
    vaultUri: `${https.origin}/`,
    managedIdentity: { endpoint: `${http.origin}${MANAGED_IDENTITY_PATH}`, header },
    directory: state.directory,
    faults,
    managedIdentityFaults,
    close: async () => {
      await Promise.all([https.close(), http.close()]);
    },
  };
}

const withFaults =
  (faults: Faults, handler: Handler): Handler =>
  async (request) =>
    (await faults.answer(request)) ?? handler(request);
