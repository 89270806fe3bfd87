import { errors, jwtVerify } from 'jose';
import * as z from 'zod';
import type { SigningKey } from '../entra/signing-key.ts';
import { issuerV1 } from '../entra/tokens.ts';
import { unauthorized } from './errors.ts';

/** Whom a bearer token was issued to. */
export interface Caller {
  clientId: string;
  objectId: string;
  issuer: string;
}

export const VAULT_RESOURCE = 'https://vault.azure.net';

const claimsSchema = z.object({ aud: z.string(), iss: z.string(), oid: z.string(), appid: z.string() });

/**
 * Verifies the bearer token of a request: signature, audience, issuer (the vault's tenant) and times. Throws
 * KeyVaultRefusal 401 with the challenge; texts with an AKV number are Key Vault's own, from public error reports.
 */
export async function verifyCaller(
  authorization: string | null,
  vault: { tenantId: string; authority: string; key: SigningKey; now: number },
): Promise<Caller> {
  const challenge = `Bearer authorization="${vault.authority}", resource="${VAULT_RESOURCE}"`;
  const token = /^Bearer\s+(\S+)$/i.exec(authorization ?? '')?.[1];
  if (!token) throw unauthorized('AKV10000: Request is missing a Bearer or PoP token.', challenge);
  const claims = await verifiedClaims(token, vault, challenge);
  if (claims.aud.replace(/\/$/, '') !== VAULT_RESOURCE) {
    throw unauthorized(`AKV10022: Invalid audience. Expected ${VAULT_RESOURCE}, found: ${claims.aud}.`, challenge);
  }
  const expected = issuerV1(vault.tenantId);
  if (claims.iss !== expected) {
    throw unauthorized(`AKV10032: Invalid issuer. Expected one of ${expected}, found ${claims.iss}.`, challenge);
  }
  return { clientId: claims.appid, objectId: claims.oid, issuer: claims.iss };
}

async function verifiedClaims(token: string, vault: { key: SigningKey; now: number }, challenge: string) {
  try {
    const { payload } = await jwtVerify(token, vault.key.publicKey, {
      algorithms: ['RS256'],
      currentDate: new Date(vault.now),
      requiredClaims: ['exp', 'nbf'],
    });
    return claimsSchema.parse(payload);
  } catch (error) {
    if (error instanceof errors.JWTExpired) {
      throw unauthorized("[TokenExpired] Error validating token: 'S2S12086'.", challenge);
    }
    throw unauthorized('AKV10046: Unable to resolve the key used for signature validation.', challenge);
  }
}
