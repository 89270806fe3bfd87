import { isGuid } from '../../shared/ids.ts';
import { definitionsReply, oneDefinitionReply } from './definition-query.ts';
import { badPayload, definitionNotFound, methodNotAllowed, noResourceFor, notEmulated } from './errors.ts';
import { type AlternateKey, keyDefinition } from './keys.ts';
import type { Table } from './metadata.ts';
import type { Predicate } from './odata/ast.ts';
import { isJsonObject, type JsonObject } from './payload.ts';
import { noContent, type Reply } from './reply.ts';
import { jsonObjectBody, type Operation } from './request.ts';
import type { Work } from './work.ts';

const SET = 'EntityKeyMetadata';

/** `EntityDefinitions(…)/Keys`, with or without one key named. */
export function routeKeys(work: Work, operation: Operation, table: Table, predicate: Predicate | undefined): Reply {
  const { env } = work;
  const context = `EntityDefinitions('${table.logicalName}')/Keys`;
  if (!predicate) {
    if (operation.method === 'GET') {
      return definitionsReply(work, operation, context, env.keys.of(table.logicalName).map(keyDefinition));
    }
    if (operation.method === 'POST') return createKey(work, operation, table);
    throw methodNotAllowed(`${operation.method} on Keys`);
  }
  const key = keyOf(work, table, predicate);
  if (operation.method === 'GET') return oneDefinitionReply(work, operation, context, keyDefinition(key));
  if (operation.method !== 'DELETE') throw notEmulated(`${operation.method} on a key`);
  env.guard.requireNamed(work.caller, 'prvDeleteEntityKey');
  env.keys.remove(key);
  return noContent();
}

function createKey(work: Work, operation: Operation, table: Table): Reply {
  work.env.guard.requireNamed(work.caller, 'prvCreateEntityKey');
  const body = jsonObjectBody(operation, SET);
  const schemaName = body['SchemaName'];
  const columns = body['KeyAttributes'];
  if (typeof schemaName !== 'string' || !/^[A-Za-z][A-Za-z0-9]*_?[A-Za-z0-9_]{0,120}$/.test(schemaName)) {
    throw badPayload(SET, "The property 'SchemaName' is missing or not valid.");
  }
  if (!Array.isArray(columns) || !columns.every((name) => typeof name === 'string')) {
    throw badPayload(SET, "The property 'KeyAttributes' is missing or no list of names.");
  }
  const displayName = labelOf(body['DisplayName']) ?? schemaName;
  const key = work.env.keys.create(table, { schemaName, displayName, columns });
  const url = `${work.root}EntityDefinitions(${table.metadataId})/Keys(${key.id})`;
  return noContent({ Location: url, 'OData-EntityId': url });
}

/** The unbound action `ReactivateEntityKey`. */
export function reactivateKey(work: Work, operation: Operation): Reply {
  if (operation.method !== 'POST') throw noResourceFor(`${work.root}${operation.path}`);
  work.env.guard.requireNamed(work.caller, 'prvCreateEntityKey');
  const body: JsonObject = jsonObjectBody(operation, SET);
  const table = String(body['EntityLogicalName']);
  const name = String(body['EntityKeyLogicalName']);
  const key = work.env.keys.of(table).find((one) => one.logicalName === name);
  if (!key) throw definitionNotFound(`${table} ${name}`);
  work.env.keys.reactivate(key);
  return noContent();
}

function keyOf(work: Work, table: Table, predicate: Predicate): AlternateKey {
  const keys = work.env.keys.of(table.logicalName);
  let found: AlternateKey | undefined;
  if (predicate.kind === 'positional' && predicate.value.kind === 'guid') {
    const id = predicate.value.value.toLowerCase();
    found = keys.find((key) => key.id === id);
  } else if (predicate.kind === 'named') {
    const name = predicate.values.get('LogicalName');
    const id = predicate.values.get('MetadataId');
    found = keys.find(
      (key) =>
        (name?.kind === 'string' && key.logicalName === name.value.toLowerCase()) ||
        (id?.kind === 'guid' && isGuid(id.value) && key.id === id.value.toLowerCase()),
    );
  }
  if (!found) throw definitionNotFound(`a key of ${table.logicalName}`);
  return found;
}

function labelOf(label: unknown): string | undefined {
  if (!isJsonObject(label)) return undefined;
  const labels = label['LocalizedLabels'];
  const first: unknown = Array.isArray(labels) ? labels[0] : label['UserLocalizedLabel'];
  return isJsonObject(first) && typeof first['Label'] === 'string' ? first['Label'] : undefined;
}
