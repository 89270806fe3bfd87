import { badQuery, methodNotAllowed, notEmulated, roleOfOtherUnit, segmentNotFound } from './errors.ts';
import type { Association, Table } from './metadata.ts';
import type { PathSegment, Predicate } from './odata/ast.ts';
import { isJsonObject } from './payload.ts';
import { countReply, type RowQuery, retrieveMultiple } from './query.ts';
import type { Sql } from './query-sql.ts';
import { requireRight } from './records.ts';
import { readStored, rowOfUrl } from './references.ts';
import { jsonReply, noContent, type Reply } from './reply.ts';
import { jsonBody, type Operation, type OperationFacts } from './request.ts';
import { hasTypeColumn, identifier, typeColumn } from './store.ts';
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

/** Answers a collection of related rows, and links and unlinks those of many-to-many relationships. */
export function routeCollectionOfRow(
  work: Work,
  operation: Operation,
  collection: Collection,
  facts: OperationFacts,
): Reply {
  const { row, name, tail } = collection;
  const what = tail?.kind === 'system' ? tail.name : undefined;
  if (tail && what !== '$ref' && what !== '$count') throw notEmulated(`The path ${operation.path}`);
  if (what === '$ref' && operation.method !== 'GET') return changeLinks(work, operation, collection, facts);
  if (operation.method !== 'GET') throw methodNotAllowed(`${operation.method} on a collection of related rows`);
  if (collection.predicate) throw notEmulated(`One row of ${name}`);

  requireRight(work, row.table, 'Read', readStored(work, row.table, row.id) ?? {});
  const { options, preferences, path, rawQuery } = operation;
  const query: RowQuery = { ...relatedRows(work, row, name), options, preferences, path, rawQuery };
  if (what === '$count') return countReply(work, query);
  const { reply, rows } = retrieveMultiple(work, query);
  facts.rows = rows;
  return what === '$ref' ? asReferences(work, query.table, reply) : reply;
}

function relatedRows(work: Work, { table, id }: RowReference, name: string): { table: Table; within: Sql } {
  const association = table.associations.get(name);
  const toMany = table.collectionTargets.get(name);
  const other = work.env.catalog.table(association?.otherTable ?? toMany?.table ?? '');
  if (!other) throw notEmulated(`Retrieving through ${name}`);
  if (association) {
    work.env.store.ensure(intersectOf(work, association));
    const { intersect, ownColumn, otherColumn } = association;
    const text =
      `t0.${identifier(other.primaryId)} IN ` +
      `(SELECT ${identifier(otherColumn)} FROM ${identifier(intersect)} WHERE ${identifier(ownColumn)} = ?)`;
    return { table: other, within: { text, values: [id] } };
  }
  const column = other.columns.get(toMany?.column ?? '');
  if (column?.kind !== 'lookup') throw notEmulated(`Retrieving through ${name}`);
  const lookup = identifier(column.logicalName);
  if (!hasTypeColumn(column)) return { table: other, within: { text: `t0.${lookup} = ?`, values: [id] } };
  const type = identifier(typeColumn(column.logicalName));
  return {
    table: other,
    within: { text: `t0.${lookup} = ? AND t0.${type} = ?`, values: [id, table.logicalName] },
  };
}

function intersectOf(work: Work, { intersect }: Association): Table {
  const table = work.env.catalog.table(intersect);
  if (!table) throw notEmulated(`The table ${intersect}`);
  return table;
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

function changeLinks(work: Work, operation: Operation, collection: Collection, facts: OperationFacts): Reply {
  const { row, name } = collection;
  const association = row.table.associations.get(name);
  if (!association) throw notEmulated(`$ref of the collection ${name}`);
  const other = work.env.catalog.table(association.otherTable);
  if (!other) throw notEmulated(`$ref of the collection ${name}`);
  const { method } = operation;
  if (method !== 'POST' && method !== 'DELETE') throw methodNotAllowed(`${method} on a reference`);
  facts.message = method === 'POST' ? 'Associate' : 'Disassociate';
  const target = targetOf(work, operation, collection, other);
  requireLinkRight(work, association, row, target);

  const { store } = work.env;
  store.ensure(intersectOf(work, association));
  const [table, own, others] = [association.intersect, association.ownColumn, association.otherColumn].map(identifier);
  const pair = [row.id, target.id];
  if (method === 'DELETE') store.run(`DELETE FROM ${table} WHERE ${own} = ? AND ${others} = ?`, pair);
  else if (!store.get(`SELECT 1 FROM ${table} WHERE ${own} = ? AND ${others} = ?`, pair)) {
    const primaryId = identifier(intersectOf(work, association).primaryId);
    store.run(`INSERT INTO ${table} (${primaryId}, ${own}, ${others}, versionnumber) VALUES (?, ?, ?, ?)`, [
      work.env.newId(),
      ...pair,
      store.nextVersion(),
    ]);
  }
  return noContent();
}

/** The other row: in the body of a POST; in parentheses or in `$id` of a DELETE. */
function targetOf(work: Work, operation: Operation, { name, predicate }: Collection, other: Table): RowReference {
  let target: RowReference;
  if (operation.method === 'POST') {
    const body = jsonBody(operation, other.entitySetName);
    const url = isJsonObject(body) ? body['@odata.id'] : undefined;
    if (typeof url !== 'string') throw badQuery("The body must hold '@odata.id'.");
    target = rowOfUrl(work, url);
  } else if (predicate?.kind === 'positional' && predicate.value.kind === 'guid') {
    target = rowOfUrl(work, `${other.entitySetName}(${predicate.value.value})`);
  } else if (operation.options.id !== undefined) target = rowOfUrl(work, operation.options.id);
  else throw segmentNotFound(name);
  if (target.table !== other)
    throw badQuery(`${name} links rows of ${other.logicalName}, not ${target.table.logicalName}.`);
  return target;
}

/** UNCONFIRMED which privileges the service asks for besides prvAssignRole. */
function requireLinkRight(work: Work, { intersect }: Association, one: RowReference, other: RowReference): void {
  const { guard } = work.env;
  if (intersect === 'teammembership') {
    const team = one.table.logicalName === 'team' ? one : other;
    guard.require(work.caller, team.table, 'Write');
    return;
  }
  if (intersect !== 'systemuserroles' && intersect !== 'teamroles') throw notEmulated(`Linking through ${intersect}`);
  guard.requireNamed(work.caller, 'prvAssignRole');
  const [role, principal] = one.table.logicalName === 'role' ? [one, other] : [other, one];
  const unitOf = ({ table, id }: RowReference) => readStored(work, table, id)?.['businessunitid'];
  if (unitOf(role) !== unitOf(principal)) throw roleOfOtherUnit();
}
