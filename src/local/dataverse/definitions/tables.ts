import { isoTime } from '../../../shared/clock.ts';
import { badPayload, invalidArgument, notEmulated } from '../errors.ts';
import { isJsonObject } from '../json-object.ts';
import { writeMessages } from '../messages.ts';
import { type Definition, readMetadataFile, type Table } from '../metadata.ts';
import { privilegeDefinitions } from '../privileges.ts';
import { roleId, SYSTEM_ADMINISTRATOR, SYSTEM_CUSTOMIZER, writePrivileges } from '../seed.ts';
import type { Work } from '../work.ts';
import type { WrittenDefinition } from './body.ts';
import { isWritten } from './choice-sets.ts';
import { fixed } from './column-shape.ts';
import { columnsOf, createColumn, requireCustomizable } from './columns.ts';
import { addToSolution, type Change, keptLabel, platformWriter } from './customize.ts';
import { invalidOwnership, nameNotUnique, primaryNameIsNoText } from './errors.ts';
import { plural, schemaName } from './names.ts';
import { NO_CASCADE, relationshipDefinition } from './relationship-shape.ts';
import { nextTypeCode } from './relationships.ts';

/** The table whose own properties and platform columns new tables copy. */
const MODEL = 'msevtmgt_event';
const OWNERS = new Set(['ownerid', 'owningbusinessunit', 'owningteam', 'owninguser']);

/** Makes a table with its primary name and the platform's columns, and answers its MetadataId. Throws WireError. */
export function createTable(change: Change, written: WrittenDefinition): string {
  const { work } = change;
  const { properties } = written;
  const name = schemaName(properties.get('SchemaName'), 'Entity', change.solution?.prefix);
  const logicalName = name.toLowerCase();
  if (work.env.catalog.table(logicalName)) throw nameNotUnique(name, 'Entity');
  const ownership = properties.get('OwnershipType') ?? 'UserOwned';
  if (ownership !== 'UserOwned' && ownership !== 'OrganizationOwned') throw invalidOwnership();
  if (properties.get('IsActivity') === true) throw notEmulated('Making an activity table (IsActivity)');
  const type = properties.get('TableType') ?? 'Standard';
  if (type !== 'Standard') throw notEmulated(`Making a table of type ${String(type).slice(0, 32)}`);
  const columns = newColumns(properties.get('Attributes'));
  const primaryName = columns.find((one) => one.properties.get('IsPrimaryName') === true);
  if (!primaryName) throw invalidArgument('The primary name attribute is missing.');
  if (primaryName.type.name !== 'StringAttributeMetadata') throw primaryNameIsNoText();
  const definition = newTable(change, written, { name, ownership });
  if (work.env.catalog.tableOfSet(String(definition['EntitySetName']))) {
    throw nameNotUnique(String(definition['EntitySetName']), 'Entity');
  }
  work.env.catalog.saveTable(definition);
  addPlatformColumns(work, definition);
  for (const column of [primaryName, ...columns.filter((one) => one !== primaryName)]) {
    createColumn(change, tableOf(work, logicalName), column, column === primaryName);
  }
  addPlatformRelationships(work, tableOf(work, logicalName));
  connect(change, tableOf(work, logicalName));
  return String(definition['MetadataId']);
}

function newColumns(written: unknown): WrittenDefinition[] {
  return Array.isArray(written) ? written.filter(isWritten) : [];
}

function tableOf({ env }: Work, logicalName: string): Table {
  const found = env.catalog.table(logicalName);
  if (!found) throw new Error(`The table ${logicalName} that was just stored is missing`);
  return found;
}

function model(): Definition {
  const json = readMetadataFile(`entitydefinitions/${MODEL}.json`);
  return isJsonObject(json) ? json : {};
}

const listOf = (definition: Definition, name: string): Definition[] => {
  const list = definition[name];
  return Array.isArray(list) ? list.filter(isJsonObject) : [];
};

/** Properties that cannot be chosen, or only when the table is made. */
const FIXED = new Set([
  'ActivityTypeMask',
  'CollectionSchemaName',
  'CreatedOn',
  'EntitySetName',
  'HasActivities',
  'HasNotes',
  'IntroducedVersion',
  'IsActivity',
  'IsCustomEntity',
  'IsIntersect',
  'IsManaged',
  'IsPrivate',
  'LogicalCollectionName',
  'LogicalName',
  'MetadataId',
  'ObjectTypeCode',
  'OwnershipType',
  'PrimaryIdAttribute',
  'PrimaryNameAttribute',
  'ReportViewName',
  'SchemaName',
  'TableType',
]);
const NAVIGATIONS = /^(?:Attributes|Keys|Privileges|(?:ManyToOne|OneToMany|ManyToMany)Relationships)$/;

