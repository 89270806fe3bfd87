import { isGuid } from '../../shared/ids.ts';
import { encode, stringLiteral } from './literals.ts';
import { columnType } from './rows.ts';

/** Types of columns whose own properties (lengths, ranges, choices …) need a cast to be read. */
export const VALUE_PARTS = [
  'String',
  'Memo',
  'Integer',
  'Decimal',
  'Double',
  'Money',
  'DateTime',
  'Picklist',
  'MultiSelectPicklist',
  'State',
  'Status',
] as const;
type ValuePart = (typeof VALUE_PARTS)[number];

/** What can be read of a table's definition one by one. */
export type DefinitionPart = 'keys' | 'manyToOne' | 'oneToMany' | 'manyToMany' | ValuePart;

const RANGE = ',MinValue,MaxValue';
const OWN_CHOICES = '&$expand=OptionSet($select=Options)';
const CHOICES = `${OWN_CHOICES},GlobalOptionSet($select=Options)`;

const valueProperties: Readonly<Record<ValuePart, string>> = {
  String: ',MaxLength',
  Memo: ',MaxLength',
  Integer: RANGE,
  Decimal: RANGE,
  Double: RANGE,
  Money: RANGE,
  DateTime: ',DateTimeBehavior',
  Picklist: CHOICES,
  MultiSelectPicklist: CHOICES,
  State: OWN_CHOICES,
  Status: OWN_CHOICES,
};

/** The table that has this logical name, entity set name or MetadataId, with all of its columns. */
export function definitionPath(name: string): string {
  const condition = isGuid(name)
    ? `MetadataId eq ${name}`
    : `LogicalName eq ${stringLiteral(name)} or EntitySetName eq ${stringLiteral(name)}`;
  const columns = 'LogicalName,AttributeType,AttributeTypeName,AttributeOf,IsValidForCreate,IsValidForUpdate';
  return (
    'EntityDefinitions?$select=LogicalName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute,TableType' +
    `&$filter=${encode(condition)}&$expand=Attributes($select=${columns})`
  );
}

/** One part of a table's definition. */
export function partPath(table: string, part: DefinitionPart): string {
  const root = `EntityDefinitions(LogicalName=${encode(stringLiteral(table))})`;
  switch (part) {
    case 'keys':
      return `${root}/Keys?$select=LogicalName,KeyAttributes,EntityKeyIndexStatus`;
    case 'manyToOne':
      return `${root}/ManyToOneRelationships?$select=ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName`;
    case 'oneToMany':
      return `${root}/OneToManyRelationships?$select=ReferencingEntity,ReferencedEntityNavigationPropertyName`;
    case 'manyToMany':
      return `${root}/ManyToManyRelationships?$select=Entity1LogicalName,Entity1NavigationPropertyName,Entity2LogicalName,Entity2NavigationPropertyName`;
    default:
      return `${root}/Attributes/${columnType(part)}?$select=LogicalName${valueProperties[part]}`;
  }
}

/** The entity sets of some tables. */
export const entitySetsPath = (tables: readonly string[]): string =>
  `EntityDefinitions?$select=LogicalName,EntitySetName&$filter=${encode(
    tables.map((table) => `LogicalName eq ${stringLiteral(table)}`).join(' or '),
  )}`;
