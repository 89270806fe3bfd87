import { WireError } from './errors.ts';

/** What the service protection limits watch. */
export type Facet = 'requests' | 'executionTime' | 'concurrency';

/** The limits that the texts name; null where there is none. */
export interface NamedLimits {
  readonly windowMs: number;
  readonly requests: number | null;
  readonly executionMs: number | null;
  readonly concurrency: number | null;
}

/** Those of the service's documentation. */
const DOCUMENTED_LIMITS: NamedLimits = {
  windowMs: 300_000,
  requests: 6000,
  executionMs: 1_200_000,
  concurrency: 52,
};

/** The service's 429; `retryAfterSeconds` null leaves the header out. */
export function limitExceeded(facet: Facet, limits: NamedLimits, retryAfterSeconds: number | null): WireError {
  const headers = retryAfterSeconds === null ? {} : { 'Retry-After': String(retryAfterSeconds) };
  const window = `over time window of ${limits.windowMs / 1000} seconds.`;
  switch (facet) {
    case 'requests':
      return new WireError(
        429,
        '0x80072322',
        `Number of requests exceeded the limit of ${limits.requests} ${window}`,
        headers,
      );
    case 'executionTime':
      return new WireError(
        429,
        '0x80072321',
        `Combined execution time of incoming requests exceeded limit of ${(limits.executionMs ?? 0).toLocaleString('en-US')} ` +
          `milliseconds ${window} Decrease number of concurrent requests or reduce the duration of requests and try ` +
          'again later.',
        headers,
      );
    case 'concurrency':
      return new WireError(
        429,
        '0x80072326',
        `Number of concurrent requests exceeded the limit of ${limits.concurrency}.`,
        headers,
      );
  }
}

/** Errors that pass by themselves: the same request may succeed a moment later. */
export const PASSING_FAULTS = [
  'deadlock',
  'sqlTimeout',
  'lockTimeout',
  'rolledBack',
  'customizationRunning',
  'requests',
  'executionTime',
  'concurrency',
] as const;

export type PassingFault = (typeof PASSING_FAULTS)[number];

/** `retryAfterSeconds` goes with the limits, whose texts name the documented numbers. */
export function passingError(fault: PassingFault, retryAfterSeconds: number): WireError {
  switch (fault) {
    case 'deadlock':
      return new WireError(
        500,
        '0x80044150',
        'Generic SQL error. CRM ErrorCode: -2147204784 Sql ErrorCode: -2146232060 Sql Number: 1205',
      );
    case 'sqlTimeout':
      return new WireError(
        500,
        '0x80044151',
        'SQL timeout expired. CRM ErrorCode: -2147204783 Sql ErrorCode: -2146232060 Sql Number: -2',
      );
    case 'lockTimeout':
      return new WireError(
        500,
        '0x80044339',
        "Cannot obtain lock on resource:'Row', mode:Update - stored procedure sp_getapplock returned error code -3. " +
          'The lock request was chosen as a deadlock victim. Please retry the request.',
      );
    case 'rolledBack':
      return new WireError(500, '0x80040255', 'The transaction was already rolled back.');
    case 'customizationRunning':
      return new WireError(
        400,
        '0x80090412',
        'Cannot start the requested operation because there is an entity customization running at this moment.',
      );
    default:
      return limitExceeded(fault, DOCUMENTED_LIMITS, retryAfterSeconds);
  }
}
