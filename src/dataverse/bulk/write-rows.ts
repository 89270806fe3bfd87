import { BridgeError, unreachable } from '../../shared/errors.ts';
import type { NewId } from '../../shared/ids.ts';
import { sendBatch } from '../batch.ts';
import type { CallMeter, DataverseClient } from '../client.ts';
import { DataverseError, errorFromAnswer, isOutage } from '../errors.ts';
import type { RowKey, Table } from '../table.ts';
import { asErrorAnswer, type BatchAnswer, type BatchOperation } from '../wire/batch.ts';
import { UPDATE_ONLY } from '../wire/headers.ts';
import { bulkPath, bulkTarget } from '../wire/rows.ts';
import { type KeyStrategy, keyFilter, keyValue, sameKey } from './keys.ts';
import type { OutcomeKind, RowError, RowOutcome } from './outcomes.ts';

export type { KeyStrategy } from './keys.ts';

export type WriteMode = 'create' | 'update' | 'upsert' | 'delete';

/** A row ready to be sent. */
export interface RowToWrite {
  readonly index: number;
  /** `{ id }`, or the values of the key's columns. */
  readonly key: RowKey;
  /** Columns in the Web API's own form, without the key's columns; from `toWireRow`. */
  readonly values: Readonly<Record<string, unknown>>;
  /** The row's id where it is known; spares the look-up. */
  readonly id?: string;
  /**
   * The id that the row gets if it has to be created. Made once and kept over restarts: a row found under this very id
   * was created by an earlier try of the same write and counts as created.
   */
  readonly newId: string;
}

export interface WriteContext {
  readonly client: DataverseClient;
  /** The path part of the Web API's address, `/api/data/v9.2/`. */
  readonly apiPath: string;
  readonly table: Table;
  readonly strategy: KeyStrategy;
  readonly mode: WriteMode;
  readonly newId: NewId;
  readonly meter: CallMeter;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds since 1970 after which no request may still wait. */
  readonly deadline?: number | undefined;
  /** Most rows in one request. */
  readonly batchSize?: number;
  /**
   * What a request does that fails as a whole: `throw`, so that the write can be repeated later (default), or `reject`
   * its rows, and after an outage (see `isOutage`) skip the rest.
   */
  readonly onOutage?: 'throw' | 'reject';
}

const BATCH_SIZE = 500;
/** Operations of one `$batch`: a batch runs them one after the other, so a longer one only holds its answer back. */
const REPLAY_SIZE = 100;
/** A look-up's query stays well below the 32,768 characters that a GET may have. */
const LOOKUP_CHARACTERS = 16_000;

/**
 * Writes rows in input order and yields one outcome for each, in input order. Rows are sent as bulk messages; when one
 * of those is refused its rows are sent again one by one in a `$batch`, so that exactly the bad ones are told. Rows
 * with equal keys never share a request. What comes in as an outcome already (a row that was rejected before) passes
 * through in its place. Throws DataverseError on an outage unless told to reject; writing the rows again is safe
 * either way.
 */
export async function* writeRows(
  context: WriteContext,
  rows: AsyncIterable<RowToWrite | RowOutcome>,
): AsyncGenerator<RowOutcome> {
  const { batchSize = BATCH_SIZE } = context;
  const writer: Writer = { ...context, outage: undefined };
  let batch: (RowToWrite | RowOutcome)[] = [];
  const identities = new Set<string>();
  for await (const row of rows) {
    const identity = 'outcome' in row ? undefined : sameKey(row.key);
    if (batch.length >= batchSize || (identity !== undefined && identities.has(identity))) {
      yield* await writeMixed(writer, batch);
      batch = [];
      identities.clear();
    }
    batch.push(row);
    if (identity !== undefined) identities.add(identity);
  }
  yield* await writeMixed(writer, batch);
}

async function writeMixed(writer: Writer, batch: readonly (RowToWrite | RowOutcome)[]): Promise<RowOutcome[]> {
  const settled = batch.filter((row) => 'outcome' in row);
  const rows = batch.filter((row) => !('outcome' in row)) as RowToWrite[];
  const written = rows.length > 0 ? await writeBatchOfRows(writer, rows) : [];
  return [...settled, ...written].sort((a, b) => a.index - b.index);
}

