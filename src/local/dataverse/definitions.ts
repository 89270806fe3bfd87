import { isGuid } from '../../shared/ids.ts';
import { definitionsReply, oneDefinitionReply } from './definition-query.ts';
import { definitionNotFound, notEmulated, segmentNotFound } from './errors.ts';
import { routeKeys } from './key-routes.ts';
import { keyDefinition } from './keys.ts';
import type { Definition, Table } from './metadata.ts';
import type { PathSegment, Predicate } from './odata/ast.ts';
import { isJsonObject } from './payload.ts';
import { privilegeDefinitions } from './privileges.ts';
import { jsonReply, type Reply, textReply } from './reply.ts';
import type { Operation } from './request.ts';
import type { Work } from './work.ts';

const RELATIONSHIPS = new Set(['ManyToOneRelationships', 'OneToManyRelationships', 'ManyToManyRelationships']);

/** Answers `EntityDefinitions` and what lies below it. */
export function routeDefinitions(work: Work, operation: Operation): Reply {
  const [first, second, third, fourth] = operation.segments;
  if (first?.kind !== 'name' || fourth?.kind === 'contentId') throw notEmulated(`The path ${operation.path}`);
  if (!first.predicate) {
    requireGet(operation, 'EntityDefinitions');
    if (second) throw notEmulated(`The path ${operation.path}`);
    const all = work.env.catalog.names.flatMap(({ logicalName }) =>
      definitionOf(work, work.env.catalog.table(logicalName)),
    );
    return definitionsReply(work, operation, 'EntityDefinitions', all);
  }
  const table = tableOf(work, first.predicate);
  if (!second) {
    requireGet(operation, 'EntityDefinitions');
    const [definition = {}] = definitionOf(work, table);
    return oneDefinitionReply(work, operation, 'EntityDefinitions', definition);
  }
  if (second.kind !== 'name') throw notEmulated(`The path ${operation.path}`);
  if (second.name === 'Keys') return routeKeys(work, operation, table, second.predicate);
  requireGet(operation, second.name);
  if (second.name === 'Attributes') return attributes(work, operation, table, second.predicate, third, fourth);
  if (RELATIONSHIPS.has(second.name))
    return relationships(work, operation, table, second.name, second.predicate, third);
  return property(work, operation, table, second.name, third);
}

function requireGet(operation: Operation, what: string): void {
  if (operation.method !== 'GET') throw notEmulated(`${operation.method} on ${what}`);
}

function tableOf(work: Work, predicate: Predicate): Table {
  const { catalog } = work.env;
  let found: Table | undefined;
  if (predicate.kind === 'positional' && predicate.value.kind === 'guid')
    found = catalog.tableOfId(predicate.value.value);
  if (predicate.kind === 'named') {
    const name = predicate.values.get('LogicalName');
    const id = predicate.values.get('MetadataId');
    if (name?.kind === 'string') found = catalog.table(name.value.toLowerCase());
    else if (id?.kind === 'guid') found = catalog.tableOfId(id.value);
  }
  if (!found) throw definitionNotFound(describe(predicate));
  return found;
}

const describe = (predicate: Predicate): string => {
  if (predicate.kind === 'empty') return '()';
  const literals = predicate.kind === 'positional' ? [predicate.value] : [...predicate.values.values()];
  return literals.map((literal) => ('value' in literal ? String(literal.value) : literal.kind)).join(', ');
};

/** The table's definition with its alternate keys as they are now, and its privileges where its source does not list them. */
function definitionOf(work: Work, table: Table | undefined): Definition[] {
  if (!table) return [];
  const listed = table.raw['Privileges'];
  return [
    {
      ...table.raw,
      Privileges: Array.isArray(listed) ? listed : privilegeDefinitions(work.env.privileges.ofTable(table)),
      Keys: work.env.keys.of(table.logicalName).map(keyDefinition),
    },
  ];
}

