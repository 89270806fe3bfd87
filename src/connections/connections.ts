import type { TokenCredential } from '@azure/identity';
import type { ConnectionSettings, CredentialSettings } from '../config/connection-settings.ts';
import { connectionSettings, type Settings, SettingsError } from '../config/settings.ts';
import { type BulkSupport, createBulkSupport } from '../dataverse/bulk/support.ts';
import { createDataverseClient, type StreamingClient, type VerbatimClient } from '../dataverse/client.ts';
import { createMetadata, type Metadata } from '../dataverse/metadata.ts';
import { observeRequests } from '../dataverse/observe-requests.ts';
import { createPace, type Pace } from '../dataverse/pace.ts';
import type { TokenSource } from '../dataverse/request.ts';
import { poolTransport } from '../dataverse/transport.ts';
import type { Clock } from '../shared/clock.ts';
import { messageOf, unreachable } from '../shared/errors.ts';
import type { NewId } from '../shared/ids.ts';
import type { LeaseStore } from '../storage/leases.ts';
import { observed } from '../telemetry/observe.ts';
import { noTelemetry, type Telemetry } from '../telemetry/telemetry.ts';
import type { Credential } from './credential.ts';
import { type ClientProof, createEntraClient } from './entra-client.ts';
import { ConnectionError } from './errors.ts';
import { createManagedIdentityCredential } from './managed-identity-credential.ts';
import { SharedPace } from './shared-pace.ts';
import { createTokenSource } from './token-source.ts';
import { openVault, type Vault } from './vault.ts';
import { certificateSource, secretSource, vaultKeySource } from './version-sources.ts';
import { createVersionedCredential, type VersionSource } from './versioned-credential.ts';

/** One environment as one application user. */
export interface Connection {
  readonly settings: ConnectionSettings;
  /** Where its credential is; undefined for one that needs no vault. */
  readonly vault: Vault | undefined;
  readonly credential: Credential;
  readonly token: TokenSource;
  /** Of all requests as this application user. */
  readonly pace: Pace;
  readonly client: StreamingClient & VerbatimClient;
  readonly metadata: Metadata;
  /** What the environment's tables support. */
  readonly support: BulkSupport;
  /** The path part of the Web API's address, `/api/data/v9.2/`. */
  readonly apiPath: string;
  /** Throws ConnectionError `writesStopped` while the operator has stopped all writes. */
  assertWritable(): void;
}

export interface OpenConnection {
  readonly connection: Connection;
  close(): Promise<void>;
}

export interface Connections {
  /** Throws SettingsError when there is no such connection or its settings have faults. */
  get(name: string): Connection;
  /**
   * A connection of its own for settings that are not saved, to be closed after use; nothing is shared with others but
   * the vault. Throws SettingsError when a vault is needed and none is set.
   */
  open(settings: ConnectionSettings): OpenConnection;
  /** The app's vault. Throws SettingsError when none is set. */
  vault(): Vault;
  close(): Promise<void>;
}

export interface ConnectionsOptions {
  readonly settings: Settings;
  /** The app's own identity, which reads the vault. */
  readonly identity: TokenCredential;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: NewId;
  readonly log: (message: string, facts: Readonly<Record<string, unknown>>) => void;
  readonly telemetry?: Telemetry;
  /** Where the app's instances agree on their pace; without, each has its own. */
  readonly leases?: (() => LeaseStore) | undefined;
}

/** Makes each connection at its first use and keeps it. */
export function createConnections(options: ConnectionsOptions): Connections {
  const { settings, identity } = options;
  const opened = new Map<string, OpenConnection>();
  let vault: Vault | undefined;
  const vaultOf = (): Vault => {
    if (!settings.keyVaultUri)
      throw new SettingsError('settingsFault', 'No vault is set.', settings.faults, 'Set KEY_VAULT_URI.');
    vault ??= openVault(settings.keyVaultUri, identity, { clock: options.clock });
    return vault;
  };
  const open = (connection: ConnectionSettings): OpenConnection => connect(connection, vaultOf, options);
  /** Only connections that are saved send rows in bulk. */
  const openSaved = (connection: ConnectionSettings): OpenConnection =>
    connect(connection, vaultOf, options, options.leases?.());
  return {
    vault: vaultOf,
    open,
    get(name) {
      let entry = opened.get(name);
      if (!entry) {
        entry = openSaved(connectionSettings(settings, name));
        opened.set(name, entry);
      }
      return entry.connection;
    },
    async close() {
      await Promise.all([...opened.values()].map((entry) => entry.close()));
    },
  };
}

