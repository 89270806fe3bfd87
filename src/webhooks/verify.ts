import { createHash, timingSafeEqual } from 'node:crypto';
import type { WebhookEndpoint } from '../config/settings.ts';
import type { Clock } from '../shared/clock.ts';
import { messageOf } from '../shared/errors.ts';
import type { Log } from '../telemetry/log.ts';
import { WebhookError } from './errors.ts';

/** Where the secrets of endpoints are kept: Key Vault. */
export interface WebhookSecrets {
  /** The values of the newest enabled versions of a secret, at most `count`, newest first. */
  newestEnabled(name: string, count: number, signal?: AbortSignal): Promise<readonly string[]>;
}

/** What is read of a request before its body. */
export interface RequestHead {
  readonly headers: { get(name: string): string | null };
  readonly query: URLSearchParams;
}

/** A secret read within this time is used as it is, so that a version that was disabled is refused after it at last. */
const FRESH_MS = 5 * 60_000;
/** The vault is asked no more often than this, whatever is presented. */
const REREAD_MS = 5_000;
/** The version before the newest is accepted too, so that a secret rotates without a gap. */
const ACCEPTED_VERSIONS = 2;

/** The texts in a request that may be the secret: the endpoint's header, `code`, the endpoint's query parameter. */
export function presentedSecrets(endpoint: WebhookEndpoint, { headers, query }: RequestHead): string[] {
  const { header, query: parameter } = endpoint;
  const places = [headers.get(header), query.get('code'), parameter === undefined ? null : query.get(parameter)];
  return places.flatMap((text) => (text ? [text] : []));
}

/** Decides whether one of the presented texts is an accepted version of a secret. */
export interface SecretVerifier {
  /** Throws `WebhookError` `secretUnavailable` where there is nothing to compare with. */
  accepts(secretName: string, presented: readonly string[]): Promise<boolean>;
}

/**
 * A mismatch makes the vault be asked again, so that a rotated secret is known at once and without a restart. When
 * the vault does not answer, the versions read before it fell silent stay in use.
 */
export function createSecretVerifier(deps: { secrets: WebhookSecrets; clock: Clock; log: Log }): SecretVerifier {
  const known = new Map<string, KnownSecret>();

  const load = async (secretName: string, secret: KnownSecret): Promise<void> => {
    secret.askedAt = deps.clock.now();
    try {
      const values = await deps.secrets.newestEnabled(secretName, ACCEPTED_VERSIONS);
      secret.digests = values.filter((value) => value !== '').map(digestOf);
      secret.readAt = secret.askedAt;
    } catch (error) {
      secret.failure = error;
      deps.log('webhook secret cannot be read', {
        secretName,
        usesEarlierVersions: secret.digests !== undefined,
        reason: messageOf(error),
      });
    }
  };
  /** All who wait at the same time share one reading, which therefore obeys nobody's abort. */
  const reread = async (secretName: string, secret: KnownSecret): Promise<boolean> => {
    const rested = deps.clock.now() - secret.askedAt >= REREAD_MS;
    if (secret.reading === undefined && !rested) return false;
    secret.reading ??= load(secretName, secret).finally(() => {
      secret.reading = undefined;
    });
    await secret.reading;
    return true;
  };

  return {
    async accepts(secretName, presented) {
      const secret = known.get(secretName) ?? { askedAt: -Infinity, readAt: -Infinity };
      known.set(secretName, secret);
      const candidates = presented.map(digestOf);
      const stale = deps.clock.now() - secret.readAt >= FRESH_MS;
      const asked = stale && (await reread(secretName, secret));
      if (matches(candidates, secret)) return true;
      if (!asked && (await reread(secretName, secret)) && matches(candidates, secret)) return true;
      if (secret.digests?.length) return false;
      throw new WebhookError('secretUnavailable', `The secret '${secretName}' of this endpoint cannot be read.`, {
        cause: secret.failure,
        hint: `See that the vault has an enabled version of the secret '${secretName}', and that the app’s identity may read it.`,
      });
    },
  };
}

interface KnownSecret {
  digests?: readonly Buffer[];
  readAt: number;
  askedAt: number;
  reading?: Promise<void> | undefined;
  failure?: unknown;
}

/** Digests are of one length, so that a comparison tells nothing about the length of a secret. */
const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

/** Compares all with all, so that the time taken does not tell which one was close. */
function matches(candidates: readonly Buffer[], { digests = [] }: KnownSecret): boolean {
  let found = false;
  for (const candidate of candidates) {
    for (const digest of digests) found = timingSafeEqual(candidate, digest) || found;
  }
  return found;
}