const listOf = (table: Table, name: string): Definition[] => {
  const list = table.raw[name];
  return Array.isArray(list) ? list.filter(isJsonObject) : [];
};

function attributes(
  work: Work,
  operation: Operation,
  table: Table,
  predicate: Predicate | undefined,
  third: PathSegment | undefined,
  fourth: PathSegment | undefined,
): Reply {
  const context = `EntityDefinitions('${table.logicalName}')/Attributes`;
  const cast = third?.kind === 'name' && third.qualified ? third.name : undefined;
  if (third && cast === undefined) return attributeProperty(work, operation, table, predicate, third);
  const fits = (one: Definition) => cast === undefined || one['@odata.type'] === `#Microsoft.Dynamics.CRM.${cast}`;
  const castContext = cast === undefined ? context : `${context}/Microsoft.Dynamics.CRM.${cast}`;
  if (!predicate) {
    if (fourth) throw notEmulated(`The path ${operation.path}`);
    return definitionsReply(work, operation, castContext, listOf(table, 'Attributes').filter(fits));
  }
  const found = listOf(table, 'Attributes').find((one) => fits(one) && isNamed(one, predicate));
  if (!found) throw definitionNotFound(describe(predicate));
  if (!fourth) return oneDefinitionReply(work, operation, castContext, found);
  const inner = fourth.kind === 'name' ? found[fourth.name] : undefined;
  if (!isJsonObject(inner)) throw notEmulated(`The path ${operation.path}`);
  return oneDefinitionReply(work, operation, `${castContext}/${fourth.kind === 'name' ? fourth.name : ''}`, inner);
}

function attributeProperty(
  work: Work,
  operation: Operation,
  table: Table,
  predicate: Predicate | undefined,
  third: PathSegment,
): Reply {
  const found = predicate && listOf(table, 'Attributes').find((one) => isNamed(one, predicate));
  if (!found || third.kind !== 'name') throw notEmulated(`The path ${operation.path}`);
  const context = `EntityDefinitions('${table.logicalName}')/Attributes('${found['LogicalName']}')/${third.name}`;
  if (!(third.name in found)) throw segmentNotFound(third.name);
  return jsonReply(200, { '@odata.context': `${work.root}$metadata#${context}`, value: found[third.name] });
}

function isNamed(definition: Definition, predicate: Predicate): boolean {
  if (predicate.kind === 'positional' && predicate.value.kind === 'guid') {
    return definition['MetadataId'] === predicate.value.value.toLowerCase();
  }
  if (predicate.kind !== 'named') return false;
  return [...predicate.values].every(([name, literal]) => {
    if (literal.kind !== 'string' && literal.kind !== 'guid') return false;
    const value = name === 'SchemaName' ? literal.value : literal.value.toLowerCase();
    return definition[name] === value;
  });
}

function relationships(
  work: Work,
  operation: Operation,
  table: Table,
  name: string,
  predicate: Predicate | undefined,
  third: PathSegment | undefined,
): Reply {
  if (third) throw notEmulated(`The path ${operation.path}`);
  const context = `EntityDefinitions('${table.logicalName}')/${name}`;
  const all = listOf(table, name);
  if (!predicate) return definitionsReply(work, operation, context, all);
  const found = all.find((one) => isNamed(one, predicate));
  if (!found) throw definitionNotFound(describe(predicate));
  return oneDefinitionReply(work, operation, context, found);
}

function property(work: Work, operation: Operation, table: Table, name: string, third: PathSegment | undefined): Reply {
  if (isGuid(name) || !(name in table.raw)) throw segmentNotFound(name);
  const value = table.raw[name] ?? null;
  if (third?.kind === 'system' && third.name === '$value') return textReply(String(value), false);
  if (third) throw notEmulated(`The path ${operation.path}`);
  const context = `EntityDefinitions('${table.logicalName}')/${name}`;
  return jsonReply(200, { '@odata.context': `${work.root}$metadata#${context}`, value });
}
