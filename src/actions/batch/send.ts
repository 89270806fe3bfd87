import { classify, type FailureClass, leavesOpen } from '../../dataverse/bulk/failures.ts';
import type { StreamingClient } from '../../dataverse/client.ts';
import { DataverseError, errorFromAnswer } from '../../dataverse/errors.ts';
import { findRowId } from '../../dataverse/find-row.ts';
import { readRow } from '../../dataverse/read-row.ts';
import { backoff } from '../../dataverse/retry.ts';
import {
  asErrorAnswer,
  type BatchAnswer,
  type BatchOperation,
  readArrived,
  writeBatch,
} from '../../dataverse/wire/batch.ts';
import { CONTINUE_ON_ERROR, REPRESENTATION } from '../../dataverse/wire/headers.ts';
import { rowPath } from '../../dataverse/wire/keys.ts';
import type { Clock } from '../../shared/clock.ts';
import { BridgeError } from '../../shared/errors.ts';
import { parseExactJson } from '../../shared/exact-json.ts';
import type { NewId } from '../../shared/ids.ts';
import type { BatchLimits, Entry } from './entries.ts';
import { type BatchOutcome, late, rejected, unknown } from './outcome.ts';

export interface SendContext {
  readonly client: StreamingClient;
  /** The path part of the Web API's address, `/api/data/v9.2/`. */
  readonly apiPath: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: NewId;
  readonly limits: BatchLimits;
  /** Entries of one lane keep their order. */
  readonly laneOf: (entry: Entry) => unknown;
}

/** An entry that is not settled. */
interface Pending {
  readonly entry: Entry;
  readonly operation: BatchOperation;
  /** Whether it was sent before and its answer was lost. */
  readonly unsure: boolean;
}

type Verdict = BatchOutcome | { readonly again: FailureClass; readonly error: BridgeError };

/** Tries after the first; refusals by service protection limits do not count, they end with the time. */
const RETRIES = 5;
/** With less time left than a batch may take nothing is begun: an answer that comes too late leaves everything open. */
const LEAST_TIME_MS = 10_000;

/**
 * Sends entries as one `$batch` and settles each of them. What was not carried out (limits, deadlocks) and what lost its
 * answer is sent again: an update has the same effect twice, a created row has an id, and a delete finds nothing the
 * second time. An entry behind which another of its lane has been carried out is not sent again: that would turn their
 * order round.
 */
export async function sendEntries(context: SendContext, entries: readonly Entry[]): Promise<BatchOutcome[]> {
  const { clock, limits, random } = context;
  const { deadline } = limits;
  const outcomes: BatchOutcome[] = [];
  let pending: readonly Pending[] = await locate(context, entries, outcomes);
  for (let attempt = 1; pending.length > 0; attempt += 1) {
    if (clock.now() + LEAST_TIME_MS > deadline) return [...outcomes, ...pending.map(outOfTime)];
    const verdicts = inOrder(context, pending, await sendOnce(context, pending));
    const next: Pending[] = [];
    let delay = 0;
    for (const [at, each] of pending.entries()) {
      const verdict = verdicts[at];
      if (!verdict) continue;
      if ('outcome' in verdict) outcomes.push(verdict);
      else if (attempt > RETRIES && verdict.again !== 'limit') outcomes.push(givenUp(each, verdict));
      else {
        next.push({ ...each, unsure: each.unsure || leavesOpen(verdict.again) });
        delay = Math.max(delay, retryAfterOf(verdict.error) ?? backoff(attempt, random()));
      }
    }
    if (clock.now() + delay + LEAST_TIME_MS > deadline) return [...outcomes, ...next.map(outOfTime)];
    if (next.length > 0) await clock.sleep(delay);
    pending = next;
  }
  return outcomes;
}

/** Looks up rows whose keys no path carries. What is not found is settled. */
async function locate(context: SendContext, entries: readonly Entry[], outcomes: BatchOutcome[]): Promise<Pending[]> {
  const { client, limits } = context;
  const located = await Promise.all(
    entries.map(async (entry): Promise<Pending | BatchOutcome> => {
      const { operation, address, shape, index } = entry;
      if (operation.path !== undefined || !address) {
        return { entry, operation: { ...operation, path: operation.path ?? '' }, unsure: false };
      }
      try {
        const id = await findRowId(client, address, limits);
        if (id === undefined) throw new DataverseError('notFound', 'There is no row with this key.', { status: 404 });
        const path = rowPath(shape.entitySetName, id);
        return { entry: { ...entry, id }, operation: { ...operation, path }, unsure: false };
      } catch (error) {
        if (!(error instanceof BridgeError)) throw error;
        return rejected(index, error);
      }
    }),
  );
  return located.flatMap((each) => {
    if ('entry' in each) return [each];
    outcomes.push(each);
    return [];
  });
}

const retryAfterOf = (error: BridgeError): number | undefined =>
  error instanceof DataverseError ? error.facts.retryAfterMs : undefined;

/** Gives up what cannot be sent again without being overtaken by a later entry of its lane. */
function inOrder({ laneOf }: SendContext, pending: readonly Pending[], verdicts: readonly Verdict[]): Verdict[] {
  const carriedOut = new Set<unknown>();
  const ordered = pending.flatMap((each, at) => {
    const verdict = verdicts[at];
    return verdict ? [{ each, verdict }] : [];
  });
  return ordered
    .reverse()
    .map(({ each, verdict }): Verdict => {
      const lane = laneOf(each.entry);
      if (!('outcome' in verdict)) return carriedOut.has(lane) ? givenUp(each, verdict) : verdict;
      if (verdict.outcome !== 'rejected') carriedOut.add(lane);
      return verdict;
    })
    .reverse();
}

