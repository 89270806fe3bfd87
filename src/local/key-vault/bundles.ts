import { createHash, createPublicKey, X509Certificate } from 'node:crypto';
import { certificatePfx, pfxOf } from '../certificates.ts';
import type { ObjectType } from './errors.ts';
import type { Attributes, Certificate, CertificateVersion, SecretVersion } from './vault.ts';

/** Addresses of the versions of one object, below the vault's address. */
export const objectId = (origin: string, type: ObjectType, name: string, version?: string): string =>
  [origin, type, name, ...(version ? [version] : [])].join('/');

/** Attributes as they are sent; every vault of today has soft-delete. */
export function wireAttributes(attributes: Attributes) {
  return { ...attributes, recoveryLevel: 'Recoverable+Purgeable', recoverableDays: 90 };
}

export function secretBundle(origin: string, name: string, secret: SecretVersion) {
  return {
    value: secret.value,
    contentType: secret.contentType,
    id: objectId(origin, 'secrets', name, secret.version),
    attributes: wireAttributes(secret.attributes),
    tags: secret.tags,
  };
}

/** The secret under the same name and version that every certificate has, in the form that its policy says. */
export function certificateSecretBundle(origin: string, certificate: Certificate, version: CertificateVersion) {
  return {
    value: certificateSecret(certificate, version),
    contentType: certificate.policy.contentType,
    id: objectId(origin, 'secrets', certificate.name, version.version),
    managed: true,
    attributes: wireAttributes(version.attributes),
    kid: objectId(origin, 'keys', certificate.name, version.version),
  };
}

/** The public key under the same name and version that every certificate has. */
export function certificateKeyBundle(origin: string, certificate: Certificate, version: CertificateVersion) {
  const jwk = createPublicKey(version.certPem).export({ format: 'jwk' });
  return {
    key: {
      kid: objectId(origin, 'keys', certificate.name, version.version),
      kty: 'RSA',
      key_ops: ['sign', 'verify'],
      n: jwk.n,
      e: jwk.e,
    },
    attributes: { ...wireAttributes(version.attributes), exportable: certificate.policy.exportable },
    managed: true,
  };
}

export function certificateBundle(origin: string, certificate: Certificate, version: CertificateVersion) {
  const { raw } = new X509Certificate(version.certPem);
  const { name } = certificate;
  return {
    id: objectId(origin, 'certificates', name, version.version),
    kid: objectId(origin, 'keys', name, version.version),
    sid: objectId(origin, 'secrets', name, version.version),
    x5t: thumbprint(version),
    cer: raw.toString('base64'),
    attributes: wireAttributes(version.attributes),
    policy: certificatePolicy(origin, certificate, version),
  };
}

export function certificatePolicy(origin: string, { name, policy }: Certificate, version: CertificateVersion) {
  const x509 = new X509Certificate(version.certPem);
  return {
    id: `${objectId(origin, 'certificates', name)}/policy`,
    key_props: { exportable: policy.exportable, kty: 'RSA', key_size: 2048, reuse_key: false },
    secret_props: { contentType: policy.contentType },
    x509_props: { subject: x509.subject.replaceAll('\n', ', '), basic_constraints: { ca: x509.ca } },
    issuer: { name: 'Unknown' },
    attributes: {
      enabled: true,
      created: version.attributes.created,
      updated: version.attributes.updated,
    },
  };
}

/** SHA-1 of the certificate, which is what Key Vault's `x5t` holds. */
export const thumbprint = (version: CertificateVersion): string =>
  createHash('sha1').update(new X509Certificate(version.certPem).raw).digest('base64url');

function certificateSecret({ policy }: Certificate, { certPem, keyPem }: CertificateVersion): string {
  if (policy.contentType === 'application/x-pem-file') return policy.exportable ? `${keyPem}${certPem}` : certPem;
  return policy.exportable ? pfxOf(certPem, keyPem) : certificatePfx(certPem);
}