interface Writer extends WriteContext {
  /** The outage that ended this write; rows behind it are skipped. */
  outage: BridgeError | undefined;
}

/**
 * The outcomes of `work`, or where it failed and the writer is to reject, a rejection of each row that it concerned. An
 * outage ends the write besides, and so does it when no token is to be had; a refusal (of a look-up that the role does
 * not allow) says nothing of other rows.
 */
async function orReject(
  writer: Writer,
  rows: readonly RowToWrite[],
  work: () => Promise<RowOutcome[]>,
): Promise<RowOutcome[]> {
  try {
    return await work();
  } catch (error) {
    if (writer.onOutage !== 'reject' || !(error instanceof BridgeError)) throw error;
    if (error instanceof DataverseError && !isOutage(error))
      return rows.map((row) => outcomeOf(row, 'rejected', undefined, rowError(error)));
    writer.outage = error;
    return rows.map((row) => outcomeOf(row, 'rejected', undefined, outageError(error)));
  }
}

/** An outage without an answer leaves open whether the row was written; one with a refusal does not. */
function outageError(error: BridgeError): RowError {
  const refused = error.code === 'unauthenticated' || error.code === 'limitExceeded';
  return {
    code: refused ? error.code : 'outcomeUnknown',
    message: refused ? error.message : `${error.message} Whether this row was written is not known.`,
    hint: error.hint ?? 'Send the row again; that is safe.',
  };
}

/** What is to be sent for a row once it is known whether it exists. */
interface WriteStep {
  readonly kind: 'create' | 'update' | 'delete';
  readonly row: RowToWrite;
  readonly id: string;
}

async function writeBatchOfRows(writer: Writer, rows: readonly RowToWrite[]): Promise<RowOutcome[]> {
  writer.signal?.throwIfAborted();
  const { outage } = writer;
  if (outage) {
    const error: RowError = {
      code: outage.code,
      message: 'Not tried: Dataverse failed before.',
      hint: 'Send the row again.',
    };
    return rows.map((row) => outcomeOf(row, 'skipped', undefined, error));
  }
  return orReject(writer, rows, async () => {
    const ids = await findIds(writer, rows);
    const steps = rows.map((row) => stepFor(writer.mode, row, row.id ?? ids.get(sameKey(row.key))));
    const toSend = (kind: WriteStep['kind']): WriteStep[] =>
      steps.filter((step) => 'kind' in step && step.kind === kind) as WriteStep[];
    return [
      ...steps.filter((step) => 'outcome' in step),
      ...(await sendRows(writer, 'CreateMultiple', toSend('create'))),
      ...(await sendRows(writer, 'UpdateMultiple', toSend('update'))),
      ...(await replay(writer, toSend('delete'))),
    ];
  });
}

function stepFor(mode: WriteMode, row: RowToWrite, id: string | undefined): WriteStep | RowOutcome {
  const done = (outcome: OutcomeKind, error?: RowError): RowOutcome => outcomeOf(row, outcome, id, error);
  switch (mode) {
    case 'upsert':
      if (id === undefined) return { kind: 'create', row, id: newIdOf(row) };
      return id === row.newId ? done('created') : { kind: 'update', row, id };
    case 'create':
      if (id === undefined) return { kind: 'create', row, id: newIdOf(row) };
      if (id === row.newId) return done('created');
      return done('rejected', {
        code: 'alreadyExists',
        message: 'A row with this key exists already.',
        hint: 'Use mode=upsert to update it.',
      });
    case 'update':
      if (id !== undefined) return { kind: 'update', row, id };
      return done('rejected', {
        code: 'notFound',
        message: 'There is no row with this key.',
        hint: 'Use mode=upsert to create it.',
      });
    case 'delete':
      return id === undefined
        ? done('skipped', { code: 'notFound', message: 'There is no row with this key.' })
        : { kind: 'delete', row, id };
    default:
      return unreachable(mode);
  }
}

const newIdOf = (row: RowToWrite): string => (typeof row.key['id'] === 'string' ? row.key['id'] : row.newId);

const outcomeOf = (row: RowToWrite, outcome: OutcomeKind, id?: string, error?: RowError): RowOutcome => ({
  index: row.index,
  key: row.key,
  outcome,
  ...(id !== undefined && { id }),
  ...(error && { error }),
});

