import { element } from './csdl-xml.ts';
import { type DefinitionType, definitionTypes, ENUMERATIONS, navigationTarget, type PropertyKind } from './types.ts';

const COMPLEX: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  AssociatedMenuConfiguration: {
    Behavior: 'mscrm.AssociatedMenuBehavior',
    Group: 'mscrm.AssociatedMenuGroup',
    Label: 'mscrm.Label',
    Order: 'Edm.Int32',
  },
  AttributeRequiredLevelManagedProperty: {
    CanBeChanged: 'Edm.Boolean',
    ManagedPropertyLogicalName: 'Edm.String',
    Value: 'mscrm.AttributeRequiredLevel',
  },
  BooleanManagedProperty: {
    CanBeChanged: 'Edm.Boolean',
    ManagedPropertyLogicalName: 'Edm.String',
    Value: 'Edm.Boolean',
  },
  CascadeConfiguration: Object.fromEntries(
    ['Archive', 'Assign', 'Delete', 'Merge', 'Reparent', 'RollupView', 'Share', 'Unshare'].map((name) => [
      name,
      'mscrm.CascadeType',
    ]),
  ),
  EntityReference: { Id: 'Edm.Guid', LogicalName: 'Edm.String', Name: 'Edm.String' },
  Label: { LocalizedLabels: 'Collection(mscrm.LocalizedLabel)', UserLocalizedLabel: 'mscrm.LocalizedLabel' },
  LocalizedLabel: {
    HasChanged: 'Edm.Boolean',
    IsManaged: 'Edm.Boolean',
    Label: 'Edm.String',
    LanguageCode: 'Edm.Int32',
    MetadataId: 'Edm.Guid',
  },
  NamedValue: { Value: 'Edm.String' },
  OptionMetadata: {
    Color: 'Edm.String',
    Description: 'mscrm.Label',
    ExternalValue: 'Edm.String',
    Label: 'mscrm.Label',
    Value: 'Edm.Int32',
  },
  RolePrivilege: {
    BusinessUnitId: 'Edm.Guid',
    Depth: 'Edm.String',
    PrivilegeId: 'Edm.Guid',
    PrivilegeName: 'Edm.String',
    RecordFilterId: 'Edm.Guid',
    RecordFilterUniqueName: 'Edm.String',
  },
  SecurityPrivilegeMetadata: {
    CanBeBasic: 'Edm.Boolean',
    CanBeDeep: 'Edm.Boolean',
    CanBeGlobal: 'Edm.Boolean',
    CanBeLocal: 'Edm.Boolean',
    Name: 'Edm.String',
    PrivilegeId: 'Edm.Guid',
    PrivilegeType: 'mscrm.PrivilegeType',
  },
};

const KIND_TYPES: Readonly<Record<string, string>> = {
  boolean: 'Edm.Boolean',
  cascade: 'mscrm.CascadeConfiguration',
  guid: 'Edm.Guid',
  integer: 'Edm.Int32',
  job: 'mscrm.EntityReference',
  label: 'mscrm.Label',
  long: 'Edm.Int64',
  managed: 'mscrm.BooleanManagedProperty',
  menu: 'mscrm.AssociatedMenuConfiguration',
  named: 'mscrm.NamedValue',
  number: 'Edm.Double',
  option: 'mscrm.OptionMetadata',
  options: 'Collection(mscrm.OptionMetadata)',
  privileges: 'Collection(mscrm.SecurityPrivilegeMetadata)',
  required: 'mscrm.AttributeRequiredLevelManagedProperty',
  text: 'Edm.String',
  texts: 'Collection(Edm.String)',
  time: 'Edm.DateTimeOffset',
};

/** Types of definitions that actions take as complex values. */
const COMPLEX_TWINS: Readonly<Record<string, string>> = {
  ComplexLookupAttributeMetadata: 'LookupAttributeMetadata',
  ComplexOneToManyRelationshipMetadata: 'OneToManyRelationshipMetadata',
};

const typeOfKind = (kind: PropertyKind): string => KIND_TYPES[kind] ?? `mscrm.${kind.replace(/^enum /, '')}`;

/** The types of definitions themselves, their complex types and enumerations. */
export function definitionSchemas(): string[] {
  return [
    ...[...definitionTypes.values()].map(definitionEntity),
    ...Object.entries(COMPLEX).map(([name, members]) => complexType(name, Object.entries(members))),
    ...Object.entries(COMPLEX_TWINS).map(([name, twin]) =>
      complexType(name, plainProperties(definitionTypes.get(twin))),
    ),
    ...[...ENUMERATIONS].map(([name, members]) =>
      element(
        'EnumType',
        { Name: name },
        members.map((member, at) => element('Member', { Name: member, Value: String(at) })),
      ),
    ),
  ];
}

const plainProperties = (type: DefinitionType | undefined): [string, string][] =>
  [...(type?.properties ?? [])]
    .filter(([, kind]) => !navigationTarget(kind))
    .map(([name, kind]) => [name, typeOfKind(kind)]);

/** A complex type from its members and their types. */
export const complexType = (name: string, members: readonly (readonly [string, string])[]): string =>
  element(
    'ComplexType',
    { Name: name },
    members.map(([member, type]) => element('Property', { Name: member, Type: type })),
  );

function definitionEntity(type: DefinitionType): string {
  const own = [...type.properties].filter(([name]) => !type.base?.properties.has(name));
  return element(
    'EntityType',
    {
      Name: type.name,
      BaseType: type.base ? `mscrm.${type.base.name}` : 'mscrm.crmbaseentity',
      Abstract: type.isAbstract ? 'true' : undefined,
    },
    [
      ...(type.base ? [] : [element('Key', {}, [element('PropertyRef', { Name: 'MetadataId' })])]),
      ...own.map(([name, kind]) => {
        const navigation = navigationTarget(kind);
        if (!navigation) return element('Property', { Name: name, Type: typeOfKind(kind) });
        const target = `mscrm.${navigation.target.name}`;
        return element('NavigationProperty', { Name: name, Type: navigation.many ? `Collection(${target})` : target });
      }),
    ],
  );
}
