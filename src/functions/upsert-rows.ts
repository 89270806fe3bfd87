import type { HttpResponseInit } from '@azure/functions';
import { type KeyStrategy, keyColumns, keyStrategy, readKey } from '../dataverse/bulk/keys.ts';
import type { RowOutcome } from '../dataverse/bulk/outcomes.ts';
import { type RowToWrite, type WriteMode, writeRows } from '../dataverse/bulk/write-rows.ts';
import type { RequestLimits } from '../dataverse/find-row.ts';
import { type LookupSource, resolveLookups } from '../dataverse/lookups.ts';
import { newMeter } from '../dataverse/request.ts';
import type { Table } from '../dataverse/table.ts';
import { toWireRow, unknownColumn } from '../dataverse/values.ts';
import { bodyChunks } from '../http/body.ts';
import { RequestError } from '../http/problem.ts';
import type { Call } from '../http/routes.ts';
import { streamRows } from '../http/row-answer.ts';
import { BodyBrokenError, type InputRow, type InputRows, readRows } from '../http/rows.ts';
import { newGuid } from '../shared/ids.ts';
import type { Services } from './services.ts';

/** What the rows of one request have in common. */
interface Upsert {
  readonly connection: LookupSource;
  readonly limits: RequestLimits;
  readonly table: Table;
  readonly strategy: KeyStrategy;
  readonly mode: WriteMode;
  /** Set when the request could not be taken to its end. */
  incomplete: boolean;
}

/** How rows are to be written. */
interface UpsertQuery {
  readonly connection: string;
  readonly keyColumns?: readonly string[] | undefined;
  readonly mode: WriteMode;
}

/** Takes rows as they arrive, writes them, and answers with an outcome for each. */
export async function upsertRows({ connections, clock }: Services, call: Call<UpsertQuery>): Promise<HttpResponseInit> {
  const startedAt = clock.now();
  const { mode } = call.query;
  const connection = connections.get(call.query.connection);
  connection.assertWritable();
  const input = await readRows(call.request.headers.get('content-type'), bodyChunks(call.request));
  const needs = { ...(input.columns && { columns: input.columns }), keyColumns: call.query.keyColumns ?? [] };
  const table = await connection.metadata.table(call.path['table'] ?? '', needs);
  const named = knownColumns(table, call.query.keyColumns ?? [table.primaryId]);
  const strategy = keyStrategy(table, named);
  assertColumns(table, input);
  assertKeyColumns(named, input);
  const limits = { signal: call.signal, deadline: call.deadline, clientRequestId: call.requestId };
  const job: Upsert = { connection, limits, table, strategy, mode, incomplete: false };
  const meter = newMeter();
  const outcomes = writeRows(
    {
      client: connection.client,
      apiPath: connection.apiPath,
      pace: connection.pace,
      support: connection.support,
      table,
      strategy,
      mode,
      clock,
      newId: newGuid,
      meter,
      deadline: call.deadline,
      onOutage: 'reject',
    },
    prepare(job, input),
  );
  return streamRows(call, notingDeadline(job, outcomes), (counts, input, cutOff) => ({
    input,
    complete: !job.incomplete && !cutOff,
    counts,
    calls: meter.calls,
    throttled: meter.throttled,
    ms: clock.now() - startedAt,
  }));
}

function knownColumns(table: Table, names: readonly string[]): readonly string[] {
  const unknown = names.find((name) => !table.columns.has(name));
  if (unknown === undefined) return names;
  const { message, hint } = unknownColumn(table, unknown);
  throw new RequestError(400, 'columnUnknown', message, {
    hint,
    errors: [{ path: 'keyColumns', code: 'columnUnknown', message }],
  });
}

/** A header is the same for all rows, so an unknown column in it fails the request and not each row. */
function assertColumns(table: Table, { columns = [] }: InputRows): void {
  const unknown = columns.filter((name) => !table.columns.has(name)).map((name) => unknownColumn(table, name));
  if (unknown.length === 0) return;
  throw new RequestError(
    400,
    'columnUnknown',
    `The header names ${unknown.length} unknown column${unknown.length > 1 ? 's' : ''}.`,
    {
      hint: unknown.flatMap((each) => each.hint ?? []).join(' ') || undefined,
      errors: unknown.map(({ column = '', code, message }) => ({ path: column, code, message })),
    },
  );
}

function assertKeyColumns(keyColumns: readonly string[], { columns }: InputRows): void {
  const missing = keyColumns.filter((name) => columns && !columns.includes(name));
  if (missing.length === 0) return;
  const message = `The header lacks the key ${missing.length > 1 ? 'columns' : 'column'} ${missing.join(', ')}.`;
  throw new RequestError(400, 'keyColumnMissing', message, {
    hint: 'Add what is missing, or name other columns with keyColumns.',
    errors: missing.map((path) => ({ path, code: 'keyColumnMissing', message })),
  });
}

/** Rows that were not tried for want of time leave the request incomplete. */
async function* notingDeadline(job: Upsert, outcomes: AsyncIterable<RowOutcome>): AsyncGenerator<RowOutcome> {
  for await (const outcome of outcomes) {
    if (outcome.outcome === 'skipped' && outcome.error?.code === 'deadline') job.incomplete = true;
    yield outcome;
  }
}

/** Turns input rows into rows to write, or into the outcome of one that cannot be written. */
async function* prepare(job: Upsert, input: InputRows): AsyncGenerator<RowToWrite | RowOutcome> {
  try {
    for await (const row of input.rows) yield await prepareRow(job, row);
  } catch (error) {
    if (!(error instanceof BodyBrokenError)) throw error;
    job.incomplete = true;
    const { code, message, hint } = error;
    yield {
      index: error.index,
      key: {},
      outcome: 'rejected',
      error: { code, message, ...(hint !== undefined && { hint }) },
    };
  }
}

async function prepareRow(job: Upsert, row: InputRow): Promise<RowToWrite | RowOutcome> {
  const { table, strategy, mode } = job;
  const { index } = row;
  if (row.error) return { index, key: {}, outcome: 'rejected', error: row.error };
  const { key, error } = readKey(table, strategy, row.values);
  if (error) return { index, key, outcome: 'rejected', error };
  if (mode === 'delete') return { index, key, values: {}, newId: newGuid() };
  const columns = keyColumns(table, strategy);
  const values = Object.fromEntries(Object.entries(row.values).filter(([name]) => !columns.includes(name)));
  const resolved = await resolveLookups(job.connection, table, values, job.limits);
  if (resolved.error) return { index, key, outcome: 'rejected', error: resolved.error };
  const wire = toWireRow(table, resolved.row);
  if (wire.error) return { index, key, outcome: 'rejected', error: wire.error };
  return { index, key, values: wire.values, newId: newGuid() };
}
