import type { DataverseRequest } from '../request.ts';
import type { Table } from '../table.ts';
import type { BatchOperation } from '../wire/batch.ts';
import {
  type BulkMessage,
  bulkPath,
  inPartition,
  targetAddress,
  targetHead,
  targetsBody,
  WITH_ROW_STATUS,
} from '../wire/bulk.ts';
import { UPDATE_ONLY } from '../wire/headers.ts';
import type { Utf8Text } from '../wire/utf8-text.ts';
import type { WriteKind } from './decisions.ts';
import { addressByKey, type KeyStrategy, keyMembers } from './keys.ts';
import type { RowToWrite } from './row-to-write.ts';

/** A row as it is to be sent. */
export interface Sendable {
  readonly row: RowToWrite;
  /** The row's id; of an upsert by alternate key nobody knows it. */
  readonly id: string | undefined;
  /** The columns that are sent besides the key's. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** Rows of one table in the Web API's own forms. */
export interface WireForm {
  /** The bulk message for a kind of write; undefined where the table has none, whatever it supports. */
  message(kind: WriteKind): BulkMessage | undefined;
  bulk(message: BulkMessage, kind: WriteKind, rows: readonly Sendable[]): DataverseRequest & { readonly body: Buffer };
  /** One row by itself, in a `$batch` or alone. */
  operation(kind: WriteKind, row: Sendable): BatchOperation;
}

const MESSAGES: Readonly<Record<WriteKind, BulkMessage>> = {
  create: 'CreateMultiple',
  update: 'UpdateMultiple',
  upsert: 'UpsertMultiple',
  delete: 'DeleteMultiple',
};

export function wireForm(table: Table, strategy: KeyStrategy): WireForm {
  const head = `${targetHead(table.logicalName)},`;
  const idHead = `${JSON.stringify(table.primaryId)}:`;
  // A GUID has nothing to be escaped.
  const idMember = (id: string | undefined): string => `${idHead}"${id}"`;
  const keyOfRow = keyMembers(table, strategy);

  /** A target without its values, and without its end. */
  const opened = (kind: WriteKind, { row, id }: Sendable): string => {
    if (kind === 'create') return joined(head + idMember(id), keyOfRow(row.key));
    const address = id === undefined ? addressByKey(table, strategy, row.key) : undefined;
    return head + (address === undefined ? idMember(id) : targetAddress(address));
  };
  /** Each row's values are written once, and that is most of the work. */
  const addTarget = (text: Utf8Text, kind: WriteKind, sendable: Sendable): void => {
    const values = kind === 'delete' ? partitionOf(sendable.values) : sendable.values;
    text.add(opened(kind, sendable) + membersOf(values));
  };
  const single = (kind: WriteKind, { row, id, values }: Sendable): string =>
    kind === 'create' ? joined(`{${idMember(id)}`, keyOfRow(row.key)) + membersOf(values) : JSON.stringify(values);
  let bytesOfTarget = 0;

  return {
    message: (kind) => (kind === 'delete' && !table.elastic ? undefined : MESSAGES[kind]),
    bulk(message, kind, rows) {
      const body = targetsBody(rows, rows.length * bytesOfTarget, (text, row) => addTarget(text, kind, row));
      // Room for rows that are a little longer than these.
      bytesOfTarget = (1.1 * body.length) / rows.length;
      const path = bulkPath(table.entitySetName, message);
      return { method: 'POST', path, body, ...(table.elastic && { headers: WITH_ROW_STATUS }) };
    },
    operation(kind, sendable) {
      const { row, id, values } = sendable;
      const path = id === undefined ? addressByKey(table, strategy, row.key) : `${table.entitySetName}(${id})`;
      const body = kind === 'delete' ? '' : single(kind, sendable);
      switch (kind) {
        case 'create':
          return { method: 'POST', path: table.entitySetName, body };
        case 'update':
          return { method: 'PATCH', path: path ?? '', headers: UPDATE_ONLY, body };
        case 'upsert':
          return { method: 'PATCH', path: path ?? '', body };
        case 'delete':
          return { method: 'DELETE', path: inPartition(path ?? '', values['partitionid']) };
        default:
          return kind satisfies never;
      }
    },
  };
}

/** An object's text that lacks its end, with more members. */
const joined = (open: string, members: string): string => (members === '' ? open : `${open},${members}`);

/** The members of an object that has others before them, and its end. */
function membersOf(values: Sendable['values']): string {
  const text = JSON.stringify(values);
  return text === '{}' ? '}' : `,${text.slice(1)}`;
}

const partitionOf = (values: Sendable['values']): Sendable['values'] =>
  'partitionid' in values ? { partitionid: values['partitionid'] } : {};
