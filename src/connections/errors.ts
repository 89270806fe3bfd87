import { BridgeError } from '../shared/errors.ts';

/**
 * Why a connection has no token: the app's own identity gives none (`identityUnavailable`); the vault cannot be reached
 * (`vaultUnavailable`), refuses us (`vaultDenied`) or lacks the object (`vaultObjectMissing`); the certificate is no
 * certificate with its key (`certificateUnusable`) or outside its validity (`certificateExpired`,
 * `certificateNotYetValid`), as a secret may be that is not to be used yet (`secretNotYetValid`); Entra cannot be
 * reached or is out of order (`entraUnreachable`) or refuses us (`tokenRefused`, with Entra's AADSTS number); all writes
 * are stopped (`writesStopped`).
 */
export type ConnectionErrorCode =
  | 'identityUnavailable'
  | 'vaultUnavailable'
  | 'vaultDenied'
  | 'vaultObjectMissing'
  | 'certificateUnusable'
  | 'certificateExpired'
  | 'certificateNotYetValid'
  | 'secretNotYetValid'
  | 'entraUnreachable'
  | 'tokenRefused'
  | 'writesStopped';

export class ConnectionError extends BridgeError<ConnectionErrorCode> {
  /** Entra's error number, as in AADSTS700027. */
  readonly aadsts: number | undefined;

  constructor(
    code: ConnectionErrorCode,
    message: string,
    options: ErrorOptions & { hint?: string | undefined; aadsts?: number | undefined } = {},
  ) {
    super(code, message, options);
    this.aadsts = options.aadsts;
  }
}

const FEDERATED =
  'Check the registration’s federated credential: issuer https://login.microsoftonline.com/<tenant>/v2.0, subject = object id of the managed identity (case counts), audience api://AzureADTokenExchange.';

const hintsByNumber: Readonly<Record<number, string>> = {
  50034: 'Check the tenant id.',
  90002: 'Check the tenant id: Entra knows no such tenant.',
  700016: 'Check the client id, and that the registration lives in this tenant.',
  700024: 'Check the clock of the machine: the assertion is outside its time range.',
  700027:
    'Upload the certificate’s public part to the app registration (Certificates & secrets), or point certificateName at the one that is registered.',
  7000215: 'The client secret is wrong: put the secret’s value, not its id, into the vault (npm run secret:set).',
  7000222: 'The client secret has expired: make a new one and put it into the vault (npm run secret:set).',
  7000218:
    'The registration must allow client credentials: check that it has a certificate, a secret or a federated credential.',
  70021: FEDERATED,
  700211: FEDERATED,
  700212: FEDERATED,
  700213: FEDERATED,
  7002138: FEDERATED,
  500011: 'Check the scope: its host must be the environment’s, and Dataverse must be provisioned in this tenant.',
  1002012: 'The scope must end in /.default.',
  70011: 'The scope must be https://<environment>/.default.',
  50013: 'Entra could not verify the assertion: check that the certificate’s key is the registered one.',
};

/** Entra's refusal as an error, the number with its hint. */
export function refusedByEntra(number: number | undefined, description: string, cause: unknown): ConnectionError {
  // MSAL puts numbers and times in front; Entra puts ids and times behind.
  const [said = ''] = description.slice(Math.max(0, description.indexOf('AADSTS'))).split(/\s+Trace ID:|\r?\n/);
  return new ConnectionError('tokenRefused', `Entra refused a token: ${said}`.trim(), {
    cause,
    aadsts: number,
    hint:
      (number !== undefined && hintsByNumber[number]) ||
      'Look the AADSTS number up on learn.microsoft.com, "Microsoft Entra authentication error codes".',
  });
}
