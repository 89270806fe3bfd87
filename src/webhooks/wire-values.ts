import { isGuid } from '../shared/ids.ts';

/**
 * A value of a column or parameter, decoded. Choices and money are numbers, several choices a list of numbers, dates
 * ISO 8601 in UTC, GUIDs in lower case, lookups `RowReference`, rows `Row`, parties and other collections lists of `Row`.
 */
export type Value = string | number | boolean | null | readonly Value[] | Values;
export type Values = { readonly [name: string]: Value };

export type RowReference = {
  readonly table: string;
  readonly id: string;
  readonly name?: string;
  /** The alternate key, where the row is named by one. */
  readonly key?: Values;
};

export type Row = {
  readonly table: string;
  readonly id: string;
  readonly columns: Values;
  /** The texts that users see, in the language and time zone of the user who acted; not every column has one. */
  readonly formatted: Values;
  readonly rowVersion?: string;
};

type JsonObject = { readonly [name: string]: unknown };

export const isObject = (json: unknown): json is JsonObject =>
  typeof json === 'object' && json !== null && !Array.isArray(json);

/**
 * Decodes one value of DataContract JSON as Dataverse posts it.
 *
 * A text that reads like a date on the wire (`/Date(0)/`) cannot be told from a date and becomes one.
 */
export function decodeValue(json: unknown): Value {
  if (json === null || typeof json === 'number' || typeof json === 'boolean') return json;
  if (typeof json === 'string') return decodeDate(json) ?? json;
  if (Array.isArray(json)) return json.map(decodeValue);
  return isObject(json) ? decodeObject(json) : null;
}

/** Decodes a collection of `{ key, value }`, into which Dataverse puts columns, parameters and variables alike. */
export function decodePairs<T = Value>(json: unknown, decode: (json: unknown) => T): { readonly [name: string]: T } {
  const pairs = Array.isArray(json) ? json.filter(isObject) : [];
  // `fromEntries` defines properties, so that a key `__proto__` is one like any other.
  return Object.fromEntries(
    pairs.flatMap(({ key, value }): [string, T][] => (typeof key === 'string' ? [[key, decode(value)]] : [])),
  );
}

const WIRE_DATE = /^\/Date\((-?\d{1,15})(?:([+-])(\d{2})(\d{2}))?\)\/$/;

/**
 * The moment in `/Date(ms)/` or `/Date(ms+hhmm)/` as ISO 8601, undefined for any other text.
 *
 * The offset is added: Dataverse's clock is UTC, but where a value is not marked so, the serializer takes it for its
 * server's local time, turns it into UTC and names the offset. In each recorded payload with an offset (-0700, +0200,
 * +0300) `OperationCreatedOn` meets the row's `modifiedon` only that way.
 */
export function decodeDate(text: string): string | undefined {
  const match = WIRE_DATE.exec(text);
  if (!match) return undefined;
  const [, ms = '', sign = '+', hours = '0', minutes = '0'] = match;
  const offset = (Number(hours) * 60 + Number(minutes)) * 60_000;
  const date = new Date(Number(ms) + (sign === '-' ? -offset : offset));
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

/** A GUID in lower case, bare or as `{ "__type": "Guid:#System", "__value": … }`. */
export function decodeGuid(json: unknown): string | undefined {
  const text = isObject(json) ? json['__value'] : json;
  return typeof text === 'string' && isGuid(text) ? text.toLowerCase() : undefined;
}

/** An `EntityReference`; undefined for anything else. */
export function decodeReference(json: unknown): RowReference | undefined {
  if (!isObject(json)) return undefined;
  const { LogicalName: table, Name: name } = json;
  const id = decodeGuid(json['Id']);
  if (typeof table !== 'string' || id === undefined) return undefined;
  const key = decodePairs(json['KeyAttributes'], decodeValue);
  return {
    table,
    id,
    ...(typeof name === 'string' ? { name } : {}),
    ...(Object.keys(key).length > 0 ? { key } : {}),
  };
}

/** An `Entity`; undefined for anything else. Images carry no `__type`, hence the look at the members. */
export function decodeRow(json: unknown): Row | undefined {
  if (!isObject(json) || !Array.isArray(json['Attributes'])) return undefined;
  const reference = decodeReference(json);
  if (!reference) return undefined;
  const rowVersion = json['RowVersion'];
  return {
    table: reference.table,
    id: reference.id,
    columns: decodePairs(json['Attributes'], decodeValue),
    formatted: decodePairs(json['FormattedValues'], decodeValue),
    ...(typeof rowVersion === 'string' ? { rowVersion } : {}),
  };
}

function decodeObject(json: JsonObject): Value {
  const typed = json['__type'];
  // `OptionSetValue:http://schemas.microsoft.com/xrm/2011/Contracts`, `Guid:#System`
  const type = typeof typed === 'string' ? typed.split(':', 1)[0] : undefined;
  switch (type) {
    case 'Guid':
      return decodeGuid(json) ?? null;
    case 'OptionSetValue':
    case 'Money':
    case 'BooleanManagedProperty':
    case 'AliasedValue':
      return decodeValue(json['Value']);
    case 'EntityCollection':
      return Array.isArray(json['Entities']) ? json['Entities'].map((row) => decodeRow(row) ?? decodeValue(row)) : [];
    default:
      if ('__value' in json) return decodeValue(json['__value']);
      return decodeRow(json) ?? decodeReference(json) ?? decodeMembers(json);
  }
}

/** What has no form of its own here, such as a `QueryExpression`: its members, under their names on the wire. */
function decodeMembers(json: JsonObject): Values {
  const members = Object.entries(json).filter(([name]) => name !== '__type');
  return Object.fromEntries(members.map(([name, value]) => [name, decodeValue(value)]));
}
