import * as z from 'zod';
import type { RowError } from '../../dataverse/bulk/outcomes.ts';
import type { StreamingClient } from '../../dataverse/client.ts';
import type { RequestLimits } from '../../dataverse/find-row.ts';
import { type LookupSource, resolveLookups } from '../../dataverse/lookups.ts';
import type { Metadata } from '../../dataverse/metadata.ts';
import { addressOf, addressPath, type RowAddress } from '../../dataverse/row-address.ts';
import type { Table, TableShape } from '../../dataverse/table.ts';
import { toWireRow } from '../../dataverse/values.ts';
import type { BatchOperation } from '../../dataverse/wire/batch.ts';
import { REPRESENTATION, UPDATE_ONLY } from '../../dataverse/wire/headers.ts';
import { BridgeError } from '../../shared/errors.ts';
import { isGuid, type NewId } from '../../shared/ids.ts';
import type { Ordered, Packed } from './lanes.ts';
import { type BatchOutcome, late, malformed, rejected } from './outcome.ts';

export type BatchAction = 'create' | 'update' | 'delete';

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const collection = z
  .string({ error: 'It must be the name of a table.' })
  .min(1)
  .max(128)
  .describe('Entity set name or logical name of the table.');
const key = z
  .string({ error: 'It must be a GUID or an alternate key.' })
  .min(1)
  .max(4_000)
  .describe("A GUID, or an alternate key: `accountnumber='A-1'`.");
const data = z.custom<Readonly<Record<string, unknown>>>(isObject, 'It must be an object of column values.');
const returnRepresentation = z.boolean().default(false).describe('Whether to tell the row as it is then.');

/** One entry as callers give it. */
export const batchEntry = z.discriminatedUnion(
  'action',
  [
    z.strictObject({ collection, action: z.literal('create'), data, returnRepresentation }),
    z.strictObject({ collection, action: z.literal('update'), key, data, returnRepresentation }),
    z.strictObject({ collection, action: z.literal('delete'), key, returnRepresentation }),
  ],
  { error: 'It must be an object whose action is create, update or delete.' },
);
type Given = z.output<typeof batchEntry>;

/** An entry ready to be sent. */
export interface Entry extends Ordered, Packed {
  readonly action: BatchAction;
  readonly shape: TableShape;
  /** Without a path where the row has to be looked up first. */
  readonly operation: Omit<BatchOperation, 'path'> & { readonly path: string | undefined };
  /** Of an update or a delete. */
  readonly address: RowAddress | undefined;
  /** The row's id where it is known. */
  readonly id: string | undefined;
  /** Whether the id was made for this entry: then a row under it is the one that the entry created. */
  readonly ownId: boolean;
  readonly returnRepresentation: boolean;
}

/** Bounds of all requests of a batch. No signal: what is under way at the end is waited for, until the deadline. */
export interface BatchLimits extends Pick<RequestLimits, 'clientRequestId'> {
  /** Milliseconds since 1970 by which all answers must have come. */
  readonly deadline: number;
}

export interface EntryContext {
  readonly client: StreamingClient;
  readonly metadata: Metadata;
  readonly newId: NewId;
  readonly limits: BatchLimits;
  readonly now: () => number;
}

/** Entries that are looked at side by side; looking at one may take a query. */
const SIDE_BY_SIDE = 8;

/** Turns entries into what can be sent, or into the outcome of those that cannot be. */
export async function prepareEntries(
  context: EntryContext,
  values: readonly unknown[],
): Promise<(Entry | BatchOutcome)[]> {
  const parsed = values.map((value, index) => ({ index, entry: batchEntry.safeParse(value) }));
  const given = parsed.flatMap(({ index, entry }) => (entry.success ? [{ index, entry: entry.data }] : []));
  const faults = parsed.flatMap(({ index, entry }) => (entry.success ? [] : [malformed(index, faultOf(entry.error))]));
  const tables = tablesOf(
    context.metadata,
    given.map(({ entry }) => entry),
  );
  const prepared: (Entry | BatchOutcome)[] = [];
  const rest = given.values();
  const work = async (): Promise<void> => {
    for (const { index, entry } of rest) prepared.push(await prepareOne(context, tables, index, entry));
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work));
  return [...faults, ...prepared].sort((a, b) => a.index - b.index);
}

function faultOf({ issues: [issue] }: z.ZodError): RowError {
  const unknownMember = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const path = [...(issue?.path ?? []), ...(unknownMember === undefined ? [] : [unknownMember])].map(String).join('.');
  const what = unknownMember === undefined ? issue?.message : 'There is no such member here.';
  return { code: 'entryInvalid', message: `${path.slice(0, 100)}${path && ': '}${what}`.slice(0, 300) };
}

type Tables = (collection: string) => Promise<Table>;

