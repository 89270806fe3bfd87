import type { JSONWebKeySet, JWTVerifyGetKey } from 'jose';
import * as z from 'zod';
import type { EntraCallers } from '../config/caller-settings.ts';
import type { Clock } from '../shared/clock.ts';
import { BridgeError, messageOf } from '../shared/errors.ts';
import type { Log } from '../telemetry/log.ts';

export interface TenantKeysOptions {
  readonly tenant: Pick<EntraCallers, 'tenantId' | 'authority' | 'issuers'>;
  readonly clock: Clock;
  readonly send: typeof fetch;
  readonly log: Log;
}

/** The tenant's keys cannot be read, and none that may still be trusted are at hand. */
export class TenantKeysError extends BridgeError<'tenantKeysUnavailable'> {
  constructor(cause: unknown) {
    super('tenantKeysUnavailable', 'The keys that Entra signs tokens with cannot be read.', {
      cause,
      hint: 'Send the request again in a few seconds; if it stays so, look at BRIDGE_TENANT_ID, BRIDGE_AUTHORITY and the way to Entra.',
    });
  }
}

/** After this time newer keys are asked for in the background. */
const FRESH_MS = 60 * 60_000;
/** Keys this old are not trusted any more, not even while Entra is down: it may have withdrawn them. */
const TRUSTED_MS = 24 * 60 * 60_000;
/** The rest between two looks at Entra, so that tokens with invented key ids do not become requests to it. */
export const PAUSE_MS = 10_000;
const ANSWER_TIMEOUT_MS = 5_000;

// OpenID Connect Discovery 1.0, section 3.
const metadataSchema = z.object({ issuer: z.string(), jwks_uri: z.url({ protocol: /^https$/ }) });
const keysSchema = z.object({ keys: z.array(z.looseObject({ kty: z.string(), kid: z.string() })).min(1) });

/**
 * Finds the key that a token names among those of one tenant, as `jwtVerify` of jose asks for it. Keys are read at the
 * first token, by one request however many callers wait, and again in the background each hour, or at once when a token
 * names a key that is not known yet. Throws TenantKeysError, and jose's JWKSNoMatchingKey.
 */
export function createTenantKeys({ tenant, clock, send, log }: TenantKeysOptions): JWTVerifyGetKey {
  const [issuer] = tenant.issuers;
  const metadataUrl = new URL(`${tenant.authority}/${tenant.tenantId}/v2.0/.well-known/openid-configuration`);
  let held: { readonly find: JWTVerifyGetKey; readonly since: number } | undefined;
  let flight: Promise<void> | undefined;
  let nextLook = 0;
  let lastFailure: unknown;

  const getJson = async (url: URL): Promise<unknown> => {
    const response = await send(url, { redirect: 'error', signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
    if (!response.ok) throw new Error(`${url.host} answered ${response.status}.`);
    return response.json();
  };

  const load = async (): Promise<void> => {
    const { createLocalJWKSet } = await import('jose');
    const metadata = metadataSchema.parse(await getJson(metadataUrl));
    // Section 4.3: the issuer must be the one that was asked for.
    if (metadata.issuer !== issuer) throw new Error(`${metadataUrl.href} names another issuer than ${issuer}.`);
    const keys: JSONWebKeySet = keysSchema.parse(await getJson(new URL(metadata.jwks_uri)));
    held = { find: createLocalJWKSet(keys), since: clock.now() };
  };

  /** Looks at Entra unless it was looked at just now; never throws. */
  const look = (): Promise<void> => {
    if (!flight && clock.now() < nextLook) return Promise.resolve();
    flight ??= load()
      .catch((error: unknown) => {
        lastFailure = error;
        log('the keys of callers’ tokens could not be read', { tenant: tenant.tenantId, reason: reasonOf(error) });
      })
      .finally(() => {
        nextLook = clock.now() + PAUSE_MS;
        flight = undefined;
      });
    return flight;
  };

  const ageOf = (): number => (held ? clock.now() - held.since : Number.POSITIVE_INFINITY);

  const trusted = async (): Promise<JWTVerifyGetKey> => {
    if (ageOf() >= TRUSTED_MS) await look();
    else if (ageOf() >= FRESH_MS) void look();
    if (!held || ageOf() >= TRUSTED_MS) throw new TenantKeysError(lastFailure);
    return held.find;
  };

  return async (header, token) => {
    const find = await trusted();
    try {
      return await find(header, token);
    } catch (error) {
      const { errors } = await import('jose');
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await look();
      return (await trusted())(header, token);
    }
  };
}

/** `fetch` tells in the cause what went wrong. */
const reasonOf = (error: unknown): string =>
  messageOf(error instanceof TypeError && error.cause !== undefined ? error.cause : error);
