import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import type forge from 'node-forge';
import { isoTime } from '../shared/clock.ts';
import { messageOf } from '../shared/errors.ts';
import { ConnectionError } from './errors.ts';
import type { VaultSecret } from './vault.ts';

/** What a certificate says of itself. Times are milliseconds since 1970. */
export interface CertificateDetails {
  /** SHA-256 of the certificate, as hex without colons: the `x5t#S256` of an assertion. */
  readonly thumbprint: string;
  readonly validFrom: number;
  readonly expiresAt: number;
}

/** A certificate with its private key, ready to sign client assertions. */
export interface AppCertificate {
  readonly privateKeyPem: string;
  /** The certificate and its chain as PEM, leaf first. */
  readonly chainPem: string;
  readonly details: CertificateDetails;
}

/**
 * Reads the secret that Key Vault keeps beside a certificate: PEM, or PFX without password. Throws ConnectionError
 * `certificateUnusable`. Content types: Key Vault documentation, "About Key Vault certificates".
 */
export async function readCertificate(secret: Pick<VaultSecret, 'value' | 'contentType'>): Promise<AppCertificate> {
  try {
    const { key, certificates } =
      secret.contentType === 'application/x-pkcs12' ? await fromPfx(secret.value) : fromPem(secret.value);
    return assemble(key, certificates);
  } catch (cause) {
    if (cause instanceof ConnectionError) throw cause;
    // The parsers' own errors are not passed on: they may quote what they read.
    throw unusable('It cannot be read together with its private key.');
  }
}

/** The details of a certificate in DER whose key stays in the vault. Throws ConnectionError `certificateUnusable`. */
export function readPublicCertificate(der: Buffer): CertificateDetails {
  try {
    const certificate = new X509Certificate(der);
    assertRsa(certificate.publicKey);
    return detailsOf(certificate);
  } catch (cause) {
    if (cause instanceof ConnectionError) throw cause;
    throw unusable('It cannot be read.');
  }
}

/** Throws ConnectionError when the certificate is outside its validity. */
export function assertCurrent({ expiresAt, validFrom }: CertificateDetails, now: number): void {
  if (now >= expiresAt) {
    throw new ConnectionError('certificateExpired', `The certificate expired on ${isoTime(expiresAt)}.`, {
      hint: 'Renew the certificate in the vault and upload its public part to the app registration.',
    });
  }
  if (now < validFrom) throw notYetValid('certificate', validFrom);
}

/** A version that must not be used before `validFrom` (milliseconds since 1970). */
export const notYetValid = (what: 'certificate' | 'secret', validFrom: number): ConnectionError =>
  new ConnectionError(
    what === 'certificate' ? 'certificateNotYetValid' : 'secretNotYetValid',
    `The ${what} is valid only from ${isoTime(validFrom)}.`,
    { hint: 'Wait, or check its activation date in the vault and the clock of the machine.' },
  );

const unusable = (reason: string): ConnectionError =>
  new ConnectionError('certificateUnusable', `The certificate in the vault cannot be used. ${reason}`, {
    hint: 'It must be a PEM with key and certificate or a PFX without password, its key RSA, and exportable unless the vault signs with it (credential vaultKey).',
  });

function assertRsa(key: KeyObject): void {
  if (key.asymmetricKeyType === 'rsa') return;
  throw unusable(`Its key is of the type ${key.asymmetricKeyType}; client assertions are signed with RSA.`);
}

const detailsOf = (certificate: X509Certificate): CertificateDetails => ({
  thumbprint: certificate.fingerprint256.replaceAll(':', ''),
  validFrom: Date.parse(certificate.validFrom),
  expiresAt: Date.parse(certificate.validTo),
});

interface KeyAndCertificates {
  readonly key: KeyObject;
  readonly certificates: readonly X509Certificate[];
}

function fromPem(text: string): KeyAndCertificates {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  return { key: createPrivateKey(text), certificates: blocks.map((block) => new X509Certificate(block)) };
}

/** `node:crypto` has no parser for PKCS#12, so node-forge is loaded when such a file is met. */
async function fromPfx(base64: string): Promise<KeyAndCertificates> {
  const { default: pki } = await import('node-forge');
  const asn1 = pki.asn1.fromDer(pki.util.createBuffer(Buffer.from(base64, 'base64').toString('binary')));
  const pfx = openPfx(pki, asn1);
  const der = (value: forge.asn1.Asn1): Buffer => Buffer.from(pki.asn1.toDer(value).getBytes(), 'binary');
  const bagsOf = (type: string | undefined): forge.pkcs12.Bag[] =>
    type === undefined ? [] : (pfx.getBags({ bagType: type })[type] ?? []);
  const [keyBag] = [...bagsOf(pki.pki.oids['pkcs8ShroudedKeyBag']), ...bagsOf(pki.pki.oids['keyBag'])];
  if (!keyBag) throw unusable('The PFX holds no private key.');
  const keyDer = keyBag.key ? pki.pki.wrapRsaPrivateKey(pki.pki.privateKeyToAsn1(keyBag.key)) : keyBag.asn1;
  return {
    key: createPrivateKey({ key: der(keyDer), format: 'der', type: 'pkcs8' }),
    certificates: bagsOf(pki.pki.oids['certBag']).map(
      (bag) => new X509Certificate(der(bag.cert ? pki.pki.certificateToAsn1(bag.cert) : bag.asn1)),
    ),
  };
}

function openPfx(pki: typeof forge, asn1: forge.asn1.Asn1): forge.pkcs12.Pkcs12Pfx {
  try {
    return pki.pkcs12.pkcs12FromAsn1(asn1, false, '');
  } catch (error) {
    // Without the right password the file's integrity check fails: "PKCS#12 MAC could not be verified."
    throw /MAC|password/i.test(messageOf(error)) ? unusable('The PFX is protected by a password.') : error;
  }
}

function assemble(key: KeyObject, certificates: readonly X509Certificate[]): AppCertificate {
  assertRsa(key);
  const leaf = certificates.find((certificate) => certificate.checkPrivateKey(key));
  if (!leaf) throw unusable('No certificate belongs to the private key.');
  const chain = [leaf];
  for (let last = leaf; ; ) {
    const issuer = certificates.find((each) => !chain.includes(each) && last.checkIssued(each));
    if (!issuer) break;
    chain.push(issuer);
    last = issuer;
  }
  return {
    privateKeyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    chainPem: chain.map(String).join(''),
    details: detailsOf(leaf),
  };
}