/** The model's properties, with what the body says instead of them. */
function changeable(change: Change, written: WrittenDefinition, current?: Definition): Definition {
  const given = [...written.properties].filter(
    ([name, value]) => value != null && !FIXED.has(name) && !NAVIGATIONS.test(name),
  );
  const label = (name: string) => keptLabel(change, written.properties.get(name), current?.[name]);
  return {
    ...Object.fromEntries(given),
    DisplayName: label('DisplayName'),
    DisplayCollectionName: label('DisplayCollectionName'),
    Description: label('Description'),
    ModifiedOn: isoTime(change.work.env.clock.now()),
  };
}

function newTable(change: Change, written: WrittenDefinition, facts: { name: string; ownership: string }): Definition {
  const { work } = change;
  const { properties } = written;
  for (const name of ['DisplayName', 'DisplayCollectionName']) {
    if (properties.get(name) == null) throw badPayload('EntityMetadata', `The property '${name}' is missing.`);
  }
  const logicalName = facts.name.toLowerCase();
  const primaryName = newColumns(properties.get('Attributes')).find(
    (one) => one.properties.get('IsPrimaryName') === true,
  );
  const set = properties.get('EntitySetName') ?? properties.get('LogicalCollectionName') ?? plural(logicalName);
  if (typeof set !== 'string' || !/^[a-z][a-z0-9_]{0,127}$/.test(set)) {
    throw badPayload('EntityMetadata', "The property 'EntitySetName' is no name.");
  }
  const own = Object.entries(model()).filter(([name]) => !NAVIGATIONS.test(name));
  return {
    ...Object.fromEntries(own),
    ChangeTrackingEnabled: false,
    ...changeable(change, written),
    MetadataId: work.env.newId(),
    LogicalName: logicalName,
    SchemaName: facts.name,
    LogicalCollectionName: set,
    CollectionSchemaName: plural(facts.name),
    EntitySetName: set,
    ReportViewName: `Filtered${facts.name}`,
    PrimaryIdAttribute: `${logicalName}id`,
    PrimaryNameAttribute: String(primaryName?.properties.get('SchemaName') ?? '').toLowerCase(),
    ObjectTypeCode: nextTypeCode(work),
    OwnershipType: facts.ownership,
    HasActivities: properties.get('HasActivities') === true,
    HasNotes: properties.get('HasNotes') === true,
    IsCustomEntity: true,
    IsManaged: false,
    IsPrivate: false,
    TableType: 'Standard',
    IntroducedVersion: '1.0.0.0',
    CreatedOn: isoTime(work.env.clock.now()),
  };
}

function addPlatformColumns(work: Work, table: Definition): void {
  const { env } = work;
  const name = String(table['LogicalName']);
  const isOwned = table['OwnershipType'] === 'UserOwned';
  for (const column of listOf(model(), 'Attributes')) {
    if (column['IsCustomAttribute'] === true) continue;
    if (!isOwned && OWNERS.has(String(column['LogicalName']))) continue;
    const isId = column['IsPrimaryId'] === true;
    env.catalog.saveColumn(name, {
      ...column,
      MetadataId: env.newId(),
      EntityLogicalName: name,
      ...(isId
        ? { LogicalName: `${name}id`, SchemaName: `${table['SchemaName']}Id`, DisplayName: table['DisplayName'] }
        : {}),
    });
  }
  if (!isOwned) env.catalog.saveColumn(name, organizationColumn(work, name));
}

const organizationColumn = (work: Work, table: string): Definition => ({
  ...fixed(work, {
    id: work.env.newId(),
    table,
    name: 'OrganizationId',
    type: 'LookupAttributeMetadata',
    code: 'Lookup',
    typeName: 'LookupType',
  }),
  IsCustomAttribute: false,
  IsValidForCreate: false,
  IsValidForUpdate: false,
  RequiredLevel: { Value: 'None' },
  Format: 'None',
  Targets: ['organization'],
});

function addPlatformRelationships(work: Work, table: Table): void {
  for (const one of listOf(model(), 'ManyToOneRelationships')) {
    const column = String(one['ReferencingAttribute']);
    if (!table.columns.has(column)) continue;
    const name = String(one['SchemaName']).replace(MODEL, table.logicalName);
    work.env.catalog.saveRelationship({
      ...one,
      SchemaName: name,
      MetadataId: work.env.newId(),
      ReferencingEntity: table.logicalName,
      ReferencedEntityNavigationPropertyName: name,
    });
  }
  if (table.columns.has('organizationid')) {
    linkTo(work, table, {
      referenced: 'organization',
      column: 'organizationid',
      name: `organization_${table.logicalName}`,
    });
  }
  if (table.raw['HasNotes'] === true) addNotes(work, table);
  if (table.raw['HasActivities'] === true) addActivities(work, table);
}

