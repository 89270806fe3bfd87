import { BridgeError } from '../shared/errors.ts';

/**
 * What went wrong between us and Dataverse, by what a caller can do about it:
 * `unauthenticated` 401 · `forbidden` 403 · `notFound` 404 · `conflict` 412 · `limitExceeded` 429 · `tooLarge` 413 ·
 * `refused` another 4xx: the request itself is wrong · `unavailable` 5xx, after retries · `network` no answer, after
 * retries · `notDataverse` an answer that is not the Web API's (a proxy's HTML page) · `tableUnknown` and
 * `columnUnknown` names that metadata does not hold · `tableNotAllowed` outside the connection's `allowedTables`.
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
  | 'tableUnknown'
  | 'columnUnknown'
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
