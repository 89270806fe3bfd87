import type { Connection } from '../connections/connections.ts';
import { DataverseError } from '../dataverse/errors.ts';
import { findRowId, type RequestLimits } from '../dataverse/find-row.ts';
import { InputError } from '../dataverse/input-error.ts';
import { resolveLookups } from '../dataverse/lookups.ts';
import { buildQuery } from '../dataverse/query/build.ts';
import { type JsonObject, readJson } from '../dataverse/read-json.ts';
import { type Row, readRow } from '../dataverse/read-row.ts';
import { addressOf, addressPath, type RowAddress } from '../dataverse/row-address.ts';
import type { Table, TableShape } from '../dataverse/table.ts';
import { toWireRow } from '../dataverse/values.ts';
import { etagOf, metadataVersion } from '../dataverse/wire/annotations.ts';
import { createdId, type WriteConditions, writeHeaders } from '../dataverse/wire/headers.ts';
import { rowPath } from '../dataverse/wire/keys.ts';
import { queryPath, readHeaders } from '../dataverse/wire/query.ts';
import type { NewId } from '../shared/ids.ts';

/** What one call on rows works with. */
export interface RowContext {
  readonly connection: Pick<Connection, 'client' | 'metadata' | 'apiPath' | 'assertWritable'>;
  /** A logical name, an entity set name or a MetadataId. */
  readonly table: string;
  readonly newId: NewId;
  readonly limits: RequestLimits;
}

/** What is wanted of a row that is read, or given back after a write. */
export interface RowView {
  readonly select?: readonly string[] | undefined;
  readonly expand?: string | undefined;
  readonly formatted: boolean;
}

export interface ReadResult {
  readonly row: Row;
  readonly etag: string | undefined;
}

export interface WriteResult {
  /** Known of every row that was created. */
  readonly id?: string;
  readonly created: boolean;
  /** Where it was asked for. */
  readonly row?: Row;
  readonly etag?: string | undefined;
}

export interface WriteOptions extends WriteConditions {
  /** Gives the row back as it is then. */
  readonly view?: RowView | undefined;
}

type Values = Readonly<Record<string, unknown>>;

/**
 * Reads one row by its key (see `addressOf`). Throws InputError for names and keys that are not there, DataverseError
 * `notFound`, `tableUnknown`, `tableNotAllowed`, and what the client throws.
 */
export async function getRow(context: RowContext, key: string, view: RowView): Promise<ReadResult> {
  const { connection, limits, newId } = context;
  const address = await addressOf(connection.metadata, context.table, key, { signal: limits.signal });
  const { table } = address;
  const { parts, expansions, readsLookups } = await buildQuery(connection.metadata, table, view, limits.signal);
  const path = queryPath(await existingPath(context, address), parts);
  const wire = await readJson({ ...connection, newId }, path, readHeaders(view.formatted || readsLookups), limits);
  connection.metadata.noteVersion(metadataVersion(wire));
  return { row: readRow(table, wire, { formatted: view.formatted, expanded: expansions }), etag: etagOf(wire) };
}

/**
 * Creates a row. It gets an id that is made here, so that it is sent again safely when an answer is lost; with an id
 * of the caller's own it is sent once. Throws InputError for the first column that cannot be written, DataverseError
 * `conflict` where the id or a key is taken, and what the client throws.
 */
export async function createRow(context: RowContext, values: Values, view?: RowView): Promise<WriteResult> {
  context.connection.assertWritable();
  const table = await tableFor(context, values);
  return create(context, table, await wireValues(context, table, values), view);
}

/**
 * Changes a row that is there; `ifMatch` narrows that to one version of it. Throws as `createRow` does, DataverseError
 * `notFound` where there is no such row, `conflict` where it has another version.
 */
export async function updateRow(
  context: RowContext,
  key: string,
  values: Values,
  { ifMatch = '*', view }: WriteOptions = {},
): Promise<WriteResult> {
  context.connection.assertWritable();
  const { address, wire, keyChanges } = await prepare(context, key, values);
  // The service drops a key's columns from a row that it finds by them, so that a changed key needs the row's id.
  const path = keyChanges ? await pathById(context, address) : await existingPath(context, address);
  return patch(context, address, path, wire, { ifMatch, view });
}

/**
 * Changes a row, or creates it where there is none. With `ifMatch` it only changes, with `ifNoneMatch` it only creates.
 * Throws as `updateRow` does.
 */
