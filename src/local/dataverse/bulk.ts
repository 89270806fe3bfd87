import { badPayload, deleteMultipleMissing, duplicateTargets, notEmulated, targetWithoutType } from './errors.ts';
import type { Table } from './metadata.ts';
import { parsePath, splitUrl } from './odata/path.ts';
import { isJsonObject, type JsonObject, logicalNameIn, type RowChange, readRow } from './payload.ts';
import { createRow, updateRow, upsertRow } from './records.ts';
import { existingRow, findRow, type RowAddress, rowAddress } from './references.ts';
import { jsonReply, noContent, type Reply } from './reply.ts';
import type { OperationFacts } from './request.ts';
import { readValue } from './values.ts';
import type { Work } from './work.ts';

const MESSAGES = new Set(['CreateMultiple', 'UpdateMultiple', 'UpsertMultiple', 'DeleteMultiple']);

export const isBulkMessage = (name: string): boolean => MESSAGES.has(name);

/** Carries out a bulk message on a standard table: all of its targets or, when one fails, none. */
export function bulkMessage(work: Work, table: Table, name: string, body: JsonObject, facts: OperationFacts): Reply {
  if (name === 'DeleteMultiple') throw deleteMultipleMissing();
  const targets = targetsOf(table, body);
  facts.rows = targets.length;
  if (name === 'CreateMultiple') {
    const ids = targets.map((target) => createRow(work, table, flatRow(work, table, target)));
    const context = `${work.root}$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse`;
    return jsonReply(200, { '@odata.context': context, Ids: ids });
  }
  if (name === 'UpdateMultiple') updateMultiple(work, table, targets);
  else upsertMultiple(work, table, targets);
  return noContent();
}

/** UNCONFIRMED what becomes of rows below a target's navigation properties. */
function flatRow(work: Work, table: Table, target: JsonObject): RowChange {
  const change = readRow(work, table, target, 'create', 'nested');
  if (change.parents.length + change.children.length + change.links.length > 0) {
    throw notEmulated('Deep insert in CreateMultiple');
  }
  return change;
}

function targetsOf(table: Table, body: JsonObject): JsonObject[] {
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
function updateMultiple(work: Work, table: Table, targets: readonly JsonObject[]): void {
  const seen = new Set<string>();
  for (const target of targets) {
    const address = addressOf(work, table, target);
    if (!address) throw badPayload(table.entitySetName, `A target has neither '${table.primaryId}' nor '@odata.id'.`);
    const id = existingRow(work.env, table, address);
    if (seen.has(id)) continue;
    seen.add(id);
    const change = readRow(work, table, target, 'update');
    if (address.kind === 'key') for (const { column } of address.columns) change.values.delete(column.logicalName);
    updateRow(work, table, id, change, {}, address.kind === 'key');
  }
}

function upsertMultiple(work: Work, table: Table, targets: readonly JsonObject[]): void {
  const seen = new Set<string>();
  for (const target of targets) {
    // Without an id and a key there is nothing to find: the target is created.
    const address: RowAddress = addressOf(work, table, target) ?? { kind: 'id', id: work.env.newId() };
    const before = findRow(work.env, table, address);
    if (before !== undefined && seen.has(before)) {
      const { status, code } = work.env.assumptions.duplicateTargets;
      throw duplicateTargets(status, code);
    }
    const { id } = upsertRow(work, table, address, (kind) => readRow(work, table, target, kind));
    seen.add(id);
  }
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
