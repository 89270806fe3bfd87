import type { HttpResponseInit } from '@azure/functions';
import { ActivationError } from '../activations/errors.ts';
import { SettingsError } from '../config/settings.ts';
import { ConnectionError } from '../connections/errors.ts';
import { DataverseError, type DataverseErrorCode } from '../dataverse/errors.ts';
import { InputError } from '../dataverse/input-error.ts';
import { BridgeError } from '../shared/errors.ts';
import { StorageError, type StorageErrorCode } from '../storage/errors.ts';

/** One fault of a request, with where it is: a JSON path, a setting, a column. */
export interface ProblemDetail {
  readonly path: string;
  readonly code: string;
  readonly message: string;
}

/** The body of every failing answer: RFC 9457 with our members `code`, `hint`, `requestId` and `errors`. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly hint?: string;
  readonly requestId: string;
  readonly errors?: readonly ProblemDetail[];
}

/** A request that cannot be served as it is. `status` is the HTTP status of its answer. */
export class RequestError extends BridgeError {
  readonly status: number;
  readonly errors: readonly ProblemDetail[];
  /** Headers that the answer has besides those of every problem. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    message: string,
    options: ErrorOptions & {
      hint?: string | undefined;
      errors?: readonly ProblemDetail[];
      headers?: Readonly<Record<string, string>>;
    } = {},
  ) {
    super(code, message, options);
    this.status = status;
    this.errors = options.errors ?? [];
    this.headers = options.headers ?? {};
  }
}

/** The HTTP status of errors whose class does not carry one itself. A code that is missing here is a fault of ours: 500. */
const statusByCode: Readonly<Record<string, number>> = {
  connectionUnknown: 404,
  settingsFault: 503,
};

const dataverseStatus: Readonly<Record<DataverseErrorCode, number>> = {
  unauthenticated: 502,
  forbidden: 403,
  notFound: 404,
  conflict: 412,
  limitExceeded: 429,
  tooLarge: 413,
  refused: 400,
  unavailable: 503,
  network: 502,
  notDataverse: 502,
  answerTooLarge: 502,
  tableUnknown: 404,
  keyUnknown: 400,
  tableNotAllowed: 403,
};

const storageStatus: Readonly<Record<StorageErrorCode, number>> = {
  conflict: 412,
  notFound: 404,
  unavailable: 503,
  denied: 503,
  messageTooLarge: 413,
  refused: 500,
};

const titles: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not found',
  409: 'Conflict',
  412: 'Precondition failed',
  413: 'Content too large',
  415: 'Unsupported media type',
  428: 'Precondition required',
  429: 'Too many requests',
  500: 'Internal error',
  502: 'Bad gateway',
  503: 'Service unavailable',
  504: 'Gateway timeout',
};

/** What an error says to a caller. Errors that are not ours say nothing of their own: their text may hold anything. */
export function problemOf(error: unknown, requestId: string): Problem {
  // What an AbortSignal.timeout throws.
  if (error instanceof Error && error.name === 'TimeoutError') {
    return {
      type: 'about:blank',
      title: 'Gateway timeout',
      status: 504,
      detail: 'What the app waits for did not answer in time.',
      code: 'timeout',
      hint: 'Send the request again.',
      requestId,
    };
  }
  if (!(error instanceof BridgeError)) {
    return {
      type: 'about:blank',
      title: 'Internal error',
      status: 500,
      detail: 'The request failed for a reason that the app did not foresee.',
      code: 'internal',
      hint: 'Look the request id up in the logs.',
      requestId,
    };
  }
  const status = statusOf(error);
  const errors = detailsOf(error);
  return {
    type: 'about:blank',
    title: titles[status] ?? 'Error',
    status,
    detail: error.message,
    code: error.code,
    ...(error.hint !== undefined && { hint: error.hint }),
    requestId,
    ...(errors.length > 0 && { errors }),
  };
}

function statusOf(error: BridgeError): number {
  if (error instanceof DataverseError) return dataverseStatus[error.code];
  if (error instanceof StorageError) return storageStatus[error.code];
  if (error instanceof ConnectionError) return 503;
  if ('status' in error && typeof error.status === 'number') return error.status;
  return statusByCode[error.code] ?? 500;
}

function detailsOf(error: BridgeError): readonly ProblemDetail[] {
  if (error instanceof SettingsError) {
    return error.faults.map((fault) => ({ path: fault.setting, code: 'settingFault', message: fault.message }));
  }
  if (error instanceof ActivationError || error instanceof InputError) return error.faults;
  return error instanceof RequestError ? error.errors : [];
}

/** The answer that carries a problem. */
export function problemResponse(error: unknown, requestId: string): HttpResponseInit {
  const problem = problemOf(error, requestId);
  return {
    status: problem.status,
    headers: {
      'content-type': 'application/problem+json',
      'x-request-id': requestId,
      ...retryAfter(error, problem.status),
      ...(error instanceof RequestError && error.headers),
    },
    body: JSON.stringify(problem),
  };
}

function retryAfter(error: unknown, status: number): { 'retry-after'?: string } {
  if (status !== 429 && status !== 503) return {};
  const ms = error instanceof DataverseError ? error.facts.retryAfterMs : undefined;
  if (ms !== undefined) return { 'retry-after': String(Math.max(1, Math.ceil(ms / 1000))) };
  const transient =
    error instanceof DataverseError || (error instanceof ConnectionError && error.code === 'vaultUnavailable');
  return transient ? { 'retry-after': '10' } : {};
}
