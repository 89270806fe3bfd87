import { ManagedIdentityCredential } from '@azure/identity';
import { parseSettings, type Settings } from '../../src/config/settings.ts';
import { type Connections, createConnections } from '../../src/connections/connections.ts';
import { openAuthority } from '../../src/local/certificates.ts';
import {
  type Application,
  addClientSecret,
  addManagedIdentity,
  addResource,
  registerApplication,
} from '../../src/local/entra/directory.ts';
import { type LocalIdentity, startIdentity } from '../../src/local/identity.ts';
import { homeTenant, newIdentityState } from '../../src/local/identity-state.ts';
import { setSecret } from '../../src/local/key-vault/vault.ts';
import { systemClock } from '../../src/shared/clock.ts';
import { newGuid } from '../../src/shared/ids.ts';

export const SECRET = 'a secret of the benchmark';
export const ENVIRONMENT = 'https://contoso.crm4.dynamics.com';

/** The app's connection `default` to {@link ENVIRONMENT}, and the identity of this process that its token comes from. */
export interface BenchConnection {
  readonly settings: Settings;
  readonly connections: Connections;
  readonly identity: LocalIdentity;
  readonly application: Application;
  close(): Promise<void>;
}

export async function openConnection(): Promise<BenchConnection> {
  const authority = openAuthority(process.env['BENCH_AUTHORITY'] ?? '');
  const state = newIdentityState();
  const tenant = homeTenant(state);
  addResource(tenant, { uri: ENVIRONMENT, name: 'Dataverse' });
  const application = registerApplication(tenant, { name: 'Bench' });
  const now = systemClock.now();
  addClientSecret(application, SECRET, now + 86_400_000);
  setSecret(state.vault, 'bench', SECRET, { now });
  const { objectId: principalId } = addManagedIdentity(tenant, { kind: 'systemAssigned', resourceId: '/bench' });
  state.vault.roleAssignments.push({ principalId, role: 'Key Vault Secrets User' });
  const identity = await startIdentity({ state, tls: authority.server });
  process.env['IDENTITY_ENDPOINT'] = identity.managedIdentity.endpoint;
  process.env['IDENTITY_HEADER'] = identity.managedIdentity.header;
  const settings = parseSettings({
    KEY_VAULT_URI: identity.vaultUri,
    Dataverse__default__url: ENVIRONMENT,
    Dataverse__default__tenantId: identity.tenantId,
    Dataverse__default__clientId: application.clientId,
    Dataverse__default__credential: 'secret',
    Dataverse__default__secretName: 'bench',
    Dataverse__default__tokenUrl: `${identity.authority}/oauth2/v2.0/token`,
  });
  const connections = createConnections({
    settings,
    identity: new ManagedIdentityCredential(),
    clock: systemClock,
    random: Math.random,
    newId: newGuid,
    log: () => {},
  });
  return {
    settings,
    connections,
    identity,
    application,
    async close() {
      await connections.close();
      await identity.close();
    },
  };
}
