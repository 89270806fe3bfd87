import { badPayload } from '../errors.ts';
import { isJsonObject } from '../json-object.ts';
import type { Definition, Table } from '../metadata.ts';
import type { Work } from '../work.ts';
import type { WrittenDefinition } from './body.ts';
import { isWritten } from './choice-sets.ts';
import { fixed } from './column-shape.ts';
import { columnsOf, dropColumn, newLookup, requireCustomizable } from './columns.ts';
import { addToSolution, type Change, englishLabel, removeFromSolutions } from './customize.ts';
import {
  cannotAssociate,
  componentInUse,
  componentIsManaged,
  invalidRelationship,
  navigationNotUnique,
  relationshipNameMissing,
  relationshipNameTaken,
  tableNotFound,
} from './errors.ts';
import { schemaName } from './names.ts';
import { NO_CASCADE, relationshipDefinition, relationshipsOf, shared } from './relationship-shape.ts';

/** Every relationship of every table, each once. */
export function allRelationships({ env }: Work): Definition[] {
  const found = new Map<string, Definition>();
  for (const { logicalName } of env.catalog.names) {
    const table = env.catalog.table(logicalName);
    if (!table) continue;
    const lists = ['ManyToOneRelationships', 'OneToManyRelationships', 'ManyToManyRelationships'] as const;
    for (const list of lists) {
      const type = list === 'ManyToManyRelationships' ? 'ManyToMany' : 'OneToMany';
      for (const one of relationshipsOf(table, list)) {
        const id = String(one['MetadataId']);
        if (!found.has(id))
          found.set(id, { '@odata.type': `#Microsoft.Dynamics.CRM.${type}RelationshipMetadata`, ...one });
      }
    }
  }
  return [...found.values()];
}

/** Makes a relationship with its lookup or its table of pairs, and answers its MetadataId. Throws WireError. */
export function createRelationship(change: Change, written: WrittenDefinition): string {
  if (written.type.name === 'ManyToManyRelationshipMetadata') return createPairs(change, written);
  if (written.type.name !== 'OneToManyRelationshipMetadata') {
    throw badPayload('RelationshipMetadataBase', 'The annotation @odata.type is missing: the type is abstract.');
  }
  const lookup = written.properties.get('Lookup');
  if (!isWritten(lookup)) throw invalidRelationship();
  const [made] = createLookup(change, [written], lookup, false).relationshipIds;
  return made ?? '';
}

/** Makes one lookup with a relationship to each table that it can point to. */
export function createLookup(
  change: Change,
  relationships: readonly WrittenDefinition[],
  lookup: WrittenDefinition,
  isCustomer: boolean,
): { relationshipIds: string[]; attributeId: string } {
  const { catalog } = change.work.env;
  const sides = relationships.map((one) => sidesOf(change.work, one));
  const [first] = sides;
  if (!first || sides.some(({ referencing }) => referencing !== first.referencing)) throw invalidRelationship();
  const targets = sides.map(({ referenced }) => referenced.logicalName);
  if (new Set(targets).size < targets.length) throw invalidRelationship();
  requireCustomizable(first.referencing, 'CanCreateAttributes');
  const names = relationships.map((one) => newName(change, one));
  if (new Set(names.map((name) => name.toLowerCase())).size < names.length) throw relationshipNameTaken();
  const column = newLookup(change, first.referencing, lookup, targets, isCustomer);
  const relationshipIds = relationships.map((one, at) => {
    const referenced = sides[at]?.referenced ?? first.referenced;
    const definition = oneToMany(change, one, {
      name: names[at] ?? '',
      referenced,
      referencing: catalog.table(first.referencing.logicalName) ?? first.referencing,
      column,
      isPolymorphic: relationships.length > 1,
    });
    catalog.saveRelationship(definition);
    addToSolution(change, 'Relationship', String(definition['MetadataId']));
    return String(definition['MetadataId']);
  });
  return { relationshipIds, attributeId: String(column['MetadataId']) };
}

function sidesOf(work: Work, written: WrittenDefinition): { referenced: Table; referencing: Table } {
  const side = (property: string): Table => tableNamed(work, written.properties.get(property));
  const sides = { referenced: side('ReferencedEntity'), referencing: side('ReferencingEntity') };
  const attribute = written.properties.get('ReferencedAttribute') ?? sides.referenced.primaryId;
  if (attribute !== sides.referenced.primaryId) throw invalidRelationship();
  for (const { raw } of Object.values(sides)) if (raw['IsIntersect'] === true) throw cannotAssociate();
  return sides;
}

