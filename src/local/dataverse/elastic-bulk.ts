import { type BulkMessage, ROWS_IN_STEP, type Steps, targetsOf } from './bulk.ts';
import {
  createElastic,
  deleteElastic,
  dropExpired,
  type ElasticAddress,
  elasticAddress,
  readElastic,
  targetAddress,
  updateElastic,
  upsertElastic,
} from './elastic-rows.ts';
import { asWireError, wireErrorReply } from './error-reply.ts';
import { badPayload, notEmulated, WireError } from './errors.ts';
import type { JsonObject } from './json-object.ts';
import type { Table } from './metadata.ts';
import { parsePath, splitUrl } from './odata/path.ts';
import { readRow } from './payload.ts';
import { jsonReply, noContent, type Reply } from './reply.ts';
import { jsonObjectBody, type Operation, type OperationFacts } from './request.ts';
import type { Work } from './work.ts';

/** What became of one target, as the service tells it where there were failures (SDK: `BulkApiErrorDetail`). */
interface TargetStatus {
  readonly RequestIndex: number;
  readonly Id: string;
  readonly StatusCode: number;
}

/**
 * Carries out a bulk message on an elastic table. There is no transaction: what can be written is, and where something
 * fails the answer is an error that tells what became of each target, if the request asks for annotations.
 */
export function* elasticBulk(
  work: Work,
  operation: Operation,
  { table, name }: BulkMessage,
  facts: OperationFacts,
): Steps<Reply> {
  if (work.contentIds) throw notEmulated('An elastic table in a change set');
  const targets = targetsOf(table, jsonObjectBody(operation, table.entitySetName));
  facts.rows = targets.length;
  dropExpired(work, table);
  const statuses: TargetStatus[] = [];
  let failure: WireError | undefined;
  for (const [index, target] of targets.entries()) {
    if (index % ROWS_IN_STEP === ROWS_IN_STEP - 1) yield;
    try {
      const { id, status } = work.env.store.transaction(() => writeTarget(work, table, name, target));
      statuses.push({ RequestIndex: index, Id: id, StatusCode: status });
    } catch (thrown) {
      const error = asWireError(thrown);
      if (!(error instanceof WireError)) throw error;
      failure ??= error;
      statuses.push({ RequestIndex: index, Id: String(target[table.primaryId] ?? NO_ID), StatusCode: error.status });
    }
  }
  if (failure) {
    const details = { [work.env.assumptions.bulkDetails]: JSON.stringify(statuses) };
    return wireErrorReply(failure, operation.headers.get('prefer'), details);
  }
  if (name !== 'CreateMultiple') return noContent();
  const context = `${work.root}$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse`;
  return jsonReply(200, { '@odata.context': context, Ids: statuses.map(({ Id }) => Id) });
}

const NO_ID = '00000000-0000-0000-0000-000000000000';

function writeTarget(work: Work, table: Table, name: string, target: JsonObject): { id: string; status: number } {
  if (name === 'CreateMultiple') {
    return { id: createElastic(work, table, readElastic(work, table, target)).id, status: 201 };
  }
  const address = addressOf(table, target);
  if (name === 'UpsertMultiple') {
    const change = readElastic(work, table, target);
    // Without an id there is nothing to find.
    if (!address) return { id: createElastic(work, table, change).id, status: 201 };
    return { id: address.id, status: upsertElastic(work, table, address, change).created ? 201 : 200 };
  }
  if (!address) throw badPayload(table.entitySetName, `A target has neither '${table.primaryId}' nor '@odata.id'.`);
  if (name === 'DeleteMultiple') {
    deleteElastic(work, table, address);
    return { id: address.id, status: 204 };
  }
  updateElastic(work, table, address, readRow(work, table, target, 'update'));
  return { id: address.id, status: 200 };
}

function addressOf(table: Table, target: JsonObject): ElasticAddress | undefined {
  const url = target['@odata.id'];
  if (typeof url !== 'string') return targetAddress(table, target);
  const [segment, ...rest] = parsePath(splitUrl(url).path);
  const fits = segment?.kind === 'name' && segment.name === table.entitySetName && rest.length === 0;
  if (!fits || !segment.predicate) throw badPayload(table.entitySetName, `The URI '${url}' is not valid.`);
  return elasticAddress(table, segment.predicate, undefined);
}
