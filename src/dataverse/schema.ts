import * as z from 'zod';
import type { Clock } from '../shared/clock.ts';
import { isGuid } from '../shared/ids.ts';
import { abortable } from './abortable.ts';
import type { DataverseClient } from './client.ts';
import { DataverseError } from './errors.ts';
import type { RequestLimits } from './find-row.ts';
import type { Metadata } from './metadata.ts';
import type { DataverseResponse } from './request.ts';
import { type Definition, typeOf } from './schema-form.ts';
import {
  columnPath,
  columnsPath,
  type DefinitionOptions,
  idOfAddress,
  inSolution,
  keysPath,
  MERGE_LABELS,
  mergeDefinition,
  newKeyPath,
  tablePath,
  tablesPath,
  typeOfColumn,
  UNCACHED,
  withoutContext,
  withTypes,
} from './wire/schema.ts';

export interface SchemaChange extends RequestLimits {
  /** Unique name of the solution that what is made belongs to. */
  readonly solution?: string | undefined;
}

export interface ColumnsQuery extends DefinitionOptions {
  /** One of COLUMN_TYPES: only columns of this type, with the properties that only they have. */
  readonly type?: string | undefined;
}

/**
 * An environment's definitions, whole and in the service's own form, to be looked at and changed. Tables are named by
 * logical name, entity set name or MetadataId. Every method throws DataverseError `tableUnknown` or `tableNotAllowed`,
 * and what the client throws.
 */
export interface Schema {
  /**
   * All tables that the connection may touch, with the properties of a list or with more of them; from a cache of a
   * minute, read once for all who ask at the same time.
   */
  tables(details: boolean, signal?: AbortSignal): Promise<readonly Definition[]>;
  table(name: string, call: RequestLimits): Promise<Definition>;
  columns(table: string, query: ColumnsQuery, call: RequestLimits): Promise<readonly Definition[]>;
  /** One column by its logical name or MetadataId. Throws DataverseError `notFound`. */
  column(table: string, column: string, query: ColumnsQuery, call: RequestLimits): Promise<Definition>;
  /** Alternate keys with the states of their indexes. */
  keys(table: string, call: RequestLimits): Promise<readonly Definition[]>;
  key(table: string, id: string, call: RequestLimits): Promise<Definition>;
  /**
   * Resolves with the new column's MetadataId, where the service told it. Throws DataverseError `refused` where the
   * definition names no type.
   */
  createColumn(table: string, definition: Definition, change: SchemaChange): Promise<string | undefined>;
  /**
   * Puts changes into a column's definition and sends it whole, which is what the service takes; labels of languages
   * that the changes do not name are kept. Of two changes at the same time the later one wins: definitions have no
   * versions. Throws DataverseError `refused` where the changes name another column or type.
   */
  updateColumn(table: string, column: string, changes: Definition, change: SchemaChange): Promise<void>;
  /** Resolves with the new key's MetadataId, where the service told it. */
  createKey(table: string, definition: Definition, change: SchemaChange): Promise<string | undefined>;
}

export interface SchemaOptions {
  readonly client: DataverseClient;
  readonly metadata: Metadata;
  readonly allowedTables: ReadonlySet<string> | undefined;
  readonly clock: Clock;
}

const LIST_LIFETIME_MS = 60_000;
/** A big organisation's list takes seconds; those who share a read still listen after this long. */
const LONGEST_LIST_MS = 120_000;

const LISTED = [
  'LogicalName',
  'SchemaName',
  'EntitySetName',
  'DisplayName',
  'DisplayCollectionName',
  'IsCustomEntity',
  'IsChildEntity',
  'PrimaryIdAttribute',
  'PrimaryNameAttribute',
  'MetadataId',
];
/** Properties of a table that are read for a list with details. */
export const DETAILS_LISTED: readonly string[] = [
  ...LISTED,
  'Description',
  'OwnershipType',
  'TableType',
  'ObjectTypeCode',
  'IsActivity',
  'IsIntersect',
  'IsManaged',
  'IsAuditEnabled',
  'IsBusinessProcessEnabled',
  'IsValidForAdvancedFind',
  'IsValidForQueue',
  'ChangeTrackingEnabled',
  'HasActivities',
  'HasNotes',
  'EntityColor',
  'IconLargeName',
  'IconMediumName',
  'IconSmallName',
];

const NAME = /^[A-Za-z][A-Za-z0-9_]{0,127}$/;

