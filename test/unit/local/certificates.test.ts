import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import forge from 'node-forge';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { certificatePfx, extraCaFile, makeCertificate, openAuthority } from '../../../src/local/certificates.ts';

const NOW = Date.parse('2026-11-20T17:11:27Z');
const DAY_MS = 86_400_000;
const at = (now: number) => ({ now: () => now, sleep: async () => {} });

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'authority-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('the authority vouches for a server on this machine', () => {
  const { caPem, server } = openAuthority(folder, at(NOW));
  const ca = new X509Certificate(caPem);
  const leaf = new X509Certificate(server.cert);
  expect(ca.ca).toBe(true);
  expect(leaf.checkIssued(ca) && leaf.verify(ca.publicKey)).toBe(true);
  expect(leaf.checkPrivateKey(createPrivateKey(server.key))).toBe(true);
  expect([leaf.checkHost('localhost'), leaf.checkIP('127.0.0.1'), leaf.checkIP('::1')]).toEqual([
    'localhost',
    '127.0.0.1',
    '::1',
  ]);
  expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
});

test('the files of the authority are for their owner only, and its own key is not among them', () => {
  openAuthority(folder, at(NOW));
  expect(readdirSync(folder).toSorted()).toEqual(['ca.pem', 'server-key.pem', 'server.pem']);
  for (const file of readdirSync(folder)) expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
});

test('the authority is kept until shortly before it ends', () => {
  const first = openAuthority(folder, at(NOW));
  expect(openAuthority(folder, at(NOW + 334 * DAY_MS))).toEqual(first);
  expect(openAuthority(folder, at(NOW + 336 * DAY_MS)).caPem).not.toBe(first.caPem);
});

test.each([
  ['no key', () => 'damaged'],
  ['the key of another', () => makeCertificate({ subject: 'Other', validFrom: NOW, validTo: NOW + DAY_MS }).keyPem],
])('an authority whose server has %s is replaced', (_, damage) => {
  const first = openAuthority(folder, at(NOW));
  writeFileSync(first.server.keyFile, damage());
  const second = openAuthority(folder, at(NOW));
  const leaf = new X509Certificate(second.server.cert);
  expect(leaf.checkPrivateKey(createPrivateKey(readFileSync(second.server.keyFile)))).toBe(true);
});

test('certificates that the process trusts already are trusted on', () => {
  const authority = openAuthority(folder, at(NOW));
  const company = join(folder, 'company.pem');
  writeFileSync(company, 'THE COMPANY\n');
  expect(extraCaFile(authority, undefined)).toBe(authority.caFile);
  const both = extraCaFile(authority, company);
  expect(readFileSync(both, 'utf8')).toBe(`THE COMPANY\n\n${authority.caPem}`);
  expect(extraCaFile(authority, both)).toBe(both);
});

test('a certificate of an application has the validity asked for, and its key in its PFX', () => {
  const made = makeCertificate({ subject: 'Bridge', validFrom: NOW, validTo: NOW + DAY_MS });
  const certificate = new X509Certificate(made.certPem);
  expect(certificate.subject).toBe('CN=Bridge');
  expect([Date.parse(certificate.validFrom), Date.parse(certificate.validTo)]).toEqual([
    Math.floor(NOW / 1000) * 1000,
    Math.floor((NOW + DAY_MS) / 1000) * 1000,
  ]);
  expect(certificate.fingerprint256.replaceAll(':', '')).toBe(made.thumbprintSha256);
  expect(certificate.checkPrivateKey(createPrivateKey(made.keyPem))).toBe(true);
  expect(keysIn(made.pfxBase64())).toBe(1);
  expect(keysIn(certificatePfx(made.certPem))).toBe(0);
});

function keysIn(pfx: string): number {
  const der = forge.util.createBuffer(Buffer.from(pfx, 'base64').toString('binary'));
  const bagType = forge.pki.oids['pkcs8ShroudedKeyBag'] ?? '';
  const bags = forge.pkcs12.pkcs12FromAsn1(forge.asn1.fromDer(der), '').getBags({ bagType });
  return Object.values(bags).flat().length;
}
