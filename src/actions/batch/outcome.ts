import { rowError } from '../../dataverse/bulk/decisions.ts';
import type { RowError } from '../../dataverse/bulk/outcomes.ts';
import { DataverseError, type DataverseErrorCode } from '../../dataverse/errors.ts';
import type { Row } from '../../dataverse/read-row.ts';
import type { BridgeError } from '../../shared/errors.ts';

/** What became of one entry of a batch. */
export interface BatchOutcome {
  /** Position in the request, from 0. */
  readonly index: number;
  readonly outcome: 'created' | 'updated' | 'deleted' | 'rejected';
  /** As a request of its own would have been answered. */
  readonly status: number;
  readonly id?: string;
  /** The row as it is then, where it was asked for. */
  readonly data?: Row;
  readonly error?: RowError;
}

/** Status of errors that the service did not give one. */
const STATUS: Readonly<Partial<Record<DataverseErrorCode, number>>> = {
  tableUnknown: 404,
  tableNotAllowed: 403,
  keyUnknown: 400,
  limitExceeded: 429,
};

/** An entry that failed, by its error. */
export function rejected(index: number, error: BridgeError, id?: string): BatchOutcome {
  const status = error instanceof DataverseError ? (error.facts.status ?? STATUS[error.code]) : statusIn(error);
  const { code, message, hint } = error;
  return {
    index,
    outcome: 'rejected',
    status: status ?? 502,
    ...(id !== undefined && { id }),
    error: error instanceof DataverseError ? rowError(error) : { code, message, ...(hint !== undefined && { hint }) },
  };
}

const statusIn = (error: BridgeError): number | undefined =>
  'status' in error && typeof error.status === 'number' ? error.status : undefined;

/** An entry that is not as it should be; nothing was sent for it. */
export const malformed = (index: number, error: RowError): BatchOutcome => ({
  index,
  outcome: 'rejected',
  status: error.code === 'tableNotAllowed' ? 403 : 400,
  error,
});

/** An entry that may or may not have been carried out. */
export const unknown = (index: number, why: string, id?: string): BatchOutcome => ({
  index,
  outcome: 'rejected',
  status: 504,
  ...(id !== undefined && { id }),
  error: {
    code: 'outcomeUnknown',
    message: `${why} Whether this entry was carried out is not known.`,
    hint: 'Read the row before the entry is sent again.',
  },
});

/** An entry that was not sent. */
export const late = (index: number): BatchOutcome => ({
  index,
  outcome: 'rejected',
  status: 504,
  error: {
    code: 'deadline',
    message: 'Not carried out: the time for one request was over.',
    hint: 'Send the entry again in another request.',
  },
});
