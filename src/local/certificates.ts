import { createHash, createPrivateKey, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import forge from 'node-forge';
import { type Clock, systemClock } from '../shared/clock.ts';

const DAY_MS = 86_400_000;
const VALID_DAYS = 365;
const RENEW_DAYS = 30;

/** The local certificate authority and the one server certificate that it has signed. */
export interface LocalAuthority {
  /** PEM file of the authority, fit for NODE_EXTRA_CA_CERTS. */
  caFile: string;
  caPem: string;
  /** For `https.createServer` (PEM texts) and for programs that take files. */
  server: { certFile: string; keyFile: string; cert: string; key: string };
}

/** A self-signed certificate of an application, as an operator would register it. */
export interface ApplicationCertificate {
  certPem: string;
  /** PKCS#8 PEM. */
  keyPem: string;
  /** PKCS#12 with an empty password, the form in which Key Vault hands out a certificate's secret. */
  pfxBase64(): string;
  /** SHA-256 of the DER, hex without colons. */
  thumbprintSha256: string;
}

/**
 * Reads the local authority from `folder`, or makes a new one when it is missing, damaged or near its expiry.
 * The authority's own key is thrown away once the server certificate is signed, so that nobody who trusts the authority
 * can be shown another certificate of it; both are therefore renewed together.
 */
export function openAuthority(folder: string, clock: Clock = systemClock): LocalAuthority {
  return readAuthority(folder, clock) ?? makeAuthority(folder, clock);
}

/**
 * The file to set NODE_EXTRA_CA_CERTS to. Where the variable already names one (a company's proxy), a file that holds
 * both is written beside the authority's.
 */
export function extraCaFile(authority: LocalAuthority, alreadyTrusted: string | undefined): string {
  if (!alreadyTrusted || alreadyTrusted === authority.caFile) return authority.caFile;
  const file = authority.caFile.replace(/\.pem$/, '-and-others.pem');
  if (alreadyTrusted !== file) writePrivate(file, `${readFileSync(alreadyTrusted, 'utf8')}\n${authority.caPem}`);
  return file;
}

/** Makes a self-signed RSA 2048 certificate. `subject` is the common name; times are milliseconds since 1970. */
export function makeCertificate(options: {
  subject: string;
  validFrom: number;
  validTo: number;
}): ApplicationCertificate {
  const keys = newKeys();
  const certificate = newCertificate(options.subject, keys.publicKey, options.validFrom, options.validTo);
  certificate.setIssuer(certificate.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, critical: true },
    { name: 'extKeyUsage', clientAuth: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  certificate.sign(keys.privateKey, forge.md.sha256.create());
  return applicationCertificate(pemOf(certificate), keys.privatePem);
}

/** The certificate of an application from its PEM texts, the key as PKCS#8. */
export function applicationCertificate(certPem: string, keyPem: string): ApplicationCertificate {
  return {
    certPem,
    keyPem,
    pfxBase64: () => pfxOf(certPem, keyPem),
    thumbprintSha256: createHash('sha256').update(new X509Certificate(certPem).raw).digest('hex').toUpperCase(),
  };
}

/** PKCS#12 (3DES, empty password) of a PEM certificate and its PEM key, in base64. */
export function pfxOf(certPem: string, keyPem: string): string {
  return pkcs12(forge.pki.privateKeyFromPem(keyPem), certPem);
}

/** PKCS#12 of a PEM certificate alone, in base64. */
export function certificatePfx(certPem: string): string {
  return pkcs12(null, certPem);
}

function pkcs12(key: forge.pki.rsa.PrivateKey | null, certPem: string): string {
  const certificates = [forge.pki.certificateFromPem(certPem)];
  const file = forge.pkcs12.toPkcs12Asn1(key, certificates, '', { algorithm: '3des' });
  return Buffer.from(forge.asn1.toDer(file).getBytes(), 'binary').toString('base64');
}

function filesIn(folder: string) {
  return {
    caFile: join(folder, 'ca.pem'),
    certFile: join(folder, 'server.pem'),
    keyFile: join(folder, 'server-key.pem'),
  };
}

function readAuthority(folder: string, clock: Clock): LocalAuthority | undefined {
  const { caFile, certFile, keyFile } = filesIn(folder);
  try {
    const caPem = readFileSync(caFile, 'utf8');
    const cert = readFileSync(certFile, 'utf8');
    const key = readFileSync(keyFile, 'utf8');
    const ca = new X509Certificate(caPem);
    const leaf = new X509Certificate(cert);
    const lasts = [ca, leaf].every(({ validTo }) => Date.parse(validTo) - clock.now() > RENEW_DAYS * DAY_MS);
    const fits = leaf.verify(ca.publicKey) && leaf.checkPrivateKey(createPrivateKey(key));
    return lasts && fits ? { caFile, caPem, server: { certFile, keyFile, cert, key } } : undefined;
  } catch {
    return undefined;
  }
}

function makeAuthority(folder: string, clock: Clock): LocalAuthority {
  const from = clock.now() - DAY_MS;
  const to = clock.now() + VALID_DAYS * DAY_MS;

  const caKeys = newKeys();
  const ca = newCertificate('Dataverse Bridge local authority', caKeys.publicKey, from, to);
  ca.setIssuer(ca.subject.attributes);
  ca.setExtensions([
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  ca.sign(caKeys.privateKey, forge.md.sha256.create());

  const keys = newKeys();
  const leaf = newCertificate('localhost', keys.publicKey, from, to);
  leaf.setIssuer(ca.subject.attributes);
  leaf.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    {
      name: 'subjectAltName',
      altNames: [
        { type: 2, value: 'localhost' },
        { type: 7, ip: '127.0.0.1' },
        { type: 7, ip: '::1' },
      ],
    },
    { name: 'subjectKeyIdentifier' },
    { name: 'authorityKeyIdentifier', keyIdentifier: ca.generateSubjectKeyIdentifier().getBytes() },
  ]);
  leaf.sign(caKeys.privateKey, forge.md.sha256.create());

  const { caFile, certFile, keyFile } = filesIn(folder);
  const made: LocalAuthority = {
    caFile,
    caPem: pemOf(ca),
    server: { certFile, keyFile, cert: pemOf(leaf), key: keys.privatePem },
  };
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writePrivate(keyFile, made.server.key);
  writePrivate(certFile, made.server.cert);
  writePrivate(caFile, made.caPem);
  return made;
}

function newKeys() {
  const pair = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return {
    privatePem: pair.privateKey,
    privateKey: forge.pki.privateKeyFromPem(pair.privateKey),
    publicKey: forge.pki.publicKeyFromPem(pair.publicKey),
  };
}

function newCertificate(commonName: string, publicKey: forge.pki.PublicKey, from: number, to: number) {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = publicKey;
  // RFC 5280: a positive integer of at most 20 bytes; the first byte keeps it positive.
  certificate.serialNumber = `01${randomBytes(15).toString('hex')}`;
  certificate.validity.notBefore = new Date(from);
  certificate.validity.notAfter = new Date(to);
  certificate.setSubject([{ name: 'commonName', value: commonName }]);
  return certificate;
}

const pemOf = (certificate: forge.pki.Certificate): string =>
  forge.pki.certificateToPem(certificate).replaceAll('\r\n', '\n');

function writePrivate(file: string, text: string): void {
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, file);
}
