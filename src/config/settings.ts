import { BridgeError } from '../shared/errors.ts';
import { cloudOf, isLoopback, isMicrosoftAuthority, isMicrosoftVault } from './clouds.ts';

/** How a connection proves who it is. */
export type CredentialKind = 'certificate';

/** One named connection to a Dataverse environment: `Dataverse__<name>__…`. */
export interface ConnectionSettings {
  readonly name: string;
  /** The environment's origin, without `.api.` and path: `https://org.crm4.dynamics.com`. */
  readonly environment: string;
  /** Where the Web API answers, as the setting gives it: `https://org.api.crm4.dynamics.com/api/data/v9.2/`. */
  readonly apiUrl: string;
  readonly tenantId: string;
  readonly clientId: string;
  readonly credential: CredentialKind;
  /** The certificate's name in Key Vault. */
  readonly certificateName: string;
  readonly scope: string;
  /** `https://login.microsoftonline.com/<tenant>` or the local cloud's counterpart. */
  readonly authority: string;
  /** Logical names of the tables that this connection may touch; undefined = no restriction of ours. */
  readonly allowedTables: ReadonlySet<string> | undefined;
  readonly maxConcurrency: number;
}

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

/** One thing that is wrong with the settings. */
export interface SettingFault {
  /** The setting's full name. */
  readonly setting: string;
  readonly message: string;
}

export interface Settings {
  readonly keyVaultUri: string | undefined;
  readonly managedIdentityClientId: string | undefined;
  readonly auth: 'keys';
  readonly writes: 'enabled' | 'stopped';
  readonly storage: StorageSettings | undefined;
  readonly connections: ReadonlyMap<string, ConnectionSettings>;
  readonly webhooks: ReadonlyMap<string, WebhookEndpoint>;
  /** Faults of app-wide settings: while there are any, only `GET health` answers. */
  readonly faults: readonly SettingFault[];
  /** Faults by connection; such a connection is not in `connections`. */
  readonly connectionFaults: ReadonlyMap<string, readonly SettingFault[]>;
  /** Faults by webhook endpoint; such an endpoint is not in `webhooks`. */
  readonly webhookFaults: ReadonlyMap<string, readonly SettingFault[]>;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** A setting keeps a call from being served; `faults` names every one of them. */
export class SettingsError extends BridgeError<'settingsFault' | 'connectionUnknown' | 'webhookUnknown'> {
  readonly faults: readonly SettingFault[];

  constructor(
    code: 'settingsFault' | 'connectionUnknown' | 'webhookUnknown',
    message: string,
    faults: readonly SettingFault[] = [],
    hint?: string,
  ) {
    super(code, message, { hint });
    this.faults = faults;
  }
}

const NAME = /^[a-z][a-z0-9]{0,23}$/;
const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const TENANT = /^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[a-z0-9][a-z0-9.-]*\.[a-z]{2,})$/i;
const VAULT_OBJECT = /^[0-9A-Za-z-]{1,127}$/;
const LOGICAL_NAME = /^[a-z][a-z0-9_]{0,127}$/;
const HEADER_NAME = /^[A-Za-z0-9-]{1,64}$/;
const QUERY_NAME = /^[A-Za-z0-9_.-]{1,64}$/;
const API_PATH = /^\/(api\/data\/v9\.[0-2]\/?)?$/;

const CONNECTION_PROPERTIES = [
  'url',
  'tenantId',
  'clientId',
  'credential',
  'certificateName',
  'secretName',
  'scope',
  'tokenUrl',
  'allowedTables',
  'maxConcurrency',
];
const WEBHOOK_PROPERTIES = ['secretName', 'connection', 'header', 'query'];

