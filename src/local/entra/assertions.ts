import type { KeyObject, X509Certificate } from 'node:crypto';
import { compactVerify, decodeJwt, decodeProtectedHeader } from 'jose';
import * as z from 'zod';
import { type Application, findCertificate, TOKEN_EXCHANGE } from './directory.ts';
import {
  assertionAudienceDiffers,
  assertionNotInTime,
  assertionOfAnotherClient,
  assertionSubjectDiffers,
  certificateNotRegistered,
  certificateOutOfDate,
  federatedSignatureUnknown,
  federatedSubjectCase,
  malformedAssertion,
  noFederatedAudience,
  noFederatedIssuer,
  noFederatedSubject,
  wrongSignature,
} from './errors.ts';
import type { SigningKey } from './signing-key.ts';

/** Against what a client assertion is checked. */
export interface AssertionChecks {
  application: Application;
  /** Values of `aud` that name this tenant's token endpoint. */
  audiences: readonly string[];
  /** Where this Entra listens; its own version 2 tokens begin their issuer with it. */
  origin: string;
  /** The key of this Entra, for managed identity tokens used as assertions. */
  key: SigningKey;
  /** Milliseconds since 1970. */
  now: number;
  clockToleranceSeconds: number;
}

const headerSchema = z.object({
  alg: z.enum(['PS256', 'RS256']),
  x5t: z.string().optional(),
  'x5t#S256': z.string().optional(),
});

// Entra takes one audience only, and no `nbf` counts as 1970 (both seen in public error reports).
const claimsSchema = z.object({
  iss: z.string(),
  sub: z.string(),
  aud: z.string(),
  exp: z.number(),
  nbf: z.number().default(0),
});

type Header = z.infer<typeof headerSchema>;
type Claims = z.infer<typeof claimsSchema>;

/**
 * Verifies a client assertion: one that the application signed with a registered certificate, or a token of a managed
 * identity that a federated credential trusts. Throws EntraRefusal.
 */
export async function verifyAssertion(assertion: string, checks: AssertionChecks): Promise<void> {
  const { header, claims } = parse(assertion);
  if (/^https?:\/\//.test(claims.iss)) return verifyFederated(assertion, claims, checks);
  const { clientId } = checks.application;
  if (claims.iss.toLowerCase() !== clientId.toLowerCase()) throw assertionOfAnotherClient();
  if (claims.sub !== claims.iss) throw assertionSubjectDiffers();
  const { certificate, thumbprint } = signer(header, checks);
  if (!(await isSignedBy(assertion, certificate.publicKey))) throw wrongSignature(thumbprint, certificate);
  checkTimes(claims, checks);
  if (!checks.audiences.includes(claims.aud)) throw assertionAudienceDiffers();
}

function parse(assertion: string): { header: Header; claims: Claims } {
  try {
    return {
      header: headerSchema.parse(decodeProtectedHeader(assertion)),
      claims: claimsSchema.parse(decodeJwt(assertion)),
    };
  } catch {
    throw malformedAssertion();
  }
}

function signer(header: Header, checks: AssertionChecks): { certificate: X509Certificate; thumbprint: string } {
  const hash = header['x5t#S256'] ? 'sha256' : 'sha1';
  const encoded = header['x5t#S256'] ?? header.x5t;
  if (!encoded) throw malformedAssertion('No certificate thumbprint specified in token header.');
  const thumbprint = Buffer.from(encoded, 'base64url').toString('hex').toUpperCase();
  const certificate = findCertificate(checks.application, hash, encoded);
  if (!certificate) throw certificateNotRegistered(checks.application.clientId, thumbprint);
  const inTime = Date.parse(certificate.validFrom) <= checks.now && checks.now < Date.parse(certificate.validTo);
  if (!inTime) throw certificateOutOfDate(thumbprint, certificate);
  return { certificate, thumbprint };
}

async function verifyFederated(assertion: string, claims: Claims, checks: AssertionChecks): Promise<void> {
  const { iss, aud, sub } = claims;
  const ofIssuer = checks.application.federatedCredentials.filter(({ issuer }) => hostedIssuer(issuer, checks) === iss);
  if (ofIssuer.length === 0) throw noFederatedIssuer(iss);
  const audience = aud === TOKEN_EXCHANGE.appId ? TOKEN_EXCHANGE.uri : aud;
  const ofAudience = ofIssuer.filter((credential) => credential.audience === audience);
  if (ofAudience.length === 0) throw noFederatedAudience(aud);
  if (!ofAudience.some(({ subject }) => subject === sub)) {
    const differsInCase = ofAudience.some(({ subject }) => subject.toLowerCase() === sub.toLowerCase());
    throw differsInCase ? federatedSubjectCase(sub) : noFederatedSubject(sub);
  }
  if (!(await isSignedBy(assertion, checks.key.publicKey))) throw federatedSignatureUnknown();
  checkTimes(claims, checks);
}

/** A registration names the public cloud as issuer; here this Entra stands in for it. */
function hostedIssuer(issuer: string, { origin }: AssertionChecks): string {
  return issuer.replace(/^https:\/\/login\.microsoftonline\.com(?=\/)/, origin);
}

async function isSignedBy(assertion: string, key: KeyObject): Promise<boolean> {
  try {
    await compactVerify(assertion, key, { algorithms: ['PS256', 'RS256'] });
    return true;
  } catch {
    return false;
  }
}

function checkTimes({ nbf, exp }: Claims, { now, clockToleranceSeconds }: AssertionChecks): void {
  const seconds = now / 1000;
  if (nbf > seconds + clockToleranceSeconds || exp < seconds - clockToleranceSeconds) {
    throw assertionNotInTime(now, nbf, exp);
  }
}
