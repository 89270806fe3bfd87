import { DynamicsWebApi } from 'dynamics-web-api';
import type { InputRow } from './accounts.ts';

/** A way to upsert rows with dynamics-web-api. */
export interface Way {
  readonly name: string;
  readonly rowsOfCall: number;
  /** Resolves with the milliseconds that it took. Throws when any row fails. */
  upsert(apiUrl: string, rows: readonly InputRow[]): Promise<number>;
}

const newClient = (apiUrl: string): DynamicsWebApi =>
  new DynamicsWebApi({
    serverUrl: new URL(apiUrl).origin,
    dataApi: { version: '9.2' },
    onTokenRefresh: async () => 'bench',
    // Without it the addresses of targets are made absolute, which UpsertMultiple does not take.
    disableODataIdAbsoluteUrl: true,
  });

const withoutKey = ({ accountnumber: _, ...data }: InputRow): Record<string, unknown> => data;
const keyOf = (row: InputRow): string => `accountnumber='${row['accountnumber']}'`;
const upsertOne = (client: DynamicsWebApi, row: InputRow): Promise<unknown> =>
  client.upsert({ collection: 'accounts', key: keyOf(row), data: withoutKey(row) });

async function sendBatch(client: DynamicsWebApi, rows: readonly InputRow[]): Promise<void> {
  client.startBatch();
  // Their promises never settle: the batch has the answers.
  for (const row of rows) void upsertOne(client, row);
  await client.executeBatch();
}

const upsertMultiple = (client: DynamicsWebApi, rows: readonly InputRow[]): Promise<unknown> =>
  client.callAction({
    collection: 'accounts',
    actionName: 'Microsoft.Dynamics.CRM.UpsertMultiple',
    action: {
      Targets: rows.map((row) => ({
        '@odata.type': 'Microsoft.Dynamics.CRM.account',
        '@odata.id': `accounts(${keyOf(row)})`,
        ...withoutKey(row),
      })),
    },
  });

/** So many rows a call, so many calls at a time. A batch is state of a client, so every caller has a client of its own. */
function way(
  name: string,
  rowsOfCall: number,
  concurrency: number,
  send: (client: DynamicsWebApi, rows: readonly InputRow[]) => Promise<unknown>,
): Way {
  return {
    name,
    rowsOfCall,
    async upsert(apiUrl, rows) {
      let next = 0;
      const startedAt = performance.now();
      const caller = async (): Promise<void> => {
        const client = newClient(apiUrl);
        while (next < rows.length) {
          const part = rows.slice(next, next + rowsOfCall);
          next += rowsOfCall;
          await send(client, part);
        }
      };
      await Promise.all(Array.from({ length: concurrency }, caller));
      return performance.now() - startedAt;
    },
  };
}

const one = (client: DynamicsWebApi, rows: readonly InputRow[]): Promise<unknown> =>
  upsertOne(client, rows[0] as InputRow);

/** As its README shows it: a call awaited, or several between `startBatch` and `executeBatch`. */
export const asShown: readonly Way[] = [way('upsert, awaited', 1, 1, one), way('$batch of 100', 100, 1, sendBatch)];

/** What can be made of it at the concurrency that the service recommends. */
export const tuned = (concurrency: number): readonly Way[] => [
  way(`upsert × ${concurrency}`, 1, concurrency, one),
  way(`$batch of 10 × ${concurrency}`, 10, concurrency, sendBatch),
  way(`$batch of 100 × ${concurrency}`, 100, concurrency, sendBatch),
  way(`UpsertMultiple of 100 × ${concurrency}`, 100, concurrency, upsertMultiple),
  way(`UpsertMultiple of 1000 × ${concurrency}`, 1000, concurrency, upsertMultiple),
];
