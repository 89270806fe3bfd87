import { createHash, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../shared/clock.ts';
import { newGuid } from '../../shared/ids.ts';
import type { Handler } from '../listener.ts';
import { findResource, type ManagedIdentity, type Tenant } from './directory.ts';
import { resourceNotFound } from './errors.ts';
import type { SigningKey } from './signing-key.ts';
import { issueToken } from './tokens.ts';

export interface ManagedIdentityContext {
  tenant: Tenant;
  key: SigningKey;
  /** Where the local Entra listens, for the issuer of version 2 tokens. */
  entraOrigin: string;
  /** The value that `X-IDENTITY-HEADER` must have, the platform's guard against forged requests. */
  header: string;
  clock: Clock;
  /** Seconds; Azure's managed identity tokens last 24 hours. */
  tokenLifetimeSeconds: number;
}

export const MANAGED_IDENTITY_PATH = '/msi/token';

const API_VERSION = '2019-08-01';
// Names of the user-assigned identity's parameter, each with what it holds:
// https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
const SELECTORS = {
  client_id: 'clientId',
  principal_id: 'objectId',
  object_id: 'objectId',
  mi_res_id: 'resourceId',
} as const;

/** The token endpoint that App Service gives an app (`IDENTITY_ENDPOINT`, `IDENTITY_HEADER`). */
export function createManagedIdentity(context: ManagedIdentityContext): Handler {
  return async (request) => {
    const url = new URL(request.url);
    if (request.method !== 'GET' || url.pathname.replace(/\/$/, '').toLowerCase() !== MANAGED_IDENTITY_PATH) {
      return refusal(404, 'Not found.');
    }
    if (!sameSecret(request.headers.get('x-identity-header') ?? '', context.header)) {
      return refusal(401, 'The X-IDENTITY-HEADER is missing or wrong.');
    }
    const version = url.searchParams.get('api-version');
    if (version !== API_VERSION) return refusal(400, `The api-version '${version ?? ''}' is not supported.`);
    const asked = url.searchParams.get('resource');
    if (!asked) return refusal(400, "The parameter 'resource' is missing.");
    const { identity, named } = findIdentity(context.tenant, url.searchParams);
    if (!identity) {
      const which = named ? 'No User Assigned or Delegated Managed Identity' : 'No Managed Identity';
      return refusal(400, `${which} found for specified ClientId/ResourceId/PrincipalId.`);
    }
    const resource = findResource(context.tenant, asked);
    if (!resource) return refusal(400, resourceNotFound(asked, context.tenant.name).message);
    const now = context.clock.now();
    const lifetimeSeconds = context.tokenLifetimeSeconds;
    const token = await issueToken({ ...context, origin: context.entraOrigin, now, lifetimeSeconds }, resource, asked, {
      tenantId: context.tenant.id,
      clientId: identity.clientId,
      objectId: identity.objectId,
      authentication: '2',
      managedIdentity: identity.resourceId,
    });
    return Response.json({
      access_token: token,
      expires_on: String(Math.floor(now / 1000) + lifetimeSeconds),
      resource: asked,
      token_type: 'Bearer',
      client_id: identity.clientId,
    });
  };
}

function findIdentity(tenant: Tenant, query: URLSearchParams) {
  const selectors = Object.entries(SELECTORS).filter(([parameter]) => query.has(parameter));
  if (selectors.length === 0) {
    return { identity: tenant.managedIdentities.find(({ kind }) => kind === 'systemAssigned'), named: false };
  }
  const matches = (identity: ManagedIdentity) =>
    selectors.every(
      ([parameter, property]) => identity[property].toLowerCase() === query.get(parameter)?.toLowerCase(),
    );
  return { identity: tenant.managedIdentities.find(matches), named: true };
}

const refusal = (statusCode: number, message: string): Response =>
  Response.json({ statusCode, message, correlationId: newGuid() }, { status: statusCode });

/** Hashed first, so that neither content nor length shows in the time. */
function sameSecret(presented: string, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(presented), digest(expected));
}