/** Reads the environment once. Never throws: what is wrong is told in the faults, all of them together. */
export function parseSettings(env: Environment): Settings {
  const faults: SettingFault[] = [];
  const connections = new Map<string, ConnectionSettings>();
  const connectionFaults = new Map<string, readonly SettingFault[]>();
  for (const [name, group] of groupsOf(env, 'Dataverse', faults)) {
    const parsed = parseConnection(name, group);
    if (Array.isArray(parsed)) connectionFaults.set(name, parsed);
    else connections.set(name, parsed as ConnectionSettings);
  }
  const webhooks = new Map<string, WebhookEndpoint>();
  const webhookFaults = new Map<string, readonly SettingFault[]>();
  for (const [name, group] of groupsOf(env, 'Webhook', faults)) {
    const parsed = parseWebhook(
      name,
      group,
      (connection) => connections.has(connection) || connectionFaults.has(connection),
    );
    if (Array.isArray(parsed)) webhookFaults.set(name, parsed);
    else webhooks.set(name, parsed as WebhookEndpoint);
  }
  const keyVaultUri = parseVault(env, connections.size + webhooks.size > 0, faults);
  const managedIdentityClientId = present(env['MANAGED_IDENTITY_CLIENT_ID']);
  if (managedIdentityClientId && !GUID.test(managedIdentityClientId)) {
    faults.push({ setting: 'MANAGED_IDENTITY_CLIENT_ID', message: 'must be the GUID of the identity’s client id' });
  }
  return Object.freeze({
    keyVaultUri,
    managedIdentityClientId,
    auth: oneOf(env, 'BRIDGE_AUTH', ['keys'] as const, 'keys', faults),
    writes: oneOf(env, 'BRIDGE_WRITES', ['enabled', 'stopped'] as const, 'enabled', faults),
    storage: parseStorage(env, faults),
    connections,
    webhooks,
    faults,
    connectionFaults,
    webhookFaults,
  });
}

