// The types of definitions as the Web API publishes them (entity, complex and enumeration types of the namespace
// Microsoft.Dynamics.CRM): what `$select`, `$filter`, `$expand`, bodies and `$metadata` may name.
// Source: the reference pages of the Web API's metadata entity types.

/**
 * How a property's value looks in JSON. `managed` is `{ Value: boolean, … }`, `required` the same with a required level,
 * `named` `{ Value: string }`, `enum X` a member's name, `one X` and `many X` are navigation properties.
 */
export type PropertyKind =
  | 'text'
  | 'texts'
  | 'integer'
  | 'long'
  | 'number'
  | 'boolean'
  | 'guid'
  | 'time'
  | 'label'
  | 'managed'
  | 'required'
  | 'named'
  | 'cascade'
  | 'menu'
  | 'option'
  | 'options'
  | 'privileges'
  | 'job'
  | `enum ${string}`
  | `one ${string}`
  | `many ${string}`;

export interface DefinitionType {
  readonly name: string;
  readonly base: DefinitionType | undefined;
  readonly isAbstract: boolean;
  /** Those of its base types included. */
  readonly properties: ReadonlyMap<string, PropertyKind>;
}

/** Members by the enumeration's name. */
export const ENUMERATIONS: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries({
    AssociatedMenuBehavior: 'UseCollectionName UseLabel DoNotDisplay',
    AssociatedMenuGroup: 'Details Sales Service Marketing',
    AttributeRequiredLevel: 'None SystemRequired ApplicationRequired Recommended',
    AttributeTypeCode:
      'Boolean Customer DateTime Decimal Double Integer Lookup Memo Money Owner PartyList Picklist State Status String ' +
      'Uniqueidentifier CalendarRules Virtual BigInt ManagedProperty EntityName',
    CascadeType: 'NoCascade Cascade Active UserOwned RemoveLink Restrict',
    DateTimeFormat: 'DateOnly DateAndTime',
    EntityClusterMode: 'Partitioned Replicated Local',
    EntityKeyIndexStatus: 'Pending InProgress Active Failed',
    ImeMode: 'Auto Inactive Active Disabled',
    IntegerFormat: 'None Duration TimeZone Language Locale',
    LookupFormat: 'None Connection Regarding Text',
    ManagedPropertyType: 'Operation Attribute CustomEvaluator Custom',
    OptionSetType: 'Picklist State Status Boolean',
    OwnershipTypes: 'None UserOwned TeamOwned BusinessOwned OrganizationOwned BusinessParented Filtered',
    PrivilegeType: 'None Create Read Write Delete Assign Share Append AppendTo',
    RelationshipType: 'OneToManyRelationship ManyToManyRelationship',
    SecurityTypes: 'None Append ParentChild Pointer Inheritance',
    StringFormat: 'Email Text TextArea Url TickerSymbol PhoneticGuide VersionNumber Phone Json RichText',
  }).map(([name, members]): [string, readonly string[]] => [name, members.split(' ')]),
);

