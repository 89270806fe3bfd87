import { Pool } from 'undici';
import { newGuid } from '../../../src/shared/ids.ts';
import type { InputRow } from './accounts.ts';

/** A request that waits to be sent. */
export interface ReadyRequest {
  readonly path: string;
  readonly body: string;
}

const ROWS_OF_CALL = 1000;
const HEADERS = {
  authorization: 'Bearer bench',
  'content-type': 'application/json; charset=utf-8',
  'OData-Version': '4.0',
  'OData-MaxVersion': '4.0',
};

/** Full bulk messages that create or update these rows by id; `ids` gives that of each. */
export function readyRequests(
  message: 'CreateMultiple' | 'UpdateMultiple',
  rows: readonly InputRow[],
  ids: (row: InputRow) => string = newGuid,
): ReadyRequest[] {
  const requests: ReadyRequest[] = [];
  for (let at = 0; at < rows.length; at += ROWS_OF_CALL) {
    const Targets = rows
      .slice(at, at + ROWS_OF_CALL)
      .map((row) => ({ '@odata.type': 'Microsoft.Dynamics.CRM.account', accountid: ids(row), ...row }));
    requests.push({ path: `accounts/Microsoft.Dynamics.CRM.${message}`, body: JSON.stringify({ Targets }) });
  }
  return requests;
}

/** Sends them all, so many at a time, and resolves with the milliseconds that took. Nothing else is done. */
export async function sendReady(
  apiUrl: string,
  requests: Iterable<ReadyRequest>,
  concurrency: number,
): Promise<number> {
  const { origin, pathname } = new URL(apiUrl);
  const pool = new Pool(origin, { connections: concurrency });
  const waiting = requests[Symbol.iterator]();
  const send = async (): Promise<void> => {
    for (let next = waiting.next(); !next.done; next = waiting.next()) {
      const { path, body } = next.value;
      const answer = await pool.request({ method: 'POST', path: pathname + path, headers: HEADERS, body });
      if (answer.statusCode >= 300) throw new Error(`${answer.statusCode}: ${await answer.body.text()}`);
      await answer.body.dump();
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: concurrency }, send));
  const ms = performance.now() - startedAt;
  await pool.close();
  return ms;
}
