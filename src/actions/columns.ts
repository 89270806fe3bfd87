import type { RequestLimits } from '../dataverse/find-row.ts';
import type { ColumnsQuery, Schema } from '../dataverse/schema.ts';
import { type Definition, memberOf, propertyOf, readDefinition, typeOf } from '../dataverse/schema-form.ts';

export interface ColumnsRequest {
  readonly type?: string | undefined;
  readonly details: boolean;
  /** A condition on the service's own properties, as OData text. */
  readonly filter?: string | undefined;
  /** Members to read, named as in our answers or as in the service's. */
  readonly select?: readonly string[] | undefined;
  readonly expand?: readonly Expansion[] | undefined;
}

/** What belongs to a column: its `OptionSet` or `GlobalOptionSet`. */
export interface Expansion {
  readonly member: string;
  readonly select: readonly string[];
}

const LISTED = [
  'LogicalName',
  'SchemaName',
  'DisplayName',
  'Description',
  'AttributeType',
  'AttributeTypeName',
  'AttributeOf',
  'RequiredLevel',
  'IsCustomAttribute',
  'IsPrimaryId',
  'IsPrimaryName',
  'IsValidForRead',
  'IsValidForCreate',
  'IsValidForUpdate',
];

/** Types whose choices can be told with the details. */
const WITH_CHOICES: Readonly<Record<string, readonly string[]>> = {
  Picklist: ['OptionSet', 'GlobalOptionSet'],
  MultiSelectPicklist: ['OptionSet', 'GlobalOptionSet'],
  State: ['OptionSet'],
  Status: ['OptionSet'],
  Boolean: ['OptionSet', 'GlobalOptionSet'],
};

/** A table's columns in the order of their logical names. */
export async function listColumns(
  schema: Schema,
  table: string,
  request: ColumnsRequest,
  call: RequestLimits,
): Promise<readonly Definition[]> {
  const columns = await schema.columns(table, queryOf(request, LISTED), call);
  return columns
    .toSorted((a, b) => (String(a['LogicalName']) < String(b['LogicalName']) ? -1 : 1))
    .map((column) => entryOf(column, request));
}

/** One column, with all that it has; with details the choices of a choice column and the labels of all languages besides. */
export async function describeColumn(
  schema: Schema,
  table: string,
  column: string,
  request: ColumnsRequest,
  call: RequestLimits,
): Promise<Definition> {
  const found = await schema.column(table, column, queryOf(request), call);
  const type = typeOf(found);
  const plain = request.type === undefined && request.select === undefined && request.expand === undefined;
  if (!plain || !request.details || !WITH_CHOICES[type]) return entryOf(found, request);
  const whole = await schema.column(table, column, queryOf({ ...request, type }), call);
  return entryOf(whole, request);
}

/** `usual` is what is read where neither details nor certain members are wanted; left out, everything. */
function queryOf({ type, details, filter, select, expand }: ColumnsRequest, usual?: readonly string[]): ColumnsQuery {
  const properties = select?.map(propertyOf) ?? (details ? undefined : usual);
  const asked = expand?.map(({ member, select: inner }) => {
    const options = inner.length > 0 ? `($select=${inner.map(propertyOf).join(',')})` : '';
    return `${propertyOf(member)}${options}`;
  });
  const choices = details && type !== undefined ? WITH_CHOICES[type] : undefined;
  return { type, filter, select: properties, expand: (asked ?? choices)?.join(',') };
}

function entryOf(column: Definition, { details, select, expand }: ColumnsRequest): Definition {
  const definition = readDefinition(column, { languages: details });
  if (!select) return definition;
  const wanted = [...select, ...(expand?.map(({ member }) => member) ?? []), 'metadataId'];
  const members = new Set(wanted.map((name) => memberOf(propertyOf(name))));
  return Object.fromEntries([...members].map((member) => [member, definition[member] ?? null]));
}
