import type { Column, Table } from '../../../../src/dataverse/table.ts';

const column = (logicalName: string, type: string, more: Partial<Column> = {}): [string, Column] => [
  logicalName,
  { logicalName, type, validForCreate: true, validForUpdate: true, ...more },
];
const lookup = (logicalName: string, ...tables: string[]): [string, Column] =>
  column(logicalName, 'Lookup', {
    targets: new Map(
      tables.map((table) => [table, { navigationProperty: `${logicalName}_nav`, entitySetName: `${table}s` }]),
    ),
  });

/** A table of accounts with keys of every kind, active and not. */
export const ACCOUNT: Table = {
  logicalName: 'account',
  entitySetName: 'accounts',
  primaryId: 'accountid',
  primaryName: 'name',
  columns: new Map([
    column('accountid', 'Uniqueidentifier'),
    column('createdon', 'DateTime', { validForCreate: false, validForUpdate: false }),
    column('accountnumber', 'String', { maxLength: 20 }),
    column('tickersymbol', 'String', { maxLength: 20 }),
    column('name', 'String', { maxLength: 160 }),
    column('description', 'Memo', { maxLength: 2000 }),
    column('numberofemployees', 'Integer', { minValue: 0, maxValue: 1_000_000_000 }),
    column('creditlimit', 'Decimal'),
    column('lastusedon', 'DateTime', { dateBehavior: 'UserLocal' }),
    lookup('primarycontactid', 'contact'),
    lookup('parentid', 'account', 'contact'),
  ]),
  keys: [
    { logicalName: 'new_number', columns: ['accountnumber'], status: 'Active' },
    { logicalName: 'new_pair', columns: ['name', 'numberofemployees'], status: 'Active' },
    { logicalName: 'new_time', columns: ['lastusedon'], status: 'Active' },
    { logicalName: 'new_contact', columns: ['accountnumber', 'primarycontactid'], status: 'Active' },
    { logicalName: 'new_parent', columns: ['accountnumber', 'parentid'], status: 'Active' },
    { logicalName: 'new_limit', columns: ['creditlimit'], status: 'Active' },
    { logicalName: 'new_pending', columns: ['name'], status: 'Pending' },
    { logicalName: 'new_failed', columns: ['numberofemployees'], status: 'Failed' },
  ],
};