function linkTo(work: Work, table: Table, facts: { referenced: string; column: string; name: string }): void {
  work.env.catalog.saveRelationship(
    relationshipDefinition(work, {
      schemaName: facts.name,
      referenced: facts.referenced,
      referencedAttribute: `${facts.referenced}id`,
      referencing: table.logicalName,
      referencingAttribute: facts.column,
      navigation: facts.column,
      isCustom: false,
      cascade: NO_CASCADE,
    }),
  );
}

/** Lets notes point to the new table. */
function addNotes(work: Work, table: Table): void {
  pointTo(work, table, {
    from: 'annotation',
    column: 'objectid',
    name: `${table.logicalName}_Annotations`,
    navigation: `objectid_${table.logicalName}`,
  });
}

/** Lets every activity be about rows of the new table. */
function addActivities(work: Work, table: Table): void {
  for (const { logicalName } of work.env.catalog.names) {
    const activity = work.env.catalog.table(logicalName);
    const isActivity = activity?.isActivity === true || logicalName === 'activitypointer';
    if (!isActivity || !activity?.columns.has('regardingobjectid')) continue;
    pointTo(work, table, {
      from: logicalName,
      column: 'regardingobjectid',
      name: `${table.logicalName}_${plural(activity.schemaName)}`,
      navigation: `regardingobjectid_${table.logicalName}${logicalName === 'activitypointer' ? '' : `_${logicalName}`}`,
    });
  }
}

function pointTo(
  work: Work,
  table: Table,
  facts: { from: string; column: string; name: string; navigation: string },
): void {
  const { catalog } = work.env;
  const from = catalog.table(facts.from);
  const column = from && columnsOf(from).find((one) => one['LogicalName'] === facts.column);
  if (!column) return;
  const targets = Array.isArray(column['Targets']) ? column['Targets'] : [];
  catalog.saveColumn(facts.from, { ...column, Targets: [...targets, table.logicalName] });
  catalog.saveRelationship(
    relationshipDefinition(work, {
      schemaName: facts.name,
      referenced: table.logicalName,
      referencedAttribute: table.primaryId,
      referencing: facts.from,
      referencingAttribute: facts.column,
      navigation: facts.navigation,
      isCustom: true,
      cascade: {
        ...NO_CASCADE,
        Assign: 'Cascade',
        Delete: 'Cascade',
        Merge: 'Cascade',
        Reparent: 'Cascade',
        Share: 'Cascade',
        Unshare: 'Cascade',
      },
    }),
  );
}

/** Privileges (for the two roles that have them all), messages and the solution. */
function connect(change: Change, table: Table): void {
  const { env } = change.work;
  const privileges = env.privileges.define(table);
  const kept = privileges.filter((one) => env.privileges.ofTable(table).includes(one));
  const write = platformWriter(change.work);
  writePrivileges(kept, write);
  for (const role of [SYSTEM_ADMINISTRATOR, SYSTEM_CUSTOMIZER]) {
    env.roles.grant(
      roleId(role),
      kept.map(({ id }) => [id, 'Global'] as const),
    );
  }
  writeMessages(table.logicalName, write);
  env.catalog.saveTable({ ...table.raw, Privileges: privilegeDefinitions(kept) });
  addToSolution(change, 'Entity', table.metadataId);
}

/** Replaces a table's definition. Throws WireError. */
export function changeTable(change: Change, table: Table, written: WrittenDefinition): void {
  requireCustomizable(table, 'IsCustomizable');
  const { raw } = table;
  for (const name of FIXED) {
    const value = written.properties.get(name);
    const mayBegin = (name === 'HasNotes' || name === 'HasActivities') && value === true;
    if (value == null || value === raw[name] || mayBegin || name === 'CreatedOn') continue;
    throw invalidArgument(`The property ${name} of a table cannot be changed.`);
  }
  if (raw['ChangeTrackingEnabled'] === true && written.properties.get('ChangeTrackingEnabled') === false) {
    throw invalidArgument('Change tracking cannot be switched off again.');
  }
  const { catalog } = change.work.env;
  const begins = (name: string): boolean => written.properties.get(name) === true && raw[name] !== true;
  const [notes, activities] = [begins('HasNotes'), begins('HasActivities')];
  catalog.saveTable({
    ...raw,
    ...defaults(table),
    ...changeable(change, written, raw),
    ...(notes ? { HasNotes: true } : {}),
    ...(activities ? { HasActivities: true } : {}),
  });
  const changed = tableOf(change.work, table.logicalName);
  if (notes) addNotes(change.work, changed);
  if (activities) addActivities(change.work, changed);
}

/** What a custom table's properties are where a definition leaves them out; of other tables they stay as they are. */
function defaults(table: Table): Definition {
  if (table.raw['IsCustomEntity'] !== true) return {};
  const own = Object.entries(model()).filter(([name]) => !NAVIGATIONS.test(name) && !FIXED.has(name));
  const tracking = table.raw['ChangeTrackingEnabled'] ?? false;
  return { ...Object.fromEntries(own), ChangeTrackingEnabled: tracking };
}
