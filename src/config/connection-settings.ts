import { cloudOf, isLoopback, isMicrosoftAuthority } from './clouds.ts';
import { fault, GroupReader, GUID, httpsUrl, parseVaultName, type SettingFault, type Wrong } from './setting-reader.ts';

/**
 * How a connection proves who it is, the best first: by the app's managed identity, which the registration trusts as
 * federated credential; by a certificate whose key never leaves Key Vault; by a certificate read from Key Vault; by a
 * client secret. Names are those of objects in Key Vault.
 */
export type CredentialSettings =
  | { readonly kind: 'managedIdentity' }
  | { readonly kind: 'vaultKey'; readonly certificateName: string }
  | { readonly kind: 'certificate'; readonly certificateName: string }
  | { readonly kind: 'secret'; readonly secretName: string };

export type CredentialKind = CredentialSettings['kind'];

/** One named connection to a Dataverse environment: `Dataverse__<name>__…`. */
export interface ConnectionSettings {
  readonly name: string;
  /** The environment's origin, without `.api.` and path: `https://org.crm4.dynamics.com`. */
  readonly environment: string;
  /** Where the Web API answers, as the setting gives it: `https://org.api.crm4.dynamics.com/api/data/v9.2/`. */
  readonly apiUrl: string;
  readonly tenantId: string;
  readonly clientId: string;
  readonly credential: CredentialSettings;
  readonly scope: string;
  /** `https://login.microsoftonline.com/<tenant>` or the local cloud's counterpart. */
  readonly authority: string;
  /** Logical names of the tables that this connection may touch; undefined = no restriction of ours. */
  readonly allowedTables: ReadonlySet<string> | undefined;
  readonly maxConcurrency: number;
  /** Part of the application user's limits that the app may use, above 0 and up to 1. */
  readonly budget: number;
}

const TENANT = /^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[a-z0-9][a-z0-9.-]*\.[a-z]{2,})$/i;
const LOGICAL_NAME = /^[a-z][a-z0-9_]{0,127}$/;
const SCOPE = /^https:\/\/[^\s/]+\/+\.default$/;
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
  'budget',
];
const CREDENTIAL_KINDS: readonly CredentialKind[] = ['managedIdentity', 'vaultKey', 'certificate', 'secret'];

/**
 * Reads one connection's settings by their property names (`url`, `tenantId`, …), or tells all that is wrong with them.
 */
export function parseConnection(
  name: string,
  properties: ReadonlyMap<string, string>,
): ConnectionSettings | { readonly faults: readonly SettingFault[] } {
  const reader = new GroupReader(`Dataverse__${name}__`, properties, CONNECTION_PROPERTIES);
  const url = reader.required('url', parseEnvironmentUrl);
  const tenantId = reader.required('tenantId', (text) =>
    TENANT.test(text) ? text : fault('must be a GUID or a domain name of the tenant'),
  );
  const clientId = reader.required('clientId', (text) =>
    GUID.test(text) ? text.toLowerCase() : fault('must be a GUID'),
  );
  const credential = parseCredential(reader);
  const tokenUrl = reader.optional<string | undefined>('tokenUrl', undefined, parseTokenUrl);
  const scope = reader.optional<string | undefined>('scope', undefined, (text) =>
    SCOPE.test(text) && URL.canParse(text) ? text : fault('must look like https://org.crm4.dynamics.com/.default'),
  );
  const allowedTables = reader.optional<ReadonlySet<string> | undefined>('allowedTables', undefined, parseTables);
  const maxConcurrency = reader.optional('maxConcurrency', 8, (text) =>
    /^[1-9]\d?$/.test(text) && Number(text) <= 52 ? Number(text) : fault('must be a whole number from 1 to 52'),
  );
  const budget = reader.optional('budget', 1, (text) =>
    /^[1-9]\d?\d?$/.test(text) && Number(text) <= 100
      ? Number(text) / 100
      : fault('must be a percentage from 1 to 100'),
  );
  if (reader.faults.length > 0 || !url || !tenantId || !clientId || !credential) return { faults: reader.faults };
  return {
    name,
    environment: url.environment,
    apiUrl: url.apiUrl,
    tenantId,
    clientId,
    credential,
    scope: scope ?? `${url.environment}/.default`,
    authority: tokenUrl ?? `${url.authority}/${tenantId}`,
    allowedTables,
    maxConcurrency,
    budget,
  };
}

/** Whether the scope's host is the environment's. Dataverse refuses tokens whose audience is another host, with 401. */
export const scopeFits = (settings: Pick<ConnectionSettings, 'scope' | 'environment'>): boolean =>
  new URL(settings.scope).origin === settings.environment;

/** What looks wrong but does not keep the connection from being tried. */
export function warningsOf(settings: ConnectionSettings): SettingFault[] {
  if (scopeFits(settings)) return [];
  return [
    {
      setting: `Dataverse__${settings.name}__scope`,
      message: `is for ${new URL(settings.scope).host}, but the environment is ${new URL(settings.environment).host}, which refuses such tokens; leave it out to have it derived`,
    },
  ];
}

function parseCredential(reader: GroupReader): CredentialSettings | undefined {
  const fallback = reader.has('certificateName') ? 'certificate' : undefined;
  const kind = reader.optional<CredentialKind | undefined>('credential', fallback, (text) => {
    if (text === 'authorizationCode') return fault('‘authorizationCode’ is not available in this version');
    return CREDENTIAL_KINDS.find((known) => known === text) ?? fault(`must be one of ${CREDENTIAL_KINDS.join(', ')}`);
  });
  if (!reader.has('credential') && !kind) {
    reader.add('credential', `is missing; it is one of ${CREDENTIAL_KINDS.join(', ')}`);
  }
  switch (kind) {
    case 'vaultKey':
    case 'certificate': {
      reader.refuse('secretName', kind);
      const certificateName = reader.required('certificateName', parseVaultName);
      return certificateName === undefined ? undefined : { kind, certificateName };
    }
    case 'secret': {
      reader.refuse('certificateName', kind);
      const secretName = reader.required('secretName', parseVaultName);
      return secretName === undefined ? undefined : { kind, secretName };
    }
    case 'managedIdentity':
      reader.refuse('certificateName', kind);
      reader.refuse('secretName', kind);
      return { kind };
    default:
      return undefined;
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
