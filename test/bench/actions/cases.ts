import { runBatch } from '../../../src/actions/batch/run.ts';
import { fetchRows } from '../../../src/actions/fetchxml.ts';
import { prepareQuery } from '../../../src/actions/query.ts';
import { sendRaw } from '../../../src/actions/raw/send.ts';
import { createRow, deleteRow, getRow, updateRow, upsertRow } from '../../../src/actions/rows.ts';
import { listTables } from '../../../src/actions/tables.ts';
import type { Connection } from '../../../src/connections/connections.ts';
import { createSchema } from '../../../src/dataverse/schema.ts';
import { type Clock, systemClock } from '../../../src/shared/clock.ts';
import { newGuid } from '../../../src/shared/ids.ts';
import type { WireRequest } from './wire.ts';

/** One action with the same input over and over. */
export interface Case {
  readonly name: string;
  /** Calls of one block: some 50 ms of them. */
  readonly calls: number;
  readonly ours: () => Promise<unknown>;
  /** The request of the next call, from one that was sent: where a row can be made or deleted only once. */
  readonly next?: (sent: WireRequest) => WireRequest;
}

/** Rows that are there: those at the front to be read and changed, `doomed` to be deleted. */
export interface Rows {
  readonly ids: readonly string[];
  readonly doomed: Iterator<string>;
}

export const COLUMNS = ['name', 'accountnumber', 'telephone1', 'numberofemployees', 'createdon', 'statecode'];
export const CHANGES = { telephone1: '+1 555 0100', numberofemployees: 42 };
export const FETCH = `<fetch><entity name="account">${COLUMNS.map((name) => `<attribute name="${name}" />`).join('')}<order attribute="accountid" /></entity></fetch>`;

/** A minute passes with each look at it, so that nothing which is kept for a minute is kept. */
function hastyClock(): Clock {
  let now = systemClock.now();
  return {
    ...systemClock,
    now() {
      now += 61_000;
      return now;
    },
  };
}

/** The same call as in the app: with a time-out, a signal and an id of its own. */
const callLimits = () => ({
  signal: new AbortController().signal,
  deadline: systemClock.now() + 200_000,
  clientRequestId: newGuid(),
});

const noPages = (): never => {
  throw new Error('No page is kept.');
};

export function casesOf(connection: Connection, { ids, doomed }: Rows): readonly Case[] {
  const { client, metadata, apiPath, settings } = connection;
  const { allowedTables, apiUrl } = settings;
  const [id = ''] = ids;
  const view = { select: COLUMNS, formatted: false };
  const onRows = () => ({ connection, table: 'account', newId: newGuid, limits: callLimits() });
  const made = { clock: systemClock, random: Math.random, newId: newGuid };
  const schema = createSchema({ client, metadata, allowedTables, clock: hastyClock() });
  const tables = { names: [], includeCustom: true, topLevelOnly: false, details: false, pageSize: 1000 };
  const raw = {
    path: `accounts?$select=${COLUMNS}`,
    method: 'GET',
    query: { $top: 1 },
    headers: {},
    form: {},
    files: [],
    responseType: 'json',
    debug: false,
    maxRetries: 0,
    retryDelayMs: 0,
    exponentialBackoff: false,
    retryOnAllErrors: false,
  } as const;
  const updates = ids.slice(0, 100).map((key) => ({ collection: 'accounts', action: 'update', key, data: CHANGES }));
  const nextDoomed = (): string => {
    const { value, done } = doomed.next();
    if (done) throw new Error('There are no rows left to be deleted.');
    return value;
  };
  return [
    { name: 'get a row', calls: 50, ours: () => getRow(onRows(), id, view) },
    {
      name: 'query a page of 100',
      calls: 15,
      async ours() {
        const query = { select: COLUMNS, pageSize: 100, count: false, formatted: false };
        const paged = await prepareQuery({ ...onRows(), name: 'default' }, query, noPages);
        return paged.read(paged.first);
      },
    },
    {
      name: 'create a row',
      calls: 40,
      ours: () => createRow(onRows(), { name: 'Contoso Ltd', ...CHANGES }),
      next: (sent) => ({ ...sent, body: JSON.stringify({ ...JSON.parse(sent.body ?? ''), accountid: newGuid() }) }),
    },
    { name: 'update a row', calls: 40, ours: () => updateRow(onRows(), id, CHANGES) },
    { name: 'upsert a row', calls: 40, ours: () => upsertRow(onRows(), id, CHANGES) },
    {
      name: 'delete a row',
      calls: 40,
      ours: () => deleteRow(onRows(), nextDoomed()),
      next: (sent) => ({ ...sent, path: `${apiPath}accounts(${nextDoomed()})` }),
    },
    {
      name: 'batch of 100 updates',
      calls: 2,
      async ours() {
        const outcomes = await runBatch({ client, metadata, apiPath, ...made, limits: callLimits() }, updates);
        if (outcomes.some(({ outcome }) => outcome !== 'updated')) throw new Error(JSON.stringify(outcomes[0]));
      },
    },
    {
      name: 'FetchXML, a page of 100',
      calls: 15,
      ours: () =>
        fetchRows(
          { client, metadata, apiPath, allowedTables, newId: newGuid, limits: callLimits() },
          { table: 'account', xml: FETCH, annotations: [], pageSize: 100 },
        ),
    },
    { name: 'list tables, read anew', calls: 15, ours: () => listTables(schema, tables) },
    {
      name: 'raw request',
      calls: 50,
      ours: () => sendRaw({ client, metadata, apiUrl, allowedTables, ...made, ...callLimits() }, raw),
    },
  ];
}
