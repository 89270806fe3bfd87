import { readFileSync } from 'node:fs';
import { inject } from 'vitest';
import { type ApplicationCertificate, applicationCertificate } from '../../src/local/certificates.ts';
import {
  type Application,
  addManagedIdentity,
  addResource,
  findResource,
  type ManagedIdentity,
  registerApplication,
} from '../../src/local/entra/directory.ts';
import { issueToken, type TokenSubject } from '../../src/local/entra/tokens.ts';
import { type IdentityOptions, type LocalIdentity, startIdentity } from '../../src/local/identity.ts';
import { homeTenant, type IdentityState, newIdentityState } from '../../src/local/identity-state.ts';
import { importCertificate } from '../../src/local/key-vault/vault.ts';
import { systemClock } from '../../src/shared/clock.ts';

export const ENVIRONMENT_URL = 'https://contoso.crm4.dynamics.com';
export const CERTIFICATE_NAME = 'dataverse-bridge';

/** A small company: one application with a certificate in the vault, and a function app whose identities may read it. */
export interface TestCompany {
  state: IdentityState;
  application: Application;
  certificate: ApplicationCertificate;
  systemAssigned: ManagedIdentity;
  userAssigned: ManagedIdentity;
}

export interface TestIdentity extends LocalIdentity {
  company: TestCompany;
}

/**
 * Plain data, to be changed before or after {@link startTestIdentity}. `environmentUrl` becomes a resource, and
 * `certificatePolicy` is that of the certificate in the vault: Key Vault's own default is PKCS#12.
 */
export function newTestCompany(
  environmentUrl: string = ENVIRONMENT_URL,
  certificatePolicy: Parameters<typeof importCertificate>[3]['policy'] = {},
): TestCompany {
  const { signingKeyPem, certPem, keyPem } = inject('company');
  const state = newIdentityState(signingKeyPem);
  const now = systemClock.now();
  const certificate = applicationCertificate(certPem, keyPem);

  const tenant = homeTenant(state);
  addResource(tenant, { uri: environmentUrl, name: 'Dataverse' });
  const application = registerApplication(tenant, { name: 'Dataverse Bridge', certificates: [certificate.certPem] });
  const site = '/subscriptions/1/resourcegroups/bridge/providers/microsoft.web/sites/bridge';
  const systemAssigned = addManagedIdentity(tenant, { kind: 'systemAssigned', resourceId: site });
  const userAssigned = addManagedIdentity(tenant, { kind: 'userAssigned', resourceId: `${site}-identity` });
  importCertificate(state.vault, CERTIFICATE_NAME, certificate, { now, policy: certificatePolicy });
  for (const { objectId: principalId } of [systemAssigned, userAssigned]) {
    state.vault.roleAssignments.push(
      { principalId, role: 'Key Vault Secrets User' },
      { principalId, role: 'Key Vault Certificate User' },
      { principalId, role: 'Key Vault Crypto User' },
    );
  }
  return { state, application, certificate, systemAssigned, userAssigned };
}

/** Starts Entra, managed identity and Key Vault for one test; the caller closes it. */
export async function startTestIdentity(
  company: TestCompany = newTestCompany(),
  options: Omit<IdentityOptions, 'state' | 'tls'> = {},
): Promise<TestIdentity> {
  const { certFile, keyFile } = inject('authority');
  const tls = { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  const identity = await startIdentity({ ...options, state: company.state, tls, log: (line) => console.error(line) });
  return { ...identity, company };
}

/** Sets what App Service sets. @azure/identity keeps the first values that a process uses, and its tokens. */
export function useManagedIdentity({ managedIdentity }: LocalIdentity): void {
  process.env['IDENTITY_ENDPOINT'] = managedIdentity.endpoint;
  process.env['IDENTITY_HEADER'] = managedIdentity.header;
}

/** A token as the local Entra issues it, without asking for it. `resource` must be known to the tenant. */
export function mintToken(
  identity: TestIdentity,
  resource: string,
  subject: Pick<TokenSubject, 'clientId' | 'objectId'> & Partial<TokenSubject> = identity.company.application,
  times: { now?: number; lifetimeSeconds?: number } = {},
): Promise<string> {
  const tenant = homeTenant(identity.company.state);
  const known = findResource(tenant, resource);
  if (!known) throw new Error(`The tenant does not know ${resource}.`);
  const issuing = {
    key: identity.signingKey,
    origin: identity.url,
    now: times.now ?? systemClock.now(),
    lifetimeSeconds: times.lifetimeSeconds ?? 3599,
  };
  const { clientId, objectId, tenantId = tenant.id, authentication = '2', roles } = subject;
  return issueToken(issuing, known, resource, { clientId, objectId, tenantId, authentication, roles });
}