function tableNamed({ env }: Work, name: unknown): Table {
  const found = typeof name === 'string' ? env.catalog.table(name) : undefined;
  if (!found) throw tableNotFound(String(name ?? '').slice(0, 128));
  return found;
}

function newName(change: Change, written: WrittenDefinition): string {
  const given = written.properties.get('SchemaName');
  if (given === undefined || given === null || given === '') throw relationshipNameMissing();
  const name = schemaName(given, 'Relationship', change.solution?.prefix);
  const taken = allRelationships(change.work).some(
    (one) => String(one['SchemaName']).toLowerCase() === name.toLowerCase(),
  );
  if (taken) throw relationshipNameTaken();
  return name;
}

function textOf(written: WrittenDefinition, property: string): string | undefined {
  const value = written.properties.get(property);
  if (typeof value !== 'string' || value === '') return undefined;
  if (/^[A-Za-z][A-Za-z0-9_]{0,127}$/.test(value)) return value;
  throw badPayload(written.type.name, `The property '${property}' is no name.`);
}

function oneToMany(
  { work }: Change,
  written: WrittenDefinition,
  facts: { name: string; referenced: Table; referencing: Table; column: Definition; isPolymorphic: boolean },
): Definition {
  const { name, referenced, referencing, column } = facts;
  const lookup = String(column['SchemaName']);
  const navigation =
    textOf(written, 'ReferencingEntityNavigationPropertyName') ??
    (facts.isPolymorphic ? `${lookup}_${referenced.logicalName}` : lookup);
  const collection = textOf(written, 'ReferencedEntityNavigationPropertyName') ?? name;
  requireFreeNavigation(referencing, navigation);
  requireFreeNavigation(referenced, collection);
  if (referencing === referenced && navigation === collection) throw navigationNotUnique(navigation);
  const cascade = written.properties.get('CascadeConfiguration');
  return relationshipDefinition(work, {
    schemaName: name,
    referenced: referenced.logicalName,
    referencedAttribute: referenced.primaryId,
    referencing: referencing.logicalName,
    referencingAttribute: String(column['LogicalName']),
    navigation,
    collection,
    isCustom: true,
    isHierarchical: written.properties.get('IsHierarchical') === true,
    cascade: { ...NO_CASCADE, Delete: 'RemoveLink', ...(isJsonObject(cascade) ? cascade : {}) },
    menu: written.properties.get('AssociatedMenuConfiguration') ?? undefined,
  });
}

function requireFreeNavigation(table: Table, name: string): void {
  const taken = table.navigations.has(name) || table.collections.has(name) || table.properties.has(name);
  if (taken) throw navigationNotUnique(name);
}

/** A many-to-many relationship has a table of its own, whose rows are the pairs. */
function createPairs(change: Change, written: WrittenDefinition): string {
  const { work } = change;
  const first = tableNamed(work, written.properties.get('Entity1LogicalName'));
  const second = tableNamed(work, written.properties.get('Entity2LogicalName'));
  for (const { raw } of [first, second]) {
    const may = raw['CanBeInManyToMany'];
    if (raw['IsIntersect'] === true || (isJsonObject(may) && may['Value'] === false)) throw cannotAssociate();
  }
  const name = newName(change, written);
  const given = written.properties.get('IntersectEntityName') ?? name;
  const intersect = schemaName(given, 'Entity', change.solution?.prefix).toLowerCase();
  if (work.env.catalog.table(intersect)) throw relationshipNameTaken();
  const [firstColumn, secondColumn] =
    first === second ? [`${first.primaryId}one`, `${first.primaryId}two`] : [first.primaryId, second.primaryId];
  const [firstName, secondName] = [1, 2].map((side) => textOf(written, `Entity${side}NavigationPropertyName`) ?? name);
  requireFreeNavigation(first, firstName ?? name);
  if (first !== second) requireFreeNavigation(second, secondName ?? name);
  const relationship: Definition = {
    '@odata.type': '#Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata',
    ...shared(work, name, true),
    RelationshipType: 'ManyToManyRelationship',
    Entity1LogicalName: first.logicalName,
    Entity1IntersectAttribute: firstColumn,
    Entity1NavigationPropertyName: firstName,
    Entity1AssociatedMenuConfiguration: written.properties.get('Entity1AssociatedMenuConfiguration') ?? null,
    Entity2LogicalName: second.logicalName,
    Entity2IntersectAttribute: secondColumn,
    Entity2NavigationPropertyName: secondName,
    Entity2AssociatedMenuConfiguration: written.properties.get('Entity2AssociatedMenuConfiguration') ?? null,
    IntersectEntityName: intersect,
  };
  savePairTable(work, intersect, String(given), [firstColumn, secondColumn]);
  work.env.catalog.saveRelationship(relationship);
  addToSolution(change, 'Relationship', String(relationship['MetadataId']));
  return String(relationship['MetadataId']);
}

