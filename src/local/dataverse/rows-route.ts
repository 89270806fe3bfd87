import { routeBound } from './bound-operations.ts';
import { insertBelow, insertRow, replaceParties } from './deep-insert.ts';
import {
  badPayload,
  methodNotAllowed,
  notACollection,
  notEmulated,
  notPrimitive,
  segmentNotFound,
  unknownProperty,
} from './errors.ts';
import { retrieveByFetchXml } from './fetchxml/retrieve.ts';
import type { JsonObject } from './json-object.ts';
import { tableBehind } from './links.ts';
import type { Column, Navigation, Table } from './metadata.ts';
import type { PathSegment } from './odata/ast.ts';
import { formatKey } from './odata/format.ts';
import { pathThrough } from './path-through.ts';
import { type RowChange, readRow } from './payload.ts';
import { projectionOf } from './projection.ts';
import { countReply, refuseOthers, retrieveMultiple } from './query.ts';
import { deleteRow, requireRight, updateRow, upsertRow } from './records.ts';
import {
  etagOf,
  existingRow,
  type RowAddress,
  readStored,
  refuseKeyCharacters,
  rowAddress,
  rowOfUrl,
  targetOf,
} from './references.ts';
import { routeCollectionOfRow } from './related.ts';
import { appliedPreferences, jsonReply, noContent, type Reply, textReply } from './reply.ts';
import { conditionsOf, jsonBody, jsonObjectBody, type Operation, type OperationFacts } from './request.ts';
import { createRowWriter } from './row-writer.ts';
import type { StoredRow } from './store.ts';
import { writeValue } from './values.ts';
import type { RowReference, Work } from './work.ts';

/** A segment that is a name. */
type NameSegment = Extract<PathSegment, { kind: 'name' }>;

/** Answers an operation on a table's rows; `facts` receives what it turned out to be. */
export function routeRows(work: Work, operation: Operation, table: Table, facts: OperationFacts): Reply {
  const [first, second, third, ...rest] = operation.segments;
  if (first?.kind !== 'name') throw notEmulated(`The path ${operation.path}`);
  if (!first.predicate) return routeCollection(work, operation, table, second, third, facts);
  refuseKeyCharacters(work.env, operation.path, first.predicate);
  const address = rowAddress(work.env, table, first.predicate);
  const through = pathThrough(work, operation, table, address);
  if (through) return routeRows(work, { ...operation, segments: through.segments }, through.table, facts);
  if (rest.length > 0) throw notEmulated(`The path ${operation.path}`);
  if (!second) return routeRow(work, operation, table, address, facts);
  if (second.kind !== 'name') throw notEmulated(`The path ${operation.path}`);
  const { name, predicate } = second;
  const isCollection = table.collections.has(name) && !table.navigations.has(name);
  if (second.qualified || isCollection) {
    const row = { table, id: existingRow(work.env, table, address) };
    if (isCollection && !predicate && !third && (operation.method === 'POST' || operation.method === 'PUT')) {
      return writeCollection(work, operation, row, name);
    }
    if (isCollection) return routeCollectionOfRow(work, operation, { row, name, predicate, tail: third }, facts);
    if (third) throw notEmulated(`The path ${operation.path}`);
    return routeBound(work, operation, { row, name, predicate }, facts);
  }
  if (predicate) throw notEmulated(`The path ${operation.path}`);
  return routeProperty(work, operation, table, address, second, third);
}

function routeCollection(
  work: Work,
  operation: Operation,
  table: Table,
  second: PathSegment | undefined,
  third: PathSegment | undefined,
  facts: OperationFacts,
): Reply {
  const { method, options, preferences, path, rawQuery } = operation;
  if (third) throw notEmulated(`The path ${path}`);
  if (second?.kind === 'system' && second.name === '$count' && method === 'GET') {
    return countReply(work, { table, options, preferences, path, rawQuery });
  }
  if (second?.kind === 'name') throw segmentNotFound(second.name);
  if (second) throw notEmulated(`The path ${path}`);
  if (method === 'GET') {
    const query = { table, options, preferences, path, rawQuery };
    const { reply, rows } = retrieveByFetchXml(work, query) ?? retrieveMultiple(work, query);
    facts.rows = rows;
    return reply;
  }
  if (method !== 'POST') throw methodNotAllowed(`${method} on a collection`);
  return createdReply(work, operation, table, insertRow(work, table, jsonBody(operation, table.entitySetName)));
}

/** A POST to a row's collection creates a row in it; a PUT replaces the parties of an activity. */
function writeCollection(work: Work, operation: Operation, row: RowReference, name: string): Reply {
  const table = tableBehind(work, row.table, name);
  if (operation.method === 'POST') {
    const id = insertBelow(work, row, name, jsonBody(operation, table.entitySetName));
    return createdReply(work, operation, table, id);
  }
  replaceParties(work, row, name, jsonObjectBody(operation, table.entitySetName));
  return noContent();
}

