import { AzureCliCredential, ManagedIdentityCredential, type TokenCredential } from '@azure/identity';
import { connectionSettings, type Environment, parseSettings } from '../../config/settings.ts';
import { createConnections } from '../../connections/connections.ts';
import { createDataverseClient, type DataverseClient } from '../../dataverse/client.ts';
import { createPace } from '../../dataverse/pace.ts';
import { poolTransport } from '../../dataverse/transport.ts';
import { systemClock } from '../../shared/clock.ts';
import { newGuid } from '../../shared/ids.ts';
import type { SetupArguments } from './arguments.ts';
import { SetupError } from './user-file.ts';

/** Where the user is set up, and a client that is signed in there as an administrator. */
export interface Administration {
  readonly environment: string;
  readonly apiUrl: string;
  readonly applicationId: string;
  readonly client: DataverseClient;
  close(): Promise<void>;
}

interface Target {
  readonly environment: string;
  readonly apiUrl: string;
  readonly applicationId: string;
  readonly tenantId?: string;
}

const TOKEN_VARIABLE = 'DATAVERSE_ADMIN_TOKEN';

/** Finds the environment and signs in. Throws SettingsError and SetupError. */
export function openAdministration({ target, connection }: SetupArguments, env: Environment): Administration {
  const settings = parseSettings(env);
  const place = target.kind === 'address' ? addressTarget(target) : targetOf(connectionSettings(settings, target.name));
  if (connection === undefined) return { ...place, ...directClient(place, env) };

  const own = connectionSettings(settings, connection);
  if (own.environment !== place.environment) {
    throw new SetupError(
      `The connection '${connection}' leads to ${own.environment}, the user belongs to ${place.environment}.`,
    );
  }
  if (own.clientId === place.applicationId) {
    throw new SetupError(`The connection '${connection}' signs in as the very user that is to be set up.`, {
      hint: 'Name a connection whose user is an administrator.',
    });
  }
  const connections = createConnections({
    settings,
    identity: vaultIdentity(env, settings.managedIdentityClientId),
    clock: systemClock,
    random: Math.random,
    newId: newGuid,
    log: () => undefined,
  });
  return { ...place, client: connections.get(connection).client, close: () => connections.close() };
}

const addressTarget = (target: { url: string; applicationId: string }): Target => ({
  environment: target.url,
  apiUrl: `${target.url}/api/data/v9.2/`,
  applicationId: target.applicationId,
});

const targetOf = (settings: ReturnType<typeof connectionSettings>): Target => ({
  environment: settings.environment,
  apiUrl: settings.apiUrl,
  applicationId: settings.clientId,
  tenantId: settings.tenantId,
});

function directClient(
  { environment, apiUrl, tenantId }: Target,
  env: Environment,
): Pick<Administration, 'client' | 'close'> {
  const given = env[TOKEN_VARIABLE]?.trim();
  const cli = new AzureCliCredential(tenantId === undefined ? {} : { tenantId });
  const tokens = async (): Promise<string> => (given ? given : (await cli.getToken(`${environment}/.default`)).token);
  const { transport, close } = poolTransport(new URL(apiUrl).origin, 1);
  const client = createDataverseClient({
    apiUrl,
    tokens,
    transport,
    clock: systemClock,
    pace: createPace({ clock: systemClock, maxConcurrency: 1 }),
    random: Math.random,
    newId: newGuid,
  });
  return { client, close };
}

/** Who reads the vault: the managed identity where there is one, else whoever is signed in to the Azure CLI. */
function vaultIdentity(env: Environment, clientId: string | undefined): TokenCredential {
  if (!env['IDENTITY_ENDPOINT']) return new AzureCliCredential();
  return clientId === undefined ? new ManagedIdentityCredential() : new ManagedIdentityCredential({ clientId });
}
