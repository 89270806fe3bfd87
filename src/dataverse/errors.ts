import { BridgeError } from '../shared/errors.ts';
import { type RowStatus, rowStatuses } from './wire/bulk.ts';

/**
 * What went wrong between us and Dataverse, by what a caller can do about it:
 * `unauthenticated` 401 · `forbidden` 403 · `notFound` 404 · `conflict` 412 · `limitExceeded` 429 · `tooLarge` 413 ·
 * `refused` another 4xx: the request itself is wrong · `unavailable` 5xx, after retries · `network` no answer, after
 * retries · `notDataverse` an answer that is not the Web API's (a proxy's HTML page) · `answerTooLarge` more bytes than
 * were allowed for · `tableUnknown`, `keyUnknown` names that metadata does not hold · `tableNotAllowed` outside the
 * connection's `allowedTables`.
 */
export type DataverseErrorCode =
  | 'unauthenticated'
  | 'forbidden'
  | 'notFound'
  | 'conflict'
  | 'limitExceeded'
  | 'tooLarge'
  | 'refused'
  | 'unavailable'
  | 'network'
  | 'notDataverse'
  | 'answerTooLarge'
  | 'tableUnknown'
  | 'keyUnknown'
  | 'tableNotAllowed';

/** What the service said, as far as it said it. */
export interface DataverseFacts {
  readonly status?: number;
  /** `0x80040217`; empty where the service sends none. */
  readonly serviceCode?: string;
  /** `x-ms-service-request-id`, for a support case. */
  readonly serviceRequestId?: string;
  readonly retryAfterMs?: number;
  /** Whether an earlier try of the same request had no verdict and may have been carried out. */
  readonly afterUnknown?: boolean;
  /** What became of each row of a bulk message on an elastic table, which takes some of them and not others. */
  readonly rowStatuses?: readonly RowStatus[];
}

export class DataverseError extends BridgeError<DataverseErrorCode> {
  readonly facts: DataverseFacts;

  constructor(
    code: DataverseErrorCode,
    message: string,
    facts: DataverseFacts = {},
    options: ErrorOptions & { hint?: string | undefined } = {},
  ) {
    super(code, message, options);
    this.facts = facts;
  }
}

/** Failures that say nothing about the rows of a request: the same request may succeed later. */
export const isOutage = (error: DataverseError): boolean =>
  ['unauthenticated', 'limitExceeded', 'unavailable', 'network', 'notDataverse'].includes(error.code);

/** An answer of the service, or of something in front of it. */
export interface ErrorAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
  readonly serviceRequestId?: string | undefined;
  readonly retryAfterMs?: number | undefined;
}

/** Turns an answer with a failing status into the error that names its cause. */
export function errorFromAnswer(answer: ErrorAnswer): DataverseError {
  const said = serviceError(answer);
  const facts: DataverseFacts = {
    status: answer.status,
    ...(said && { serviceCode: said.code }),
    ...(answer.serviceRequestId && { serviceRequestId: answer.serviceRequestId }),
    ...(answer.retryAfterMs !== undefined && { retryAfterMs: answer.retryAfterMs }),
    ...(said?.rows && { rowStatuses: said.rows }),
  };
  const code = codeOf(answer.status, said !== undefined, answer.contentType);
  const message =
    said?.message || `Dataverse answered ${answer.status}${said ? '' : ` with ${answer.contentType || 'no content'}`}.`;
  return new DataverseError(code, message, facts, { hint: hintFor(code, said?.code ?? '', said?.message ?? '') });
}

function codeOf(status: number, isServiceError: boolean, contentType: string): DataverseErrorCode {
  if (status === 401) return 'unauthenticated';
  if (status === 429) return 'limitExceeded';
  if (status >= 500) return 'unavailable';
  if (!isServiceError && contentType.includes('html')) return 'notDataverse';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'notFound';
  if (status === 412) return 'conflict';
  return status === 413 ? 'tooLarge' : 'refused';
}

