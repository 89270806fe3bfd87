import { relatedCollection } from './collections.ts';
import { methodNotAllowed, notEmulated } from './errors.ts';
import { retrieveByFetchXml } from './fetchxml/retrieve.ts';
import { isJsonObject } from './json-object.ts';
import { changeLinks } from './links.ts';
import type { Table } from './metadata.ts';
import type { PathSegment, Predicate } from './odata/ast.ts';
import { countReply, retrieveMultiple } from './query.ts';
import { requireRight } from './records.ts';
import { readStored } from './references.ts';
import { jsonReply, type Reply } from './reply.ts';
import type { Operation, OperationFacts } from './request.ts';
import type { RowQuery } from './row-query.ts';
import type { RowReference, Work } from './work.ts';

/** A collection below a row: `systemusers(id)/systemuserroles_association`. */
export interface Collection {
  readonly row: RowReference;
  readonly name: string;
  /** `systemuserroles_association(<id>)`, of `DELETE …/$ref`. */
  readonly predicate: Predicate | undefined;
  /** What follows: nothing, `$ref` or `$count`. */
  readonly tail: PathSegment | undefined;
}

/** Answers a collection of related rows, and links and unlinks rows. */
export function routeCollectionOfRow(
  work: Work,
  operation: Operation,
  collection: Collection,
  facts: OperationFacts,
): Reply {
  const { row, name, tail } = collection;
  const what = tail?.kind === 'system' ? tail.name : undefined;
  if (tail && what !== '$ref' && what !== '$count') throw notEmulated(`The path ${operation.path}`);
  if (what === '$ref' && operation.method !== 'GET') return changeLinks(work, operation, collection);
  if (operation.method !== 'GET') throw methodNotAllowed(`${operation.method} on a collection of related rows`);
  if (collection.predicate) throw notEmulated(`$ref of one row of ${name}`);

  requireRight(work, row.table, 'Read', readStored(work, row.table, row.id) ?? {});
  const { options, preferences, path, rawQuery } = operation;
  const related = relatedCollection(work, row.table, name);
  const within = related.belongs('t0', { text: '?', values: [row.id] });
  const query: RowQuery = { table: related.table, within, options, preferences, path, rawQuery };
  if (what === '$count') return countReply(work, query);
  const byFetchXml = what === undefined ? retrieveByFetchXml(work, query) : undefined;
  const { reply, rows } = byFetchXml ?? retrieveMultiple(work, query);
  facts.rows = rows;
  return what === '$ref' ? asReferences(work, query.table, reply) : reply;
}

/** `{ value: [{ "@odata.id" }] }` in place of the rows. */
function asReferences(work: Work, table: Table, reply: Reply): Reply {
  const body: unknown = JSON.parse(String(reply.body));
  const rows = isJsonObject(body) && Array.isArray(body['value']) ? body['value'].filter(isJsonObject) : [];
  return jsonReply(200, {
    '@odata.context': `${work.root}$metadata#Collection($ref)`,
    value: rows.map((row) => ({ '@odata.id': `${work.root}${table.entitySetName}(${row[table.primaryId]})` })),
  });
}
