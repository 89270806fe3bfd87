import { tmpdir } from 'node:os';
import type { TokenCredential } from '@azure/identity';
import { createPages, type Pages } from '../actions/pages.ts';
import type { Activations } from '../activations/activations.ts';
import { connectionNames, type Environment, parseSettings, type Settings, SettingsError } from '../config/settings.ts';
import { type Connections, createConnections } from '../connections/connections.ts';
import { CONTAINER } from '../connections/shared-pace.ts';
import { createReadiness, type ReadinessReader } from '../health/readiness.ts';
import { type HealthRecords, openHealthRecords } from '../health/records.ts';
import { bearerAuthorization } from '../http/bearer.ts';
import type { Authorize } from '../http/routes.ts';
import { type Clock, systemClock } from '../shared/clock.ts';
import { newGuid } from '../shared/ids.ts';
import { openStorage, type Storage } from '../storage/storage.ts';
import { createTelemetry, type TelemetryExporter } from '../telemetry/exporter.ts';
import { consoleLog, type Log } from '../telemetry/log.ts';
import { createEventStore, type EventStore } from '../webhooks/events.ts';
import { createWebhookReceiver, type WebhookReceiver } from '../webhooks/receive.ts';

/** What functions work with. Everything behind it is made, loaded and connected at its first use. */
export interface Services {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly log: Log;
  readonly telemetry: TelemetryExporter;
  readonly connections: Connections;
  /** Decides who may call, where the host's keys do not. */
  readonly authorize: Authorize | undefined;
  storage(): Storage;
  /** Where listings of rows go on. */
  pages(): Pages;
  /** Loaded with its first use: it is half of the app. */
  activations(): Promise<Activations>;
  webhookReceiver(): WebhookReceiver;
  webhookEvents(): EventStore;
  /** What the last checks of connections found. */
  healthRecords(): HealthRecords;
  readiness(): ReadinessReader;
  /** Throws SettingsError while app-wide settings have faults. */
  assertSettings(): void;
}

export function createServices(env: Environment, log: Log = consoleLog): Services {
  const settings = parseSettings(env);
  const clock = systemClock;
  const identity = managedIdentity(settings.managedIdentityClientId);
  const telemetry = createTelemetry({
    connectionString: settings.telemetry?.connectionString,
    credential: settings.telemetry?.identity ? identity : undefined,
  });
  const assertSettings = (): void => {
    if (settings.faults.length === 0) return;
    throw new SettingsError(
      'settingsFault',
      'The app’s settings have faults.',
      settings.faults,
      'Correct the settings; the app restarts by itself.',
    );
  };
  const storage = once(() => {
    assertSettings();
    if (!settings.storage) throw new SettingsError('settingsFault', 'No storage account is set.', settings.faults);
    return openStorage(settings.storage, identity);
  });
  const connections = createConnections({
    settings,
    identity,
    clock,
    random: Math.random,
    newId: newGuid,
    log,
    telemetry,
    leases: settings.storage && settings.faults.length === 0 ? () => storage().leases(CONTAINER) : undefined,
  });
  const healthRecords = once(() => openHealthRecords(storage()));
  return {
    settings,
    clock,
    log,
    telemetry,
    connections,
    authorize:
      settings.callers.kind === 'entra'
        ? bearerAuthorization(settings.callers, { clock, send: fetch, log })
        : undefined,
    assertSettings,
    storage,
    pages: once(() => createPages({ storage: storage(), clock, newId: newGuid })),
    activations: once(async () => {
      const [{ createActivations }, { dataverseTarget }] = await Promise.all([
        import('../activations/activations.ts'),
        import('../activations/dataverse-target.ts'),
      ]);
      return createActivations({
        storage: storage(),
        target: dataverseTarget(connections, newGuid, clock),
        clock,
        newId: newGuid,
        log,
        telemetry,
        workFolder: tmpdir(),
      });
    }),
    webhookReceiver: once(() =>
      createWebhookReceiver({
        endpoints: settings.webhooks,
        secrets: connections.vault(),
        storage: storage(),
        clock,
        newId: newGuid,
        log,
      }),
    ),
    webhookEvents: once(() => createEventStore({ storage: storage() })),
    healthRecords,
    readiness: once(() => createReadiness({ records: healthRecords(), connections: connectionNames(settings), clock })),
  };
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** The app's managed identity; the SDK is loaded when the first token is asked for. */
function managedIdentity(clientId: string | undefined): TokenCredential {
  const load = once(async () => {
    const { ManagedIdentityCredential } = await import('@azure/identity');
    return clientId === undefined ? new ManagedIdentityCredential() : new ManagedIdentityCredential({ clientId });
  });
  return {
    async getToken(scopes, options) {
      const credential = await load();
      return credential.getToken(scopes, options);
    },
  };
}
