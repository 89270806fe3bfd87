import {
  badPayload,
  bulkNotSupported,
  deleteMultipleMissing,
  duplicateTargets,
  notEmulated,
  targetWithoutType,
} from './errors.ts';
import { isJsonObject, type JsonObject } from './json-object.ts';
import { messagesOf } from './messages.ts';
import type { Table } from './metadata.ts';
import { parsePath, splitUrl } from './odata/path.ts';
import { logicalNameIn, type RowChange, readRow } from './payload.ts';
import { createRow, dropKeyColumns, updateRow, upsertRow } from './records.ts';
import { existingRow, type RowAddress, rowAddress } from './references.ts';
import { jsonReply, noContent, type Reply } from './reply.ts';
import { jsonObjectBody, type Operation, type OperationFacts } from './request.ts';
import { readValue } from './values.ts';
import type { Work } from './work.ts';

const MESSAGES = new Set(['CreateMultiple', 'UpdateMultiple', 'UpsertMultiple', 'DeleteMultiple']);

/** Work that may pause between rows; its transaction stays open meanwhile. */
export type Steps<Result> = Generator<undefined, Result>;

/** Rows from one pause to the next, about a millisecond's work. */
export const ROWS_IN_STEP = 20;

export interface BulkMessage {
  readonly table: Table;
  readonly name: string;
}

/** What an operation that is a bulk message asks for; undefined for any other. */
export function bulkMessageOf(work: Work, operation: Operation): BulkMessage | undefined {
  const [first, second, third] = operation.segments;
  if (first?.kind !== 'name' || first.predicate || second?.kind !== 'name' || third) return undefined;
  const table = second.qualified && MESSAGES.has(second.name) ? work.env.catalog.tableOfSet(first.name) : undefined;
  return table && { table, name: second.name };
}

/** Carries out a bulk message on a standard table: all of its targets or, when one fails, none. */
export function* bulkMessage(
  work: Work,
  operation: Operation,
  { table, name }: BulkMessage,
  facts: OperationFacts,
): Steps<Reply> {
  const body = jsonObjectBody(operation, table.entitySetName);
  if (name === 'DeleteMultiple') throw deleteMultipleMissing();
  if (!messagesOf(table.logicalName).has('CreateMultiple')) throw bulkNotSupported();
  const targets = targetsOf(table, body);
  facts.rows = targets.length;
  const ids: string[] = [];
  const write = writerFor(work, table, name, ids);
  for (const [index, target] of targets.entries()) {
    if (index % ROWS_IN_STEP === ROWS_IN_STEP - 1) yield;
    write(target);
  }
  if (name !== 'CreateMultiple') return noContent();
  const context = `${work.root}$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse`;
  return jsonReply(200, { '@odata.context': context, Ids: ids });
}

/** Writes one target; created ones leave their id in `ids`. */
function writerFor(work: Work, table: Table, name: string, ids: string[]): (target: JsonObject) => void {
  if (name === 'UpdateMultiple') return updating(work, table);
  if (name === 'UpsertMultiple') return upserting(work, table);
  return (target) => void ids.push(createRow(work, table, flatRow(work, table, target)));
}

/** UNCONFIRMED what becomes of rows below a target's navigation properties. */
function flatRow(work: Work, table: Table, target: JsonObject): RowChange {
  const change = readRow(work, table, target, 'create', 'nested');
  if (change.parents.length + change.children.length + change.links.length > 0) {
    throw notEmulated('Deep insert in CreateMultiple');
  }
  return change;
}

/** The targets of a bulk message. Throws WireError 400 when one has no type, or that of another table. */
export function targetsOf(table: Table, body: JsonObject): JsonObject[] {
  const targets = body['Targets'];
  if (!Array.isArray(targets)) throw badPayload(table.entitySetName, "The parameter 'Targets' is missing or no array.");
  return targets.map((target: unknown) => {
    if (!isJsonObject(target)) throw badPayload(table.entitySetName, "A target in 'Targets' is no object.");
    const type = target['@odata.type'];
    if (typeof type !== 'string') throw targetWithoutType();
    if (logicalNameIn(type) !== table.logicalName) {
      throw badPayload(
        table.entitySetName,
        `A target of type '${type}' was found where 'Microsoft.Dynamics.CRM.${table.logicalName}' is expected.`,
      );
    }
    return target;
  });
}

/** Of several targets for one row the first is applied; the others are passed over, as documented. */
function updating(work: Work, table: Table): (target: JsonObject) => void {
  const seen = new Set<string>();
  return (target) => {
    const address = addressOf(work, table, target);
    if (!address) throw badPayload(table.entitySetName, `A target has neither '${table.primaryId}' nor '@odata.id'.`);
    const id = existingRow(work.env, table, address);
    if (seen.has(id)) return;
    seen.add(id);
    const change = readRow(work, table, target, 'update');
    dropKeyColumns(change, address);
    updateRow(work, table, id, change, {}, address.kind === 'key');
  };
}

function upserting(work: Work, table: Table): (target: JsonObject) => void {
  const seen = new Set<string>();
  return (target) => {
    // Without an id and a key there is nothing to find: the target is created.
    const address: RowAddress = addressOf(work, table, target) ?? { kind: 'id', id: work.env.newId() };
    const { id } = upsertRow(work, table, address, (kind) => readRow(work, table, target, kind));
    const { status, code } = work.env.assumptions.duplicateTargets;
    if (seen.has(id)) throw duplicateTargets(status, code);
    seen.add(id);
  };
}

function addressOf(work: Work, table: Table, target: JsonObject): RowAddress | undefined {
  const url = target['@odata.id'];
  if (typeof url === 'string') {
    const [segment, ...rest] = parsePath(splitUrl(url).path);
    const fits = segment?.kind === 'name' && segment.name === table.entitySetName && rest.length === 0;
    if (!fits || !segment.predicate) throw badPayload(table.entitySetName, `The URI '${url}' is not valid.`);
    return rowAddress(work.env, table, segment.predicate);
  }
  const id = target[table.primaryId];
  if (id === undefined || id === null) return undefined;
  const column = table.columns.get(table.primaryId);
  const value = column ? readValue(table, column, id) : null;
  return { kind: 'id', id: String(value) };
}
