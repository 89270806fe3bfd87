import { ConnectionError } from '../connections/errors.ts';
import { DataverseError, isOutage } from '../dataverse/errors.ts';
import { BridgeError } from '../shared/errors.ts';
import { StorageError } from '../storage/errors.ts';
import { ActivationError } from './errors.ts';
import type { RunProblem } from './runs.ts';

/** Faults told in a run; its row in the table has room for so many. */
const MOST_FAULTS = 50;
const LONGEST_TEXT = 1_000;

/** What a run says about a failure. Only errors thrown on purpose are quoted: others may hold anything. */
export function problemOf(error: unknown): RunProblem {
  if (!(error instanceof BridgeError)) {
    return {
      code: 'internalError',
      message: 'An error that nobody foresaw.',
      hint: 'See the app’s log at the time of the run.',
    };
  }
  const faults = error instanceof ActivationError ? error.faults.slice(0, MOST_FAULTS) : [];
  return {
    code: error.code,
    message: error.message.slice(0, LONGEST_TEXT),
    ...(error.hint !== undefined && { hint: error.hint.slice(0, LONGEST_TEXT) }),
    ...(faults.length > 0 && {
      errors: faults.map((fault) => ({ ...fault, message: fault.message.slice(0, LONGEST_TEXT / 5) })),
    }),
  };
}

/** Whether trying the same again later may succeed. What nobody foresaw counts as such; tries are bounded. */
export function isTransient(error: unknown): boolean {
  if (error instanceof DataverseError) return isOutage(error);
  if (error instanceof StorageError) return error.code !== 'refused';
  if (error instanceof ActivationError) return error.code === 'spaceMissing';
  if (error instanceof ConnectionError) return error.code === 'vaultUnavailable' || error.code === 'entraUnreachable';
  return !(error instanceof BridgeError);
}
