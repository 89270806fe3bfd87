import { BridgeError } from '../../shared/errors.ts';

/** A refusal of Key Vault: `{ error: { code, message, innererror? } }`. */
export class KeyVaultRefusal extends BridgeError {
  readonly status: number;
  readonly innerCode: string | undefined;
  readonly headers: Record<string, string>;

  constructor(
    status: number,
    code: string,
    message: string,
    more: { innerCode?: string; headers?: Record<string, string> } = {},
  ) {
    super(code, message);
    this.status = status;
    this.innerCode = more.innerCode;
    this.headers = more.headers ?? {};
  }

  toResponse(): Response {
    const innererror = this.innerCode ? { innererror: { code: this.innerCode } } : {};
    return Response.json(
      { error: { code: this.code, message: this.message, ...innererror } },
      { status: this.status, headers: { 'cache-control': 'no-cache', ...this.headers } },
    );
  }
}

/** What a vault holds, by the first segment of its address. */
export type ObjectType = 'secrets' | 'keys' | 'certificates';

const SINGULAR = { secrets: 'secret', keys: 'key', certificates: 'certificate' } as const;
const TITLE = { secrets: 'Secret', keys: 'Key', certificates: 'Certificate' } as const;

/** `challenge` is the WWW-Authenticate header that tells the client where to get a token. */
export const unauthorized = (message: string, challenge: string) =>
  new KeyVaultRefusal(401, 'Unauthorized', message, { headers: { 'www-authenticate': challenge } });

export const badParameter = (message: string) => new KeyVaultRefusal(400, 'BadParameter', message);

export const notFound = (type: ObjectType, name: string) =>
  new KeyVaultRefusal(
    404,
    `${TITLE[type]}NotFound`,
    `A ${SINGULAR[type]} with (name/id) ${name} was not found in this key vault. If you recently deleted this ${SINGULAR[type]} you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182`,
  );

export const disabled = (type: ObjectType, operation: string) =>
  new KeyVaultRefusal(403, 'Forbidden', `Operation ${operation} is not allowed on a disabled ${SINGULAR[type]}.`, {
    innerCode: `${TITLE[type]}Disabled`,
  });

export const keyExpired = (operation: string) =>
  new KeyVaultRefusal(403, 'Forbidden', `Operation ${operation} is not allowed on an expired key.`, {
    innerCode: 'KeyExpired',
  });

export const keyNotYetValid = (operation: string) =>
  new KeyVaultRefusal(403, 'Forbidden', `Operation ${operation} is not allowed on a not yet valid key.`, {
    innerCode: 'KeyNotYetValid',
  });

export const nameTaken = (name: string) =>
  new KeyVaultRefusal(409, 'Conflict', `The secret ${name} belongs to a certificate of the same name.`);

/** Who asked for what, as the message tells it. */
export interface DeniedRequest {
  clientId: string;
  objectId: string;
  issuer: string;
  /** Data action such as `secrets/getSecret/action`. */
  action: string;
  /** `secrets/<name>`, or empty for the vault itself. */
  object: string;
  vault: { name: string; resourceId: string; location: string };
}

export const forbiddenByRbac = ({ clientId, objectId, issuer, action, object, vault }: DeniedRequest) =>
  new KeyVaultRefusal(
    403,
    'Forbidden',
    [
      'Caller is not authorized to perform action on resource.',
      'If role assignments, deny assignments or role definitions were changed recently, please observe propagation time.',
      `Caller: appid=${clientId};oid=${objectId};iss=${issuer}`,
      `Action: 'Microsoft.KeyVault/vaults/${action}'`,
      `Resource: '${[vault.resourceId.toLowerCase(), object].filter(Boolean).join('/')}'`,
      'Assignment: (not found)',
      'DenyAssignmentId: null',
      "DecisionReason: 'DeniedWithNoValidRBAC' ",
      `Vault: ${vault.name};location=${vault.location}`,
      '',
    ].join('\r\n'),
    { innerCode: 'ForbiddenByRbac' },
  );

export const throttled = (retryAfterSeconds: number) =>
  new KeyVaultRefusal(429, 'Throttled', 'Request was not processed because too many requests were received.', {
    headers: { 'retry-after': String(retryAfterSeconds) },
  });

export const unavailable = () =>
  new KeyVaultRefusal(503, 'ServiceUnavailable', 'The service is temporarily unavailable.');

/** The emulator's own answer to what it does not do. */
export const notEmulated = (what: string) => new KeyVaultRefusal(501, 'NotEmulated', `${what} is not emulated.`);