function createdReply(work: Work, operation: Operation, table: Table, id: string): Reply {
  rememberContentId(work, operation, table, id);
  if (operation.preferences.representation) return representation(work, operation, table, id, 201);
  const url = rowUrl(work, table, { kind: 'id', id });
  return noContent({ Location: url, 'OData-EntityId': url });
}

function routeRow(work: Work, operation: Operation, table: Table, address: RowAddress, facts: OperationFacts): Reply {
  switch (operation.method) {
    case 'GET':
      return retrieve(work, operation, table, address);
    case 'PATCH':
      return patch(work, operation, table, address, facts);
    case 'DELETE': {
      const id = existingRow(work.env, table, address);
      deleteRow(work, table, id, conditionsOf(operation), address.kind === 'key');
      return noContent();
    }
    default:
      throw methodNotAllowed(`${operation.method} on a row`);
  }
}

function retrieve(work: Work, operation: Operation, table: Table, address: RowAddress): Reply {
  const { options, preferences } = operation;
  refuseOthers(options, preferences);
  const ofCollections = [options.filter, options.orderby, options.top, options.count, options.apply];
  if (ofCollections.some((option) => option !== undefined)) throw notACollection();
  work.env.guard.require(work.caller, table, 'Read');
  const id = existingRow(work.env, table, address);
  const row = readStored(work, table, id) ?? {};
  requireRight(work, table, 'Read', row);
  const etag = etagOf(row);
  // The service compares only plain retrieves: no expanded rows, no annotations.
  const plain = table.optimisticConcurrency && !options.expand && preferences.annotations === undefined;
  if (plain && conditionsOf(operation).ifNoneMatch === etag) return { status: 304, headers: { ETag: etag } };
  return rowReply(work, operation, table, id, 200, {});
}

function patch(work: Work, operation: Operation, table: Table, address: RowAddress, facts: OperationFacts): Reply {
  const conditions = conditionsOf(operation);
  const body = jsonObjectBody(operation, table.entitySetName);
  const read = (kind: 'create' | 'update'): RowChange => readRow(work, table, body, kind);
  const { id, created } = upsertRow(work, table, address, read, conditions);
  facts.message = conditions.ifMatch === undefined ? 'Upsert' : 'Update';
  rememberContentId(work, operation, table, id);
  if (operation.preferences.representation) return representation(work, operation, table, id, created ? 201 : 200);
  const url = rowUrl(work, table, address);
  return noContent({ Location: url, 'OData-EntityId': url });
}

function representation(work: Work, operation: Operation, table: Table, id: string, status: number): Reply {
  return rowReply(
    work,
    operation,
    table,
    id,
    status,
    appliedPreferences(operation.preferences, { representation: true }),
  );
}

function rowReply(
  work: Work,
  { options, preferences }: Operation,
  table: Table,
  id: string,
  status: number,
  headers: Readonly<Record<string, string>>,
): Reply {
  const row = readStored(work, table, id) ?? {};
  requireRight(work, table, 'Read', row);
  // $expand is passed over after an update.
  const updated = status === 200 && headers['Preference-Applied'] !== undefined;
  const projection = projectionOf(work, table, updated ? { ...options, expand: [] } : options, 'one');
  const context = `${work.root}$metadata#${table.entitySetName}${projection.context}/$entity`;
  const json = createRowWriter(work, preferences).one(row, projection, context);
  return jsonReply(status, json, { ETag: etagOf(row), ...appliedPreferences(preferences, {}), ...headers });
}

function routeProperty(
  work: Work,
  operation: Operation,
  table: Table,
  address: RowAddress,
  segment: NameSegment,
  third: PathSegment | undefined,
): Reply {
  const isReference = third?.kind === 'system' && third.name === '$ref';
  if (isReference) return routeReference(work, operation, table, address, segment);
  if (third && !(third.kind === 'system' && third.name === '$value')) throw notEmulated(`The path ${operation.path}`);
  const navigation = table.navigations.get(segment.name);
  if (navigation) return retrieveThrough(work, operation, table, address, navigation);
  const column = table.properties.get(segment.name);
  if (!column) throw segmentNotFound(segment.name);
  if (column.kind === 'unsupported') throw notEmulated(`The column ${segment.name} alone`);
  if (operation.method === 'GET') return retrieveProperty(work, table, address, column, third !== undefined);
  if (operation.method !== 'PUT' && operation.method !== 'DELETE')
    throw methodNotAllowed(`${operation.method} on a column`);
  const value = operation.method === 'PUT' ? memberOf(operation, table, 'value') : null;
  return writeProperty(work, operation, table, address, { [segment.name]: value });
}