/** The settings of a connection, or the error that says why there is none. */
export function connectionSettings(settings: Settings, name: string): ConnectionSettings {
  const found = settings.connections.get(name);
  if (found) return found;
  const faults = settings.connectionFaults.get(name);
  if (faults)
    throw new SettingsError('settingsFault', `The settings of connection '${name}' have ${count(faults)}.`, faults);
  const known = [...settings.connections.keys(), ...settings.connectionFaults.keys()].sort();
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

function parseConnection(name: string, group: Group): ConnectionSettings | SettingFault[] {
  const reader = new GroupReader(`Dataverse__${name}__`, group, CONNECTION_PROPERTIES);
  const url = reader.required('url', parseEnvironmentUrl);
  const tenantId = reader.required('tenantId', (text) =>
    TENANT.test(text) ? text : fault('must be a GUID or a domain name of the tenant'),
  );
  const clientId = reader.required('clientId', (text) =>
    GUID.test(text) ? text.toLowerCase() : fault('must be a GUID'),
  );
  const credential = reader.optional('credential', 'certificate' as CredentialKind, (text) =>
    text === 'certificate' ? text : fault("must be 'certificate'"),
  );
  const certificateName = reader.required('certificateName', (text) =>
    VAULT_OBJECT.test(text) ? text : fault('must be a name in Key Vault: letters, digits and hyphens'),
  );
  if (group.has('secretName')) reader.add('secretName', 'has no meaning for the credential ‘certificate’');
  const tokenUrl = reader.optional<string | undefined>('tokenUrl', undefined, parseTokenUrl);
  const scope = reader.optional<string | undefined>('scope', undefined, (text) =>
    /^https:\/\/[^\s/]+\/+\.default$/.test(text)
      ? text
      : fault('must look like https://org.crm4.dynamics.com/.default'),
  );
  const allowedTables = reader.optional<ReadonlySet<string> | undefined>('allowedTables', undefined, parseTables);
  const maxConcurrency = reader.optional('maxConcurrency', 8, (text) =>
    /^[1-9]\d?$/.test(text) && Number(text) <= 52 ? Number(text) : fault('must be a whole number from 1 to 52'),
  );
  if (reader.faults.length > 0 || !url || !tenantId || !clientId || !certificateName) return reader.faults;
  return {
    name,
    environment: url.environment,
    apiUrl: url.apiUrl,
    tenantId,
    clientId,
    credential,
    certificateName,
    scope: scope ?? `${url.environment}/.default`,
    authority: tokenUrl ?? `${url.authority}/${tenantId}`,
    allowedTables,
    maxConcurrency,
  };
}

function parseWebhook(
  name: string,
  group: Group,
  isConnection: (name: string) => boolean,
): WebhookEndpoint | SettingFault[] {
  const reader = new GroupReader(`Webhook__${name}__`, group, WEBHOOK_PROPERTIES);
  const secretName = reader.required('secretName', (text) =>
    VAULT_OBJECT.test(text) ? text : fault('must be a name in Key Vault: letters, digits and hyphens'),
  );
  const connection = reader.optional('connection', 'default', (text) => text);
  if (!isConnection(connection)) reader.add('connection', `names '${connection}', which is no connection`);
  const header = reader.optional('header', 'x-bridge-key', (text) =>
    HEADER_NAME.test(text) ? text.toLowerCase() : fault('must be the name of a header'),
  );
  const query = reader.optional<string | undefined>('query', undefined, (text) =>
    QUERY_NAME.test(text) ? text : fault('must be the name of a query parameter'),
  );
  return reader.faults.length > 0 || !secretName ? reader.faults : { name, secretName, connection, header, query };
}

/** What a parse function returns for text that is wrong. */
interface Wrong {
  readonly wrong: string;
}
const fault = (wrong: string): Wrong => ({ wrong });
const isWrong = (value: unknown): value is Wrong => typeof value === 'object' && value !== null && 'wrong' in value;

class GroupReader {
  readonly faults: SettingFault[] = [];
  readonly #prefix: string;
  readonly #group: Group;

  constructor(prefix: string, group: Group, known: readonly string[]) {
    this.#prefix = prefix;
    this.#group = group;
    for (const property of group.keys()) {
      if (!known.includes(property)) this.add(property, `is unknown; known are ${known.join(', ')}`);
    }
  }

  add(property: string, message: string): void {
    this.faults.push({ setting: this.#prefix + property, message });
  }

  required<T>(property: string, parse: (text: string) => T | Wrong): T | undefined {
    if (!this.#group.has(property)) this.add(property, 'is missing');
    return this.optional<T | undefined>(property, undefined, parse);
  }

  optional<T>(property: string, fallback: T, parse: (text: string) => T | Wrong): T {
    const text = this.#group.get(property);
    if (text === undefined) return fallback;
    const parsed = parse(text);
    if (!isWrong(parsed)) return parsed;
    this.add(property, parsed.wrong);
    return fallback;
  }
}

function parseEnvironmentUrl(text: string): { environment: string; apiUrl: string; authority: string } | Wrong {
  const url = httpsUrl(text);
  if (!url || !API_PATH.test(url.pathname)) {
    return fault('must look like https://org.crm4.dynamics.com, with or without .api. and /api/data/v9.2/');
  }
  const path = url.pathname === '/' ? '/api/data/v9.2/' : url.pathname.replace(/\/?$/, '/');
  if (isLoopback(url.hostname)) return { environment: url.origin, apiUrl: url.origin + path, authority: url.origin };
  const cloud = url.port === '' ? cloudOf(url.hostname) : undefined;
  if (!cloud) return fault(`names a host that is not one of Dataverse’s: ${url.host}`);
  return {
    environment: `https://${url.hostname.replace(/^([^.]+)\.api\./, '$1.')}`,
    apiUrl: url.origin + path,
    authority: cloud.authority,
  };
}

/** Takes the v2.0 token endpoint and gives the authority in front of it, as MSAL wants it. */
function parseTokenUrl(text: string): string | Wrong {
  const url = httpsUrl(text);
  const path = url?.pathname.match(/^(\/[^/]+)\/oauth2\/v2\.0\/token$/);
  if (!url || !path) return fault('must look like https://login.microsoftonline.com/<tenant>/oauth2/v2.0/token');
  if (!isLoopback(url.hostname) && !isMicrosoftAuthority(url.host))
    return fault(`names a host that is not Entra’s: ${url.host}`);
  return url.origin + path[1];
}

function parseTables(text: string): ReadonlySet<string> | Wrong {
  const names = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  const bad = names.find((name) => !LOGICAL_NAME.test(name));
  if (bad !== undefined || names.length === 0) return fault('must be logical names of tables, separated by commas');
  return new Set(names);
}

function parseVault(env: Environment, needed: boolean, faults: SettingFault[]): string | undefined {
  const setting = 'KEY_VAULT_URI';
  const text = present(env[setting]);
  if (text === undefined) {
    if (needed)
      faults.push({ setting, message: 'is missing; credentials and webhook secrets are read from this vault' });
    return undefined;
  }
  const url = httpsUrl(text);
  if (!url || url.pathname !== '/') faults.push({ setting, message: 'must look like https://name.vault.azure.net/' });
  else if (!isLoopback(url.hostname) && (!isMicrosoftVault(url.hostname) || url.port !== '')) {
    faults.push({ setting, message: `names a host that is not Key Vault’s: ${url.host}` });
  } else return url.href;
  return undefined;
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

function httpsUrl(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain =
    url?.protocol === 'https:' && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  return plain ? url : undefined;
}

const present = (text: string | undefined): string | undefined => {
  const trimmed = text?.trim();
  return trimmed === '' ? undefined : trimmed;
};
