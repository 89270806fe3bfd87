import { cloudOfAuthority, isLoopback, PUBLIC_AUTHORITY } from './clouds.ts';
import { fault, GroupReader, GUID, httpsUrl, type SettingFault, type Wrong } from './setting-reader.ts';

/** Callers bring an access token of this tenant, with an app role of this app's registration. */
export interface EntraCallers {
  readonly kind: 'entra';
  /** In lower case. */
  readonly tenantId: string;
  /** What `aud` may be. */
  readonly audiences: readonly string[];
  /** `https://login.microsoftonline.com`, its counterpart in another cloud, or the local cloud's. */
  readonly authority: string;
  /** What `iss` may be: of version 2 tokens, and of version 1 tokens. */
  readonly issuers: readonly [v2: string, v1: string];
}

/** Who may call over HTTP: whoever has a key of the host, or whoever has a role in Entra. Never both. */
export type CallerSettings = { readonly kind: 'keys' } | EntraCallers;

const ENTRA_SETTINGS = ['BRIDGE_TENANT_ID', 'BRIDGE_AUDIENCE', 'BRIDGE_AUTHORITY'];
const AUDIENCE = /^(api|https):\/\/[^\s"\\/]+[^\s"\\]*$/;

/**
 * Reads `BRIDGE_AUTH` and what belongs to it. With any fault the host's keys are asked for, so that a mistake in these
 * settings opens nothing.
 */
export function parseCallers(settings: ReadonlyMap<string, string>): {
  readonly callers: CallerSettings;
  readonly faults: readonly SettingFault[];
} {
  const own = new Map([...settings].filter(([name]) => name === 'BRIDGE_AUTH' || ENTRA_SETTINGS.includes(name)));
  const reader = new GroupReader('', own, ['BRIDGE_AUTH', ...ENTRA_SETTINGS]);
  const kind = reader.optional<'keys' | 'entra' | undefined>(
    'BRIDGE_AUTH',
    own.has('BRIDGE_AUTH') ? undefined : 'keys',
    (text) => (text === 'keys' || text === 'entra' ? text : fault("must be 'keys' or 'entra'")),
  );
  if (kind === 'keys') {
    for (const setting of ENTRA_SETTINGS.filter((name) => reader.has(name))) {
      reader.add(setting, "has no meaning unless BRIDGE_AUTH is 'entra'");
    }
  }
  const callers = kind === 'entra' ? parseEntra(reader) : undefined;
  return { callers: callers ?? { kind: 'keys' }, faults: reader.faults };
}

function parseEntra(reader: GroupReader): EntraCallers | undefined {
  // The GUID and not a domain name: it is what tokens say.
  const tenantId = reader.required('BRIDGE_TENANT_ID', (text) =>
    GUID.test(text) ? text.toLowerCase() : fault('must be the GUID of the tenant whose callers are let in'),
  );
  const audiences = reader.required('BRIDGE_AUDIENCE', parseAudience);
  const authority = reader.optional('BRIDGE_AUTHORITY', PUBLIC_AUTHORITY, parseAuthority);
  if (reader.faults.length > 0 || !tenantId || !audiences) return undefined;
  return { kind: 'entra', tenantId, audiences, authority: authority.url, issuers: issuersOf(authority, tenantId) };
}

interface Authority {
  readonly url: string;
  readonly issuerV1: string;
}

const issuersOf = ({ url, issuerV1 }: Authority, tenantId: string): readonly [string, string] => [
  `${url}/${tenantId}/v2.0`,
  `${issuerV1}/${tenantId}/`,
];

/**
 * Version 1 tokens hold the App ID URI or the client id, as the caller asked for it, version 2 tokens the client id
 * (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference).
 */
function parseAudience(text: string): readonly string[] | Wrong {
  const clientId = text.replace(/^api:\/\//, '').toLowerCase();
  if (GUID.test(clientId)) return [clientId, `api://${clientId}`];
  if (AUDIENCE.test(text)) return [text];
  return fault('must be the client id of this app’s registration or its App ID URI, such as api://<client id>');
}

function parseAuthority(text: string): Authority | Wrong {
  const url = httpsUrl(text);
  const isOrigin = url?.pathname === '/';
  if (!url || !isOrigin) return fault(`must look like ${PUBLIC_AUTHORITY.url}`);
  // The local Entra names the issuer of version 1 tokens as the public cloud does.
  if (isLoopback(url.hostname)) return { ...PUBLIC_AUTHORITY, url: url.origin };
  const cloud = cloudOfAuthority(url.origin);
  if (!cloud) return fault(`names a host that is not Entra’s: ${url.host}`);
  return { url: cloud.authority, issuerV1: cloud.issuerV1 };
}
