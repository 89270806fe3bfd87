import { ConfidentialClientApplication } from '@azure/msal-node';
import { z } from 'zod';
import type { Target } from './world.ts';

const settings = z.object({
  DATAVERSE_LIVE_URL: z.url({ protocol: /^https?$/ }),
  DATAVERSE_LIVE_TOKEN: z.string().min(1).optional(),
  DATAVERSE_LIVE_TENANT_ID: z.string().min(1).optional(),
  DATAVERSE_LIVE_CLIENT_ID: z.string().min(1).optional(),
  DATAVERSE_LIVE_CLIENT_SECRET: z.string().min(1).optional(),
  /** Of another cloud than the public one. */
  DATAVERSE_LIVE_AUTHORITY: z.url({ protocol: /^https$/ }).default('https://login.microsoftonline.com'),
});

type Settings = z.infer<typeof settings>;

/**
 * The environment that the settings name; undefined when there is none. Throws an Error that says which settings are
 * missing or wrong, never what is in them.
 */
export function liveTarget(environment: Readonly<Record<string, string | undefined>>): Target | undefined {
  if (!environment['DATAVERSE_LIVE_URL']) return undefined;
  const parsed = settings.safeParse(environment);
  if (!parsed.success) {
    throw new Error(`Of no use for a live run: ${parsed.error.issues.map(({ path }) => path.join('.')).join(', ')}.`);
  }
  const { origin, protocol, hostname } = new URL(parsed.data.DATAVERSE_LIVE_URL);
  if (protocol !== 'https:' && hostname !== '127.0.0.1' && hostname !== 'localhost') {
    throw new Error('DATAVERSE_LIVE_URL must be https: the token would be readable on its way.');
  }
  return { url: origin, token: tokens(parsed.data, origin) };
}

function tokens(given: Settings, origin: string): () => Promise<string> {
  const { DATAVERSE_LIVE_TOKEN: token } = given;
  if (token !== undefined) return () => Promise.resolve(token);
  const { DATAVERSE_LIVE_TENANT_ID: tenant, DATAVERSE_LIVE_CLIENT_ID: clientId } = given;
  const { DATAVERSE_LIVE_CLIENT_SECRET: clientSecret, DATAVERSE_LIVE_AUTHORITY: host } = given;
  if (tenant === undefined || clientId === undefined || clientSecret === undefined) {
    throw new Error(
      'A live run needs DATAVERSE_LIVE_TOKEN, or DATAVERSE_LIVE_TENANT_ID, DATAVERSE_LIVE_CLIENT_ID and ' +
        'DATAVERSE_LIVE_CLIENT_SECRET.',
    );
  }
  const application = new ConfidentialClientApplication({
    auth: {
      clientId,
      clientSecret,
      authority: new URL(tenant, host).href,
      knownAuthorities: [new URL(host).host],
    },
  });
  return async () => {
    // MSAL keeps the token until shortly before it ends.
    const result = await application.acquireTokenByClientCredential({ scopes: [`${origin}/.default`] });
    if (!result) throw new Error('Entra has given no token.');
    return result.accessToken;
  };
}