/** Each table is read once, for all columns that the entries use of it. */
function tablesOf(metadata: Metadata, entries: readonly Given[]): Tables {
  const columns = new Map<string, Set<string>>();
  for (const entry of entries) {
    const used = columns.get(entry.collection) ?? new Set();
    if (entry.action !== 'delete') for (const name of Object.keys(entry.data)) used.add(name);
    columns.set(entry.collection, used);
  }
  const read = new Map<string, Promise<Table>>();
  return (name) => {
    const table = read.get(name) ?? metadata.table(name, { columns: [...(columns.get(name) ?? [])] });
    read.set(name, table);
    return table;
  };
}

async function prepareOne(
  context: EntryContext,
  tables: Tables,
  index: number,
  given: Given,
): Promise<Entry | BatchOutcome> {
  if (context.now() >= context.limits.deadline) return late(index);
  try {
    const table = await tables(given.collection);
    if (given.action === 'create') return await createEntry(context, table, index, given);
    const address = await addressOf(context.metadata, table.logicalName, given.key);
    return given.action === 'update'
      ? await updateEntry(context, table, index, given, address)
      : addressed(index, table, address, { action: 'delete', method: 'DELETE', returnRepresentation: false });
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error;
    return rejected(index, error);
  }
}

type Written = { readonly values: Readonly<Record<string, unknown>> } | { readonly error: RowError };

async function written(
  { client, metadata, limits }: EntryContext,
  table: Table,
  row: Readonly<Record<string, unknown>>,
): Promise<Written> {
  const source: LookupSource = { client, metadata };
  const resolved = await resolveLookups(source, table, row, limits);
  if (resolved.error) return { error: resolved.error };
  const wire = toWireRow(table, resolved.row);
  return wire.error ? { error: wire.error } : { values: wire.values };
}

async function createEntry(
  context: EntryContext,
  table: Table,
  index: number,
  { data, returnRepresentation }: Extract<Given, { action: 'create' }>,
): Promise<Entry | BatchOutcome> {
  const row = await written(context, table, data);
  if ('error' in row) return malformed(index, row.error);
  const given = row.values[table.primaryId];
  const id = typeof given === 'string' && isGuid(given) ? given.toLowerCase() : context.newId();
  const ownId = given == null;
  const values = { ...row.values, [table.primaryId]: id };
  const body = JSON.stringify(values);
  return {
    index,
    action: 'create',
    shape: table,
    table: table.logicalName,
    key: ownId ? undefined : { [table.primaryId]: id },
    gets: values,
    address: undefined,
    id,
    ownId,
    looksUp: false,
    returnRepresentation,
    bytes: bytesOf(body),
    operation: {
      method: 'POST',
      path: table.entitySetName,
      body,
      ...(returnRepresentation && { headers: REPRESENTATION }),
    },
  };
}

async function updateEntry(
  context: EntryContext,
  table: Table,
  index: number,
  { data, returnRepresentation }: Extract<Given, { action: 'update' }>,
  address: RowAddress,
): Promise<Entry | BatchOutcome> {
  const row = await written(context, table, data);
  if ('error' in row) return malformed(index, row.error);
  const { [table.primaryId]: id, ...values } = row.values;
  if (id != null && !(address.kind === 'id' && address.id === id)) {
    const message = `The id in '${table.primaryId}' is not that of the row to update.`;
    return malformed(index, { code: 'idDiffers', column: table.primaryId, message });
  }
  const headers = { ...UPDATE_ONLY, ...(returnRepresentation && REPRESENTATION) };
  const body = JSON.stringify(values);
  return addressed(index, table, address, {
    action: 'update',
    method: 'PATCH',
    returnRepresentation,
    values,
    body,
    headers,
  });
}

function addressed(
  index: number,
  table: Table,
  address: RowAddress,
  change: {
    readonly action: 'update' | 'delete';
    readonly method: 'PATCH' | 'DELETE';
    readonly returnRepresentation: boolean;
    readonly values?: Readonly<Record<string, unknown>>;
    readonly body?: string;
    readonly headers?: Readonly<Record<string, string>>;
  },
): Entry {
  const { action, method, returnRepresentation, values = {}, body, headers } = change;
  const path = addressPath(address);
  return {
    index,
    action,
    shape: table,
    table: table.logicalName,
    key: address.kind === 'id' ? { [table.primaryId]: address.id } : address.values,
    gets: values,
    address,
    id: address.kind === 'id' ? address.id : undefined,
    ownId: false,
    looksUp: path === undefined,
    returnRepresentation,
    bytes: bytesOf(body ?? ''),
    operation: { method, path, ...(body !== undefined && { body }), ...(headers && { headers }) },
  };
}

/** About what an operation takes besides its body: its boundary, its headers and its address. */
const OPERATION_BYTES = 500;

const bytesOf = (body: string): number => Buffer.byteLength(body) + OPERATION_BYTES;
