import { BridgeError } from '../shared/errors.ts';
import { type CallerSettings, parseCallers } from './caller-settings.ts';
import { isLoopback, isMicrosoftVault } from './clouds.ts';
import { type ConnectionSettings, parseConnection, warningsOf } from './connection-settings.ts';
import {
  fault,
  GroupReader,
  GUID,
  httpsUrl,
  isWrong,
  parseVaultName,
  type SettingFault,
  type Wrong,
} from './setting-reader.ts';

/** One endpoint that Dataverse posts events to: `Webhook__<endpoint>__…`. */
export interface WebhookEndpoint {
  readonly name: string;
  readonly secretName: string;
  readonly connection: string;
  /** The request header that carries the secret. */
  readonly header: string;
  /** The query parameter that may carry the secret besides `code`. */
  readonly query: string | undefined;
}

/** Where the app keeps its own state: by identity (service addresses), or by a connection string for local use only. */
export type StorageSettings =
  | { readonly blobServiceUri: string; readonly queueServiceUri: string; readonly tableServiceUri: string }
  | { readonly connectionString: string };

/** Application Insights, as the platform's own settings name it for the host too. */
export interface TelemetrySettings {
  readonly connectionString: string;
  /** Whether the app's identity proves who sends. */
  readonly identity: boolean;
}

export interface Settings {
  readonly keyVaultUri: string | undefined;
  readonly managedIdentityClientId: string | undefined;
  readonly callers: CallerSettings;
  readonly writes: 'enabled' | 'stopped';
  /** Who may read the API's description: callers with a key or role, or everybody. */
  readonly docs: 'keyed' | 'anonymous';
  /** Where spans and metrics go; undefined where nowhere. */
  readonly telemetry: TelemetrySettings | undefined;
  readonly storage: StorageSettings | undefined;
  readonly connections: ReadonlyMap<string, ConnectionSettings>;
  readonly webhooks: ReadonlyMap<string, WebhookEndpoint>;
  /** Faults of app-wide settings: while there are any, only `GET health` answers. */
  readonly faults: readonly SettingFault[];
  /** Faults by connection; such a connection is not in `connections`. */
  readonly connectionFaults: ReadonlyMap<string, readonly SettingFault[]>;
  /** What looks wrong in a connection that can be used all the same. */
  readonly connectionWarnings: ReadonlyMap<string, readonly SettingFault[]>;
  /** Faults by webhook endpoint; such an endpoint is not in `webhooks`. */
  readonly webhookFaults: ReadonlyMap<string, readonly SettingFault[]>;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** A setting keeps a call from being served; `faults` names every one of them. */
export class SettingsError extends BridgeError<'settingsFault' | 'connectionUnknown'> {
  readonly faults: readonly SettingFault[];