async function sendOnce(context: SendContext, pending: readonly Pending[]): Promise<Verdict[]> {
  const { client, apiPath, newId, limits } = context;
  const operations = pending.map(({ operation }) => operation);
  const { contentType, body } = writeBatch(operations, apiPath, `batch_${newId()}`);
  try {
    const response = await client.send({
      method: 'POST',
      path: '$batch',
      headers: { ...CONTINUE_ON_ERROR, 'content-type': contentType },
      body,
      bulk: true,
      ...limits,
    });
    const { answers } = readArrived(response.header('content-type') ?? '', response.text);
    return await Promise.all(pending.map((each, at) => settle(context, each, answers[at])));
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error;
    return pending.map((each) => wholeFailed(each, error));
  }
}

/** Failures after which sending the same again may help. */
const PASSING: ReadonlySet<FailureClass> = new Set(['limit', 'deadlock', 'timeout', 'transient', 'unknown', 'foreign']);

function wholeFailed(pending: Pending, error: BridgeError): Verdict {
  const again = classify(error);
  // The client has waited for service protection limits itself, for as long as there was time.
  return again !== 'limit' && PASSING.has(again) ? { again, error } : givenUp(pending, { again, error });
}

const BROKEN_OFF = new DataverseError('network', 'The answer to a batch broke off before its end.');

async function settle(context: SendContext, pending: Pending, answer: BatchAnswer | undefined): Promise<Verdict> {
  const { entry, unsure } = pending;
  if (!answer) return { again: 'unknown', error: BROKEN_OFF };
  if (answer.status < 300) return success(entry, answer.status, answer.text);
  const error = errorFromAnswer(asErrorAnswer(answer));
  const again = classify(error);
  if (PASSING.has(again)) return { again, error };
  return unsure ? settleUnsure(context, entry, error) : rejected(entry.index, error, knownId(entry));
}

/** The service's codes for a row with the same id or key (DuplicateRecord, DuplicateRecordEntityKey). */
const DUPLICATE: ReadonlySet<string> = new Set(['0x80040237', '0x80060892']);

/** A refusal of what had been sent before: it may be refused because it has been carried out. */
async function settleUnsure(context: SendContext, entry: Entry, error: DataverseError): Promise<BatchOutcome> {
  const { index, action, id, ownId, shape, returnRepresentation } = entry;
  if (action === 'delete' && error.code === 'notFound') return success(entry, 204, '');
  if (action === 'update' && error.code === 'notFound' && changesItsKey(entry)) return unknown(index, error.message);
  const isDuplicate = DUPLICATE.has(error.facts.serviceCode?.toLowerCase() ?? '');
  if (action !== 'create' || id === undefined || !isDuplicate) return rejected(index, error, knownId(entry));
  // A row under the caller's own id may have been there before.
  if (!ownId) return unknown(index, error.message, id);
  try {
    const { client, limits } = context;
    const select = returnRepresentation ? '' : `?$select=${shape.primaryId}`;
    const path = rowPath(shape.entitySetName, id) + select;
    const { text } = await client.send({ method: 'GET', path, headers: REPRESENTATION, ...limits });
    return success(entry, returnRepresentation ? 201 : 204, text);
  } catch (failed) {
    if (!(failed instanceof BridgeError)) throw failed;
    return failed.code === 'notFound' ? rejected(index, error) : unknown(index, failed.message, id);
  }
}

/** Whether an entry leads away from the key by which it found its row. */
const changesItsKey = ({ address, gets }: Entry): boolean =>
  address?.kind === 'key' && Object.keys(address.values).some((name) => name in gets);

const DONE = { create: 'created', update: 'updated', delete: 'deleted' } as const;

function success(
  { index, action, id, shape, returnRepresentation }: Entry,
  status: number,
  text: string,
): BatchOutcome {
  const data = returnRepresentation && text !== '' ? readRow(shape, rowIn(text)) : undefined;
  const told = data?.[shape.primaryId];
  const rowId = typeof told === 'string' ? told : id;
  return { index, outcome: DONE[action], status, ...(rowId !== undefined && { id: rowId }), ...(data && { data }) };
}

function rowIn(text: string): Readonly<Record<string, unknown>> {
  const row: unknown = parseExactJson(text);
  return typeof row === 'object' && row !== null ? { ...row } : {};
}

/** The id of the row as the caller knows it; one that was made here for a row that is not there helps nobody. */
const knownId = ({ id, ownId }: Entry): string | undefined => (ownId ? undefined : id);

/** What is not sent again: its failure stands, unless it may have been carried out all the same. */
function givenUp(
  { entry, unsure }: Pending,
  { again, error }: { again: FailureClass; error: BridgeError },
): BatchOutcome {
  if (unsure || leavesOpen(again)) return unknown(entry.index, error.message, entry.id);
  return rejected(entry.index, error, knownId(entry));
}

const outOfTime = ({ entry, unsure }: Pending): BatchOutcome =>
  unsure ? unknown(entry.index, 'The time for one request was over.', entry.id) : late(entry.index);
