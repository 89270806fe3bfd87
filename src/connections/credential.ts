import type { CredentialKind } from '../config/connection-settings.ts';
import type { Token } from './token-source.ts';

export interface FetchOptions {
  readonly signal?: AbortSignal | undefined;
  /** The claims that Dataverse challenged us for, as JSON. */
  readonly claims?: string | undefined;
}

/** How a connection proves itself to Entra. Every promise rejects with ConnectionError. */
export interface Credential {
  readonly kind: CredentialKind;
  /**
   * Asks Entra for a token, with the newest version of the credential that Entra accepts. The vault is asked at most
   * every few minutes; while it cannot be read, what was read before goes on to serve.
   */
  fetchToken(options?: FetchOptions): Promise<Token>;
  /**
   * Asks the vault (for a managed identity: the identity's endpoint) now, and tells of the version in use, or before the
   * first token of the one that would be used.
   */
  describe(signal?: AbortSignal): Promise<CredentialReport>;
  /** What is known without any call; `kind` and `name` only, before the first token or `describe`. */
  known(): CredentialReport;
  /**
   * Tries the next version for a token that nobody uses; undefined if there is none. The next version is the newest
   * enabled one that is not in use: its validity begins in the future, or Entra has refused it, or nobody has used it
   * yet. What Entra or the vault says against it stands in the report; rejects only if it could not be tried at all.
   */
  rehearse(signal?: AbortSignal): Promise<RehearsalReport | undefined>;
}

/** What a credential is, without anything secret. Times are milliseconds since 1970. */
export interface CredentialReport {
  readonly kind: CredentialKind;
  /** The object's name in the vault; for a managed identity its client id, if one is set. */
  readonly name?: string;
  /** Version in the vault. */
  readonly version?: string;
  /** SHA-256 of the certificate, hex without colons. */
  readonly thumbprint?: string;
  readonly validFrom?: number;
  readonly expiresAt?: number;
  /** Whole days until `expiresAt`; negative once it is over. */
  readonly daysLeft?: number;
  /** The version that Entra accepted last, since the app started. */
  readonly accepted?: string;
}

/** How Entra took to a version that is not in use yet. */
export interface RehearsalReport {
  readonly version: string;
  readonly accepted: boolean;
  /** Milliseconds since 1970; when it becomes current, where that is still to come. */
  readonly currentFrom?: number;
  /** Code of ConnectionError, and what it says. */
  readonly code?: string;
  /** Entra's error number. */
  readonly aadsts?: number;
  readonly message?: string;
  readonly hint?: string;
}