const ENTITY = {
  text:
    'LogicalName SchemaName EntitySetName LogicalCollectionName CollectionSchemaName ExternalCollectionName ExternalName ' +
    'PrimaryIdAttribute PrimaryNameAttribute PrimaryImageAttribute ReportViewName RecurrenceBaseEntityLogicalName ' +
    'IntroducedVersion EntityColor EntityHelpUrl IconLargeName IconMediumName IconSmallName IconVectorName TableType ' +
    'MobileOfflineFilters SettingOf',
  integer: 'ActivityTypeMask ObjectTypeCode DaysSinceRecordLastModified OwnerIdType',
  boolean:
    'AutoCreateAccessTeams AutoReplicateClusterRecords AutoRouteToOwnerQueue CanChangeClusterMode CanTriggerWorkflow ' +
    'ChangeTrackingEnabled DefaultToLocalPartition EnforceStateTransitions EntityHelpUrlEnabled HasActivities ' +
    'HasEmailAddresses HasFeedback HasNotes IsAIRUpdated IsActivity IsActivityParty IsArchivalEnabled IsAvailableOffline ' +
    'IsBPFEntity IsBusinessProcessEnabled IsChildEntity IsCustomEntity IsDocumentManagementEnabled ' +
    'IsDocumentRecommendationsEnabled IsEnabledForCharts IsEnabledForExternalChannels IsEnabledForTrace IsImportable ' +
    'IsInteractionCentricEnabled IsIntersect IsKnowledgeManagementEnabled IsLogicalEntity IsMSTeamsIntegrationEnabled ' +
    'IsManaged IsOneNoteIntegrationEnabled IsOptimisticConcurrencyEnabled IsPrivate IsQuickCreateEnabled ' +
    'IsReadingPaneEnabled IsRetentionEnabled IsRetrieveAuditEnabled IsRetrieveMultipleAuditEnabled IsSLAEnabled ' +
    'IsSolutionAware IsStateModelAware IsValidForAdvancedFind SyncToExternalSearchIndex UsesBusinessDataLabelTable',
  guid: 'DataProviderId DataSourceId OwnerId OwningBusinessUnit',
  time: 'CreatedOn ModifiedOn',
  label: 'DisplayName DisplayCollectionName Description',
  managed:
    'CanBeInCustomEntityAssociation CanBeInManyToMany CanBePrimaryEntityInRelationship CanBeRelatedEntityInRelationship ' +
    'CanChangeHierarchicalRelationship CanChangeTrackingBeEnabled CanCreateAttributes CanCreateCharts CanCreateForms ' +
    'CanCreateViews CanEnableSyncToExternalSearchIndex CanModifyAdditionalSettings IsAuditEnabled IsConnectionsEnabled ' +
    'IsCustomizable IsDuplicateDetectionEnabled IsMailMergeEnabled IsMappable IsOfflineInMobileClient ' +
    'IsReadOnlyInMobileClient IsRenameable IsValidForQueue IsVisibleInMobile IsVisibleInMobileClient',
  'enum OwnershipTypes': 'OwnershipType',
  'enum EntityClusterMode': 'ClusterMode',
  privileges: 'Privileges',
  'many AttributeMetadata': 'Attributes',
  'many EntityKeyMetadata': 'Keys',
  'many OneToManyRelationshipMetadata': 'ManyToOneRelationships OneToManyRelationships',
  'many ManyToManyRelationshipMetadata': 'ManyToManyRelationships',
};

const ATTRIBUTE = {
  text:
    'LogicalName SchemaName AttributeOf EntityLogicalName AutoNumberFormat IntroducedVersion InheritsFrom ExternalName ' +
    'DeprecatedVersion',
  integer: 'ColumnNumber SourceType',
  boolean:
    'CanBeSecuredForCreate CanBeSecuredForRead CanBeSecuredForUpdate IsCustomAttribute IsDataSourceSecret IsFilterable ' +
    'IsLogical IsManaged IsPrimaryId IsPrimaryName IsRequiredForForm IsRetrievable IsSearchable IsSecured ' +
    'IsValidForCreate IsValidForForm IsValidForGrid IsValidForRead IsValidForUpdate IsValidODataAttribute',
  guid: 'LinkedAttributeId',
  time: 'CreatedOn ModifiedOn',
  label: 'DisplayName Description',
  managed:
    'CanModifyAdditionalSettings IsAuditEnabled IsCustomizable IsGlobalFilterEnabled IsRenameable IsSortableEnabled ' +
    'IsValidForAdvancedFind',
  required: 'RequiredLevel',
  named: 'AttributeTypeName',
  'enum AttributeTypeCode': 'AttributeType',
};

const FORMULA = { text: 'FormulaDefinition', integer: 'SourceTypeMask' };
const CHOICE = {
  text: 'ParentEnumAttributeLogicalName',
  integer: 'DefaultFormValue',
  'one OptionSetMetadata': 'OptionSet GlobalOptionSet',
};
const DEPENDENT_CHOICE = {
  ...CHOICE,
  text: 'FormulaDefinition ParentEnumAttributeLogicalName ParentPicklistLogicalName',
  texts: 'ChildPicklistLogicalNames',
  integer: 'DefaultFormValue SourceTypeMask',
};

