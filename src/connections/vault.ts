import type { TokenCredential } from '@azure/identity';
import type { CertificateClient } from '@azure/keyvault-certificates';
import type { CryptographyClient } from '@azure/keyvault-keys';
import type { KeyVaultSecret, SecretClient } from '@azure/keyvault-secrets';
import { isLoopback } from '../config/clouds.ts';
import type { Clock } from '../shared/clock.ts';
import { connectionErrorOfVault, disabledInVault, missingInVault } from './vault-errors.ts';

/** A secret as the vault keeps it. */
export interface VaultSecret {
  readonly value: string;
  readonly version: string;
  /** `application/x-pem-file` or `application/x-pkcs12` for a certificate's secret. */
  readonly contentType: string | undefined;
  readonly expiresOn: Date | undefined;
}

/** A certificate as the vault keeps it, its key left inside. */
export interface VaultCertificate {
  readonly der: Buffer;
  /** Address of the version's key, to sign with. */
  readonly keyId: string;
}

/** What the vault tells of a version without its value. Times are milliseconds since 1970. */
export interface VaultVersion {
  readonly version: string;
  readonly createdOn: number;
  readonly validFrom?: number;
  readonly expiresAt?: number;
}

/** The part of Key Vault that the app uses. Every call throws ConnectionError `vault…` or `identityUnavailable`. */
export interface Vault {
  readonly uri: string;
  /** The current version of a secret. */
  latest(name: string, signal?: AbortSignal): Promise<VaultSecret>;
  /** The values of the newest enabled versions, the newest first. */
  newestEnabled(name: string, count: number, signal?: AbortSignal): Promise<string[]>;
  /** A version's value, whether it is current or not: Key Vault reads secrets outside their validity, for tests. */
  secret(name: string, version: string, signal?: AbortSignal): Promise<VaultSecret>;
  /** The enabled versions, at least one, of a secret, or of the secret beside a certificate, the newest first. */
  secretVersions(name: string, signal?: AbortSignal): Promise<VaultVersion[]>;
  certificate(name: string, version: string, signal?: AbortSignal): Promise<VaultCertificate>;
  /** The enabled versions of a certificate, at least one, the newest first. */
  certificateVersions(name: string, signal?: AbortSignal): Promise<VaultVersion[]>;
  /** Signs inside the vault with RSASSA-PSS and SHA-256. `keyId` is a certificate's. */
  sign(keyId: string, data: Buffer, signal?: AbortSignal): Promise<Buffer>;
}

export interface VaultOptions {
  readonly clock: Clock;
  /** How long a call may take, retries included. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 20_000;

/**
 * One client of each kind for one vault, made at its first use so that nothing is loaded or asked for at start. A client
 * keeps its own sign-in with the vault, which costs every new one a round trip.
 */
export function openVault(uri: string, credential: TokenCredential, options: VaultOptions): Vault {
  const { clock, timeoutMs = TIMEOUT_MS } = options;
  // The local vault's host name does not end in the vault's suffix, which the clients would check.
  const clientOptions = { disableChallengeResourceVerification: isLoopback(new URL(uri).hostname) };
  const secrets = once(
    async (): Promise<SecretClient> =>
      new (await import('@azure/keyvault-secrets')).SecretClient(uri, credential, clientOptions),
  );
  const certificates = once(
    async (): Promise<CertificateClient> =>
      new (await import('@azure/keyvault-certificates')).CertificateClient(uri, credential, clientOptions),
  );
  const signers = new Map<string, () => Promise<CryptographyClient>>();
  const signer = (keyId: string): Promise<CryptographyClient> => {
    const known = signers.get(keyId);
    const client =
      known ??
      once(async () => new (await import('@azure/keyvault-keys')).CryptographyClient(keyId, credential, clientOptions));
    signers.set(keyId, client);
    return client();
  };

  /** Asks within the time limit, and tells a failure as ConnectionError. */
  const ask = async <T>(
    object: string,
    signal: AbortSignal | undefined,
    question: (options: { abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T> => {
    const timeout = AbortSignal.timeout(timeoutMs);
    const abortSignal = signal ? AbortSignal.any([signal, timeout]) : timeout;
    try {
      return await question({ abortSignal });
    } catch (error) {
      signal?.throwIfAborted();
      throw connectionErrorOfVault({ uri, object, timedOut: timeout.aborted }, error);
    }
  };

  const secretVersions = (name: string, signal?: AbortSignal): Promise<VersionProperties[]> =>
    ask(name, signal, async (callOptions) => all((await secrets()).listPropertiesOfSecretVersions(name, callOptions)));
  /** A name that is not there may come as an empty list. */
  const enabled = (name: string, versions: readonly VersionProperties[]): VaultVersion[] => {
    if (versions.length === 0) throw missingInVault(uri, name);
    const found = newestFirst(versions);
    if (found.length === 0) throw disabledInVault(uri, name);
    return found;
  };
  const secret: Vault['secret'] = (name, version, signal) =>
    ask(name, signal, async (callOptions) =>
      toSecret(await (await secrets()).getSecret(name, { version, ...callOptions })),
    );
  return {
    uri,
    secret,
    secretVersions: async (name, signal) => enabled(name, await secretVersions(name, signal)),
    latest: (name, signal) =>
      ask(name, signal, async (callOptions) => toSecret(await (await secrets()).getSecret(name, callOptions))),
    async newestEnabled(name, count, signal) {
      const isOver = ({ expiresAt }: VaultVersion) => expiresAt !== undefined && expiresAt <= clock.now();
      const versions = newestFirst(await secretVersions(name, signal)).filter((each) => !isOver(each));
      const newest = await Promise.all(versions.slice(0, count).map(({ version }) => secret(name, version, signal)));
      return newest.map(({ value }) => value);
    },
    certificate: (name, version, signal) =>
      ask(name, signal, async (callOptions) => {
        const found = await (await certificates()).getCertificateVersion(name, version, callOptions);
        return { der: Buffer.from(found.cer ?? []), keyId: found.keyId ?? '' };
      }),
    certificateVersions: async (name, signal) =>
      enabled(
        name,
        await ask(name, signal, async (callOptions) =>
          all((await certificates()).listPropertiesOfCertificateVersions(name, callOptions)),
        ),
      ),
    sign: (keyId, data, signal) =>
      ask(keyId.split('/').at(-2) ?? keyId, signal, async (callOptions) => {
        const { result } = await (await signer(keyId)).signData('PS256', data, callOptions);
        return Buffer.from(result);
      }),
  };
}

interface VersionProperties {
  readonly version?: string;
  readonly enabled?: boolean;
  readonly createdOn?: Date;
  readonly notBefore?: Date;
  readonly expiresOn?: Date;
}

async function all<T>(pages: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const each of pages) found.push(each);
  return found;
}

function newestFirst(properties: readonly VersionProperties[]): VaultVersion[] {
  return properties
    .flatMap(({ version, enabled, createdOn, notBefore, expiresOn }): VaultVersion[] => {
      if (!version || enabled === false) return [];
      const times = {
        ...(notBefore && { validFrom: notBefore.getTime() }),
        ...(expiresOn && { expiresAt: expiresOn.getTime() }),
      };
      return [{ version, createdOn: createdOn?.getTime() ?? 0, ...times }];
    })
    .sort((a, b) => b.createdOn - a.createdOn);
}

const toSecret = (secret: KeyVaultSecret): VaultSecret => ({
  value: secret.value ?? '',
  version: secret.properties.version ?? '',
  contentType: secret.properties.contentType,
  expiresOn: secret.properties.expiresOn,
});

/** Makes a thing at its first use; a failure to make it is not kept. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}