function savePairTable(work: Work, name: string, schema: string, columns: readonly string[]): void {
  const { catalog, newId } = work.env;
  const label = englishLabel(work, schema);
  catalog.saveTable({
    MetadataId: newId(),
    LogicalName: name,
    SchemaName: schema,
    EntitySetName: `${name}set`,
    PrimaryIdAttribute: `${name}id`,
    PrimaryNameAttribute: null,
    DisplayName: label,
    DisplayCollectionName: label,
    IsIntersect: true,
    IsCustomEntity: true,
    IsManaged: false,
    IsPrivate: false,
    ObjectTypeCode: nextTypeCode(work),
    OwnershipType: 'None',
    TableType: 'Standard',
  });
  const column = (column: string, type: string, code: string, more: Definition): Definition => ({
    ...fixed(work, { id: newId(), table: name, name: column, type, code, typeName: `${code}Type` }),
    IsCustomAttribute: false,
    IsValidForCreate: false,
    IsValidForUpdate: false,
    RequiredLevel: { Value: 'SystemRequired' },
    ...more,
  });
  const id = column(`${name}id`, 'AttributeMetadata', 'Uniqueidentifier', {
    IsPrimaryId: true,
    IsValidForCreate: true,
  });
  const version = column('versionnumber', 'BigIntAttributeMetadata', 'BigInt', {
    MinValue: '-9223372036854775808',
    MaxValue: '9223372036854775807',
    RequiredLevel: { Value: 'None' },
  });
  const sides = columns.map((one) => column(one, 'AttributeMetadata', 'Uniqueidentifier', {}));
  for (const one of [id, ...sides, version]) catalog.saveColumn(name, one);
}

/** The next object type code of custom tables, which begin at 10000. */
export function nextTypeCode({ env }: Work): number {
  const codes = env.catalog.names.map(({ logicalName }) => env.catalog.table(logicalName)?.objectTypeCode ?? 0);
  return Math.max(9999, ...codes) + 1;
}

/** Replaces what can be changed of a relationship. Throws WireError. */
export function changeRelationship(change: Change, current: Definition, written: WrittenDefinition): void {
  for (const [name, value] of written.properties) {
    const isFixed = /^(?:MetadataId|SchemaName|Referenc.*|Entity[12](?!Associated).*|IntersectEntityName)$/.test(name);
    if (isFixed && value !== null && value !== current[name]) {
      throw badPayload(written.type.name, `The property '${name}' of a relationship cannot be changed.`);
    }
  }
  const cascade = written.properties.get('CascadeConfiguration');
  const replaced = [
    'AssociatedMenuConfiguration',
    'Entity1AssociatedMenuConfiguration',
    'Entity2AssociatedMenuConfiguration',
    'IsCustomizable',
    'IsHierarchical',
    'IsValidForAdvancedFind',
  ].flatMap((name): [string, unknown][] => {
    const value = written.properties.get(name);
    return value == null ? [] : [[name, value]];
  });
  change.work.env.catalog.saveRelationship({
    ...current,
    ...Object.fromEntries(replaced),
    ...(isJsonObject(cascade) ? { CascadeConfiguration: { ...NO_CASCADE, Delete: 'RemoveLink', ...cascade } } : {}),
  });
}

/** Deletes a custom relationship with its lookup or its table of pairs. Throws WireError. */
export function deleteRelationship({ work }: Change, current: Definition): void {
  const id = String(current['MetadataId']);
  if (current['IsCustomRelationship'] !== true) throw componentIsManaged('Delete', String(current['SchemaName']), id);
  const intersect = current['IntersectEntityName'];
  if (typeof intersect === 'string') {
    work.env.catalog.removeRelationship(current);
    work.env.store.dropTable(intersect);
    work.env.catalog.removeTable(intersect);
    removeFromSolutions(work, id);
    return;
  }
  const table = tableNamed(work, current['ReferencingEntity']);
  const name = String(current['ReferencingAttribute']);
  const column = columnsOf(table).find((one) => one['LogicalName'] === name);
  const users = work.env.keys.of(table.logicalName).filter((key) => key.columns.includes(name)).length;
  if (users > 0) throw componentInUse('Relationship', id, users);
  const targets = column?.['Targets'];
  // Lookups of customers and other tables lose their relationships only together (documented).
  if (!column || (Array.isArray(targets) && targets.length > 1)) throw componentIsManaged('Delete', name, id);
  dropColumn(work, table, column);
}
