import { keyStrategy, readKey } from '../../../src/dataverse/bulk/keys.ts';
import { noOutcomes, type OutcomeCounts, type RowOutcome } from '../../../src/dataverse/bulk/outcomes.ts';
import { createBulkSupport } from '../../../src/dataverse/bulk/support.ts';
import { type WriteContext, type WriteItem, writePages } from '../../../src/dataverse/bulk/write-rows.ts';
import { createDataverseClient } from '../../../src/dataverse/client.ts';
import { createMetadata } from '../../../src/dataverse/metadata.ts';
import { createPace } from '../../../src/dataverse/pace.ts';
import { newMeter } from '../../../src/dataverse/request.ts';
import type { Table } from '../../../src/dataverse/table.ts';
import { poolTransport, type Transport } from '../../../src/dataverse/transport.ts';
import { toWireRow } from '../../../src/dataverse/values.ts';
import { systemClock } from '../../../src/shared/clock.ts';
import { newGuid } from '../../../src/shared/ids.ts';
import { COLUMNS, type InputRow } from './accounts.ts';

/** The largest that a connection's setting may be: the service's hint is what holds. */
const MAX_CONCURRENCY = 52;
const PAGE = 500;

export interface Written {
  readonly ms: number;
  readonly counts: OutcomeCounts;
  readonly calls: number;
  readonly throttled: number;
  /** 429s of requests that were sent when one had been answered already. */
  readonly avoidable: number;
  readonly rejected: readonly RowOutcome[];
}

/** A connection as the app opens one, to a service that takes any token. */
function connect(apiUrl: string) {
  const { transport: send, close } = poolTransport(new URL(apiUrl).origin, MAX_CONCURRENCY);
  const refusals: Refusal[] = [];
  const transport: Transport = async (request) => {
    const sentAt = performance.now();
    const answer = await send(request);
    if (answer.status === 429) refusals.push({ sentAt, answeredAt: performance.now() });
    return answer;
  };
  const pace = createPace({ clock: systemClock, maxConcurrency: MAX_CONCURRENCY });
  const client = createDataverseClient({
    apiUrl,
    tokens: () => 'bench',
    transport,
    clock: systemClock,
    pace,
    random: Math.random,
    newId: newGuid,
  });
  const apiPath = new URL(apiUrl).pathname;
  const metadata = createMetadata({ client, apiPath, newId: newGuid, allowedTables: undefined, clock: systemClock });
  const support = createBulkSupport(client);
  const definition = (): Promise<Table> =>
    metadata.table('account', { columns: [...COLUMNS, 'parentaccountid'], keyColumns: ['accountnumber'] });
  return { client, apiPath, pace, support, definition, refusals, close };
}

/** What the account table looks like in an environment. */
export async function readDefinition(apiUrl: string): Promise<Table> {
  const { definition, close } = connect(apiUrl);
  const table = await definition();
  await close();
  return table;
}

interface Refusal {
  readonly sentAt: number;
  readonly answeredAt: number;
}

function avoidable(refusals: readonly Refusal[]): number {
  const known = Math.min(...refusals.map(({ answeredAt }) => answeredAt));
  return refusals.filter(({ sentAt }) => sentAt > known).length;
}

/** How rows are written; upserts look their keys up. */
export type How = Pick<WriteContext, 'mode' | 'resolve'>;

/** Upserts by account number with a connection that has learned nothing yet; the definition is there, as in the app. */
export const upsertWithOurs = (
  apiUrl: string,
  table: Table,
  rows: AsyncIterable<readonly InputRow[]>,
): Promise<Written> => writeWithOurs(apiUrl, table, prepared(table, rows), { mode: 'upsert' });

/** Writes rows that are checked already. */
export async function writeWithOurs(
  apiUrl: string,
  table: Table,
  items: AsyncIterable<readonly WriteItem[]>,
  how: How,
): Promise<Written> {
  const { client, apiPath, pace, support, refusals, close } = connect(apiUrl);
  const strategy = keyStrategy(table, ['accountnumber']);
  const meter = newMeter();
  const counts = noOutcomes();
  const rejected: RowOutcome[] = [];
  const context = { client, apiPath, pace, support, table, strategy, meter, ...how };
  const startedAt = performance.now();
  for await (const outcomes of writePages({ ...context, clock: systemClock, newId: newGuid }, items)) {
    for (const outcome of outcomes) {
      counts[outcome.outcome] += 1;
      if (outcome.outcome === 'rejected') rejected.push(outcome);
    }
  }
  const ms = performance.now() - startedAt;
  await close();
  return { ms, counts, calls: meter.calls, throttled: meter.throttled.count, avoidable: avoidable(refusals), rejected };
}

/** What the route for bulk upserts does with its input rows: the key and the values are checked against definitions. */
export async function* prepared(
  table: Table,
  pages: AsyncIterable<readonly InputRow[]>,
): AsyncGenerator<readonly WriteItem[]> {
  const strategy = keyStrategy(table, ['accountnumber']);
  let index = 0;
  for await (const page of pages) {
    yield page.map((row): WriteItem => {
      const at = index++;
      const { key, error } = readKey(table, strategy, row);
      const { accountnumber: _, ...rest } = row;
      const wire = error ? { error } : toWireRow(table, rest);
      if (wire.error) return { index: at, key, outcome: 'rejected', error: wire.error };
      return { index: at, key, values: wire.values, newId: newGuid() };
    });
  }
}

/** A list in pages. */
export async function* inPages(rows: readonly InputRow[]): AsyncGenerator<readonly InputRow[]> {
  for (let at = 0; at < rows.length; at += PAGE) yield rows.slice(at, at + PAGE);
}
