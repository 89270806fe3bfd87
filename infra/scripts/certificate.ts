import { argv, exit, stderr, stdout } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { AzureCliCredential } from '@azure/identity';
import { CertificateClient, type CertificatePolicy } from '@azure/keyvault-certificates';

/** One entry of the template's parameter `entraCertificates`; `key` is DER in base64, times are ISO 8601 UTC. */
export interface PublicCertificate {
  readonly displayName: string;
  readonly key: string;
  readonly startDateTime: string;
  readonly endDateTime: string;
}

export interface CertificateOptions {
  readonly name: string;
  /** Whether the private key may leave the vault: for the credential `certificate`, not for `vaultKey`. */
  readonly exportable: boolean;
  /** Makes a new version although there is a valid one. */
  readonly renew: boolean;
  /** Without it nothing is made. */
  readonly apply: boolean;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly say: (line: string) => void;
}

/** The part of the SDK's client that is used here. */
export interface Certificates
  extends Pick<CertificateClient, 'getCertificateVersion' | 'listPropertiesOfCertificateVersions'> {
  beginCreateCertificate(name: string, policy: CertificatePolicy): Promise<{ pollUntilDone(): Promise<unknown> }>;
}

/**
 * Sees to it that the vault holds a valid certificate, and returns the public part of every version that is enabled and
 * not over, the newest first: the registration's list is replaced as a whole, so it has to bring the one still in use.
 * Throws what the SDK throws.
 */
export async function ensureCertificate(
  vault: Certificates,
  options: CertificateOptions,
): Promise<PublicCertificate[]> {
  const { name, renew, apply, say } = options;
  const valid = await validVersions(vault, options);
  if (valid.length > 0 && !renew) {
    say(`${name}: ${valid.length} valid version(s), nothing to do.`);
    return valid;
  }
  if (!apply) {
    say(`${name}: would make a new version; run again with --apply.`);
    return valid;
  }
  const poller = await vault.beginCreateCertificate(name, certificatePolicy(options));
  await poller.pollUntilDone();
  say(`${name}: made a new version.`);
  return validVersions(vault, options);
}

/**
 * A self-signed RSA certificate for signatures. It is not renewed by the vault: Entra would not know the new version,
 * and as the vault's current version is then far from its end, nobody would be warned of the end of the registered one.
 */
export const certificatePolicy = ({ name, exportable }: CertificateOptions): CertificatePolicy => ({
  issuerName: 'Self',
  subject: `CN=${name}`,
  keyType: 'RSA',
  keySize: 3072,
  exportable,
  reuseKey: false,
  contentType: 'application/x-pem-file',
  keyUsage: ['digitalSignature'],
  validityInMonths: 12,
  lifetimeActions: [{ action: 'EmailContacts', daysBeforeExpiry: 60 }],
});

async function validVersions(vault: Certificates, { name, now }: CertificateOptions): Promise<PublicCertificate[]> {
  const found: (PublicCertificate & { readonly createdOn: number })[] = [];
  try {
    for await (const { version, enabled, notBefore, expiresOn, createdOn } of vault.listPropertiesOfCertificateVersions(
      name,
    )) {
      if (version === undefined || enabled === false || !notBefore || !expiresOn || expiresOn.getTime() <= now)
        continue;
      const { cer } = await vault.getCertificateVersion(name, version);
      if (!cer) continue;
      found.push({
        displayName: `${name} until ${expiresOn.toISOString().slice(0, 10)}`.slice(-90),
        key: Buffer.from(cer).toString('base64'),
        startDateTime: notBefore.toISOString(),
        endDateTime: expiresOn.toISOString(),
        createdOn: createdOn?.getTime() ?? 0,
      });
    }
  } catch (error) {
    // A certificate that was never made: the vault says 404 instead of giving an empty list.
    if (!(error instanceof Error && 'statusCode' in error && error.statusCode === 404)) throw error;
  }
  return found.sort((a, b) => b.createdOn - a.createdOn).map(({ createdOn: _, ...certificate }) => certificate);
}

const USAGE = `usage: node infra/scripts/certificate.ts --vault NAME_OR_URL --name CERTIFICATE [--exportable] [--renew] [--apply]
Signs in as the Azure CLI does. Prints the value of the template's parameter entraCertificates on stdout, what it does on stderr.
Without --apply nothing is made.
`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      vault: { type: 'string' },
      name: { type: 'string' },
      exportable: { type: 'boolean', default: false },
      renew: { type: 'boolean', default: false },
      apply: { type: 'boolean', default: false },
    },
  });
  const { vault, name, exportable, renew, apply } = values;
  if (!vault || !name || !/^[0-9A-Za-z-]{1,127}$/.test(name)) {
    stderr.write(USAGE);
    return 2;
  }
  const uri = vault.includes('://') ? vault : `https://${vault}.vault.azure.net`;
  const client = new CertificateClient(uri, new AzureCliCredential());
  const say = (line: string) => stderr.write(`${line}\n`);
  const certificates = await ensureCertificate(client, { name, exportable, renew, apply, now: Date.now(), say });
  stdout.write(`${JSON.stringify(certificates)}\n`);
  return 0;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  try {
    exit(await main());
  } catch (error) {
    stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    exit(1);
  }
}
