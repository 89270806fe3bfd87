import type { TokenCredential } from '@azure/identity';
import type { KeyVaultSecret, SecretClient } from '@azure/keyvault-secrets';
import { isLoopback } from '../config/clouds.ts';
import type { Clock } from '../shared/clock.ts';
import { messageOf } from '../shared/errors.ts';
import { ConnectionError } from './errors.ts';

/** A secret as the vault keeps it. */
export interface VaultSecret {
  readonly value: string;
  readonly version: string;
  /** `application/x-pem-file` or `application/x-pkcs12` for a certificate's secret. */
  readonly contentType: string | undefined;
  readonly expiresOn: Date | undefined;
}

/** The part of Key Vault that the app reads. Every call throws ConnectionError `vault…` on failure. */
export interface Vault {
  readonly uri: string;
  /** The current version of a secret. */
  latest(name: string, signal?: AbortSignal): Promise<VaultSecret>;
  /** The values of the newest enabled versions, the newest first. */
  newestEnabled(name: string, count: number, signal?: AbortSignal): Promise<string[]>;
}

/** One client for one vault, made at its first use so that nothing is loaded or asked for at start. */
export function openVault(uri: string, credential: TokenCredential, clock: Clock): Vault {
  let client: Promise<SecretClient> | undefined;
  const connect = (): Promise<SecretClient> => {
    client ??= import('@azure/keyvault-secrets').then(
      ({ SecretClient }) =>
        new SecretClient(uri, credential, {
          // The local vault's host name does not end in the vault's suffix, which the client would check.
          disableChallengeResourceVerification: isLoopback(new URL(uri).hostname),
        }),
    );
    return client;
  };
  const ask = async <T>(name: string, question: (client: SecretClient) => Promise<T>): Promise<T> => {
    try {
      return await question(await connect());
    } catch (error) {
      throw vaultError(uri, name, error);
    }
  };
  const optionsOf = (signal: AbortSignal | undefined) => (signal ? { abortSignal: signal } : {});
  return {
    uri,
    latest: (name, signal) => ask(name, async (secrets) => toSecret(await secrets.getSecret(name, optionsOf(signal)))),
    newestEnabled: (name, count, signal) =>
      ask(name, async (secrets) => {
        const versions: { version: string; createdOn: number }[] = [];
        for await (const each of secrets.listPropertiesOfSecretVersions(name, optionsOf(signal))) {
          const current = each.expiresOn === undefined || each.expiresOn.getTime() > clock.now();
          if (each.enabled && current && each.version) {
            versions.push({ version: each.version, createdOn: each.createdOn?.getTime() ?? 0 });
          }
        }
        versions.sort((a, b) => b.createdOn - a.createdOn);
        const newest = versions.slice(0, count);
        return Promise.all(
          newest.map(
            async ({ version }) => (await secrets.getSecret(name, { version, ...optionsOf(signal) })).value ?? '',
          ),
        );
      }),
  };
}

const toSecret = (secret: KeyVaultSecret): VaultSecret => ({
  value: secret.value ?? '',
  version: secret.properties.version ?? '',
  contentType: secret.properties.contentType,
  expiresOn: secret.properties.expiresOn,
});

function vaultError(uri: string, name: string, error: unknown): ConnectionError {
  const status =
    typeof error === 'object' && error !== null && 'statusCode' in error ? Number(error.statusCode) : undefined;
  const { host } = new URL(uri);
  if (status === 403 || status === 401) {
    return new ConnectionError('vaultDenied', `The vault ${host} does not let the app read '${name}'.`, {
      cause: error,
      hint: 'Give the app’s managed identity the role Key Vault Secrets User on the vault, and check that the object is enabled.',
    });
  }
  if (status === 404) {
    return new ConnectionError('vaultObjectMissing', `The vault ${host} has no '${name}'.`, {
      cause: error,
      hint: 'Check the name in the settings, or create the object.',
    });
  }
  return new ConnectionError(
    'vaultUnavailable',
    `The vault ${host} could not be read: ${status ?? messageOf(error).slice(0, 200)}.`,
    {
      cause: error,
      hint: 'Check KEY_VAULT_URI, the vault’s network rules and the app’s managed identity.',
    },
  );
}
