import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type JSONWebKeySet, type JWTPayload, SignJWT } from 'jose';

/** The key that all tokens of the local Entra are signed with. */
export interface SigningKey {
  kid: string;
  publicKey: KeyObject;
  /** The public part as Entra publishes it under `/discovery/v2.0/keys`. */
  jwks: JSONWebKeySet;
  sign(claims: JWTPayload): Promise<string>;
}

/** A new RSA 2048 key, PKCS#8 PEM. */
export function newSigningKeyPem(): string {
  return generateKeyPairSync('rsa', { modulusLength: 2048 })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();
}

export function openSigningKey(pem: string): SigningKey {
  const privateKey = createPrivateKey(pem);
  const publicKey = createPublicKey(privateKey);
  // Entra names its keys by a SHA-1 thumbprint, 27 characters of base64url.
  const kid = createHash('sha1')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64url');
  return {
    kid,
    publicKey,
    jwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), kty: 'RSA', use: 'sig', kid, x5t: kid }] },
    sign: (claims) =>
      new SignJWT(claims).setProtectedHeader({ typ: 'JWT', alg: 'RS256', x5t: kid, kid }).sign(privateKey),
  };
}