export function createSchema({ client, metadata, allowedTables, clock }: SchemaOptions): Schema {
  const isAllowed = (table: Definition): boolean => allowedTables?.has(String(table['LogicalName'])) ?? true;
  const lists = new Map<boolean, { readonly value: Promise<readonly Definition[]>; readonly readAt: number }>();

  /** Shared by all callers, so no caller's signal may abort it. */
  const readTables = (details: boolean): Promise<readonly Definition[]> => {
    const path = tablesPath(details ? DETAILS_LISTED : LISTED);
    const answer = client.send({ method: 'GET', path, deadline: clock.now() + LONGEST_LIST_MS });
    const entry = { value: answer.then((found) => listIn(found).filter(isAllowed)), readAt: clock.now() };
    lists.set(details, entry);
    entry.value.catch(() => lists.get(details) === entry && lists.delete(details));
    return entry.value;
  };
  const nameOf = async (table: string, signal: AbortSignal | undefined): Promise<string> =>
    (await metadata.shape(table, signal)).logicalName;
  const get = async (path: string, call: RequestLimits, headers = {}): Promise<DataverseResponse> =>
    client.send({ method: 'GET', path, headers, ...callOf(call) });
  const create = async (path: string, body: Definition, change: SchemaChange): Promise<string | undefined> => {
    const headers = inSolution(change.solution);
    const answer = await client.send({ method: 'POST', path, headers, body: JSON.stringify(body), ...callOf(change) });
    metadata.forget();
    return idOfAddress(answer.header('odata-entityid'));
  };

  return {
    tables(details, signal) {
      const found = lists.get(details);
      const fresh = found !== undefined && clock.now() - found.readAt < LIST_LIFETIME_MS;
      return abortable(fresh ? found.value : readTables(details), signal);
    },
    async table(name, call) {
      return oneIn(await get(tablePath(await nameOf(name, call.signal)), call));
    },
    async columns(table, { type, ...query }, call) {
      const path = columnsPath(await nameOf(table, call.signal), castFor(type), withType(query));
      const found = listIn(await get(path, call));
      return type === undefined ? found : found.filter((column) => typeOf(column) === type);
    },
    async column(table, column, { type, ...query }, call) {
      const address = { table: await nameOf(table, call.signal), ...columnName(column), type: castFor(type) };
      return oneIn(await get(columnPath(address, withType(query)), call));
    },
    async keys(table, call) {
      return listIn(await get(keysPath(await nameOf(table, call.signal)), call, UNCACHED));
    },
    async key(table, id, call) {
      return oneIn(await get(keysPath(await nameOf(table, call.signal), id), call, UNCACHED));
    },
    async createColumn(table, body, change) {
      assertColumnType(body);
      return create(columnsPath(await nameOf(table, change.signal)), withTypes(body), change);
    },
    async updateColumn(table, column, changes, change) {
      const path = columnPath({ table: await nameOf(table, change.signal), ...columnName(column) });
      const current = oneIn(await get(path, change, UNCACHED));
      assertSameColumn(current, changes);
      await client.send({
        method: 'PUT',
        path,
        headers: { ...MERGE_LABELS, ...inSolution(change.solution) },
        body: JSON.stringify(mergeDefinition(withoutContext(current), withTypes(changes))),
        repeatable: true,
        ...callOf(change),
      });
      metadata.forget();
    },
    async createKey(table, body, change) {
      return create(newKeyPath(await nameOf(table, change.signal)), body, change);
    },
  };
}

/** The solution is told in a header. */
const callOf = ({ solution: _, ...limits }: SchemaChange): RequestLimits => limits;

const definition = z.record(z.string(), z.unknown());
const list = z.object({ value: z.array(definition) });

const listIn = (answer: DataverseResponse): Definition[] =>
  list.safeParse(answer.json()).data?.value ?? unexpected(answer.status);

const oneIn = (answer: DataverseResponse): Definition =>
  definition.safeParse(answer.json()).data ?? unexpected(answer.status);

function unexpected(status: number): never {
  throw new DataverseError('notDataverse', 'Dataverse answered with something other than a definition.', { status });
}

function columnName(column: string): { column: string; isId: boolean } {
  if (isGuid(column)) return { column, isId: true };
  if (NAME.test(column)) return { column: column.toLowerCase(), isId: false };
  throw new DataverseError('notFound', `There is no column '${column.slice(0, 128)}'.`);
}

/** Types whose columns have properties of their own, as the cast that opens them; several types share that of lookups. */
const CASTS: Readonly<Record<string, string>> = {
  String: 'String',
  Memo: 'Memo',
  Integer: 'Integer',
  BigInt: 'BigInt',
  Decimal: 'Decimal',
  Double: 'Double',
  Money: 'Money',
  Boolean: 'Boolean',
  DateTime: 'DateTime',
  Lookup: 'Lookup',
  Customer: 'Lookup',
  Owner: 'Lookup',
  PartyList: 'Lookup',
  Picklist: 'Picklist',
  State: 'State',
  Status: 'Status',
  MultiSelectPicklist: 'MultiSelectPicklist',
  Image: 'Image',
  File: 'File',
  Uniqueidentifier: 'UniqueIdentifier',
  EntityName: 'EntityName',
  ManagedProperty: 'ManagedProperty',
};

/** Column types that can be asked for. */
export const COLUMN_TYPES: readonly string[] = Object.keys(CASTS);

const castFor = (type: string | undefined): string | undefined => (type === undefined ? undefined : CASTS[type]);

/** What tells a column's name and type is read in any case: lists are narrowed and sorted by them. */
const withType = ({ select, ...query }: DefinitionOptions): DefinitionOptions => ({
  ...query,
  ...(select && { select: [...new Set([...select, 'LogicalName', 'AttributeType', 'AttributeTypeName'])] }),
});

const FIXED = ['MetadataId', 'LogicalName', 'SchemaName', 'EntityLogicalName', 'AttributeType'];

function assertSameColumn(current: Definition, changes: Definition): void {
  const isOther = (name: string): boolean =>
    name in changes && String(changes[name]).toLowerCase() !== String(current[name]).toLowerCase();
  const type = typeOfColumn(changes);
  const wrong = FIXED.find(isOther) ?? (type !== undefined && type !== typeOfColumn(current) ? 'type' : undefined);
  if (wrong === undefined) return;
  throw new DataverseError(
    'refused',
    `The column '${String(current['LogicalName'])}' cannot get another ${wrong}.`,
    {},
    { hint: 'Leave out what cannot change: names, MetadataId and type.' },
  );
}

/** Lookups are made with their relationship, and not all types that can be read can be made at all. */
function assertColumnType(body: Definition): void {
  const type = typeOfColumn(withTypes(body));
  if (type !== undefined && Object.values(CASTS).includes(type)) return;
  throw new DataverseError(
    'refused',
    'The definition names no type of column.',
    {},
    {
      hint: 'Set AttributeType, such as "Money".',
    },
  );
}