/** Finds the ids of rows by key, in pages that fit a URL. */
async function findIds(context: WriteContext, rows: readonly RowToWrite[]): Promise<ReadonlyMap<string, string>> {
  const { table, strategy } = context;
  const ids = new Map<string, string>();
  const unknown = rows.filter((row) => row.id === undefined).map((row) => row.key);
  for (let at = 0; at < unknown.length; ) {
    let count = unknown.length - at;
    let query = keyFilter(table, strategy, unknown.slice(at));
    while (query.length > LOOKUP_CHARACTERS && count > 1) {
      count = Math.max(1, Math.min(count - 1, Math.floor((count * LOOKUP_CHARACTERS) / query.length)));
      query = keyFilter(table, strategy, unknown.slice(at, at + count));
    }
    at += count;
    for (const found of await findPage(context, query)) {
      const id = String(found[table.primaryId]);
      const key =
        strategy.kind === 'id'
          ? { id }
          : Object.fromEntries(strategy.columns.map((name) => [name, keyValue(table, name, found[name])]));
      ids.set(sameKey(key), id);
    }
  }
  return ids;
}

async function findPage(context: WriteContext, query: string): Promise<Record<string, unknown>[]> {
  const answer = await context.client.send({
    method: 'GET',
    path: `${context.table.entitySetName}?${query}`,
    ...limitsOf(context),
  });
  const body = answer.json() as { value?: unknown };
  if (!Array.isArray(body.value))
    throw new DataverseError('notDataverse', 'The answer to a query holds no rows.', { status: answer.status });
  return body.value as Record<string, unknown>[];
}

const limitsOf = ({ signal, deadline, meter }: WriteContext) => ({ signal, deadline, meter });

const doneAs = { create: 'created', update: 'updated', delete: 'deleted' } as const;

/** Sends rows as a bulk message, and one by one if that is refused. */
function sendRows(writer: Writer, message: BulkMessage, steps: readonly WriteStep[]): Promise<RowOutcome[]> {
  return orReject(writer, rowsOf(steps), async () => {
    if (!(await sendBulk(writer, message, steps))) return replay(writer, steps);
    return steps.map((step) => outcomeOf(step.row, doneAs[step.kind], step.id));
  });
}

const rowsOf = (steps: readonly WriteStep[]): RowToWrite[] => steps.map((step) => step.row);

type BulkMessage = 'CreateMultiple' | 'UpdateMultiple';

/** Sends rows as one bulk message, all or nothing. Resolves with false when the service refused it. */
async function sendBulk(context: WriteContext, message: BulkMessage, steps: readonly WriteStep[]): Promise<boolean> {
  if (steps.length === 0) return true;
  const { table } = context;
  const targets = steps.map((step) => bulkTarget(table.logicalName, targetOf(context, step)));
  try {
    await context.client.send({
      method: 'POST',
      path: bulkPath(table.entitySetName, message),
      body: JSON.stringify({ Targets: targets }),
      // A second CreateMultiple with the same ids is refused as duplicate, and then settled row by row.
      repeatable: true,
      ...limitsOf(context),
    });
    return true;
  } catch (error) {
    if (!(error instanceof DataverseError) || isOutage(error)) throw error;
    return false;
  }
}

/** A row's columns as they are sent: the key's columns on create only, since an update leaves the key alone. */
function targetOf({ table, strategy }: WriteContext, { kind, row, id }: WriteStep): Record<string, unknown> {
  const key = kind === 'create' && strategy.kind === 'alternateKey' ? row.key : {};
  return { [table.primaryId]: id, ...key, ...row.values };
}

/** Sends rows one by one in `$batch` requests that go on after errors: each row gets its own outcome. */
async function replay(writer: Writer, steps: readonly WriteStep[]): Promise<RowOutcome[]> {
  const outcomes: RowOutcome[] = [];
  for (let at = 0; at < steps.length; at += REPLAY_SIZE) {
    const part = steps.slice(at, at + REPLAY_SIZE);
    const settled = await orReject(writer, rowsOf(part), async () => {
      const answers = await sendSteps(writer, part);
      const found: RowOutcome[] = [];
      for (const [position, step] of part.entries()) found.push(await settle(writer, step, answers[position]));
      return found;
    });
    outcomes.push(...settled);
  }
  return outcomes;
}