function connect(
  settings: ConnectionSettings,
  vaultOf: () => Vault,
  options: ConnectionsOptions,
  leases?: LeaseStore,
): OpenConnection {
  const { clock, random, newId } = options;
  const log: ConnectionsOptions['log'] = (message, facts) =>
    options.log(message, { connection: settings.name, ...facts });
  const vault = settings.credential.kind === 'managedIdentity' ? undefined : vaultOf();
  const credential = createCredential(settings, vault, { ...options, log });
  const telemetry = options.telemetry ?? noTelemetry;
  const fetchToken: Credential['fetchToken'] = (fetchOptions) => {
    const attributes = { 'bridge.connection': settings.name, 'bridge.credential': settings.credential.kind };
    return observed({ telemetry, clock }, { name: 'token', metric: 'tokenDuration', attributes }, () =>
      credential.fetchToken(fetchOptions),
    );
  };
  const token = createTokenSource(fetchToken, clock, (error) =>
    log('token renewal failed', { reason: messageOf(error) }),
  );
  const { origin, pathname: apiPath } = new URL(settings.apiUrl);
  const { transport, close } = poolTransport(origin, settings.maxConcurrency);
  const share = leases && new SharedPace({ user: settings, leases, clock, newId, log });
  const { maxConcurrency, budget } = settings;
  const pace = createPace({ clock, maxConcurrency, budget, ...(share && { share }) });
  const client = createDataverseClient({
    apiUrl: settings.apiUrl,
    tokens: token,
    transport,
    clock,
    pace,
    random,
    newId,
    log,
    observe: observeRequests(telemetry, settings.name, settings.apiUrl),
  });
  const metadata = createMetadata({ client, apiPath, allowedTables: settings.allowedTables, clock, newId });
  const assertWritable = (): void => {
    if (options.settings.writes === 'enabled') return;
    throw new ConnectionError('writesStopped', 'All writes to Dataverse are stopped.', {
      hint: 'Set BRIDGE_WRITES to enabled to allow them again.',
    });
  };
  return {
    connection: {
      settings,
      vault,
      credential,
      token,
      pace,
      client,
      metadata,
      support: createBulkSupport(client),
      apiPath,
      assertWritable,
    },
    async close() {
      await Promise.all([close(), share?.close()]);
    },
  };
}

function createCredential(
  settings: ConnectionSettings,
  vault: Vault | undefined,
  options: ConnectionsOptions,
): Credential {
  const { clock, identity, log } = options;
  const connect = (proof: ClientProof) => createEntraClient(settings, proof);
  if (!vault || settings.credential.kind === 'managedIdentity') {
    const clientId = options.settings.managedIdentityClientId;
    return createManagedIdentityCredential({ identity, clientId, connect, clock });
  }
  const onVaultFailed = (error: unknown): void => log('vault could not be read', { reason: messageOf(error) });
  const source = sourceOf(settings.credential, vault, options);
  return createVersionedCredential({ source, connect, clock, onVaultFailed });
}

function sourceOf(
  credential: Exclude<CredentialSettings, { kind: 'managedIdentity' }>,
  vault: Vault,
  options: ConnectionsOptions,
): VersionSource {
  switch (credential.kind) {
    case 'vaultKey':
      return vaultKeySource(vault, credential.certificateName, options);
    case 'certificate':
      return certificateSource(vault, credential.certificateName);
    case 'secret':
      return secretSource(vault, credential.secretName);
    default:
      return unreachable(credential);
  }
}