type Groups = Readonly<Record<string, string>>;

const types = new Map<string, DefinitionType>();

function define(name: string, base: string | undefined, groups: Groups, isAbstract = false): void {
  const parent = base === undefined ? undefined : types.get(base);
  const properties = new Map(parent?.properties);
  for (const [kind, names] of Object.entries(groups)) {
    for (const property of names.split(' ')) properties.set(property, kind as PropertyKind);
  }
  types.set(name, { name, base: parent, isAbstract, properties });
}

define('MetadataBase', undefined, { guid: 'MetadataId', boolean: 'HasChanged' }, true);
define('EntityMetadata', 'MetadataBase', ENTITY);
define('AttributeMetadata', 'MetadataBase', ATTRIBUTE);
define('BigIntAttributeMetadata', 'AttributeMetadata', { long: 'MinValue MaxValue' });
define('BooleanAttributeMetadata', 'AttributeMetadata', {
  ...FORMULA,
  boolean: 'DefaultValue',
  'one BooleanOptionSetMetadata': 'OptionSet GlobalOptionSet',
});
define('DateTimeAttributeMetadata', 'AttributeMetadata', {
  ...FORMULA,
  'enum DateTimeFormat': 'Format',
  'enum ImeMode': 'ImeMode',
  managed: 'CanChangeDateTimeBehavior',
  named: 'DateTimeBehavior',
});
for (const name of ['DecimalAttributeMetadata', 'DoubleAttributeMetadata']) {
  define(name, 'AttributeMetadata', {
    text: FORMULA.text,
    integer: 'Precision SourceTypeMask',
    number: 'MinValue MaxValue',
    'enum ImeMode': 'ImeMode',
  });
}
define('EntityNameAttributeMetadata', 'AttributeMetadata', { ...CHOICE, boolean: 'IsEntityReferenceStored' });
define('FileAttributeMetadata', 'AttributeMetadata', { integer: 'MaxSizeInKB' });
define('ImageAttributeMetadata', 'AttributeMetadata', {
  boolean: 'CanStoreFullImage IsPrimaryImage',
  integer: 'MaxHeight MaxWidth MaxSizeInKB',
});
define('IntegerAttributeMetadata', 'AttributeMetadata', {
  text: FORMULA.text,
  integer: 'MinValue MaxValue SourceTypeMask',
  'enum IntegerFormat': 'Format',
});
define('LookupAttributeMetadata', 'AttributeMetadata', { texts: 'Targets', 'enum LookupFormat': 'Format' });
define('ManagedPropertyAttributeMetadata', 'AttributeMetadata', {
  text: 'ManagedPropertyLogicalName ParentAttributeName ParentComponentType',
  'enum AttributeTypeCode': 'ValueAttributeTypeCode',
});
define('MemoAttributeMetadata', 'AttributeMetadata', {
  integer: 'MaxLength',
  boolean: 'IsLocalizable',
  'enum StringFormat': 'Format',
  'enum ImeMode': 'ImeMode',
  named: 'FormatName',
});
define('MoneyAttributeMetadata', 'AttributeMetadata', {
  text: 'CalculationOf FormulaDefinition',
  integer: 'Precision PrecisionSource SourceTypeMask',
  number: 'MinValue MaxValue',
  boolean: 'IsBaseCurrency',
  'enum ImeMode': 'ImeMode',
});
define('MultiSelectPicklistAttributeMetadata', 'AttributeMetadata', DEPENDENT_CHOICE);
define('PicklistAttributeMetadata', 'AttributeMetadata', DEPENDENT_CHOICE);
define('StateAttributeMetadata', 'AttributeMetadata', CHOICE);
define('StatusAttributeMetadata', 'AttributeMetadata', CHOICE);
define('StringAttributeMetadata', 'AttributeMetadata', {
  text: 'FormulaDefinition YomiOf',
  integer: 'DatabaseLength MaxLength SourceTypeMask',
  boolean: 'IsLocalizable',
  'enum StringFormat': 'Format',
  'enum ImeMode': 'ImeMode',
  named: 'FormatName',
});
define('UniqueIdentifierAttributeMetadata', 'AttributeMetadata', {});

