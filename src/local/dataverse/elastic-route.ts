import {
  createElastic,
  deleteElastic,
  dropExpired,
  type ElasticAddress,
  elasticAddress,
  elasticKey,
  existingElastic,
  partitionIn,
  readElastic,
  updateElastic,
  upsertElastic,
} from './elastic-rows.ts';
import { linksNotSupported, methodNotAllowed, notACollection, notEmulated } from './errors.ts';
import { retrieveByFetchXml } from './fetchxml/retrieve.ts';
import type { Table } from './metadata.ts';
import type { FilterExpression, Operand, Predicate, QueryOptions } from './odata/ast.ts';
import { readRow } from './payload.ts';
import { projectionOf } from './projection.ts';
import { countReply, refuseOthers, retrieveMultiple } from './query.ts';
import { requireRight } from './records.ts';
import { etagOf } from './references.ts';
import { appliedPreferences, jsonReply, noContent, type Reply } from './reply.ts';
import { conditionsOf, jsonObjectBody, type Operation, type OperationFacts } from './request.ts';
import type { RowQuery } from './row-query.ts';
import { createRowWriter } from './row-writer.ts';
import { identifier, PARTITION_COLUMN } from './store.ts';
import type { Work } from './work.ts';

/** Answers an operation on the rows of an elastic table other than a bulk message; `facts` receives what it turned out to be. */
export function routeElastic(work: Work, operation: Operation, table: Table, facts: OperationFacts): Reply {
  // The service lets it pass and undoes nothing, which is announced to become an error.
  if (work.contentIds) throw notEmulated('An elastic table in a change set');
  dropExpired(work, table);
  const [first, second, third] = operation.segments;
  const counts = second?.kind === 'system' && second.name === '$count' && operation.method === 'GET';
  if (first?.kind !== 'name' || third || (second && !(counts && !first.predicate))) {
    throw notEmulated(`The path ${operation.path} of an elastic table`);
  }
  if (first.predicate) return routeRow(work, operation, table, first.predicate, facts);
  if (operation.method === 'POST') return create(work, operation, table);
  if (operation.method !== 'GET') throw methodNotAllowed(`${operation.method} on a collection`);
  const query = queryOf(table, operation);
  if (counts) return countReply(work, query);
  const { reply, rows } = retrieveByFetchXml(work, query) ?? retrieveMultiple(work, query);
  facts.rows = rows;
  return reply;
}

function routeRow(work: Work, operation: Operation, table: Table, key: Predicate, facts: OperationFacts): Reply {
  switch (operation.method) {
    case 'GET':
      return retrieve(work, operation, table, elasticAddress(table, key, partitionOption(operation.options)));
    case 'DELETE': {
      const address = elasticAddress(table, key, partitionOption(operation.options));
      deleteElastic(work, table, address, conditionsOf(operation));
      return noContent();
    }
    case 'PATCH':
      return patch(work, operation, table, key, facts);
    default:
      throw methodNotAllowed(`${operation.method} on a row`);
  }
}

/** `?partitionId=`, with quotes or without; documented to be passed over by POST and PATCH. */
const partitionOption = ({ partitionId }: QueryOptions): string | undefined =>
  partitionId === undefined || partitionId === '' ? undefined : partitionId.replace(/^'(.*)'$/s, '$1');

function create(work: Work, operation: Operation, table: Table): Reply {
  const change = readElastic(work, table, jsonObjectBody(operation, table.entitySetName));
  return written(work, operation, table, createElastic(work, table, change), 201);
}

function patch(work: Work, operation: Operation, table: Table, key: Predicate, facts: OperationFacts): Reply {
  const body = jsonObjectBody(operation, table.entitySetName);
  const address = elasticAddress(table, key, partitionIn(table, body));
  const conditions = conditionsOf(operation);
  if (conditions.ifMatch === undefined) {
    facts.message = 'Upsert';
    const { created } = upsertElastic(work, table, address, readElastic(work, table, body), conditions);
    return written(work, operation, table, address, created ? 201 : 200);
  }
  facts.message = 'Update';
  updateElastic(work, table, address, readRow(work, table, body, 'update'), conditions);
  return written(work, operation, table, address, 200);
}

/** `status` is that of an answer with the row. */
function written(work: Work, operation: Operation, table: Table, address: ElasticAddress, status: number): Reply {
  const token = { 'x-ms-session-token': sessionToken(work) };
  if (operation.preferences.representation) {
    const headers = { ...token, ...appliedPreferences(operation.preferences, { representation: true }) };
    return rowReply(work, operation, table, address, status, headers);
  }
  const url = `${work.root}${table.entitySetName}${elasticKey(table, address)}`;
  return noContent({ Location: url, 'OData-EntityId': url, ...token });
}

/** In the recorded form; the number behind the first `#` grows with every write. */
const sessionToken = ({ env }: Work): string => `207:30#${env.store.nextVersion()}#7=-1`;

function retrieve(work: Work, operation: Operation, table: Table, address: ElasticAddress): Reply {
  const { filter, orderby, top, count, apply, partitionId: _, ...options } = operation.options;
  refuseOthers(options, operation.preferences);
  if ([filter, orderby, top, count, apply].some((option) => option !== undefined)) throw notACollection();
  work.env.guard.require(work.caller, table, 'Read');
  const headers = appliedPreferences(operation.preferences, {});
  return rowReply(work, operation, table, address, 200, headers);
}

function rowReply(
  work: Work,
  { options, preferences, method }: Operation,
  table: Table,
  address: ElasticAddress,
  status: number,
  headers: Readonly<Record<string, string>>,
): Reply {
  const row = existingElastic(work, table, address);
  requireRight(work, table, 'Read', row);
  const projection = projectionOf(work, table, method === 'GET' ? options : { ...options, expand: [] }, 'one');
  const context = `${work.root}$metadata#${table.entitySetName}${projection.context}/$entity`;
  const json = createRowWriter(work, preferences).one(row, projection, context);
  return jsonReply(status, json, { ETag: etagOf(row), ...headers });
}

function queryOf(table: Table, { options, preferences, path, rawQuery }: Operation): RowQuery {
  const { partitionId: _, ...others } = options;
  refuseLinks(options);
  const partition = partitionOption(options);
  const query = { table, options: others, preferences, path, rawQuery };
  if (partition === undefined) return query;
  return { ...query, within: { text: `t0.${identifier(PARTITION_COLUMN)} = ?`, values: [partition] } };
}

/** Documented: rows of elastic tables are read alone, unless it is a single one. */
function refuseLinks({ expand, filter, orderby, fetchXml }: QueryOptions): void {
  const links = [
    expand !== undefined && expand.length > 0,
    filter !== undefined && leavesTable(filter),
    orderby?.some(({ path }) => path.segments.length > 1),
    fetchXml?.includes('<link-entity'),
  ];
  if (links.includes(true)) throw linksNotSupported();
}

function leavesTable(filter: FilterExpression): boolean {
  const far = (...operands: readonly Operand[]): boolean =>
    operands.some((operand) => operand.kind === 'path' && operand.segments.length > 1);
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.operands.some(leavesTable);
    case 'not':
      return leavesTable(filter.operand);
    case 'comparison':
      return far(filter.left, filter.right);
    case 'text':
      return far(filter.target, filter.search);
    case 'truth':
      return far(filter.operand);
    case 'lambda':
      return true;
    case 'function':
      return far(...filter.arguments.values());
    default:
      return false;
  }
}
