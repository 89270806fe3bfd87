import { X509Certificate } from 'node:crypto';
import { ManagedIdentityCredential } from '@azure/identity';
import { CertificateClient, type CertificatePolicy } from '@azure/keyvault-certificates';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CertificateOptions, type Certificates, ensureCertificate } from '../../../infra/scripts/certificate.ts';
import { makeCertificate } from '../../../src/local/certificates.ts';
import { importCertificate } from '../../../src/local/key-vault/vault.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import {
  CERTIFICATE_NAME,
  newTestCompany,
  startTestIdentity,
  type TestIdentity,
  useManagedIdentity,
} from '../../support/identity.ts';
import { properties, template } from './bicep.ts';

const NOW = systemClock.now();
const DAY_MS = 86_400_000;

let identity: TestIdentity;
let vault: CertificateClient;
beforeAll(async () => {
  identity = await startTestIdentity(newTestCompany());
  useManagedIdentity(identity);
  vault = new CertificateClient(
    identity.vaultUri,
    new ManagedIdentityCredential(identity.company.userAssigned.clientId),
    { disableChallengeResourceVerification: true },
  );
});
afterAll(() => identity?.close());

let creations = 0;

interface Made {
  readonly name: string;
  readonly policy: CertificatePolicy;
}

/** The local vault reads but makes no certificates: what Key Vault would make is put into it. */
function creatingVault(made: Made[]): Certificates {
  return {
    listPropertiesOfCertificateVersions: (name) => vault.listPropertiesOfCertificateVersions(name),
    getCertificateVersion: (name, version) => vault.getCertificateVersion(name, version),
    beginCreateCertificate: async (name, policy) => ({
      async pollUntilDone() {
        made.push({ name, policy });
        const material = makeCertificate({ subject: name, validFrom: NOW - DAY_MS, validTo: NOW + 365 * DAY_MS });
        importCertificate(identity.company.state.vault, name, material, { now: NOW + ++creations * 60_000 });
      },
    }),
  };
}

async function ensure(changes: Partial<CertificateOptions>) {
  const made: Made[] = [];
  const lines: string[] = [];
  const certificates = await ensureCertificate(creatingVault(made), {
    name: CERTIFICATE_NAME,
    exportable: false,
    renew: false,
    apply: false,
    now: NOW,
    say: (line) => lines.push(line),
    ...changes,
  });
  return { certificates, made, lines };
}

test('gives the public part of a certificate that is there, and makes none', async () => {
  const { certificates, made } = await ensure({ apply: true });
  expect(made).toEqual([]);
  expect(certificates.length).toBe(1);
  const [certificate] = certificates;
  const expected = new X509Certificate(identity.company.certificate.certPem);
  const key = Buffer.from(certificate?.key ?? '', 'base64');
  expect(new X509Certificate(key).fingerprint256).toBe(expected.fingerprint256);
  expect(key.equals(expected.raw)).toBe(true);
  expect(Date.parse(certificate?.endDateTime ?? '')).toBe(Date.parse(expected.validTo));
  expect(Object.keys(certificate ?? {}).sort()).toEqual(members('publicCertificate'));
});

test('only says what it would do unless it is told to apply', async () => {
  const { certificates, made, lines } = await ensure({ name: 'not-there' });
  expect(certificates).toEqual([]);
  expect(made).toEqual([]);
  expect(lines.join()).toContain('would make a new version');
});

test('makes a certificate once, whose key stays in the vault and which the vault does not renew', async () => {
  const first = await ensure({ name: 'fresh', apply: true });
  expect(first.made.map(({ name }) => name)).toEqual(['fresh']);
  expect(first.made[0]?.policy).toMatchObject({
    issuerName: 'Self',
    keyType: 'RSA',
    keySize: 3072,
    exportable: false,
    reuseKey: false,
  });
  expect(first.made[0]?.policy.lifetimeActions?.map(({ action }) => action)).toEqual(['EmailContacts']);
  const second = await ensure({ name: 'fresh', apply: true });
  expect(second.made).toEqual([]);
  expect(second.certificates).toEqual(first.certificates);
});

test('brings the version still in use after a renewal, the new one first', async () => {
  const before = await ensure({ name: 'renewed', apply: true });
  const after = await ensure({ name: 'renewed', apply: true, renew: true });
  expect(after.certificates.length).toBe(2);
  expect(after.certificates[1]).toEqual(before.certificates[0]);
});

test('leaves out versions that are over, and replaces them', async () => {
  const now = NOW + 100 * DAY_MS;
  expect((await ensure({ now })).certificates).toEqual([]);
  const { made, certificates } = await ensure({ now, apply: true });
  expect(made.length).toBe(1);
  expect(certificates.length).toBe(1);
});

/** Names of the members of a type of the template. */
function members(type: string): string[] {
  const { value } = template('types.bicep').declarations.find(({ name }) => name === type) ?? {};
  return value ? [...properties(value).keys()].sort() : [];
}
