/**
 * The Microsoft clouds in which Dataverse runs: the suffix of environment hosts, the Entra authority that issues their
 * tokens, and how it names itself in them. Suffixes: learn.microsoft.com, "Dynamics 365 and Power Platform datacenter
 * regions" and "Dynamics 365 US Government"; issuers of version 1 tokens: learn.microsoft.com/answers/questions/1190472.
 * Order matters: a longer suffix stands before one that it ends with.
 */
export interface Cloud {
  readonly name: string;
  readonly environmentSuffixes: readonly string[];
  readonly authority: string;
  /** What stands in front of the tenant in the issuer of version 1 tokens. */
  readonly issuerV1: string;
}

/** Entra of the public cloud. */
export const PUBLIC_AUTHORITY = {
  url: 'https://login.microsoftonline.com',
  issuerV1: 'https://sts.windows.net',
} as const;

const clouds: readonly Cloud[] = [
  {
    name: 'US Government (GCC High)',
    environmentSuffixes: ['.crm.microsoftdynamics.us'],
    authority: 'https://login.microsoftonline.us',
    issuerV1: 'https://sts.windows.net',
  },
  {
    name: 'US Government (DoD)',
    environmentSuffixes: ['.crm.appsplatform.us'],
    authority: 'https://login.microsoftonline.us',
    issuerV1: 'https://sts.windows.net',
  },
  {
    name: 'China',
    environmentSuffixes: ['.crm.dynamics.cn'],
    authority: 'https://login.partner.microsoftonline.cn',
    issuerV1: 'https://sts.chinacloudapi.cn',
  },
  {
    name: 'public',
    environmentSuffixes: ['.dynamics.com'],
    authority: PUBLIC_AUTHORITY.url,
    issuerV1: PUBLIC_AUTHORITY.issuerV1,
  },
];

const authorityHosts = new Set([
  ...clouds.map((cloud) => new URL(cloud.authority).host),
  'login.windows.net',
  'login.chinacloudapi.cn',
]);

const vaultSuffixes = ['.vault.azure.net', '.vault.usgovcloudapi.net', '.vault.azure.cn'];

/** Organisation hosts of the public cloud: `org.crm.dynamics.com`, `org.crm4.dynamics.com`, `org.api.crm4.dynamics.com`. */
const PUBLIC_ENVIRONMENT = /^[a-z0-9-]+(\.api)?\.crm\d{0,2}\.dynamics\.com$/;

/** The cloud that an environment's host name belongs to, or undefined for a host that is not Dataverse's. */
export function cloudOf(host: string): Cloud | undefined {
  return clouds.find((cloud) =>
    cloud.environmentSuffixes.some(
      (suffix) => host.endsWith(suffix) && (suffix !== '.dynamics.com' || PUBLIC_ENVIRONMENT.test(host)),
    ),
  );
}

/** The cloud whose tokens come from this origin, by its current name. */
export const cloudOfAuthority = (origin: string): Cloud | undefined =>
  clouds.find((cloud) => cloud.authority === origin);

/** Whether tokens may be asked from this host (`host` includes the port). */
export const isMicrosoftAuthority = (host: string): boolean => authorityHosts.has(host);

export const isMicrosoftVault = (hostname: string): boolean =>
  vaultSuffixes.some((suffix) => hostname.endsWith(suffix) && hostname.length > suffix.length);

/**
 * Whether a host is this machine. The one place that decides where the local cloud's relaxed options (an unknown
 * authority, a vault whose name does not end in the vault's suffix) may be used; every other host must be Microsoft's.
 */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}