define('EntityKeyMetadata', 'MetadataBase', {
  text: 'EntityLogicalName IntroducedVersion LogicalName SchemaName',
  texts: 'KeyAttributes',
  boolean: 'IsExportKey IsManaged IsSecondaryKey IsSynchronous',
  label: 'DisplayName',
  managed: 'IsCustomizable',
  'enum EntityKeyIndexStatus': 'EntityKeyIndexStatus',
  job: 'AsyncJob',
});
define(
  'RelationshipMetadataBase',
  'MetadataBase',
  {
    text: 'IntroducedVersion SchemaName',
    boolean: 'IsCustomRelationship IsManaged IsValidForAdvancedFind',
    managed: 'IsCustomizable',
    'enum RelationshipType': 'RelationshipType',
    'enum SecurityTypes': 'SecurityTypes',
  },
  true,
);
define('OneToManyRelationshipMetadata', 'RelationshipMetadataBase', {
  text:
    'EntityKey ReferencedAttribute ReferencedEntity ReferencedEntityNavigationPropertyName ReferencingAttribute ' +
    'ReferencingEntity ReferencingEntityNavigationPropertyName',
  integer: 'RelationshipBehavior',
  boolean: 'IsHierarchical',
  cascade: 'CascadeConfiguration',
  menu: 'AssociatedMenuConfiguration',
  'one LookupAttributeMetadata': 'Lookup',
});
define('ManyToManyRelationshipMetadata', 'RelationshipMetadataBase', {
  text:
    'Entity1IntersectAttribute Entity1LogicalName Entity1NavigationPropertyName Entity2IntersectAttribute ' +
    'Entity2LogicalName Entity2NavigationPropertyName IntersectEntityName',
  menu: 'Entity1AssociatedMenuConfiguration Entity2AssociatedMenuConfiguration',
});
define(
  'OptionSetMetadataBase',
  'MetadataBase',
  {
    text: 'ExternalTypeName IntroducedVersion Name ParentOptionSetName',
    boolean: 'IsCustomOptionSet IsGlobal IsManaged',
    label: 'Description DisplayName',
    managed: 'IsCustomizable',
    'enum OptionSetType': 'OptionSetType',
  },
  true,
);
define('OptionSetMetadata', 'OptionSetMetadataBase', { options: 'Options' });
define('BooleanOptionSetMetadata', 'OptionSetMetadataBase', { option: 'FalseOption TrueOption' });

/** All of them, base types before those that derive from them. */
export const definitionTypes: ReadonlyMap<string, DefinitionType> = types;

/** The type with this name, without or with its namespace and `#`; undefined for any other name. */
export const definitionType = (name: unknown): DefinitionType | undefined =>
  typeof name === 'string' ? types.get(name.replace(/^#?(?:Microsoft\.Dynamics\.CRM\.|mscrm\.)?/, '')) : undefined;

/** The type that this project itself names. */
export function typeNamed(name: string): DefinitionType {
  const found = types.get(name);
  if (!found) throw new Error(`There is no definition type ${name}`);
  return found;
}

/** Whether `type` is `ancestor` or derives from it. */
export const isKindOf = (type: DefinitionType | undefined, ancestor: DefinitionType): boolean =>
  type !== undefined && (type === ancestor || isKindOf(type.base, ancestor));

/** The type that a navigation property leads to; undefined for other properties. */
export function navigationTarget(kind: PropertyKind): { target: DefinitionType; many: boolean } | undefined {
  const [multiplicity, name = ''] = kind.split(' ');
  if (multiplicity !== 'one' && multiplicity !== 'many') return undefined;
  return { target: typeNamed(name), many: multiplicity === 'many' };
}
