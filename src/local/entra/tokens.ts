import { randomBytes } from 'node:crypto';
import type { Resource } from './directory.ts';
import type { SigningKey } from './signing-key.ts';

/** How the caller proved itself, `appidacr`/`azpacr`: 1 = client secret, 2 = certificate, assertion or managed identity. */
export type ClientAuthentication = '1' | '2';

/** Whom an access token is for. */
export interface TokenSubject {
  tenantId: string;
  clientId: string;
  objectId: string;
  authentication: ClientAuthentication;
  roles?: readonly string[] | undefined;
  /** Azure resource id of a managed identity. */
  managedIdentity?: string;
}

/** Issuer of version 1 tokens, the same wherever this Entra listens. */
export const issuerV1 = (tenantId: string): string => `https://sts.windows.net/${tenantId}/`;

/** Issuer of version 2 tokens, and the issuer that the metadata document names. */
export const issuerV2 = (origin: string, tenantId: string): string => `${origin}/${tenantId}/v2.0`;

// Entra dates its tokens back by five minutes, for services whose clocks are slow.
const BACKDATED_SECONDS = 300;

/**
 * An app-only access token in the form that the resource has chosen. Claims by
 * https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference; the opaque ones (`aio`, `rh`) are left out.
 * `audience` is the resource as it was asked for, which is what `aud` holds in version 1.
 */
export function issueToken(
  issuing: { key: SigningKey; origin: string; now: number; lifetimeSeconds: number },
  resource: Resource,
  audience: string,
  subject: TokenSubject,
): Promise<string> {
  const now = Math.floor(issuing.now / 1000);
  const notBefore = now - BACKDATED_SECONDS;
  const common = {
    iat: notBefore,
    nbf: notBefore,
    exp: now + issuing.lifetimeSeconds,
    idtyp: 'app',
    oid: subject.objectId,
    ...(subject.roles && subject.roles.length > 0 ? { roles: [...subject.roles] } : {}),
    sub: subject.objectId,
    tid: subject.tenantId,
    uti: randomBytes(16).toString('base64url'),
    ...(subject.managedIdentity ? { xms_mirid: subject.managedIdentity } : {}),
  };
  if (resource.tokenVersion === 2) {
    return issuing.key.sign({
      aud: resource.appId,
      iss: issuerV2(issuing.origin, subject.tenantId),
      ...common,
      azp: subject.clientId,
      azpacr: subject.authentication,
      ver: '2.0',
    });
  }
  return issuing.key.sign({
    aud: audience,
    iss: issuerV1(subject.tenantId),
    ...common,
    appid: subject.clientId,
    appidacr: subject.authentication,
    idp: issuerV1(subject.tenantId),
    ver: '1.0',
  });
}