export async function upsertRow(
  context: RowContext,
  key: string,
  values: Values,
  options: WriteOptions = {},
): Promise<WriteResult> {
  if (options.ifMatch !== undefined) return updateRow(context, key, values, options);
  context.connection.assertWritable();
  const { address, wire, keyChanges } = await prepare(context, key, values);
  if (keyChanges) {
    throw new InputError('key', 'keyMismatch', 'The row’s values for the key’s columns are not those of the key.', {
      hint: 'Leave the key’s columns out of the row, or update it instead.',
    });
  }
  const path = addressPath(address);
  return path === undefined
    ? upsertBySearch(context, address, wire, options)
    : patch(context, address, path, wire, options);
}

/** Deletes the row with this key. Throws DataverseError `notFound`, `conflict`, and what the client throws. */
export async function deleteRow(
  context: RowContext,
  key: string,
  { ifMatch }: Pick<WriteConditions, 'ifMatch'> = {},
): Promise<void> {
  const { connection, limits } = context;
  connection.assertWritable();
  const address = await addressOf(connection.metadata, context.table, key, { signal: limits.signal });
  const path = await existingPath(context, address);
  const repeatable = ifMatch === undefined || ifMatch === '*';
  try {
    await connection.client.send({ method: 'DELETE', path, headers: writeHeaders({ ifMatch }), repeatable, ...limits });
  } catch (error) {
    // It was there when the try went out whose answer was lost.
    if (!(error instanceof DataverseError && error.code === 'notFound' && error.facts.afterUnknown)) throw error;
  }
}

/** The definition that writing these values takes. */
const tableFor = ({ connection, table, limits }: RowContext, values: Values): Promise<Table> =>
  connection.metadata.table(table, { columns: Object.keys(values) }, limits.signal);

/** Values in the Web API's form. Throws InputError for the first that cannot be written. */
async function wireValues({ connection, limits }: RowContext, table: Table, values: Values): Promise<Values> {
  const resolved = await resolveLookups(connection, table, values, limits);
  const { values: wire, error } = resolved.error ? { error: resolved.error } : toWireRow(table, resolved.row);
  if (wire) return wire;
  throw new InputError(error.column ?? '', error.code, error.message, { hint: error.hint });
}

interface Prepared {
  readonly address: RowAddress;
  /** Without the id and the key's columns, where they say what the key says. */
  readonly wire: Values;
  /** Whether the values would give the row another key. */
  readonly keyChanges: boolean;
}

async function prepare(context: RowContext, key: string, values: Values): Promise<Prepared> {
  const { metadata } = context.connection;
  const address = await addressOf(metadata, context.table, key, { signal: context.limits.signal });
  const { primaryId } = address.table;
  const given = values[primaryId];
  const isSame = typeof given === 'string' && address.kind === 'id' && given.toLowerCase() === address.id;
  if (given !== undefined && !isSame) {
    throw new InputError(primaryId, 'idFixed', `A row’s '${primaryId}' cannot be changed.`, {
      hint: 'Leave it out; the key says which row is meant.',
    });
  }
  const { [primaryId]: _, ...columns } = values;
  const wire = { ...(await wireValues(context, await tableFor(context, columns), columns)) };
  let keyChanges = false;
  for (const [name, value] of Object.entries(address.kind === 'key' ? address.values : {})) {
    if (!Object.hasOwn(wire, name)) continue;
    if (JSON.stringify(wire[name]) === JSON.stringify(value)) delete wire[name];
    else keyChanges = true;
  }
  return { address, wire, keyChanges };
}

/** The path of a row that should be there; found by a query where its key fits no path. */
async function existingPath(context: RowContext, address: RowAddress): Promise<string> {
  return addressPath(address) ?? pathById(context, address);
}

async function pathById({ connection, limits }: RowContext, address: RowAddress): Promise<string> {
  const id = await findRowId(connection.client, address, limits);
  if (id === undefined) throw missing(address.table);
  return rowPath(address.table.entitySetName, id);
}

const missing = ({ logicalName }: TableShape): DataverseError =>
  new DataverseError('notFound', `There is no row of '${logicalName}' with this key.`);

/** What of a row is given back: what is wanted, or its id alone. */
async function viewed(context: RowContext, table: TableShape, view: RowView | undefined) {
  const { select, formatted } = view ?? { select: [table.primaryId], formatted: false };
  const { metadata } = context.connection;
  const { parts, readsLookups } = await buildQuery(metadata, table, { select }, context.limits.signal);
  return { parts, representation: { formatted: formatted || readsLookups } };
}

