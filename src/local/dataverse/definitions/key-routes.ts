import { badPayload, definitionNotFound, methodNotAllowed } from '../errors.ts';
import { type AlternateKey, elasticKeysFixed, keyDefinition } from '../keys.ts';
import type { Table } from '../metadata.ts';
import type { Predicate } from '../odata/ast.ts';
import { noContent, type Reply } from '../reply.ts';
import type { Operation } from '../request.ts';
import type { Work } from '../work.ts';
import { readDefinitionBody } from './body.ts';
import { requireCustomizable } from './columns.ts';
import { addToSolution, beginChange, changeReply, keptLabel, labelText, removeFromSolutions } from './customize.ts';
import { schemaName } from './names.ts';
import { definitionsReply, oneDefinitionReply } from './query.ts';
import { typeNamed } from './types.ts';

/** `EntityDefinitions(…)/Keys`, with or without one key named. */
export function routeKeys(work: Work, operation: Operation, table: Table, predicate: Predicate | undefined): Reply {
  const { env } = work;
  const source = { type: typeNamed('EntityKeyMetadata'), context: `EntityDefinitions('${table.logicalName}')/Keys` };
  if (!predicate) {
    if (operation.method === 'GET') {
      return definitionsReply(work, operation, source, env.keys.of(table.logicalName).map(keyDefinition));
    }
    if (operation.method === 'POST') return createKey(work, operation, table);
    throw methodNotAllowed(`${operation.method} on Keys`);
  }
  const key = keyOf(work, table, predicate);
  if (operation.method === 'GET') return oneDefinitionReply(work, operation, source, keyDefinition(key));
  if (operation.method !== 'DELETE') throw methodNotAllowed(`${operation.method} on a key`);
  const change = beginChange(work, operation.headers, {
    operation: 'DeleteEntityKey',
    privilege: 'prvDeleteEntityKey',
  });
  if (table.isElastic) throw elasticKeysFixed();
  env.keys.remove(key);
  removeFromSolutions(work, key.id);
  return changeReply(change, noContent());
}

function createKey(work: Work, operation: Operation, table: Table): Reply {
  const change = beginChange(work, operation.headers, {
    operation: 'CreateEntityKey',
    privilege: 'prvCreateEntityKey',
  });
  requireCustomizable(table, 'CanCreateAttributes');
  const { properties } = readDefinitionBody(operation, typeNamed('EntityKeyMetadata'));
  const name = schemaName(properties.get('SchemaName'), 'EntityKey', change.solution?.prefix);
  const columns = properties.get('KeyAttributes');
  if (!Array.isArray(columns)) throw badPayload('EntityKeyMetadata', "The property 'KeyAttributes' is missing.");
  const label = labelText(keptLabel(change, properties.get('DisplayName')));
  const key = work.env.keys.create(table, {
    schemaName: name,
    displayName: label ?? name,
    columns: columns.map(String),
  });
  addToSolution(change, 'EntityKey', key.id);
  const url = `${work.root}EntityDefinitions(${table.metadataId})/Keys(${key.id})`;
  return changeReply(change, noContent({ Location: url, 'OData-EntityId': url }));
}

/** The key that a path names. */
function keyOf(work: Work, table: Table, predicate: Predicate): AlternateKey {
  const keys = work.env.keys.of(table.logicalName);
  const [name, literal] =
    predicate.kind === 'positional'
      ? ['MetadataId', predicate.value]
      : predicate.kind === 'named'
        ? ([...predicate.values][0] ?? [])
        : [];
  const value = literal && (literal.kind === 'guid' || literal.kind === 'string') ? literal.value.toLowerCase() : '';
  const found = keys.find(
    (key) => (name === 'MetadataId' && key.id === value) || (name === 'LogicalName' && key.logicalName === value),
  );
  if (!found) throw definitionNotFound(`a key of ${table.logicalName}`);
  return found;
}
