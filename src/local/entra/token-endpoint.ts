import type { Clock } from '../../shared/clock.ts';
import { verifyAssertion } from './assertions.ts';
import {
  type Application,
  type Directory,
  findApplication,
  findClientSecret,
  findResource,
  type Tenant,
} from './directory.ts';
import {
  applicationNotFound,
  expiredSecret,
  invalidScope,
  invalidSecret,
  malformedAssertion,
  missingCredential,
  missingParameter,
  resourceNotFound,
  roleNotAssigned,
  unsupportedGrant,
} from './errors.ts';
import type { SigningKey } from './signing-key.ts';
import { type ClientAuthentication, issuerV2, issueToken } from './tokens.ts';

/** What the endpoints of the local Entra share. */
export interface EntraContext {
  directory: Directory;
  key: SigningKey;
  /** Where it listens, `https://localhost:<port>`. */
  origin: string;
  clock: Clock;
  /** Seconds that a client credentials token lasts, `expires_in`. */
  tokenLifetimeSeconds: number;
  /** When a client shall renew its token, `refresh_in`, in seconds; not sent when left out. */
  refreshInSeconds?: number | undefined;
  /** How far a client's clock may be off. */
  clockToleranceSeconds: number;
}

export const tokenEndpoint = (origin: string, tenantId: string): string => `${origin}/${tenantId}/oauth2/v2.0/token`;

const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** The answer to a client credentials request, by https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow. Throws EntraRefusal. */
export async function grantToken(context: EntraContext, tenant: Tenant, form: URLSearchParams) {
  const grant = required(form, 'grant_type');
  if (grant !== 'client_credentials') throw unsupportedGrant(grant);
  const clientId = required(form, 'client_id');
  const scope = required(form, 'scope');
  const application = findApplication(tenant, clientId);
  if (!application) throw applicationNotFound(clientId, tenant.name);
  const authentication = await authenticate(context, tenant, application, form);
  const { resource, audience } = resourceOf(tenant, scope);
  const roles = application.appRoles[resource.uri];
  if (resource.assignmentRequired && !roles?.length) throw roleNotAssigned(application.clientId, resource);
  const lifetimeSeconds = context.tokenLifetimeSeconds;
  const token = await issueToken({ ...context, now: context.clock.now(), lifetimeSeconds }, resource, audience, {
    tenantId: tenant.id,
    clientId: application.clientId,
    objectId: application.objectId,
    authentication,
    roles,
  });
  return {
    token_type: 'Bearer',
    expires_in: lifetimeSeconds,
    ext_expires_in: lifetimeSeconds,
    ...(context.refreshInSeconds === undefined ? {} : { refresh_in: context.refreshInSeconds }),
    access_token: token,
  };
}

async function authenticate(
  context: EntraContext,
  tenant: Tenant,
  application: Application,
  form: URLSearchParams,
): Promise<ClientAuthentication> {
  const assertion = form.get('client_assertion');
  if (assertion) {
    if (form.get('client_assertion_type') !== JWT_BEARER) throw malformedAssertion();
    await verifyAssertion(assertion, {
      ...context,
      application,
      now: context.clock.now(),
      audiences: [tokenEndpoint(context.origin, tenant.id), issuerV2(context.origin, tenant.id)],
    });
    return '2';
  }
  const value = form.get('client_secret');
  if (!value) throw missingCredential();
  const secret = findClientSecret(application, value);
  if (!secret) throw invalidSecret(application.clientId);
  if (secret.expires <= context.clock.now()) throw expiredSecret(application.clientId);
  return '1';
}

function resourceOf(tenant: Tenant, scope: string) {
  const audience = /^(\S+)\/\.default$/.exec(scope.trim())?.[1];
  if (!audience) throw invalidScope(scope);
  const resource = findResource(tenant, audience);
  if (!resource) throw resourceNotFound(audience, tenant.name);
  return { resource, audience };
}

function required(form: URLSearchParams, name: string): string {
  const value = form.get(name);
  if (!value) throw missingParameter(name);
  return value;
}
