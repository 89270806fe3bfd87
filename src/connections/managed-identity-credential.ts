import type { AccessToken, TokenCredential } from '@azure/identity';
import type { Clock } from '../shared/clock.ts';
import type { Credential, CredentialReport } from './credential.ts';
import type { ClientProof, EntraClient } from './entra-client.ts';
import { identityUnavailable } from './vault-errors.ts';

export interface ManagedIdentityCredentialOptions {
  readonly identity: TokenCredential;
  /** The client id of a user-assigned identity; undefined for the system-assigned one. */
  readonly clientId: string | undefined;
  readonly connect: (proof: ClientProof) => EntraClient;
  readonly clock: Clock;
}

/** learn.microsoft.com, "Configure an application to trust a managed identity". */
const TOKEN_EXCHANGE_SCOPE = 'api://AzureADTokenExchange/.default';
/** An assertion must outlive its way to Entra, clocks that differ included. */
const SAFETY_MS = 5 * 60_000;

/** The app's managed identity, which the registration trusts as federated credential: nothing is stored anywhere. */
export function createManagedIdentityCredential(options: ManagedIdentityCredentialOptions): Credential {
  const { identity, clientId, clock } = options;
  let token: AccessToken | undefined;
  let flight: Promise<AccessToken> | undefined;

  const fetchAssertion = async (): Promise<AccessToken> => {
    try {
      const fetched = await identity.getToken(TOKEN_EXCHANGE_SCOPE);
      if (!fetched) throw new Error('there is none');
      token = fetched;
      return fetched;
    } catch (error) {
      throw identityUnavailable(error);
    } finally {
      flight = undefined;
    }
  };
  // MSAL asks at every token; the endpoint behind it is asked once, however many wait.
  const assertion = async (): Promise<string> => {
    if (token && clock.now() < token.expiresOnTimestamp - SAFETY_MS) return token.token;
    flight ??= fetchAssertion();
    return (await flight).token;
  };

  const client = options.connect({ clientAssertion: assertion });
  const known = (): CredentialReport => ({
    kind: 'managedIdentity',
    ...(clientId !== undefined && { name: clientId }),
  });
  return {
    kind: 'managedIdentity',
    known,
    fetchToken: (fetchOptions) => client(fetchOptions),
    async describe() {
      await assertion();
      return known();
    },
    rehearse: async () => undefined,
  };
}
