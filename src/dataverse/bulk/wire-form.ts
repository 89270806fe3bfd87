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
import { addressByKey, type KeyStrategy, keyValues } from './keys.ts';
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
  const idMember = (id: string | undefined): string => `${JSON.stringify(table.primaryId)}:${JSON.stringify(id)}`;

  /** The members of a row's JSON, without braces. Each row is written once, as text that goes into the body. */
  const members = (kind: WriteKind, { row, id, values }: Sendable): string => {
    const columns = membersOf(values);
    if (kind !== 'create') return columns;
    return joined(joined(idMember(id), membersOf(keyValues(table, strategy, row.key))), columns);
  };
  const target = (kind: WriteKind, sendable: Sendable): string => {
    if (kind === 'create') return `${head}${members(kind, sendable)}}`;
    const { row, id, values } = sendable;
    const address = id === undefined ? addressByKey(table, strategy, row.key) : undefined;
    const key = address === undefined ? idMember(id) : targetAddress(address);
    const columns = kind === 'delete' ? membersOf(partitionOf(values)) : members(kind, sendable);
    return `${head}${joined(key, columns)}}`;
  };

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
      const body = `{${members(kind, sendable)}}`;
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

const joined = (one: string, other: string): string => (one !== '' && other !== '' ? `${one},${other}` : one + other);

const partitionOf = (values: Sendable['values']): Sendable['values'] =>
  'partitionid' in values ? { partitionid: values['partitionid'] } : {};

/** An object's JSON without its braces. */
const membersOf = (values: Readonly<Record<string, unknown>>): string => JSON.stringify(values).slice(1, -1);