async function sendSteps(context: WriteContext, steps: readonly WriteStep[]): Promise<BatchAnswer[]> {
  const operations = steps.map((step) => operationFor(context, step));
  const answers = await sendBatch(context.client, context.apiPath, operations, {
    boundary: context.newId(),
    repeatable: true,
    ...limitsOf(context),
  });
  if (answers.length !== steps.length) {
    throw new DataverseError(
      'notDataverse',
      `A batch of ${steps.length} operations was answered with ${answers.length} parts.`,
    );
  }
  const outage = answers
    .map((answer) => (answer.status < 400 ? undefined : errorFromAnswer(asErrorAnswer(answer))))
    .find((error) => error && isOutage(error));
  if (outage) throw outage;
  return answers;
}

function operationFor(context: WriteContext, step: WriteStep): BatchOperation {
  const { table } = context;
  const row = `${table.entitySetName}(${step.id})`;
  switch (step.kind) {
    case 'create':
      return { method: 'POST', path: table.entitySetName, body: JSON.stringify(targetOf(context, step)) };
    case 'update': {
      const { [table.primaryId]: _, ...values } = targetOf(context, step);
      return { method: 'PATCH', path: row, headers: UPDATE_ONLY, body: JSON.stringify(values) };
    }
    case 'delete':
      return { method: 'DELETE', path: row };
    default:
      return unreachable(step.kind);
  }
}

const DUPLICATE = new Set(['0x80040237', '0x80060892']);

async function settle(writer: Writer, step: WriteStep, answer: BatchAnswer | undefined): Promise<RowOutcome> {
  if (answer && answer.status < 400) return outcomeOf(step.row, doneAs[step.kind], step.id);
  const error = errorFromAnswer(answer ? asErrorAnswer(answer) : { status: 500, contentType: '', text: '' });
  if (step.kind === 'create' && DUPLICATE.has(error.facts.serviceCode?.toLowerCase() ?? '')) {
    return settleDuplicate(writer, step, error);
  }
  if (error.code === 'notFound' && step.kind === 'delete') {
    return outcomeOf(step.row, 'skipped', undefined, { code: 'notFound', message: error.message });
  }
  if (error.code === 'notFound' && step.kind === 'update' && writer.mode === 'upsert' && step.row.id !== undefined) {
    // The id we remembered is gone. The key decides now whether the row is created or updated.
    const { id: _, ...row } = step.row;
    const [outcome] = await writeBatchOfRows(writer, [row]);
    if (outcome) return outcome;
  }
  return outcomeOf(step.row, 'rejected', undefined, rowError(error));
}

/**
 * A create that the service calls a duplicate: ours, if the row has the id that we made (an earlier try whose answer
 * was lost); another writer's, if it has another id and the key, which an upsert then updates.
 */
async function settleDuplicate(writer: Writer, step: WriteStep, error: DataverseError): Promise<RowOutcome> {
  const ids = await findIds(writer, [{ index: step.row.index, key: step.row.key, values: {}, newId: step.row.newId }]);
  const found = ids.get(sameKey(step.row.key));
  if (found === step.id && found === step.row.newId) return outcomeOf(step.row, 'created', found);
  if (found !== undefined && writer.mode === 'upsert') {
    const [outcome] = await replay(writer, [{ kind: 'update', row: { ...step.row, id: found }, id: found }]);
    // By its caller's id a row does not tell who made it. The look-up found none a moment ago, so it was this write.
    const ours = writer.strategy.kind === 'id' && outcome?.outcome === 'updated';
    if (outcome) return ours ? { ...outcome, outcome: 'created' } : outcome;
  }
  return outcomeOf(step.row, 'rejected', undefined, rowError(error));
}

/** The service's refusal of one row. The column is read from the message where the service names it there only. */
function rowError(error: DataverseError): RowError {
  const column = error.message.match(/\bthe '([a-z0-9_]+)' attribute\b/)?.[1];
  return {
    code: error.facts.serviceCode || error.code,
    message: error.message,
    ...(error.hint !== undefined && { hint: error.hint }),
    ...(column !== undefined && { column }),
  };
}
