import { badPayload, definitionNotFound, methodNotAllowed, notEmulated, segmentNotFound } from '../errors.ts';
import { isJsonObject } from '../json-object.ts';
import { keyDefinition } from '../keys.ts';
import type { Definition, Table } from '../metadata.ts';
import type { PathSegment, Predicate } from '../odata/ast.ts';
import { privilegeDefinitions } from '../privileges.ts';
import { jsonReply, noContent, type Reply, textReply } from '../reply.ts';
import type { Operation } from '../request.ts';
import type { Work } from '../work.ts';
import { readDefinitionBody } from './body.ts';
import { changeChoice, createChoice, deleteChoice } from './choices.ts';
import { changeColumn, columnsOf, createColumn, deleteColumn } from './columns.ts';
import { beginChange, type Change, changeReply } from './customize.ts';
import { notCreatable, patchNotSupported } from './errors.ts';
import { routeKeys } from './key-routes.ts';
import { type DefinitionSource, definitionsReply, oneDefinitionReply, refuseQuery } from './query.ts';
import { type RelationshipList, relationshipsOf } from './relationship-shape.ts';
import { allRelationships, changeRelationship, createRelationship, deleteRelationship } from './relationships.ts';
import { deleteTable } from './table-deletion.ts';
import { changeTable, createTable } from './tables.ts';
import { type DefinitionType, definitionType, isKindOf, navigationTarget, typeNamed } from './types.ts';

type NameSegment = Extract<PathSegment, { kind: 'name' }>;

const LISTS: readonly RelationshipList[] = [
  'ManyToOneRelationships',
  'OneToManyRelationships',
  'ManyToManyRelationships',
];

/** Answers `EntityDefinitions` and what lies below it. */
export function routeDefinitions(work: Work, operation: Operation): Reply {
  const [first, second, ...rest] = namesOf(operation);
  if (!first) throw segmentNotFound(operation.path);
  const source: DefinitionSource = { type: typeNamed('EntityMetadata'), context: 'EntityDefinitions' };
  if (!first.predicate) {
    if (second) throw segmentNotFound(second.name);
    return routeTables(work, operation, source);
  }
  const table = tableOf(work, first.predicate);
  if (second && !second.qualified) return routeBelow(work, operation, table, second, rest);
  if (second && definitionType(second.name) !== source.type) throw segmentNotFound(second.name);
  if (rest[0]) return routeBelow(work, operation, table, rest[0], rest.slice(1));
  return routeTable(work, operation, source, table);
}

/** The path's segments, of which the last may be `$value`; that one is left to {@link propertyReply}. */
function namesOf(operation: Operation): NameSegment[] {
  return operation.segments.flatMap((segment, at) => {
    if (segment.kind === 'name') return segment;
    const isLast = at === operation.segments.length - 1;
    if (segment.kind !== 'system' || segment.name !== '$value' || !isLast) {
      throw notEmulated(`The path ${operation.path}`);
    }
    return [];
  });
}

function routeTables(work: Work, operation: Operation, source: DefinitionSource): Reply {
  if (operation.method === 'GET') {
    const all = work.env.catalog.names.flatMap(({ logicalName }) =>
      definitionOf(work, work.env.catalog.table(logicalName)),
    );
    return definitionsReply(work, operation, source, all);
  }
  if (operation.method !== 'POST') throw methodNotAllowed(`${operation.method} on EntityDefinitions`);
  const change = begin(work, operation, 'CreateEntity', 'prvCreateEntity');
  const id = createTable(change, readDefinitionBody(operation, source.type));
  return made(change, `EntityDefinitions(${id})`);
}

function routeTable(work: Work, operation: Operation, source: DefinitionSource, table: Table): Reply {
  if (operation.method === 'GET') {
    const [definition = {}] = definitionOf(work, table);
    return oneDefinitionReply(work, operation, source, definition);
  }
  return write(work, operation, {
    noun: 'Entity',
    put: (change) => changeTable(change, table, readDefinitionBody(operation, source.type)),
    remove: (change) => deleteTable(change, table),
  });
}