  constructor(
    code: 'settingsFault' | 'connectionUnknown',
    message: string,
    faults: readonly SettingFault[] = [],
    hint?: string,
  ) {
    super(code, message, { hint });
    this.faults = faults;
  }
}

const NAME = /^[a-z][a-z0-9]{0,23}$/;
const HEADER_NAME = /^[A-Za-z0-9-]{1,64}$/;
const QUERY_NAME = /^[A-Za-z0-9_.-]{1,64}$/;

const WEBHOOK_PROPERTIES = ['secretName', 'connection', 'header', 'query'];

/** Reads the environment once. Never throws: what is wrong is told in the faults, all of them together. */
export function parseSettings(env: Environment): Settings {
  const faults: SettingFault[] = [];
  const connections = new Map<string, ConnectionSettings>();
  const connectionFaults = new Map<string, readonly SettingFault[]>();
  for (const [name, group] of groupsOf(env, 'Dataverse', faults)) {
    const parsed = parseConnection(name, group);
    if ('faults' in parsed) connectionFaults.set(name, parsed.faults);
    else connections.set(name, parsed);
  }
  const connectionWarnings = new Map<string, readonly SettingFault[]>();
  for (const connection of connections.values()) {
    const warnings = warningsOf(connection);
    if (warnings.length > 0) connectionWarnings.set(connection.name, warnings);
  }
  const webhooks = new Map<string, WebhookEndpoint>();
  const webhookFaults = new Map<string, readonly SettingFault[]>();
  for (const [name, group] of groupsOf(env, 'Webhook', faults)) {
    const parsed = parseWebhook(
      name,
      group,
      (connection) => connections.has(connection) || connectionFaults.has(connection),
    );
    if ('faults' in parsed) webhookFaults.set(name, parsed.faults);
    else webhooks.set(name, parsed);
  }
  const usesVault = [...connections.values()].some(({ credential }) => credential.kind !== 'managedIdentity');
  const keyVaultUri = parseVault(env, usesVault || webhooks.size > 0, faults);
  const managedIdentityClientId = present(env['MANAGED_IDENTITY_CLIENT_ID']);
  if (managedIdentityClientId && !GUID.test(managedIdentityClientId)) {
    faults.push({ setting: 'MANAGED_IDENTITY_CLIENT_ID', message: 'must be the GUID of the identity’s client id' });
  }
  const { callers, faults: callerFaults } = parseCallers(valuesOf(env));
  faults.push(...callerFaults);
  return Object.freeze({
    keyVaultUri,
    managedIdentityClientId,
    callers,
    writes: oneOf(env, 'BRIDGE_WRITES', ['enabled', 'stopped'] as const, 'enabled', faults),
    docs: oneOf(env, 'BRIDGE_DOCS', ['keyed', 'anonymous'] as const, 'keyed', faults),
    telemetry: parseTelemetry(env),
    storage: parseStorage(env, faults),
    connections,
    webhooks,
    faults,
    connectionFaults,
    connectionWarnings,
    webhookFaults,
  });
}

/** Every connection that settings name, also those whose settings have faults; sorted. */
export const connectionNames = ({ connections, connectionFaults }: Settings): string[] =>
  [...connections.keys(), ...connectionFaults.keys()].sort();

/** The settings of a connection, or the error that says why there is none. */
export function connectionSettings(settings: Settings, name: string): ConnectionSettings {
  const found = settings.connections.get(name);
  if (found) return found;
  const faults = settings.connectionFaults.get(name);
  if (faults)
    throw new SettingsError('settingsFault', `The settings of connection '${name}' have ${count(faults)}.`, faults);
  const known = connectionNames(settings);
  throw new SettingsError(
    'connectionUnknown',
    `There is no connection '${name.slice(0, 60)}'.`,
    [],
    known.length > 0
      ? `Connections are: ${known.join(', ')}.`
      : 'Define one with Dataverse__default__url and its companions.',
  );
}

const count = (faults: readonly SettingFault[]): string =>
  faults.length === 1 ? 'a fault' : `${faults.length} faults`;

type Group = Map<string, string>;

/** The environment without what is empty. */
const valuesOf = (env: Environment): Group =>
  new Map(
    Object.entries(env).flatMap(([setting, raw]) => {
      const value = present(raw);
      return value === undefined ? [] : [[setting, value]];
    }),
  );

function groupsOf(env: Environment, prefix: string, faults: SettingFault[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const [setting, raw] of Object.entries(env)) {
    const value = present(raw);
    if (!setting.startsWith(`${prefix}__`) || value === undefined) continue;
    const [, name = '', property, ...rest] = setting.split('__');
    if (!NAME.test(name) || property === undefined || property === '' || rest.length > 0) {
      faults.push({
        setting,
        message: `must have the form ${prefix}__<name>__<property>, the name in a-z and 0-9, starting with a letter`,
      });
      continue;
    }
    const group = groups.get(name) ?? new Map<string, string>();
    groups.set(name, group.set(property, value));
  }
  return groups;
}

function parseWebhook(
  name: string,
  group: Group,
  isConnection: (name: string) => boolean,
): WebhookEndpoint | { readonly faults: readonly SettingFault[] } {
  const reader = new GroupReader(`Webhook__${name}__`, group, WEBHOOK_PROPERTIES);
  const secretName = reader.required('secretName', parseVaultName);
  const connection = reader.optional('connection', 'default', (text) => text);
  if (!isConnection(connection)) reader.add('connection', `names '${connection}', which is no connection`);
  const header = reader.optional('header', 'x-bridge-key', (text) =>
    HEADER_NAME.test(text) ? text.toLowerCase() : fault('must be the name of a header'),
  );
  const query = reader.optional<string | undefined>('query', undefined, (text) =>
    QUERY_NAME.test(text) ? text : fault('must be the name of a query parameter'),
  );
  if (reader.faults.length > 0 || !secretName) return { faults: reader.faults };
  return { name, secretName, connection, header, query };
}

function parseVault(env: Environment, needed: boolean, faults: SettingFault[]): string | undefined {
  const setting = 'KEY_VAULT_URI';
  const text = present(env[setting]);
  if (text === undefined) {
    if (needed)
      faults.push({ setting, message: 'is missing; credentials and webhook secrets are read from this vault' });
    return undefined;
  }
  const parsed = parseVaultUri(text);
  if (!isWrong(parsed)) return parsed;
  faults.push({ setting, message: parsed.wrong });
  return undefined;
}

/** The address of a vault, `https://name.vault.azure.net/` or the local cloud's. */
export function parseVaultUri(text: string): string | Wrong {
  const url = httpsUrl(text);
  if (url?.pathname !== '/') return fault('must look like https://name.vault.azure.net/');
  const isAzure = isMicrosoftVault(url.hostname) && url.port === '';
  return isAzure || isLoopback(url.hostname) ? url.href : fault(`names a host that is not Key Vault’s: ${url.host}`);
}

function parseTelemetry(env: Environment): TelemetrySettings | undefined {
  const connectionString = present(env['APPLICATIONINSIGHTS_CONNECTION_STRING']);
  if (connectionString === undefined) return undefined;
  return {
    connectionString,
    identity: /\bAuthorization=AAD\b/i.test(env['APPLICATIONINSIGHTS_AUTHENTICATION_STRING'] ?? ''),
  };
}

function parseStorage(env: Environment, faults: SettingFault[]): StorageSettings | undefined {
  const connectionString = present(env['AzureWebJobsStorage']);
  if (connectionString !== undefined) {
    if (connectionString === 'UseDevelopmentStorage=true') return { connectionString };
    faults.push({
      setting: 'AzureWebJobsStorage',
      message: 'must not hold a connection string; set AzureWebJobsStorage__blobServiceUri and its companions',
    });
    return undefined;
  }
  const read = (service: string): string => {
    const setting = `AzureWebJobsStorage__${service}ServiceUri`;
    const text = present(env[setting]);
    if (text === undefined) faults.push({ setting, message: 'is missing; state is kept in this storage account' });
    else if (!httpsUrl(text)) faults.push({ setting, message: 'must be an https URL without query' });
    return text ?? '';
  };
  const before = faults.length;
  const storage = { blobServiceUri: read('blob'), queueServiceUri: read('queue'), tableServiceUri: read('table') };
  return faults.length === before ? storage : undefined;
}

function oneOf<const T extends string>(
  env: Environment,
  setting: string,
  values: readonly T[],
  fallback: T,
  faults: SettingFault[],
): T {
  const text = present(env[setting]);
  if (text === undefined) return fallback;
  const found = values.find((value) => value === text);
  if (found === undefined)
    faults.push({ setting, message: `must be ${values.map((value) => `'${value}'`).join(' or ')}` });
  return found ?? fallback;
}

const present = (text: string | undefined): string | undefined => {
  const trimmed = text?.trim();
  return trimmed === '' ? undefined : trimmed;
};
