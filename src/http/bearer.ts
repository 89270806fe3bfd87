import type { errors, JWTPayload } from 'jose';
import * as z from 'zod';
import type { EntraCallers } from '../config/caller-settings.ts';
import { RequestError } from './problem.ts';
import type { Authorize } from './routes.ts';
import { createTenantKeys, PAUSE_MS, TenantKeysError, type TenantKeysOptions } from './tenant-keys.ts';

const USE_ROLE = 'Bridge.Use';
/** Opens what `Bridge.Use` opens, too: an operator needs one role only. */
const ADMIN_ROLE = 'Bridge.Admin';

type TokenFault =
  | 'tokenMissing'
  | 'tokenMalformed'
  | 'tokenNotTrusted'
  | 'tokenIssuer'
  | 'tokenAudience'
  | 'tokenNotYetValid'
  | 'tokenExpired'
  | 'tokenKind';

/** As much as Microsoft's own libraries grant (`DefaultClockSkew` of Microsoft.IdentityModel.Tokens). */
const CLOCK_TOLERANCE_SECONDS = 300;
/** Node refuses a request whose headers are longer. */
const LONGEST_TOKEN = 16_384;

const CREDENTIALS = /^Bearer +([\w.~+/-]+=*) *$/i;

// `appid` (version 1) or `azp` (version 2) stands in access tokens only, so an ID token of the same app does not pass.
// https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
const claimsSchema = z
  .object({
    tid: z.string(),
    appid: z.string().optional(),
    azp: z.string().optional(),
    roles: z.array(z.string()).default([]),
  })
  .refine(({ appid, azp }) => appid !== undefined || azp !== undefined);

/**
 * Lets a caller in by an access token of Entra: signed with RS256 by a key of the tenant, issued by it, for this app, in
 * time, and with the role that the route asks for. Nothing else of a request counts, neither keys of the host nor the
 * headers `x-ms-client-principal*`, which anybody can send. jose is loaded with the first token.
 *
 * The returned function throws RequestError 401 `token…` or 403 `roleMissing`, both with the challenge of RFC 6750, and
 * 503 `tenantKeysUnavailable`.
 */
export function bearerAuthorization(callers: EntraCallers, options: Omit<TenantKeysOptions, 'tenant'>): Authorize {
  const key = createTenantKeys({ ...options, tenant: callers });
  const { clock } = options;

  const claimsOf = async (token: string): Promise<JWTPayload> => {
    const { jwtVerify } = await import('jose');
    const { payload } = await jwtVerify(token, key, {
      algorithms: ['RS256'],
      issuer: [...callers.issuers],
      audience: [...callers.audiences],
      requiredClaims: ['exp', 'nbf'],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: new Date(clock.now()),
    });
    return payload;
  };

  return async (authorization, access) => {
    const token = tokenOf(authorization);
    let payload: JWTPayload;
    try {
      payload = await claimsOf(token);
    } catch (error) {
      throw await refusalOf(error, callers);
    }
    const claims = claimsSchema.safeParse(payload);
    if (!claims.success) throw refused('tokenKind', 'The token is no access token.', ACCESS_TOKEN, claims.error);
    if (claims.data.tid.toLowerCase() !== callers.tenantId) throw wrongIssuer();
    assertRole(claims.data.roles, access);
  };
}

function tokenOf(authorization: string | null): string {
  if (authorization === null || !/^Bearer( |$)/i.test(authorization)) {
    throw refused('tokenMissing', 'The request has no bearer token.', ACCESS_TOKEN);
  }
  const token = authorization.length <= LONGEST_TOKEN ? CREDENTIALS.exec(authorization)?.[1] : undefined;
  if (token === undefined)
    throw refused('tokenMalformed', 'The header Authorization holds no bearer token.', ACCESS_TOKEN);
  return token;
}

function assertRole(roles: readonly string[], access: 'use' | 'admin'): void {
  if (roles.includes(ADMIN_ROLE) || (access === 'use' && roles.includes(USE_ROLE))) return;
  const role = access === 'admin' ? ADMIN_ROLE : USE_ROLE;
  const message = `The token lacks the role ${role}.`;
  throw new RequestError(403, 'roleMissing', message, {
    hint: `Assign the app role ${role} of this app's registration to the caller, then get a new token.`,
    headers: challenge('insufficient_scope', message),
  });
}

/** What jose threw, as an answer; what is no fault of the token stays as it is. */
async function refusalOf(error: unknown, callers: EntraCallers): Promise<unknown> {
  if (error instanceof TenantKeysError) {
    const headers = { 'retry-after': String(PAUSE_MS / 1000) };
    return new RequestError(503, error.code, error.message, { cause: error, hint: error.hint, headers });
  }
  const { errors } = await import('jose');
  if (!(error instanceof errors.JOSEError)) return error;
  if (error instanceof errors.JWTExpired) {
    return refused('tokenExpired', 'The token has expired.', 'Get a new token.', error);
  }
  if (error instanceof errors.JWTClaimValidationFailed) return wrongClaim(error, callers);
  const distrusted = [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JWSSignatureVerificationFailed];
  if (distrusted.some((type) => error instanceof type)) {
    return refused('tokenNotTrusted', 'The token is not signed by a key of the tenant.', ACCESS_TOKEN, error);
  }
  // The text of jose's error may quote the token.
  return refused('tokenMalformed', 'The token is no JWT signed with RS256.', ACCESS_TOKEN, error);
}

function wrongClaim(error: errors.JWTClaimValidationFailed, { audiences }: EntraCallers): RequestError {
  switch (error.claim) {
    case 'iss':
      return wrongIssuer(error);
    case 'aud': {
      const hint = `Get one for the scope ${audiences.at(-1)}/.default.`;
      return refused('tokenAudience', 'The token is for another application.', hint, error);
    }
    case 'nbf':
      if (error.reason !== 'check_failed') break;
      return refused('tokenNotYetValid', 'The token is not valid yet.', 'Compare the clocks of caller and app.', error);
  }
  return refused('tokenMalformed', 'The token lacks a claim that every access token has.', ACCESS_TOKEN, error);
}

const ACCESS_TOKEN =
  'Send an access token of Entra for this app in the header Authorization: Bearer. Function keys open nothing here.';

function wrongIssuer(cause?: unknown): RequestError {
  const message = 'The token was issued by another tenant or authority.';
  return refused('tokenIssuer', message, 'Get one from the tenant of this app.', cause);
}

function refused(code: TokenFault, message: string, hint: string, cause?: unknown): RequestError {
  // RFC 6750, section 3.1: a request without any token gets no error code.
  const headers = code === 'tokenMissing' ? challenge() : challenge('invalid_token', message);
  return new RequestError(401, code, message, { cause, hint, headers });
}

/** RFC 6750, section 3. The description may hold neither quotation marks nor backslashes. */
function challenge(error?: 'invalid_token' | 'insufficient_scope', description = ''): { 'www-authenticate': string } {
  const cause = error ? `, error="${error}", error_description="${description}"` : '';
  return { 'www-authenticate': `Bearer realm="Dataverse Bridge"${cause}` };
}
