import { BridgeError, messageOf } from '../shared/errors.ts';

export type StorageErrorCode = 'conflict' | 'notFound' | 'unavailable' | 'denied' | 'messageTooLarge' | 'refused';

/**
 * A storage operation that did not happen.
 *
 * `conflict`: the precondition did not hold (409 or 412); where the answer to an attempt was lost and the SDK repeated
 * it, that may be our own write. `notFound`: what was to be changed is not there.
 * `denied`: the identity may not do it, or there is no identity. `unavailable`: no answer after the SDK's own retries,
 * or an answer that says to come again; the same call may succeed later. `messageTooLarge`: over the size of a queue
 * message. `refused`: the service calls the request itself wrong; repeating it is of no use.
 */
export class StorageError extends BridgeError<StorageErrorCode> {}

const HINTS: Partial<Record<StorageErrorCode, string>> = {
  denied:
    'Give the app’s identity the roles Storage Blob Data Owner, Storage Queue Data Contributor and Storage Table Data Contributor on the storage account.',
  unavailable: 'See whether the storage account exists, answers, and lets this app through its network rules.',
};

/** The error for a failed SDK call; an aborted call throws the signal's reason. */
export function storageError(error: unknown, what: string, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason;
  if (error instanceof StorageError) return error;
  const code = codeOf(error);
  return new StorageError(code, `${what}: ${reasonOf(error)}`, { cause: error, hint: HINTS[code] });
}

/** True where the SDK says that the service answered 404. */
export const isMissing = (error: unknown): boolean => statusOf(error) === 404;

/** True where the SDK says that the service answered 409. */
export const isConflict = (error: unknown): boolean => statusOf(error) === 409;

/** True where the SDK says that the service answered 409 or 412: it is another's, or no longer as it was. */
export const isTaken = (error: unknown): boolean => isConflict(error) || statusOf(error) === 412;

function codeOf(error: unknown): StorageErrorCode {
  // @azure/identity: no credential, or the credential's own service refused it with a status of its own.
  if (error instanceof Error && /^(AuthenticationError|CredentialUnavailableError)$/.test(error.name)) return 'denied';
  const status = statusOf(error);
  // A container, queue or table of this name was deleted moments ago; the name is free again later.
  if (serviceCodeOf(error)?.endsWith('BeingDeleted')) return 'unavailable';
  if (status === 409 || status === 412) return 'conflict';
  if (status === 404) return 'notFound';
  if (status === 401 || status === 403) return 'denied';
  if (status === undefined || status === 408 || status === 429 || status >= 500) return 'unavailable';
  return 'refused';
}

/** `statusCode` as all three SDKs' `RestError` has it; read by shape, so that the SDKs stay unloaded until used. */
function statusOf(error: unknown): number | undefined {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : undefined;
}

/** The service's own code, such as `ContainerBeingDeleted`: the table SDK keeps it in `details`. */
function serviceCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  const details = 'details' in error ? error.details : undefined;
  if (typeof details !== 'object' || details === null || !('errorCode' in details)) return undefined;
  return typeof details.errorCode === 'string' ? details.errorCode : undefined;
}

/** The SDKs' messages end in request ids and times, and the table SDK's are raw JSON. */
function reasonOf(error: unknown): string {
  const code = serviceCodeOf(error);
  const status = statusOf(error);
  return code === undefined || status === undefined
    ? (messageOf(error).split('\n', 1)[0] ?? '')
    : `the service answered ${status} ${code}.`;
}
