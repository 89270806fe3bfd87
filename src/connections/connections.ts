import type { TokenCredential } from '@azure/identity';
import { type ConnectionSettings, connectionSettings, type Settings, SettingsError } from '../config/settings.ts';
import { createDataverseClient, type DataverseClient, type TokenSource } from '../dataverse/client.ts';
import { createMetadata, type Metadata } from '../dataverse/metadata.ts';
import { poolTransport } from '../dataverse/transport.ts';
import type { Clock } from '../shared/clock.ts';
import { messageOf } from '../shared/errors.ts';
import type { NewId } from '../shared/ids.ts';
import { type CertificateCredential, createCertificateCredential } from './certificate-credential.ts';
import { ConnectionError } from './errors.ts';
import { createTokenSource } from './token-source.ts';
import { openVault, type Vault } from './vault.ts';

/** One environment as one application user. */
export interface Connection {
  readonly settings: ConnectionSettings;
  readonly vault: Vault;
  readonly credential: CertificateCredential;
  readonly token: TokenSource;
  readonly client: DataverseClient;
  readonly metadata: Metadata;
  /** The path part of the Web API's address, `/api/data/v9.2/`. */
  readonly apiPath: string;
  /** Throws ConnectionError `writesStopped` while the operator has stopped all writes. */
  assertWritable(): void;
}

export interface Connections {
  /** Throws SettingsError when there is no such connection or its settings have faults. */
  get(name: string): Connection;
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
}

/** Makes each connection at its first use and keeps it. */
export function createConnections(options: ConnectionsOptions): Connections {
  const { settings, identity } = options;
  const open = new Map<string, { readonly connection: Connection; close(): Promise<void> }>();
  let vault: Vault | undefined;
  const vaultOf = (): Vault => {
    if (!settings.keyVaultUri)
      throw new SettingsError('settingsFault', 'No vault is set.', settings.faults, 'Set KEY_VAULT_URI.');
    vault ??= openVault(settings.keyVaultUri, identity, options.clock);
    return vault;
  };
  return {
    vault: vaultOf,
    get(name) {
      let entry = open.get(name);
      if (!entry) {
        entry = connect(connectionSettings(settings, name), vaultOf(), options);
        open.set(name, entry);
      }
      return entry.connection;
    },
    async close() {
      await Promise.all([...open.values()].map((entry) => entry.close()));
    },
  };
}

function connect(
  settings: ConnectionSettings,
  vault: Vault,
  options: ConnectionsOptions,
): { connection: Connection; close(): Promise<void> } {
  const { clock, random, newId, log } = options;
  const credential = createCertificateCredential(settings, vault, clock);
  const token = createTokenSource(credential.fetchToken, clock, (error) =>
    log('token renewal failed', { connection: settings.name, reason: messageOf(error) }),
  );
  const { origin, pathname: apiPath } = new URL(settings.apiUrl);
  const { transport, close } = poolTransport(origin, settings.maxConcurrency);
  const client = createDataverseClient({ apiUrl: settings.apiUrl, tokens: token, transport, clock, random, newId });
  const metadata = createMetadata({ client, apiPath, allowedTables: settings.allowedTables, clock, newId });
  const assertWritable = (): void => {
    if (options.settings.writes === 'enabled') return;
    throw new ConnectionError('writesStopped', 'All writes to Dataverse are stopped.', {
      hint: 'Set BRIDGE_WRITES to enabled to allow them again.',
    });
  };
  return { connection: { settings, vault, credential, token, client, metadata, apiPath, assertWritable }, close };
}
