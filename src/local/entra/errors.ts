import type { X509Certificate } from 'node:crypto';
import { BridgeError } from '../../shared/errors.ts';

/** A refusal of the token endpoint, as Entra words it. Codes: https://learn.microsoft.com/entra/identity-platform/reference-error-codes */
export class EntraRefusal extends BridgeError<`AADSTS${number}`> {
  readonly status: number;
  /** The OAuth error code. */
  readonly error: string;
  readonly number: number;

  constructor(status: number, error: string, number: number, message: string) {
    super(`AADSTS${number}`, `AADSTS${number}: ${message}`);
    this.status = status;
    this.error = error;
    this.number = number;
  }
}

const CREDENTIAL_DOCS = 'https://learn.microsoft.com/entra/identity-platform/certificate-credentials';
const FEDERATION_DOCS = 'https://learn.microsoft.com/entra/workload-id/workload-identity-federation';
const NOT_INSTALLED =
  'This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant.';

const invalidClient = (number: number, message: string) => new EntraRefusal(401, 'invalid_client', number, message);
const invalidRequest = (number: number, message: string) => new EntraRefusal(400, 'invalid_request', number, message);

/** The metadata document says `invalid_tenant`, the token endpoint `invalid_request`. */
export const tenantNotFound = (tenant: string, error: 'invalid_tenant' | 'invalid_request') =>
  new EntraRefusal(
    400,
    error,
    90002,
    `Tenant '${tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.`,
  );

export const tenantNotNamed = () =>
  invalidRequest(
    50059,
    'No tenant-identifying information found in either the request or implied by any provided credentials.',
  );

export const missingParameter = (name: string) =>
  invalidRequest(900144, `The request body must contain the following parameter: '${name}'.`);

export const unsupportedGrant = (grant: string) =>
  new EntraRefusal(400, 'unsupported_grant_type', 70003, `The app requested an unsupported grant type '${grant}'.`);

export const applicationNotFound = (clientId: string, tenantName: string) =>
  new EntraRefusal(
    400,
    'unauthorized_client',
    700016,
    `Application with identifier '${clientId}' was not found in the directory '${tenantName}'. ${NOT_INSTALLED} You may have sent your authentication request to the wrong tenant.`,
  );

export const missingCredential = () =>
  invalidClient(
    7000218,
    "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
  );

export const invalidSecret = (clientId: string) =>
  invalidClient(
    7000215,
    `Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '${clientId}'.`,
  );

export const expiredSecret = (clientId: string) =>
  invalidClient(
    7000222,
    `The provided client secret keys for app '${clientId}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.`,
  );

export const malformedAssertion = (why?: string) =>
  invalidRequest(50027, why ? `Invalid JWT token. ${why}` : 'JWT token is invalid or malformed.');

export const assertionOfAnotherClient = () =>
  invalidClient(
    700021,
    `Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at ${CREDENTIAL_DOCS} .`,
  );

export const assertionSubjectDiffers = () =>
  invalidClient(50048, 'Subject must match the issuer claim in the client assertion.');

export const assertionAudienceDiffers = () =>
  invalidClient(
    700023,
    `Client assertion audience claim does not match Realm issuer. Review the documentation at ${CREDENTIAL_DOCS} .`,
  );

/** Times in seconds since 1970, the current one in milliseconds. */
export const assertionNotInTime = (now: number, validFrom: number, expires: number) =>
  invalidClient(
    700024,
    `Client assertion is not within its valid time range. Current time: ${longTime(now)}, assertion valid from ${longTime(validFrom * 1000)}, expiry time of assertion ${longTime(expires * 1000)}. Review the documentation at ${CREDENTIAL_DOCS} .`,
  );

export const certificateNotRegistered = (clientId: string, thumbprint: string) =>
  invalidClient(
    700027,
    `The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found., Thumbprint of key used by client: '${thumbprint}', Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '${clientId}'. Review the documentation at https://docs.microsoft.com/en-us/graph/deployments to determine the corresponding service endpoint and https://docs.microsoft.com/en-us/graph/api/application-get?view=graph-rest-1.0&tabs=http to build a query request URL, such as 'https://graph.microsoft.com/beta/applications/${clientId}'].`,
  );

export const certificateOutOfDate = (thumbprint: string, found: X509Certificate) =>
  invalidClient(700027, signatureRefused('The key used is expired.', thumbprint, found));

export const wrongSignature = (thumbprint: string, found: X509Certificate) =>
  invalidClient(
    700027,
    signatureRefused('The provided signature value did not match the expected signature value.', thumbprint, found),
  );

export const federatedSignatureUnknown = () =>
  invalidClient(
    5000811,
    'Unable to verify token signature. The signing key identifier does not match any valid registered keys.',
  );

export const noFederatedIssuer = (issuer: string) => noFederatedRecord(700211, 'issuer', issuer);
export const noFederatedAudience = (audience: string) => noFederatedRecord(700212, 'audience', audience);
export const noFederatedSubject = (subject: string) => noFederatedRecord(700213, 'subject', subject);

export const federatedSubjectCase = (subject: string) =>
  invalidClient(
    7002138,
    `No matching federated identity record found for presented assertion subject '${subject}'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. ${FEDERATION_DOCS}`,
  );

export const invalidScope = (scope: string) =>
  new EntraRefusal(
    400,
    'invalid_scope',
    1002012,
    `The provided value for scope ${scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).`,
  );

export const resourceNotFound = (resource: string, tenantName: string) =>
  new EntraRefusal(
    400,
    'invalid_resource',
    500011,
    `The resource principal named ${resource} was not found in the tenant named ${tenantName}. ${NOT_INSTALLED} You might have sent your authentication request to the wrong tenant.`,
  );

export const roleNotAssigned = (clientId: string, resource: { appId: string; name: string }) =>
  new EntraRefusal(
    400,
    'invalid_grant',
    501051,
    `Application '${clientId}' is not assigned to a role for the application '${resource.appId}'(${resource.name}).`,
  );

/** The one body that every refusal has; the trailers of the description are separated by spaces since about 2023. */
export function refusalBody(refusal: EntraRefusal, ids: { trace: string; correlation: string }, now: number) {
  const timestamp = `${new Date(now).toISOString().slice(0, 19).replace('T', ' ')}Z`;
  return {
    error: refusal.error,
    error_description: `${refusal.message} Trace ID: ${ids.trace} Correlation ID: ${ids.correlation} Timestamp: ${timestamp}`,
    error_codes: [refusal.number],
    timestamp,
    trace_id: ids.trace,
    correlation_id: ids.correlation,
    error_uri: `https://login.microsoftonline.com/error?code=${refusal.number}`,
  };
}

const noFederatedRecord = (number: number, what: string, value: string) =>
  invalidClient(
    number,
    `No matching federated identity record found for presented assertion ${what} '${value}'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. ${FEDERATION_DOCS}`,
  );

const signatureRefused = (reason: string, thumbprint: string, found: X509Certificate) =>
  `Client assertion contains an invalid signature. [Reason - ${reason}, Thumbprint of key used by client: '${thumbprint}', Found key 'Start=${slashTime(found.validFrom)}, End=${slashTime(found.validTo)}']`;

/** Seven digits of a second's fraction, as .NET writes them. */
const longTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '0000Z');

function slashTime(certificateTime: string): string {
  const [date = '', time = ''] = new Date(certificateTime).toISOString().slice(0, 19).split('T');
  const [year, month, day] = date.split('-');
  return `${month}/${day}/${year} ${time}`;
}
