import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import type forge from 'node-forge';
import { ConnectionError } from './errors.ts';
import type { VaultSecret } from './vault.ts';

/** A certificate with its private key, ready to sign client assertions. */
export interface AppCertificate {
  readonly privateKeyPem: string;
  /** The certificate and its chain as PEM, leaf first. */
  readonly chainPem: string;
  /** SHA-256 of the certificate, as hex without colons: the `x5t#S256` of an assertion. */
  readonly thumbprintSha256: string;
  readonly validFrom: Date;
  readonly validTo: Date;
  /** The vault's version of it. */
  readonly version: string;
}

/**
 * Reads the secret that Key Vault keeps beside a certificate: PEM, or PFX without password. Throws ConnectionError
 * `certificateUnusable`. Content types: Key Vault documentation, "About Key Vault certificates".
 */
export async function readCertificate(secret: VaultSecret): Promise<AppCertificate> {
  try {
    const { key, certificates } =
      secret.contentType === 'application/x-pkcs12' ? await fromPfx(secret.value) : fromPem(secret.value);
    return assemble(key, certificates, secret.version);
  } catch (cause) {
    throw new ConnectionError(
      'certificateUnusable',
      'The certificate in the vault cannot be read together with its private key.',
      {
        cause,
        hint: 'It must be a PEM with key and certificate or a PFX without password, its key RSA and exportable.',
      },
    );
  }
}

/** Throws ConnectionError when the certificate is outside its validity. */
export function assertCurrent(certificate: AppCertificate, now: number): void {
  const hint = 'Renew the certificate in the vault and upload its public part to the app registration.';
  if (now >= certificate.validTo.getTime()) {
    throw new ConnectionError(
      'certificateExpired',
      `The certificate expired on ${certificate.validTo.toISOString()}.`,
      { hint },
    );
  }
  if (now < certificate.validFrom.getTime()) {
    throw new ConnectionError(
      'certificateNotYetValid',
      `The certificate is valid only from ${certificate.validFrom.toISOString()}.`,
      {
        hint: 'Wait, or check the clock of the machine.',
      },
    );
  }
}

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
  const pfx = pki.pkcs12.pkcs12FromAsn1(asn1, false, '');
  const der = (value: forge.asn1.Asn1): Buffer => Buffer.from(pki.asn1.toDer(value).getBytes(), 'binary');
  const bagsOf = (type: string | undefined): forge.pkcs12.Bag[] =>
    type === undefined ? [] : (pfx.getBags({ bagType: type })[type] ?? []);
  const [keyBag] = [...bagsOf(pki.pki.oids['pkcs8ShroudedKeyBag']), ...bagsOf(pki.pki.oids['keyBag'])];
  if (!keyBag) throw new Error('The PFX holds no private key.');
  const keyDer = keyBag.key ? pki.pki.wrapRsaPrivateKey(pki.pki.privateKeyToAsn1(keyBag.key)) : keyBag.asn1;
  return {
    key: createPrivateKey({ key: der(keyDer), format: 'der', type: 'pkcs8' }),
    certificates: bagsOf(pki.pki.oids['certBag']).map(
      (bag) => new X509Certificate(der(bag.cert ? pki.pki.certificateToAsn1(bag.cert) : bag.asn1)),
    ),
  };
}

function assemble(key: KeyObject, certificates: readonly X509Certificate[], version: string): AppCertificate {
  if (key.asymmetricKeyType !== 'rsa')
    throw new Error(`The key is ${key.asymmetricKeyType}; client assertions are signed with RSA.`);
  const leaf = certificates.find((certificate) => certificate.checkPrivateKey(key));
  if (!leaf) throw new Error('No certificate belongs to the private key.');
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
    thumbprintSha256: leaf.fingerprint256.replaceAll(':', ''),
    validFrom: new Date(leaf.validFrom),
    validTo: new Date(leaf.validTo),
    version,
  };
}