function retrieveProperty(work: Work, table: Table, address: RowAddress, column: Column, bare: boolean): Reply {
  const id = existingRow(work.env, table, address);
  const row = readStored(work, table, id) ?? {};
  requireRight(work, table, 'Read', row);
  if (!column.validForRead) throw unknownProperty(table.logicalName, column.property);
  const value = writeValue(column, row[column.logicalName]);
  if (value === null) return noContent();
  if (bare) return textReply(String(value), false);
  const context = `${work.root}$metadata#${table.entitySetName}(${id})/${column.property}`;
  return jsonReply(200, { '@odata.context': context, value });
}

/** The member that the body of a PUT must hold. */
function memberOf(operation: Operation, table: Table, name: 'value' | '@odata.id'): unknown {
  const body = jsonObjectBody(operation, table.entitySetName);
  if (Object.hasOwn(body, name)) return body[name];
  throw badPayload(
    table.entitySetName,
    `A property with name '${name}' was expected in the payload but was not found.`,
  );
}

function writeProperty(work: Work, operation: Operation, table: Table, address: RowAddress, body: JsonObject): Reply {
  const id = existingRow(work.env, table, address);
  updateRow(work, table, id, readRow(work, table, body, 'update'), conditionsOf(operation));
  return noContent();
}

/** `PUT` and `DELETE …/<lookup>/$ref`. */
function routeReference(
  work: Work,
  operation: Operation,
  table: Table,
  address: RowAddress,
  segment: NameSegment,
): Reply {
  const navigation = table.navigations.get(segment.name);
  if (!navigation) throw segmentNotFound(segment.name);
  if (operation.method === 'PUT') {
    const url = memberOf(operation, table, '@odata.id');
    if (typeof url !== 'string') throw notPrimitive(table.entitySetName, url);
    return writeProperty(work, operation, table, address, { [`${segment.name}@odata.bind`]: url });
  }
  if (operation.method === 'DELETE') {
    return writeProperty(work, operation, table, address, { [`${segment.name}@odata.bind`]: null });
  }
  if (operation.method !== 'GET') throw methodNotAllowed(`${operation.method} on a reference`);
  const row = readStored(work, table, existingRow(work.env, table, address)) ?? {};
  requireRight(work, table, 'Read', row);
  const target = referenced(work, navigation, row);
  if (!target) return noContent();
  const url = rowUrl(work, target.table, { kind: 'id', id: target.id });
  return jsonReply(200, { '@odata.context': `${work.root}$metadata#$ref`, '@odata.id': url });
}

/** `GET systemusers(id)/businessunitid`: the row that a lookup points to, 204 when it is empty. */
function retrieveThrough(
  work: Work,
  operation: Operation,
  table: Table,
  address: RowAddress,
  navigation: Navigation,
): Reply {
  if (operation.method !== 'GET') throw methodNotAllowed(`${operation.method} on a lookup`);
  const row = readStored(work, table, existingRow(work.env, table, address)) ?? {};
  requireRight(work, table, 'Read', row);
  const target = referenced(work, navigation, row);
  return target ? retrieve(work, operation, target.table, { kind: 'id', id: target.id }) : noContent();
}

function referenced(work: Work, { column, target }: Navigation, row: StoredRow): RowReference | undefined {
  const type = targetOf(column, row);
  const table = type === undefined || (target ?? type) !== type ? undefined : work.env.catalog.table(type);
  const id = row[column.logicalName];
  return table && typeof id === 'string' ? { table, id } : undefined;
}

/** The absolute URL of a row; by its alternate key where the request named it so. */
function rowUrl(work: Work, table: Table, address: RowAddress): string {
  const key = address.kind === 'id' ? `(${address.id})` : formatKey(address.written);
  return `${work.root}${table.entitySetName}${key}`;
}

function rememberContentId(work: Work, operation: Operation, table: Table, id: string): void {
  const contentId = operation.headers.get('content-id');
  if (contentId !== undefined) work.contentIds?.set(contentId, { table, id });
}

/** The row that a path beginning with `$1` names, as a path that begins with its entity set. */
export function replaceContentId(work: Work, segments: readonly PathSegment[]): PathSegment[] {
  const [first, ...rest] = segments;
  if (first?.kind !== 'contentId') return [...segments];
  const { table, id } = rowOfUrl(work, `$${first.id}`);
  const predicate = { kind: 'positional', value: { kind: 'guid', value: id } } as const;
  return [{ kind: 'name', name: table.entitySetName, qualified: false, predicate }, ...rest];
}
