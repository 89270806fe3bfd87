import type { ActivationTarget, OpenTarget } from '../../../src/activations/target.ts';
import type { OutcomeKind, RowError, RowOutcome } from '../../../src/dataverse/bulk/outcomes.ts';
import type { RowToWrite } from '../../../src/dataverse/bulk/write-rows.ts';
import { DataverseError } from '../../../src/dataverse/errors.ts';
import type { Column, Table } from '../../../src/dataverse/table.ts';

const text = (logicalName: string, maxLength: number): Column => ({
  logicalName,
  type: 'String',
  validForCreate: true,
  validForUpdate: true,
  maxLength,
});

export const accountTable: Table = {
  logicalName: 'account',
  entitySetName: 'accounts',
  primaryId: 'accountid',
  primaryName: 'name',
  columns: new Map<string, Column>(
    [
      text('accountnumber', 20),
      text('tickersymbol', 10),
      text('name', 160),
      text('description', 2000),
      text('stockexchange', 20),
      { logicalName: 'accountid', type: 'Uniqueidentifier', validForCreate: true, validForUpdate: false },
      { logicalName: 'createdon', type: 'DateTime', validForCreate: false, validForUpdate: false },
      { logicalName: 'numberofemployees', type: 'Integer', validForCreate: true, validForUpdate: true, minValue: 0 },
      {
        logicalName: 'industrycode',
        type: 'Picklist',
        validForCreate: true,
        validForUpdate: true,
        options: new Set([1, 2]),
      },
    ].map((column) => [column.logicalName, column]),
  ),
  keys: [{ logicalName: 'number', columns: ['accountnumber'], status: 'Active' }],
};

/** A table of accounts that takes rows as Dataverse does, by key and by the id that a create brings along. */
export interface FakeTarget {
  open: OpenTarget;
  /** Rows by id. */
  readonly rows: Map<string, { readonly key: string; readonly values: Readonly<Record<string, unknown>> }>;
  /** Rows sent, by kind of write. */
  readonly sent: { created: number; updated: number };
  /** Called before each row; may throw, or refuse the row. */
  beforeRow: (row: RowToWrite) => RowError | undefined;
}

export function fakeTarget(table: Table = accountTable): FakeTarget {
  const rows: FakeTarget['rows'] = new Map();
  const sent = { created: 0, updated: 0 };
  const idOf = (key: string): string | undefined => [...rows].find(([, row]) => row.key === key)?.[0];
  const write = (row: RowToWrite, keys: Map<string, string>): OutcomeKind => {
    const key = JSON.stringify(row.key).toLowerCase();
    const existing = row.id ?? keys.get(key) ?? idOf(key);
    const id = existing ?? row.newId;
    const before = rows.get(id);
    if (existing === row.newId) return 'created';
    rows.set(id, { key, values: { ...before?.values, ...row.values } });
    keys.set(key, id);
    sent[existing ? 'updated' : 'created'] += 1;
    return existing ? 'updated' : 'created';
  };
  const fake: FakeTarget = {
    rows,
    sent,
    beforeRow: () => undefined,
    open: async (connection): Promise<ActivationTarget> => {
      if (connection !== 'default') throw new DataverseError('forbidden', 'There is no such connection.');
      return {
        async table(name) {
          if (name !== table.logicalName) throw new DataverseError('tableUnknown', `There is no table '${name}'.`);
          return table;
        },
        async *writeRows({ meter, signal }, rowsToWrite) {
          const keys = new Map([...rows].map(([id, row]) => [row.key, id]));
          meter.calls += 1;
          for await (const row of rowsToWrite) {
            signal?.throwIfAborted();
            const error = fake.beforeRow(row);
            const { index, key } = row;
            if (error) yield { index, key, outcome: 'rejected', error } satisfies RowOutcome;
            else {
              const outcome = write(row, keys);
              const id = row.id ?? keys.get(JSON.stringify(key).toLowerCase()) ?? row.newId;
              yield { index, key, outcome, id } satisfies RowOutcome;
            }
          }
        },
      };
    },
  };
  return fake;
}