/** `PUT` and `DELETE` of one definition. */
function write(
  work: Work,
  operation: Operation,
  { noun, put, remove }: { noun: string; put(change: Change): void; remove(change: Change): void },
): Reply {
  if (operation.method === 'PATCH') throw patchNotSupported();
  if (operation.method === 'PUT') {
    const change = begin(work, operation, `Update${noun}`, `prvWrite${noun}`);
    put(change);
    return changeReply(change, noContent());
  }
  if (operation.method !== 'DELETE') throw methodNotAllowed(`${operation.method} on a definition`);
  const change = begin(work, operation, `Delete${noun}`, `prvDelete${noun}`);
  remove(change);
  return changeReply(change, noContent());
}

const begin = (work: Work, { headers }: Operation, operation: string, privilege: string): Change =>
  beginChange(work, headers, { operation, privilege });

function made(change: Change, path: string): Reply {
  const url = `${change.work.root}${path}`;
  return changeReply(change, noContent({ Location: url, 'OData-EntityId': url }));
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
  return literals
    .map((literal) => ('value' in literal ? String(literal.value) : literal.kind))
    .join(', ')
    .slice(0, 128);
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

function routeBelow(work: Work, operation: Operation, table: Table, second: NameSegment, rest: NameSegment[]): Reply {
  const context = `EntityDefinitions('${table.logicalName}')/${second.name}`;
  if (second.name === 'Keys') return routeKeys(work, operation, table, second.predicate);
  if (second.name === 'Attributes') return routeColumns(work, operation, table, second, rest);
  const list = LISTS.find((name) => name === second.name);
  if (list)
    return routeRelationshipList(work, operation, relationshipsOf(table, list), { list, context }, second, rest);
  requireGet(operation);
  const [definition = {}] = definitionOf(work, table);
  const type = typeNamed('EntityMetadata');
  return propertyReply(work, operation, { type, context: `EntityDefinitions('${table.logicalName}')` }, definition, [
    second,
    ...rest,
  ]);
}

const requireGet = (operation: Operation): void => {
  if (operation.method !== 'GET') throw methodNotAllowed(`${operation.method} on a property of a definition`);
};

/** `/ObjectTypeCode`, `/ObjectTypeCode/$value`, `/OptionSet`, `/DisplayName/UserLocalizedLabel`: what lies below a definition. */
function propertyReply(
  work: Work,
  operation: Operation,
  source: DefinitionSource,
  definition: Definition,
  path: readonly NameSegment[],
): Reply {
  const [first, ...rest] = path;
  const kind = first && source.type.properties.get(first.name);
  if (!first || kind === undefined || first.predicate) throw segmentNotFound(first?.name ?? operation.path);
  const context = `${source.context}/${first.name}`;
  const navigation = navigationTarget(kind);
  let value: unknown = definition[first.name] ?? null;
  if (navigation) {
    if (!isJsonObject(value)) return noContent();
    const concrete = definitionType(value['@odata.type']) ?? navigation.target;
    const inner = { type: concrete, context };
    if (rest.length > 0) return propertyReply(work, operation, inner, value, rest);
    return oneDefinitionReply(work, operation, inner, value);
  }
  for (const { name } of rest) {
    if (!isJsonObject(value) || !Object.hasOwn(value, name)) throw segmentNotFound(name);
    value = value[name] ?? null;
  }
  if (value === null) return noContent();
  if (operation.segments.at(-1)?.kind === 'system') return textReply(String(value), false);
  const full = [context, ...rest.map(({ name }) => name)].join('/');
  return jsonReply(200, { '@odata.context': `${work.root}$metadata#${full}`, value });
}

function isNamed(definition: Definition, predicate: Predicate): boolean {
  if (predicate.kind === 'positional' && predicate.value.kind === 'guid') {
    return definition['MetadataId'] === predicate.value.value.toLowerCase();
  }
  if (predicate.kind !== 'named') return false;
  return [...predicate.values].every(([name, literal]) => {
    if (literal.kind !== 'string' && literal.kind !== 'guid') return false;
    if (!['LogicalName', 'MetadataId', 'Name', 'SchemaName'].includes(name)) return false;
    const value = name === 'SchemaName' ? literal.value : literal.value.toLowerCase();
    return definition[name] === value;
  });
}

/** The type that a segment casts to; those that stand for several types cannot be cast to (documented). */
function castOf(segment: NameSegment | undefined, base: DefinitionType): DefinitionType | undefined {
  if (!segment?.qualified) return undefined;
  const type = definitionType(segment.name);
  if (!type || !isKindOf(type, base)) throw segmentNotFound(`Microsoft.Dynamics.CRM.${segment.name}`);
  return type;
}

const isOf = (definition: Definition, base: DefinitionType, cast: DefinitionType | undefined): boolean =>
  cast === undefined || isKindOf(definitionType(definition['@odata.type']) ?? base, cast);

function routeColumns(
  work: Work,
  operation: Operation,
  table: Table,
  segment: NameSegment,
  rest: NameSegment[],
): Reply {
  const base = typeNamed('AttributeMetadata');
  const cast = castOf(rest[0], base);
  const below = cast ? rest.slice(1) : rest;
  const root = `EntityDefinitions('${table.logicalName}')/Attributes`;
  const suffix = cast ? `/Microsoft.Dynamics.CRM.${cast.name}` : '';
  const source: DefinitionSource = { type: cast ?? base, context: `${root}${suffix}` };
  const all = columnsOf(table).filter((one) => isOf(one, base, cast));
  if (!segment.predicate) {
    if (below[0]) throw segmentNotFound(below[0].name);
    if (operation.method === 'GET') return definitionsReply(work, operation, source, all);
    if (operation.method !== 'POST') throw methodNotAllowed(`${operation.method} on Attributes`);
    const change = begin(work, operation, 'CreateAttribute', 'prvCreateAttribute');
    const written = readDefinitionBody(operation, base, cast);
    if (written.type === base) throw notCreatable(base.name);
    const id = createColumn(change, table, written);
    return made(change, `${addressOf(operation, table)}/Attributes(${id})`);
  }
  const found = all.find((one) => segment.predicate && isNamed(one, segment.predicate));
  if (!found) throw definitionNotFound(describe(segment.predicate));
  if (below.length > 0) {
    requireGet(operation);
    const context = `${root}(${found['MetadataId']})${suffix}`;
    return propertyReply(work, operation, { type: source.type, context }, found, below);
  }
  if (operation.method === 'GET') return oneDefinitionReply(work, operation, source, found);
  const actual = definitionType(found['@odata.type']) ?? base;
  return write(work, operation, {
    noun: 'Attribute',
    put: (change) => {
      const written = readDefinitionBody(operation, base, cast);
      if (written.type !== base && written.type !== actual) {
        throw badPayload(base.name, 'The type of a column cannot be changed.');
      }
      changeColumn(change, table, found, written);
    },
    remove: (change) => deleteColumn(change, table, found),
  });
}

/** The table's address as the request wrote it, which answers repeat (documented for both forms). */
function addressOf(operation: Operation, table: Table): string {
  const [first] = operation.segments;
  const isById = first?.kind === 'name' && first.predicate?.kind === 'positional';
  return `EntityDefinitions(${isById ? table.metadataId : `LogicalName='${table.logicalName}'`})`;
}

function routeRelationshipList(
  work: Work,
  operation: Operation,
  all: readonly Definition[],
  { list, context }: { list: RelationshipList; context: string },
  segment: NameSegment,
  rest: NameSegment[],
): Reply {
  const type = typeNamed(`${list === 'ManyToManyRelationships' ? 'ManyToMany' : 'OneToMany'}RelationshipMetadata`);
  const below = rest[0]?.qualified && castOf(rest[0], type) ? rest.slice(1) : rest;
  if (!segment.predicate) {
    requireGet(operation);
    if (below[0]) throw segmentNotFound(below[0].name);
    return definitionsReply(work, operation, { type, context }, all);
  }
  const { predicate } = segment;
  const found = all.find((one) => isNamed(one, predicate));
  if (!found) throw definitionNotFound(describe(predicate));
  return routeRelationship(work, operation, { type, context }, found, below);
}

/** Answers `RelationshipDefinitions` and what lies below it. */
export function routeRelationshipDefinitions(work: Work, operation: Operation): Reply {
  const [first, ...rest] = namesOf(operation);
  const base = typeNamed('RelationshipMetadataBase');
  const cast = castOf(rest[0], base);
  const below = cast ? rest.slice(1) : rest;
  const suffix = cast ? `/Microsoft.Dynamics.CRM.${cast.name}` : '';
  const source: DefinitionSource = { type: cast ?? base, context: `RelationshipDefinitions${suffix}` };
  const all = (): Definition[] => allRelationships(work).filter((one) => isOf(one, base, cast));
  if (!first?.predicate) {
    if (below[0]) throw segmentNotFound(below[0].name);
    if (operation.method === 'GET') return definitionsReply(work, operation, source, all());
    if (operation.method !== 'POST') throw methodNotAllowed(`${operation.method} on RelationshipDefinitions`);
    const change = begin(work, operation, 'CreateRelationship', 'prvCreateRelationship');
    const id = createRelationship(change, readDefinitionBody(operation, base, cast));
    return made(change, `RelationshipDefinitions(${id})`);
  }
  const { predicate } = first;
  const found = all().find((one) => isNamed(one, predicate));
  if (!found) throw definitionNotFound(describe(predicate));
  return routeRelationship(work, operation, source, found, below);
}

function routeRelationship(
  work: Work,
  operation: Operation,
  source: DefinitionSource,
  found: Definition,
  below: readonly NameSegment[],
): Reply {
  if (below.length > 0) {
    requireGet(operation);
    return propertyReply(work, operation, source, found, below);
  }
  if (operation.method === 'GET') return oneDefinitionReply(work, operation, source, found);
  const actual = 'IntersectEntityName' in found ? 'ManyToMany' : 'OneToMany';
  return write(work, operation, {
    noun: 'Relationship',
    put: (change) =>
      changeRelationship(change, found, readDefinitionBody(operation, typeNamed(`${actual}RelationshipMetadata`))),
    remove: (change) => deleteRelationship(change, found),
  });
}

/** Answers `GlobalOptionSetDefinitions` and what lies below it. */
export function routeChoiceDefinitions(work: Work, operation: Operation): Reply {
  const [first, ...rest] = namesOf(operation);
  const base = typeNamed('OptionSetMetadataBase');
  const cast = castOf(rest[0], base);
  const below = cast ? rest.slice(1) : rest;
  const suffix = cast ? `/Microsoft.Dynamics.CRM.${cast.name}` : '';
  const source: DefinitionSource = { type: cast ?? base, context: `GlobalOptionSetDefinitions${suffix}` };
  const all = [...work.env.catalog.choices().values()].filter((one) => isOf(one, base, cast));
  if (!first?.predicate) {
    if (below[0]) throw segmentNotFound(below[0].name);
    if (operation.method === 'GET') {
      refuseQuery(operation);
      return definitionsReply(work, operation, source, all);
    }
    if (operation.method !== 'POST') throw methodNotAllowed(`${operation.method} on GlobalOptionSetDefinitions`);
    const change = begin(work, operation, 'CreateOptionSet', 'prvCreateOptionSet');
    const written = readDefinitionBody(operation, base, cast);
    if (written.type === base) {
      throw badPayload(base.name, 'The annotation @odata.type is missing: the type is abstract.');
    }
    const id = createChoice(change, written);
    return made(change, `GlobalOptionSetDefinitions(${id})`);
  }
  const { predicate } = first;
  const found = all.find((one) => isNamed(one, predicate));
  if (!found) throw definitionNotFound(describe(predicate));
  if (below.length > 0) {
    requireGet(operation);
    return propertyReply(work, operation, source, found, below);
  }
  if (operation.method === 'GET') return oneDefinitionReply(work, operation, source, found);
  const actual = definitionType(found['@odata.type']) ?? base;
  return write(work, operation, {
    noun: 'OptionSet',
    put: (change) => changeChoice(change, found, readDefinitionBody(operation, base, actual)),
    remove: (change) => deleteChoice(change, found),
  });
}
