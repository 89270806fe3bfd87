import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../shared/clock.ts';
import { newGuid } from '../shared/ids.ts';
import { type Azurite, startAzurite } from './azurite.ts';
import { extraCaFile, makeCertificate, openAuthority } from './certificates.ts';
import { type Dataverse, startDataverse } from './dataverse/server.ts';
import { derivedGuid } from './dataverse/store.ts';
import { addClientSecret, addManagedIdentity, addResource, registerApplication } from './entra/directory.ts';
import { type LocalIdentity, startIdentity, trustIn } from './identity.ts';
import { homeTenant, type IdentityState, openIdentityState } from './identity-state.ts';
import { importCertificate, setSecret } from './key-vault/vault.ts';
import { type LocalSettings, openLocalSettings } from './settings-file.ts';

/** Everything that the app meets in Azure, on this machine. */
export interface LocalCloud {
  readonly settings: LocalSettings & { save(): void };
  readonly identity: LocalIdentity;
  readonly storage: Azurite;
  readonly dataverse: Dataverse;
  /** PEM of the authority that signed the listeners' certificate. */
  readonly caPem: string;
  /** Registration of an administrator, for what an administrator does: keys and webhook steps. */
  readonly administrator: { readonly clientId: string; readonly secret: string };
  /** The environment of the app's process: its settings as in Azure, and what the platform adds. */
  readonly appEnvironment: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** In the data folder: the environment of the app's process, for commands that are to meet the same cloud. */
export const APP_ENVIRONMENT_FILE = 'app.env.json';

export const WEBHOOK_SECRET = 'webhook-main';

/** Tables that the connection `default` works with, named in `allowedTables` and in its role. */
export const SAMPLE_TABLES = ['account', 'contact', 'lead', 'opportunity', 'msevtmgt_event'];

const YEAR_MS = 365 * 86_400_000;

/** Starts the local cloud on a data folder; a second start finds what the first one kept. */
export async function startCloud(folder: string): Promise<LocalCloud> {
  const parts: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closePart of parts.splice(0).reverse()) await closePart();
  };
  try {
    return { ...(await startParts(folder, parts)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Starts one part after the other; what is to be closed again goes into `parts`. */
async function startParts(folder: string, parts: (() => Promise<void>)[]): Promise<Omit<LocalCloud, 'close'>> {
  const settings = openLocalSettings(folder);
  const { ports } = settings;
  const authority = openAuthority(join(folder, 'authority'));
  const state = openIdentityState(join(folder, 'identity.json'));
  const company = openCompany(state, settings);
  const tls = { cert: authority.server.cert, key: authority.server.key };
  // Azurite takes longest, so the others start while it does.
  const azurite = startAzurite({ tls: authority.server, folder: join(folder, 'azurite'), ports }).then((started) => {
    parts.push(() => started.stop());
    return started;
  });
  const [storage, { identity, dataverse }] = await allOrNone([
    azurite,
    startEmulators({ folder, settings, state, company, tls, parts }),
  ]);
  const port = (url: string): number => Number(new URL(url).port);
  Object.assign(ports, {
    identity: port(identity.url),
    dataverse: port(dataverse.url),
    blob: port(storage.blobServiceUri),
    queue: port(storage.queueServiceUri),
    table: port(storage.tableServiceUri),
  });
  settings.save();
  const appEnvironment = {
    NODE_EXTRA_CA_CERTS: extraCaFile(authority, process.env['NODE_EXTRA_CA_CERTS']),
    IDENTITY_ENDPOINT: identity.managedIdentity.endpoint,
    IDENTITY_HEADER: identity.managedIdentity.header,
    ...appSettings({ identity, storage, dataverse, company }),
    // Settings of the machine win, so that one part can be pointed elsewhere.
    ...ownSettings(),
  };
  writeFileSync(join(folder, APP_ENVIRONMENT_FILE), JSON.stringify({ Values: appEnvironment }, null, 2), {
    mode: 0o600,
  });
  return {
    settings,
    identity,
    storage,
    dataverse,
    caPem: authority.caPem,
    administrator: { clientId: company.administrator, secret: settings.administratorSecret },
    appEnvironment,
  };
}

/** Waits for all, also when one fails, so that nothing starts behind the back of whoever closes. */
async function allOrNone<A, B>(promises: readonly [Promise<A>, Promise<B>]): Promise<[A, B]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

async function startEmulators(options: {
  folder: string;
  settings: LocalSettings;
  state: IdentityState;
  company: Company;
  tls: { cert: string; key: string };
  parts: (() => Promise<void>)[];
}): Promise<{ identity: LocalIdentity; dataverse: Dataverse }> {
  const { folder, settings, state, company, tls, parts } = options;
  const identity = await startIdentity({ state, tls, ports: { https: settings.ports.identity } });
  parts.push(async () => {
    await identity.close();
    state.save();
  });
  const tenant = homeTenant(state);
  const dataverse = await startDataverse({
    port: settings.ports.dataverse,
    tls,
    database: join(folder, 'dataverse.db'),
    auth: trustIn(identity),
    organization: { id: settings.organizationId, name: 'local' },
    roles: { [BRIDGE_ROLE]: bridgeRole() },
    users: [
      user(company.connections.default, 'Dataverse Bridge', [BRIDGE_ROLE]),
      user(company.connections.admin, 'Dataverse Bridge (admin)', ['System Customizer', BRIDGE_ROLE]),
      user(company.administrator, 'Local administrator', ['System Administrator']),
    ],
  });
  parts.push(() => dataverse.close());
  addResource(tenant, { uri: dataverse.url, name: 'Dataverse' });
  state.save();
  return { identity, dataverse };
}

const user = (clientId: string, name: string, roles: readonly string[]) => ({
  clientId,
  systemUserId: derivedGuid(`systemuser/${clientId}`),
  name,
  roles,
});

interface Company {
  /** Client ids by connection. */
  readonly connections: { readonly default: string; readonly admin: string };
  readonly administrator: string;
  readonly managedIdentity: string;
}

const CERTIFICATES = { default: 'dataverse-bridge', admin: 'dataverse-bridge-admin' } as const;

/** What an operator sets up once: registrations with certificates in the vault, an identity that may read them, secrets. */
function openCompany(state: IdentityState, settings: LocalSettings): Company {
  const tenant = homeTenant(state);
  const known = (name: string): string | undefined => tenant.applications.find((each) => each.name === name)?.clientId;
  const register = (name: string, certificateName: string): string => {
    const now = systemClock.now();
    const certificate = makeCertificate({ subject: name, validFrom: now - 86_400_000, validTo: now + YEAR_MS });
    importCertificate(state.vault, certificateName, certificate, { now });
    return registerApplication(tenant, { name, certificates: [certificate.certPem] }).clientId;
  };
  const identity =
    tenant.managedIdentities[0] ??
    addManagedIdentity(tenant, {
      kind: 'userAssigned',
      resourceId: `/subscriptions/${newGuid()}/resourcegroups/local/providers/microsoft.managedidentity/userassignedidentities/bridge`,
    });
  const company: Company = {
    connections: {
      default: known('Dataverse Bridge') ?? register('Dataverse Bridge', CERTIFICATES.default),
      admin: known('Dataverse Bridge (admin)') ?? register('Dataverse Bridge (admin)', CERTIFICATES.admin),
    },
    administrator: known('Local administrator') ?? registerAdministrator(state, settings),
    managedIdentity: identity.clientId,
  };
  if (state.vault.roleAssignments.length === 0) {
    state.vault.roleAssignments.push({ principalId: identity.objectId, role: 'Key Vault Secrets User' });
    setSecret(state.vault, WEBHOOK_SECRET, settings.webhookSecret, { now: systemClock.now() });
  }
  state.save();
  return company;
}

function registerAdministrator(state: IdentityState, settings: LocalSettings): string {
  const application = registerApplication(homeTenant(state), { name: 'Local administrator' });
  addClientSecret(application, settings.administratorSecret, systemClock.now() + YEAR_MS);
  return application.clientId;
}

const BRIDGE_ROLE = 'Dataverse Bridge';

/** Rows of the sample's tables, and to read what their lookups point at: nothing that defines tables or steps. */
function bridgeRole(): Record<string, 'Global'> {
  const schemaNames: Readonly<Record<string, string>> = {
    account: 'Account',
    contact: 'Contact',
    lead: 'Lead',
    opportunity: 'Opportunity',
    msevtmgt_event: 'msevtmgt_Event',
  };
  const rights = ['Create', 'Read', 'Write', 'Delete', 'Append', 'AppendTo'];
  const own = SAMPLE_TABLES.flatMap((table) => rights.map((right) => `prv${right}${schemaNames[table]}`));
  const read = ['User', 'Team', 'BusinessUnit', 'Role', 'TransactionCurrency'].map((table) => `prvRead${table}`);
  return Object.fromEntries([...own, ...read].map((privilege) => [privilege, 'Global' as const]));
}

function appSettings(parts: {
  identity: LocalIdentity;
  storage: Azurite;
  dataverse: Dataverse;
  company: Company;
}): Record<string, string> {
  const { identity, storage, dataverse, company } = parts;
  const connection = (name: 'default' | 'admin'): Record<string, string> => ({
    [`Dataverse__${name}__url`]: dataverse.url,
    [`Dataverse__${name}__tenantId`]: identity.tenantId,
    [`Dataverse__${name}__clientId`]: company.connections[name],
    [`Dataverse__${name}__credential`]: 'certificate',
    [`Dataverse__${name}__certificateName`]: CERTIFICATES[name],
    [`Dataverse__${name}__tokenUrl`]: `${identity.authority}/oauth2/v2.0/token`,
  });
  return {
    AzureWebJobsStorage__credential: 'managedidentity',
    AzureWebJobsStorage__clientId: company.managedIdentity,
    AzureWebJobsStorage__blobServiceUri: storage.blobServiceUri,
    AzureWebJobsStorage__queueServiceUri: storage.queueServiceUri,
    AzureWebJobsStorage__tableServiceUri: storage.tableServiceUri,
    MANAGED_IDENTITY_CLIENT_ID: company.managedIdentity,
    KEY_VAULT_URI: identity.vaultUri,
    ...connection('default'),
    ...connection('admin'),
    Dataverse__default__allowedTables: SAMPLE_TABLES.join(','),
    Webhook__main__secretName: WEBHOOK_SECRET,
    Webhook__main__connection: 'default',
  };
}

function ownSettings(): Record<string, string> {
  const own = /^(Dataverse__|Webhook__|BRIDGE_|KEY_VAULT_URI$|MANAGED_IDENTITY_CLIENT_ID$|AzureWebJobsStorage)/;
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      own.test(name) && value !== undefined ? [[name, value]] : [],
    ),
  );
}
