import { randomBytes, X509Certificate } from 'node:crypto';
import * as z from 'zod';
import { roleAssignmentSchema } from './roles.ts';

/** Times of this file are seconds since 1970, as in Key Vault. */
const attributesSchema = z.object({
  enabled: z.boolean(),
  nbf: z.number().optional(),
  exp: z.number().optional(),
  created: z.number(),
  updated: z.number(),
});

const secretVersionSchema = z.object({
  version: z.string(),
  value: z.string(),
  contentType: z.string().optional(),
  tags: z.record(z.string(), z.string()).optional(),
  attributes: attributesSchema,
});

const certificateVersionSchema = z.object({
  version: z.string(),
  certPem: z.string(),
  /** Stays inside when the policy says that the key cannot be exported. */
  keyPem: z.string(),
  attributes: attributesSchema,
});

const certificatePolicySchema = z.object({
  /** The form of the certificate's secret. */
  contentType: z.enum(['application/x-pkcs12', 'application/x-pem-file']),
  exportable: z.boolean(),
});

/** What the state file may hold of a vault. Versions are in the order of their making. */
export const vaultSchema = z.object({
  name: z.string(),
  tenantId: z.string(),
  resourceId: z.string(),
  location: z.string(),
  secrets: z.array(z.object({ name: z.string(), versions: z.array(secretVersionSchema) })),
  certificates: z.array(
    z.object({ name: z.string(), policy: certificatePolicySchema, versions: z.array(certificateVersionSchema) }),
  ),
  roleAssignments: z.array(roleAssignmentSchema),
});

export type Vault = z.infer<typeof vaultSchema>;
export type Attributes = z.infer<typeof attributesSchema>;
export type SecretVersion = z.infer<typeof secretVersionSchema>;
export type CertificateVersion = z.infer<typeof certificateVersionSchema>;
export type CertificatePolicy = z.infer<typeof certificatePolicySchema>;
export type Certificate = Vault['certificates'][number];

/** The attributes that a caller may set. */
export interface SettableAttributes {
  enabled?: boolean | undefined;
  nbf?: number | undefined;
  exp?: number | undefined;
}

export function newVault(tenantId: string, name = 'local-vault'): Vault {
  const group = '/subscriptions/00000000-0000-0000-0000-000000000000/resourcegroups/local';
  return {
    name,
    tenantId,
    resourceId: `${group}/providers/microsoft.keyvault/vaults/${name}`,
    location: 'local',
    secrets: [],
    certificates: [],
    roleAssignments: [],
  };
}

/** Adds a version of a secret. `now` in milliseconds, `nbf` and `exp` in seconds. */
export function setSecret(
  vault: Vault,
  name: string,
  value: string,
  options: {
    now: number;
    contentType?: string | undefined;
    tags?: Record<string, string> | undefined;
    attributes?: SettableAttributes | undefined;
  },
): SecretVersion {
  const version: SecretVersion = {
    version: newVersion(),
    value,
    contentType: options.contentType,
    tags: options.tags,
    attributes: newAttributes(options.now, options.attributes),
  };
  const secret = findNamed(vault.secrets, name);
  if (secret) secret.versions.push(version);
  else vault.secrets.push({ name, versions: [version] });
  return version;
}

/** Adds a version of a certificate with its key, as Key Vault's import does; a new certificate takes `policy`. */
export function importCertificate(
  vault: Vault,
  name: string,
  material: { certPem: string; keyPem: string },
  options: { now: number; policy?: Partial<CertificatePolicy>; attributes?: SettableAttributes },
): CertificateVersion {
  const { validFrom, validTo } = new X509Certificate(material.certPem);
  const validity = { nbf: seconds(Date.parse(validFrom)), exp: seconds(Date.parse(validTo)) };
  const version: CertificateVersion = {
    version: newVersion(),
    certPem: material.certPem,
    keyPem: material.keyPem,
    attributes: newAttributes(options.now, { ...validity, ...options.attributes }),
  };
  const certificate = findNamed(vault.certificates, name);
  if (certificate) certificate.versions.push(version);
  else {
    const policy: CertificatePolicy = { contentType: 'application/x-pkcs12', exportable: true, ...options.policy };
    vault.certificates.push({ name, policy, versions: [version] });
  }
  return version;
}

/** Names are case-insensitive in Key Vault. */
export function findNamed<T extends { name: string }>(objects: readonly T[], name: string): T | undefined {
  return objects.find((each) => each.name.toLowerCase() === name.toLowerCase());
}

/** The version named, or the latest when none is. */
export function findVersion<T extends { version: string }>(versions: readonly T[], version?: string): T | undefined {
  return version ? versions.find((each) => each.version === version.toLowerCase()) : versions.at(-1);
}

const newVersion = (): string => randomBytes(16).toString('hex');
const seconds = (ms: number): number => Math.floor(ms / 1000);

function newAttributes(now: number, settable: SettableAttributes = {}): Attributes {
  const at = seconds(now);
  return { enabled: settable.enabled ?? true, nbf: settable.nbf, exp: settable.exp, created: at, updated: at };
}
