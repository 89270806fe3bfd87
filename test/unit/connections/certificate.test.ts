import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import forge from 'node-forge';
import { describe, expect, test } from 'vitest';
import { assertCurrent, readCertificate, readPublicCertificate } from '../../../src/connections/certificate.ts';
import { certificatePfx, makeCertificate, pfxOf } from '../../../src/local/certificates.ts';

const FROM = Date.parse('2026-01-01T00:00:00Z');
const TO = Date.parse('2027-01-01T00:00:00Z');
const own = makeCertificate({ subject: 'Bridge', validFrom: FROM, validTo: TO });
const other = makeCertificate({ subject: 'Other', validFrom: FROM, validTo: TO });

const PEM = 'application/x-pem-file';
const PFX = 'application/x-pkcs12';
const read = (contentType: string | undefined, value: string) => readCertificate({ value, contentType });

/** A certificate for the key of `own`, issued by a certificate of `other`'s key. */
function issued(): { leaf: string; issuer: string } {
  const key = forge.pki.privateKeyFromPem(other.keyPem);
  const make = (name: string, subjectKey: string, issuerName: string, ca: boolean): string => {
    const certificate = forge.pki.createCertificate();
    certificate.publicKey = forge.pki.setRsaPublicKey(
      forge.pki.privateKeyFromPem(subjectKey).n,
      forge.pki.privateKeyFromPem(subjectKey).e,
    );
    certificate.serialNumber = '01';
    certificate.validity.notBefore = new Date(FROM);
    certificate.validity.notAfter = new Date(TO);
    certificate.setSubject([{ name: 'commonName', value: name }]);
    certificate.setIssuer([{ name: 'commonName', value: issuerName }]);
    certificate.setExtensions([{ name: 'basicConstraints', cA: ca }]);
    certificate.sign(key, forge.md.sha256.create());
    return forge.pki.certificateToPem(certificate);
  };
  return { leaf: make('Leaf', own.keyPem, 'Issuer', false), issuer: make('Issuer', other.keyPem, 'Issuer', true) };
}

describe('a certificate with its key', () => {
  test.each([
    ['PEM, the key first', PEM, own.keyPem + own.certPem],
    ['PEM, the certificate first', PEM, own.certPem + own.keyPem],
    ['PFX', PFX, own.pfxBase64()],
  ])('is read from %s', async (_, type, value) => {
    const certificate = await read(type, value);
    expect(certificate.details).toEqual({ thumbprint: own.thumbprintSha256, validFrom: FROM, expiresAt: TO });
    expect(new X509Certificate(certificate.chainPem).fingerprint256.replaceAll(':', '')).toBe(own.thumbprintSha256);
    expect(certificate.privateKeyPem).toContain('PRIVATE KEY');
  });

  test('is told from its chain, whose order does not matter', async () => {
    const { leaf, issuer } = issued();
    for (const certificates of [leaf + issuer, issuer + leaf, other.certPem + issuer + leaf]) {
      const { chainPem, details } = await read(PEM, own.keyPem + certificates);
      const chain = chainPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
      expect(chain.map((pem) => new X509Certificate(pem).subject)).toEqual(['CN=Leaf', 'CN=Issuer']);
      expect(details.thumbprint).toBe(new X509Certificate(leaf).fingerprint256.replaceAll(':', ''));
    }
  });
});

const ec = generateKeyPairSync('ec', {
  namedCurve: 'P-256',
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
});

test.each([
  ['whose key is another’s', PEM, other.keyPem + own.certPem],
  ['whose key in a PFX is another’s', PFX, pfxOf(own.certPem, other.keyPem)],
  ['without a key', PEM, own.certPem],
  ['without a key in a PFX', PFX, certificatePfx(own.certPem)],
  ['that is only a key', PEM, own.keyPem],
  ['with an elliptic key', PEM, ec.privateKey + own.certPem],
  ['that is no PEM', PEM, 'hunter2'],
  ['that is no PFX', PFX, 'aHVudGVyMg=='],
  ['of unknown content type', undefined, 'hunter2'],
])('a secret %s is refused without showing it', async (_, type, value) => {
  const error = await read(type, value).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'certificateUnusable', hint: expect.stringContaining('RSA') });
  expect(String(error)).not.toContain('hunter2');
});

describe('a certificate whose key stays in the vault', () => {
  test('is told by its public part', () => {
    const { raw } = new X509Certificate(own.certPem);
    expect(readPublicCertificate(raw)).toEqual({ thumbprint: own.thumbprintSha256, validFrom: FROM, expiresAt: TO });
  });

  test('is refused when its key is elliptic, or when it is none', () => {
    const elliptic = readFileSync(new URL('../../fixtures/certificates/elliptic.pem', import.meta.url));
    expect(() => readPublicCertificate(elliptic)).toThrow(/of the type ec/);
    expect(() => readPublicCertificate(Buffer.from('nonsense'))).toThrow(
      expect.objectContaining({ code: 'certificateUnusable' }),
    );
  });
});

describe('a certificate is current', () => {
  const at = async (now: number): Promise<void> =>
    assertCurrent((await read(PEM, own.keyPem + own.certPem)).details, now);

  test('from its first moment to the last before its end', async () => {
    await expect(at(FROM)).resolves.toBeUndefined();
    await expect(at(TO - 1)).resolves.toBeUndefined();
    await expect(at(FROM - 1)).rejects.toMatchObject({ code: 'certificateNotYetValid' });
    await expect(at(TO)).rejects.toMatchObject({ code: 'certificateExpired', hint: expect.stringContaining('Renew') });
  });
});
