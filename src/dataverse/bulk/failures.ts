import type { BridgeError } from '../../shared/errors.ts';
import { DataverseError } from '../errors.ts';

/**
 * What a failed request says about the rows in it.
 * `refused`: the service looked at them and says no · `unsupported`: it does not know the message · `tooLarge`: the
 * body is · `deadlock`, `timeout`, `transient`: it tried and has rolled back · `unknown`: no verdict, they may be
 * written · `foreign`: something other than Dataverse answered · `limit`: not carried out, and no time left to wait ·
 * `account`: the application user gets nothing at all.
 */
export type FailureClass =
  | 'refused'
  | 'unsupported'
  | 'tooLarge'
  | 'deadlock'
  | 'timeout'
  | 'transient'
  | 'unknown'
  | 'foreign'
  | 'limit'
  | 'account';

/** Tries of each class that the rows of a request have behind them. They are counted apart: none uses up another's. */
export type Tries = Readonly<Partial<Record<FailureClass, number>>>;

/** Sources: Dataverse error codes; SQL error 1205 comes as 0x80044150, a time-out as 0x80044151 ("Bulk operation errors"). */
const CLASS_OF_CODE: Readonly<Record<string, FailureClass>> = {
  '0x80044150': 'deadlock',
  '0x80044339': 'deadlock',
  '0x80040255': 'deadlock',
  '0x80044151': 'timeout',
  '0x80071154': 'transient',
  '0x80090412': 'transient',
  '0x8004418a': 'tooLarge',
  '0x80040800': 'unsupported',
  '0x8006088a': 'unsupported',
  '0x80040219': 'unsupported',
  '0x80072560': 'account',
  '0x8004a104': 'account',
};

/** The class of a failure. A fault of ours or of the token's source speaks against the account: nothing can be sent. */
export function classify(error: BridgeError): FailureClass {
  if (!(error instanceof DataverseError)) return 'account';
  const { status, serviceCode } = error.facts;
  const byCode = CLASS_OF_CODE[serviceCode?.toLowerCase() ?? ''];
  if (byCode) return byCode;
  switch (error.code) {
    case 'network':
      return 'unknown';
    case 'notDataverse':
      return 'foreign';
    case 'limitExceeded':
      return 'limit';
    case 'unauthenticated':
      return 'account';
    case 'tooLarge':
      return 'tooLarge';
    case 'unavailable':
      if (status === 501) return 'unsupported';
      // Dataverse's own 500 is a verdict: it has rolled back. A gateway's 5xx leaves open what is behind it.
      return status === 500 && serviceCode ? 'transient' : 'unknown';
    default:
      return status === 405 ? 'unsupported' : 'refused';
  }
}

/** Tries after the first, by class. Service protection limits have none: the pace waits for as long as there is time. */
const BUDGET: Readonly<Partial<Record<FailureClass, number>>> = { deadlock: 8, timeout: 6, transient: 3, unknown: 5 };

/**
 * What to do next: `resend` the same rows after a pause · `halve` them · `isolate` the bad ones among them · settle them
 * as `refused` · try another `form` · `end` the write, for no row fares better.
 */
export type Remedy = 'resend' | 'halve' | 'isolate' | 'refused' | 'form' | 'end';

/** Decides after a failure of a request with so many rows, all of whose earlier tries are in `tries`. */
export function remedyFor(failure: FailureClass, rows: number, tries: Tries): Remedy {
  const left = (tries[failure] ?? 0) < (BUDGET[failure] ?? 0);
  switch (failure) {
    case 'refused':
      return rows > 1 ? 'isolate' : 'refused';
    case 'unsupported':
      return 'form';
    case 'tooLarge':
      return rows > 1 ? 'halve' : 'refused';
    case 'timeout':
      if (!left) return rows > 1 ? 'isolate' : 'refused';
      return rows > 1 ? 'halve' : 'resend';
    case 'deadlock':
    case 'transient':
      if (left) return 'resend';
      return rows > 1 ? 'isolate' : 'refused';
    case 'unknown':
      return left ? 'resend' : 'end';
    case 'foreign':
    case 'limit':
    case 'account':
      return 'end';
    default:
      return failure satisfies never;
  }
}

/** Whether rows may have been written although the request failed. */
export const leavesOpen = (failure: FailureClass): boolean => failure === 'unknown' || failure === 'foreign';

/** The tries with one more of this class. */
export const oneMore = (tries: Tries, failure: FailureClass): Tries => ({
  ...tries,
  [failure]: (tries[failure] ?? 0) + 1,
});