interface Said {
  readonly code: string;
  readonly message: string;
  readonly rows: readonly RowStatus[] | undefined;
}

function serviceError(answer: ErrorAnswer): Said | undefined {
  try {
    const body: unknown = JSON.parse(answer.text);
    const error = isRecord(body) && isRecord(body['error']) ? body['error'] : undefined;
    if (!error) return undefined;
    return { code: String(error['code'] ?? ''), message: String(error['message'] ?? ''), rows: rowStatuses(error) };
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const hintsByServiceCode: Readonly<Record<string, string>> = {
  '0x80072560':
    'Add the registration as an application user of this environment (Power Platform admin centre, Settings, Application users) and enable it.',
  '0x8004a112': 'Activate the application user (Power Platform admin centre, Settings, Application users).',
  '0x80044302': 'Dataverse got no token that it knows: check that the scope’s host is the environment’s.',
  '0x80040277': 'Check that the scope’s host and the tenant are the environment’s.',
  '0x8004a105':
    'Dataverse takes the token for tampered: check that nothing between changes requests, and the machine’s clock.',
  '0x8004a104':
    'Enable or reactivate the environment in the Power Platform admin centre; trial and unused developer environments are disabled by themselves.',
  '0x80040220': 'Give the application user’s security role the privilege that the message names.',
  '0x80040299': 'Give the application user’s security role the privilege that the message names.',
  '0x80048306':
    'The role reaches too short for this row: give the privilege a wider depth (up to Organization), or share the row.',
  '0x80048405': 'The application user may not do this: compare its security role with what the call needs.',
  '0x80040231': 'The new owner’s role lacks a privilege on the table: give it, or leave the owner alone.',
  '0x80042f09': 'Assign a security role to the application user.',
  '0x80042f0a': 'Assign a security role to the team that gives the application user its rights.',
  '0x80072321':
    'Execution time is the limit that was reached: send smaller batches, and look for slow plug-ins on the table; send again after the time in Retry-After.',
  '0x80072322':
    'The number of requests is the limit that was reached: send more rows in each call; send again after the time in Retry-After.',
  '0x80072326':
    'The number of concurrent requests is the limit that was reached: lower maxConcurrency; send again after the time in Retry-After.',
  '0x80060891': 'The row that the key names does not exist.',
  '0x80060892': 'Another row already holds these key values.',
  '0x80040237': 'A row with this id or key exists already.',
  '0x80060882': 'The row has changed since: read it again, and send its present ETag in If-Match.',
  '0x8006088d': 'This table keeps no versions for comparison: leave out If-Match with an ETag.',
  '0x80060890': 'Use the columns of an alternate key whose index is Active, or create one.',
  '0x80044331': 'Shorten the text, or map the column with "truncate": true.',
};

function hintFor(code: DataverseErrorCode, serviceCode: string, message: string): string | undefined {
  const known = hintsByServiceCode[serviceCode.toLowerCase()];
  if (known) return known;
  if (/secured|field.?security/i.test(message))
    return 'The column is secured: add the application user to a field security profile.';
  switch (code) {
    case 'unauthenticated':
      return 'Dataverse did not accept the token: check that the scope’s host is the environment’s.';
    case 'notDataverse':
      return 'Something other than Dataverse answered: check the URL, a proxy, and whether the environment is active.';
    case 'limitExceeded':
      return 'Service protection limits are reached; send again after the time in Retry-After.';
    case 'unavailable':
      return 'Dataverse is not available at the moment; sending again is safe.';
    case 'forbidden':
      return 'The application user may not do this: compare its security role with what the call needs (POST connections/{connection}/test tells).';
    case 'notFound':
      return 'Check the id or key, and that the application user may read the row.';
    case 'tooLarge':
      return 'Send fewer rows or smaller values at a time.';
    default:
      return undefined;
  }
}
