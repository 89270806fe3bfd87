import { createHash, timingSafeEqual, X509Certificate } from 'node:crypto';
import * as z from 'zod';
import { newGuid } from '../../shared/ids.ts';

const federatedCredentialSchema = z.object({
  /** As one would register it in Azure: `https://login.microsoftonline.com/<tenant>/v2.0` stands for this Entra. */
  issuer: z.string(),
  /** The object id of a managed identity; compared with regard to case. */
  subject: z.string(),
  audience: z.string(),
});

const clientSecretSchema = z.object({
  /** SHA-256 of the value, hex; the value itself is never stored. */
  sha256: z.string(),
  /** Milliseconds since 1970. */
  expires: z.number(),
});

const applicationSchema = z.object({
  name: z.string(),
  clientId: z.string(),
  /** The object id of its service principal in this tenant. */
  objectId: z.string(),
  /** Public parts in PEM. */
  certificates: z.array(z.string()),
  secrets: z.array(clientSecretSchema),
  federatedCredentials: z.array(federatedCredentialSchema),
  /** App roles granted to it, by the resource's App ID URI; they become the token's `roles`. */
  appRoles: z.record(z.string(), z.array(z.string())),
});

const resourceSchema = z.object({
  /** App ID URI without a slash at the end: `https://vault.azure.net`, or the origin of a Dataverse environment. */
  uri: z.string(),
  name: z.string(),
  /** The audience of its tokens where they are of version 2. */
  appId: z.string(),
  /** The form of access token that the resource has chosen in its registration. */
  tokenVersion: z.union([z.literal(1), z.literal(2)]),
  /** Whether an application needs an app role of the resource to get a token at all. */
  assignmentRequired: z.boolean(),
});

const managedIdentitySchema = z.object({
  kind: z.enum(['systemAssigned', 'userAssigned']),
  clientId: z.string(),
  /** The object id of its service principal: `oid` and `sub` of its tokens. */
  objectId: z.string(),
  /** The Azure resource id, `xms_mirid` of its tokens. */
  resourceId: z.string(),
});

const tenantSchema = z.object({
  id: z.string(),
  /** The display name, which error texts tell. */
  name: z.string(),
  applications: z.array(applicationSchema),
  resources: z.array(resourceSchema),
  managedIdentities: z.array(managedIdentitySchema),
});

/** What a directory file may hold. */
export const directorySchema = z.object({ tenants: z.array(tenantSchema) });

export type Directory = z.infer<typeof directorySchema>;
export type Tenant = z.infer<typeof tenantSchema>;
export type Application = z.infer<typeof applicationSchema>;
export type Resource = z.infer<typeof resourceSchema>;
export type ManagedIdentity = z.infer<typeof managedIdentitySchema>;

/** The App ID URI and application id of the audience for federated credentials. */
export const TOKEN_EXCHANGE = {
  uri: 'api://AzureADTokenExchange',
  appId: 'fb60f99c-7a34-4190-8149-302f77469936',
} as const;

/** A tenant that knows Key Vault, Storage and the token exchange, as every tenant does. */
export function newTenant(name: string, id: string = newGuid()): Tenant {
  const tenant: Tenant = { id, name, applications: [], resources: [], managedIdentities: [] };
  addResource(tenant, { uri: 'https://vault.azure.net', name: 'Azure Key Vault' });
  addResource(tenant, { uri: 'https://storage.azure.com', name: 'Azure Storage' });
  addResource(tenant, { ...TOKEN_EXCHANGE, name: 'AAD Token Exchange Endpoint', tokenVersion: 2 });
  return tenant;
}

/** Adds a resource that tokens can be asked for; a known one stays as it is. */
export function addResource(tenant: Tenant, resource: Pick<Resource, 'uri' | 'name'> & Partial<Resource>): Resource {
  const known = findResource(tenant, resource.uri);
  if (known) return known;
  const added: Resource = { appId: newGuid(), tokenVersion: 1, assignmentRequired: false, ...resource };
  tenant.resources.push(added);
  return added;
}

/** Registers an application and its service principal. */
export function registerApplication(
  tenant: Tenant,
  application: Pick<Application, 'name'> & Partial<Application>,
): Application {
  const registered: Application = {
    clientId: newGuid(),
    objectId: newGuid(),
    certificates: [],
    secrets: [],
    federatedCredentials: [],
    appRoles: {},
    ...application,
  };
  tenant.applications.push(registered);
  return registered;
}

/** Adds a client secret that ends at `expires` (milliseconds since 1970). */
export function addClientSecret(application: Application, value: string, expires: number): void {
  application.secrets.push({ sha256: sha256(value).toString('hex'), expires });
}

/** Gives the function app a managed identity. */
export function addManagedIdentity(
  tenant: Tenant,
  identity: Pick<ManagedIdentity, 'kind' | 'resourceId'> & Partial<ManagedIdentity>,
): ManagedIdentity {
  const added: ManagedIdentity = { clientId: newGuid(), objectId: newGuid(), ...identity };
  tenant.managedIdentities.push(added);
  return added;
}

export function findTenant(directory: Directory, id: string): Tenant | undefined {
  return directory.tenants.find((tenant) => sameText(tenant.id, id));
}

export function findApplication(tenant: Tenant, clientId: string): Application | undefined {
  return tenant.applications.find((application) => sameText(application.clientId, clientId));
}

/** A resource by App ID URI, with or without a slash at the end, or by application id. */
export function findResource(tenant: Tenant, uriOrAppId: string): Resource | undefined {
  const asked = uriOrAppId.replace(/\/$/, '');
  return tenant.resources.find(({ uri, appId }) => sameText(uri, asked) || sameText(appId, asked));
}

/** The registered certificate with this thumbprint in base64url, and the thumbprint's hash. */
export function findCertificate(
  application: Application,
  hash: 'sha1' | 'sha256',
  thumbprint: string,
): X509Certificate | undefined {
  return application.certificates
    .map((pem) => new X509Certificate(pem))
    .find(({ raw }) => createHash(hash).update(raw).digest('base64url') === thumbprint);
}

/** The registered secret with this value, whether expired or not; every one is compared in constant time. */
export function findClientSecret(application: Application, value: string) {
  const presented = sha256(value);
  return application.secrets.filter((secret) => timingSafeEqual(Buffer.from(secret.sha256, 'hex'), presented))[0];
}

const sha256 = (value: string): Buffer => createHash('sha256').update(value).digest();
const sameText = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();
