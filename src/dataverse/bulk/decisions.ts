import { BridgeError, unreachable } from '../../shared/errors.ts';
import { DataverseError } from '../errors.ts';
import { classify } from './failures.ts';
import type { Found } from './look-up.ts';
import type { OutcomeKind, RowError } from './outcomes.ts';
import { idToCreate, type RowToWrite, type WriteMode } from './row-to-write.ts';

/** What can be sent for a row. `upsert` leaves it to the service whether the row exists. */
export type WriteKind = 'create' | 'update' | 'upsert' | 'delete';

/** What is to become of a row: something to send, or an outcome. */
export type Decision =
  /** `as` is the outcome that success stands for, where it is not the one of what is sent. */
  | { readonly send: WriteKind; readonly id: string; readonly as?: OutcomeKind }
  | { readonly outcome: OutcomeKind; readonly id?: string; readonly error?: RowError };

/** What is known of a row beyond its key. */
export interface RowFacts {
  /** It was sent before, and the answer was lost. */
  readonly unsure: boolean;
  /** When this write was first begun, over all restarts: younger rows were created by it. */
  readonly since: number | undefined;
}

/** What to do with a row once it is known what its key leads to; undefined = no row. Pure. */
export function decide(
  mode: WriteMode,
  row: RowToWrite,
  found: Found | 'ambiguous' | undefined,
  facts: RowFacts,
): Decision {
  if (found === 'ambiguous') return { outcome: 'rejected', error: AMBIGUOUS };
  if (found && mode !== 'delete' && isOurs(row, found, facts)) return { outcome: 'created', id: found.id };
  const young = found !== undefined && isYoung(row, found, facts);
  switch (mode) {
    case 'upsert':
      if (!found) return { send: 'create', id: idToCreate(row) };
      // Should somebody else have created it, its values are not ours.
      return { send: 'update', id: found.id, ...(young && { as: 'created' }) };
    case 'create':
      if (young) return { outcome: 'created', id: found.id };
      return found
        ? { outcome: 'rejected', id: found.id, error: ALREADY_EXISTS }
        : { send: 'create', id: idToCreate(row) };
    case 'update':
      return found ? { send: 'update', id: found.id } : { outcome: 'rejected', error: NOT_FOUND };
    case 'delete':
      if (found) return { send: 'delete', id: found.id };
      // It was there, and a delete was sent whose answer was lost.
      return facts.unsure ? { outcome: 'deleted' } : { outcome: 'skipped', error: NOTHING_TO_DELETE };
    default:
      return unreachable(mode);
  }
}

/**
 * Whether a row that was found was created by this write, with its values. The id that was made for it proves it. A
 * caller's own id does not; but if the row was not there when the write looked, and is there after a create whose answer
 * was lost, it counts as this write's.
 */
const isOurs = ({ newId, key }: RowToWrite, found: Found, { unsure }: RowFacts): boolean =>
  found.id === newId || (unsure && key['id'] === found.id);

/** Whether a row under its caller's own id is younger than the beginning of this write, by the service's seconds. */
const isYoung = ({ key }: RowToWrite, found: Found, { since }: RowFacts): boolean =>
  key['id'] === found.id &&
  since !== undefined &&
  found.createdAt !== undefined &&
  found.createdAt >= since - (since % 1000);

const AMBIGUOUS: RowError = {
  code: 'ambiguousKey',
  message: 'Several rows have these values, so none of them is meant for certain.',
  hint: 'Match by more columns, or create an alternate key.',
};
const ALREADY_EXISTS: RowError = {
  code: 'alreadyExists',
  message: 'A row with this key exists already.',
  hint: 'Use mode=upsert to update it.',
};
const NOT_FOUND: RowError = {
  code: 'notFound',
  message: 'There is no row with this key.',
  hint: 'Use mode=upsert to create it.',
};
const NOTHING_TO_DELETE: RowError = { code: 'notFound', message: 'There is no row with this key.' };

/** A row with this id or these key values exists (Dataverse error codes DuplicateRecord, DuplicateRecordEntityKey). */
const DUPLICATE: ReadonlySet<string> = new Set(['0x80040237', '0x80060892']);

/** What was sent for a row and refused. */
export interface Refusal {
  readonly send: WriteKind;
  readonly id: string;
  readonly error: DataverseError;
}

/**
 * What a refusal of one row means: an outcome, or that what was known of the row is out of date, so that its key is to
 * be looked up once more. Pure.
 */
export function afterRefusal(
  { send, id, error }: Refusal,
  facts: { unsure: boolean; lookedUp: boolean },
): Decision | 'lookUp' {
  if (send === 'create' && (facts.unsure || DUPLICATE.has(error.facts.serviceCode?.toLowerCase() ?? '')))
    return 'lookUp';
  if (send === 'delete' && facts.unsure) return error.code === 'notFound' ? { outcome: 'deleted', id } : 'lookUp';
  if (error.code === 'notFound' && send === 'delete') {
    return facts.lookedUp ? { outcome: 'skipped', error: { code: 'notFound', message: error.message } } : 'lookUp';
  }
  if (error.code === 'notFound' && send === 'update') return 'lookUp';
  // What the service refuses for its content it has refused before as well; any other refusal leaves that open, and so
  // does a right that is missing now.
  if (facts.unsure && (classify(error) !== 'refused' || error.code === 'forbidden'))
    return { outcome: 'rejected', error: unknownOutcome(error) };
  return { outcome: 'rejected', error: rowError(error) };
}

/**
 * What to do after the look-up that a refusal led to. The same thing is not sent twice: if the row is where it was, the
 * service refused something else (another key of the row, a row that it points at).
 */
export function decideAgain(decision: Decision, refusal: Refusal): Decision {
  if (!('send' in decision) || decision.send !== refusal.send || decision.id !== refusal.id) return decision;
  return { outcome: 'rejected', error: rowError(refusal.error) };
}

/** The service's refusal of one row. The column is read from the message where the service names it there only. */
export function rowError(error: BridgeError): RowError {
  const column = error.message.match(/\bthe '([a-z0-9_]+)' attribute\b/)?.[1];
  return {
    code: (error instanceof DataverseError && error.facts.serviceCode) || error.code,
    message: error.message,
    ...(error.hint !== undefined && { hint: error.hint }),
    ...(column !== undefined && { column }),
  };
}

/** What is told of a row that was sent and may or may not be written. */
export function unknownOutcome(reason: unknown): RowError {
  const { message, hint } = reason instanceof BridgeError ? reason : { message: '', hint: undefined };
  return {
    code: 'outcomeUnknown',
    message: `${message} Whether this row was written is not known.`.trimStart(),
    hint: hint ?? 'Send the row again; that is safe.',
  };
}

/** The columns that an update changes, as far as the caller knows what the row has. */
export function changedValues({ values, known }: RowToWrite): Readonly<Record<string, unknown>> {
  if (!known) return values;
  return Object.fromEntries(
    Object.entries(values).filter(([name, value]) => !Object.hasOwn(known, name) || known[name] !== value),
  );
}
