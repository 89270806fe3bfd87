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
  bulk(message: BulkMessage, kind: WriteKind, rows: readonly Sendable[]): BatchOperation & { readonly body: string };
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
  const idMember = (id: string | undefined): string => idHead + JSON.stringify(id);
  const keyOfRow = keyMembers(table, strategy);

  /** A target, or a row, as text. Each row's values are written once, and that is most of the work. */
  const target = (kind: WriteKind, { row, id, values }: Sendable): string => {
    if (kind === 'create') return joined(joined(head + idMember(id), keyOfRow(row.key)), values);
    const address = id === undefined ? addressByKey(table, strategy, row.key) : undefined;
    const key = head + (address === undefined ? idMember(id) : targetAddress(address));
    return joined(key, kind === 'delete' ? partitionOf(values) : values);
  };
  const single = (kind: WriteKind, { row, id, values }: Sendable): string =>
    kind === 'create' ? joined(joined(`{${idMember(id)}`, keyOfRow(row.key)), values) : JSON.stringify(values);

  return {
    message: (kind) => (kind === 'delete' && !table.elastic ? undefined : MESSAGES[kind]),
    bulk: (message, kind, rows) => ({
      method: 'POST',
      path: bulkPath(table.entitySetName, message),
      body: targetsBody(rows.map((row) => target(kind, row))),
      ...(table.elastic && { headers: WITH_ROW_STATUS }),
    }),
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

/** An object's text that lacks its end, with more members: as text, or as an object that brings the end. */
function joined(open: string, more: string | Sendable['values']): string {
  if (typeof more === 'string') return more === '' ? open : `${open},${more}`;
  const text = JSON.stringify(more);
  return text === '{}' ? `${open}}` : `${open},${text.slice(1)}`;
}

const partitionOf = (values: Sendable['values']): Sendable['values'] =>
  'partitionid' in values ? { partitionid: values['partitionid'] } : {};
