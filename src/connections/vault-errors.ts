import { messageOf } from '../shared/errors.ts';
import { ConnectionError } from './errors.ts';

/** What was asked of which vault. */
export interface VaultQuestion {
  readonly uri: string;
  /** The object's name. */
  readonly object: string;
  readonly timedOut: boolean;
}

/**
 * A failure of the Key Vault clients as ConnectionError. Inner codes of a 403: learn.microsoft.com, "Azure Key Vault
 * REST API error codes".
 */
export function connectionErrorOfVault({ uri, object, timedOut }: VaultQuestion, error: unknown): ConnectionError {
  const { host } = new URL(uri);
  if (isIdentityError(error)) return identityUnavailable(error);
  const status = numberIn(error, 'statusCode');
  if (status === 401) {
    return new ConnectionError('vaultDenied', `The vault ${host} does not accept the token of the app’s identity.`, {
      cause: error,
      hint: 'Check that the vault and the app’s managed identity are in the same tenant.',
    });
  }
  if (status === 403) {
    const reason = innerCode(error);
    return new ConnectionError(
      'vaultDenied',
      `The vault ${host} does not let the app read or use '${object}'${reason ? ` (${reason})` : ''}.`,
      { cause: error, hint: hintForDenial(reason) },
    );
  }
  if (status === 404) return missingInVault(uri, object, error);
  const what = timedOut ? 'no answer in time' : (status ?? messageOf(error).slice(0, 200));
  return new ConnectionError('vaultUnavailable', `The vault ${host} could not be read: ${what}.`, {
    cause: error,
    hint: 'Check KEY_VAULT_URI, the vault’s network rules and the app’s managed identity.',
  });
}

export function missingInVault(uri: string, object: string, cause?: unknown): ConnectionError {
  return new ConnectionError('vaultObjectMissing', `The vault ${new URL(uri).host} has no '${object}'.`, {
    cause,
    hint: 'Check the name in the settings, or create the object.',
  });
}

export function disabledInVault(uri: string, object: string): ConnectionError {
  return new ConnectionError(
    'vaultObjectMissing',
    `The vault ${new URL(uri).host} has no enabled version of '${object}'.`,
    { hint: 'Enable a version in the vault, or create a new one.' },
  );
}

/** The app's own identity gave no token. */
export function identityUnavailable(cause: unknown): ConnectionError {
  return new ConnectionError(
    'identityUnavailable',
    `The app’s managed identity gave no token: ${messageOf(cause).split('\n')[0]?.slice(0, 200)}`,
    {
      cause,
      hint: 'Check that the app has a managed identity and that MANAGED_IDENTITY_CLIENT_ID, where set, is the client id of one that is assigned to it.',
    },
  );
}

/** Errors of @azure/identity; its classes are not loaded just to tell. */
const isIdentityError = (error: unknown): boolean =>
  error instanceof Error &&
  ['CredentialUnavailableError', 'AuthenticationError', 'AuthenticationRequiredError'].includes(error.name);

function hintForDenial(reason: string | undefined): string {
  switch (reason) {
    case 'SecretDisabled':
    case 'CertificateDisabled':
    case 'KeyDisabled':
      return 'Enable the version in the vault, or create a new one.';
    case 'KeyExpired':
    case 'KeyNotYetValid':
      return 'Key Vault signs with a key only within its activation and expiration date: create a new version, or correct the dates.';
    case 'ForbiddenByFirewall':
    case 'ForbiddenByConnection':
      return 'Let the app’s network through the vault’s firewall (Networking), or give it a private endpoint.';
    default:
      return 'Give the app’s managed identity the role Key Vault Secrets User on the vault; for a key that signs in the vault Key Vault Certificate User and Key Vault Crypto User. New assignments take some minutes. Check the vault’s firewall too (Networking).';
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

function numberIn(value: unknown, property: string): number | undefined {
  const found = isRecord(value) ? value[property] : undefined;
  return typeof found === 'number' ? found : undefined;
}

/** `error.innererror.code`, where the SDK kept it: not for pages of a list. */
function innerCode(error: unknown): string | undefined {
  let found: unknown = error;
  for (const property of ['details', 'error', 'innerError', 'code']) {
    found = isRecord(found) ? found[property] : undefined;
  }
  return typeof found === 'string' ? found : undefined;
}
