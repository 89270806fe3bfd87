import { newGuid } from '../../shared/ids.ts';
import type { Handler } from '../listener.ts';
import { findTenant, type Tenant } from './directory.ts';
import { EntraRefusal, refusalBody, tenantNotFound, tenantNotNamed } from './errors.ts';
import { type EntraContext, grantToken, tokenEndpoint } from './token-endpoint.ts';
import { issuerV2 } from './tokens.ts';

// These stand for "whichever tenant the signing-in user has"; Entra's metadata for them has a placeholder as issuer.
const SHARED_TENANTS = ['common', 'organizations', 'consumers'];

/** The local Entra: metadata, keys and the token endpoint of every tenant in the directory. */
export function createEntra(context: EntraContext): Handler {
  return async (request) => {
    const trace = newGuid();
    const correlation = request.headers.get('client-request-id') ?? newGuid();
    const headers = { 'x-ms-request-id': trace, 'client-request-id': correlation };
    try {
      const body = await route(context, request);
      if (!body) return new Response(null, { status: 404, headers });
      return Response.json(body, { headers: { ...headers, 'cache-control': 'no-store, no-cache' } });
    } catch (error) {
      if (!(error instanceof EntraRefusal)) throw error;
      return Response.json(refusalBody(error, { trace, correlation }, context.clock.now()), {
        status: error.status,
        headers: { ...headers, 'cache-control': 'no-store, no-cache' },
      });
    }
  };
}

async function route(context: EntraContext, request: Request): Promise<object | undefined> {
  const [tenantName = '', ...rest] = new URL(request.url).pathname.split('/').filter(Boolean);
  const call = `${request.method} ${rest.join('/').toLowerCase()}`;
  switch (call) {
    case 'GET v2.0/.well-known/openid-configuration':
      return metadata(context, tenantName);
    case 'GET discovery/v2.0/keys':
    case 'GET discovery/keys':
      return context.key.jwks;
    case 'POST oauth2/v2.0/token':
      return grantToken(
        context,
        tenantOf(context, tenantName, 'invalid_request'),
        new URLSearchParams(await request.text()),
      );
    default:
      return undefined;
  }
}

function tenantOf(context: EntraContext, name: string, error: 'invalid_tenant' | 'invalid_request'): Tenant {
  if (SHARED_TENANTS.includes(name.toLowerCase())) throw tenantNotNamed();
  const tenant = findTenant(context.directory, name);
  if (!tenant) throw tenantNotFound(name, error);
  return tenant;
}

function metadata(context: EntraContext, name: string) {
  const { origin } = context;
  const shared = SHARED_TENANTS.includes(name.toLowerCase());
  const path = shared ? name.toLowerCase() : tenantOf(context, name, 'invalid_tenant').id;
  return {
    token_endpoint: tokenEndpoint(origin, path),
    token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt'],
    jwks_uri: `${origin}/${path}/discovery/v2.0/keys`,
    response_modes_supported: ['query', 'fragment', 'form_post'],
    subject_types_supported: ['pairwise'],
    id_token_signing_alg_values_supported: ['RS256'],
    response_types_supported: ['code', 'id_token', 'code id_token', 'id_token token'],
    scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
    issuer: issuerV2(origin, shared ? '{tenantid}' : path),
    authorization_endpoint: `${origin}/${path}/oauth2/v2.0/authorize`,
    end_session_endpoint: `${origin}/${path}/oauth2/v2.0/logout`,
    tenant_region_scope: shared ? null : 'EU',
    cloud_instance_name: 'microsoftonline.com',
    cloud_graph_host_name: 'graph.windows.net',
    msgraph_host: 'graph.microsoft.com',
    rbac_url: 'https://pas.windows.net',
  };
}