function toResult(table: TableShape, wire: JsonObject, created: boolean, view: RowView | undefined): WriteResult {
  const id = wire[table.primaryId];
  if (typeof id !== 'string') throw new DataverseError('notDataverse', 'The answer to a write holds no id.');
  const etag = etagOf(wire);
  return { id, created, etag, ...(view && { row: readRow(table, wire, { formatted: view.formatted }) }) };
}

/** One PATCH. Where it may create, the row that it gives back says whether it did. */
async function patch(
  context: RowContext,
  { table }: RowAddress,
  path: string,
  wire: Values,
  { view, ...conditions }: WriteOptions,
): Promise<WriteResult> {
  const { connection, limits } = context;
  const { ifMatch, ifNoneMatch } = conditions;
  const givesBack = view !== undefined || ifMatch === undefined;
  const { parts, representation } = await viewed(context, table, view);
  const answer = await connection.client.send({
    method: 'PATCH',
    path: givesBack ? queryPath(path, parts) : path,
    headers: writeHeaders(conditions, givesBack ? representation : undefined),
    body: JSON.stringify(wire),
    // A second try under a version, or of a create, would be refused for what the first one did.
    repeatable: (ifMatch === undefined || ifMatch === '*') && ifNoneMatch === undefined,
    ...limits,
  });
  if (!givesBack) return { created: false, etag: answer.header('etag') };
  return toResult(table, asObject(answer.json()), answer.status === 201, view);
}

const asObject = (value: unknown): JsonObject => (typeof value === 'object' && value !== null ? { ...value } : {});

/** Creates a row from values in wire form. */
async function create(
  context: RowContext,
  table: Table,
  wire: Values,
  view: RowView | undefined,
): Promise<WriteResult> {
  const { connection, limits, newId } = context;
  const takesId = table.columns.get(table.primaryId)?.validForCreate ?? false;
  const ownId = takesId && wire[table.primaryId] === undefined ? newId() : undefined;
  const { parts, representation } = await viewed(context, table, view);
  try {
    const answer = await connection.client.send({
      method: 'POST',
      path: view ? queryPath(table.entitySetName, parts) : table.entitySetName,
      headers: writeHeaders({}, view && representation),
      body: JSON.stringify(ownId === undefined ? wire : { ...wire, [table.primaryId]: ownId }),
      repeatable: ownId !== undefined,
      ...limits,
    });
    if (view) return toResult(table, asObject(answer.json()), true, view);
    const id = createdId(answer.header('odata-entityid')) ?? ownId ?? wire[table.primaryId];
    return toResult(table, { [table.primaryId]: id }, true, undefined);
  } catch (error) {
    const repeated = error instanceof DataverseError && error.code === 'conflict' && error.facts.afterUnknown;
    if (!repeated || ownId === undefined) throw error;
    return createdBefore(context, table, ownId, view, error);
  }
}

/** A create that was refused as a duplicate after a lost answer: the row with the id that we made is its own. */
async function createdBefore(
  context: RowContext,
  table: Table,
  id: string,
  view: RowView | undefined,
  refusal: DataverseError,
): Promise<WriteResult> {
  try {
    const { row, etag } = await getRow(context, id, view ?? { select: [table.primaryId], formatted: false });
    return { id, created: true, etag, ...(view && { row }) };
  } catch (error) {
    throw error instanceof DataverseError && error.code === 'notFound' ? refusal : error;
  }
}

/** Upserts by a key that fits no path: finds the row, or creates it; the key's index decides when another is faster. */
async function upsertBySearch(
  context: RowContext,
  address: RowAddress,
  wire: Values,
  { ifNoneMatch, view }: WriteOptions,
): Promise<WriteResult> {
  const { connection, limits } = context;
  const table = await tableFor(context, {});
  const keyValues = address.kind === 'key' ? address.values : {};
  for (let tries = 1; ; tries += 1) {
    const id = await findRowId(connection.client, address, limits);
    if (id !== undefined && ifNoneMatch !== undefined) {
      throw new DataverseError('conflict', 'A record with matching key values already exists.');
    }
    try {
      if (id === undefined) return await create(context, table, { ...wire, ...keyValues }, view);
      return await patch(context, address, rowPath(table.entitySetName, id), wire, { ifMatch: '*', view });
    } catch (error) {
      const changed = error instanceof DataverseError && error.code === (id === undefined ? 'conflict' : 'notFound');
      if (!changed || tries >= 3 || ifNoneMatch !== undefined) throw error;
    }
  }
}
