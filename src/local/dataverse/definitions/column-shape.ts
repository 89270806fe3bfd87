import { isoTime } from '../../../shared/clock.ts';
import { invalidArgument, notEmulated } from '../errors.ts';
import { isJsonObject } from '../json-object.ts';
import type { Definition } from '../metadata.ts';
import type { Work } from '../work.ts';
import type { WrittenDefinition } from './body.ts';
import type { ColumnDraft } from './column-draft.ts';
import { englishLabel, keptLabel, managed } from './customize.ts';

/** Throws WireError when a body says something else of what cannot be chosen. */
export function requireSame(written: WrittenDefinition, property: string, expected: unknown): void {
  const value = written.properties.get(property) ?? expected;
  if (value !== expected) throw invalidArgument(`The property ${property} must be '${expected}'.`);
}

/** What a column is from its beginning to its end. */
export function fixed(
  work: Work,
  facts: {
    id: string;
    table: string;
    name: string;
    type: string;
    code: string;
    typeName: string;
    isPrimaryName?: boolean;
  },
): Definition {
  return {
    '@odata.type': `#Microsoft.Dynamics.CRM.${facts.type}`,
    MetadataId: facts.id,
    AttributeOf: null,
    AttributeType: facts.code,
    AttributeTypeName: { Value: facts.typeName },
    CanBeSecuredForCreate: true,
    CanBeSecuredForRead: true,
    CanBeSecuredForUpdate: true,
    CreatedOn: isoTime(work.env.clock.now()),
    EntityLogicalName: facts.table,
    IntroducedVersion: '1.0.0.0',
    IsCustomAttribute: true,
    IsFilterable: false,
    IsLogical: false,
    IsManaged: false,
    IsPrimaryId: false,
    IsPrimaryName: facts.isPrimaryName ?? false,
    IsRequiredForForm: facts.isPrimaryName ?? false,
    IsRetrievable: true,
    IsSearchable: facts.isPrimaryName ?? false,
    IsValidForCreate: true,
    IsValidForForm: true,
    IsValidForGrid: true,
    IsValidForRead: true,
    IsValidForUpdate: true,
    IsValidODataAttribute: true,
    LogicalName: facts.name.toLowerCase(),
    SchemaName: facts.name,
    SourceType: facts.code === 'Lookup' || facts.code === 'BigInt' ? null : 0,
  };
}

/** What a definition that is written says; what it leaves out has its default, also when it replaces another (documented). */
export function changeable({ change, written, schemaName: name, current }: ColumnDraft): Definition {
  const { properties } = written;
  if (properties.get('IsSecured') === true) throw notEmulated('A secured column (IsSecured)');
  if ((properties.get('AutoNumberFormat') ?? '') !== '') throw notEmulated('A numbered column (AutoNumberFormat)');
  if ((properties.get('SourceType') ?? 0) !== 0) throw notEmulated('A calculated column (SourceType)');
  const flag = (property: string, logicalName: string, fallback: boolean) =>
    properties.get(property) ?? managed(logicalName, fallback);
  const label = properties.get('DisplayName');
  return {
    DisplayName:
      label || current ? keptLabel(change, label, current?.['DisplayName']) : englishLabel(change.work, name),
    Description: keptLabel(change, properties.get('Description'), current?.['Description']),
    AutoNumberFormat: '',
    CanModifyAdditionalSettings: flag('CanModifyAdditionalSettings', 'canmodifyadditionalsettings', true),
    ExternalName: properties.get('ExternalName') ?? null,
    IsAuditEnabled: flag('IsAuditEnabled', 'canmodifyauditsettings', true),
    IsCustomizable: flag('IsCustomizable', 'iscustomizable', true),
    IsGlobalFilterEnabled: flag('IsGlobalFilterEnabled', 'canmodifyglobalfiltersettings', false),
    IsRenameable: flag('IsRenameable', 'isrenameable', true),
    IsSecured: false,
    IsSortableEnabled: flag('IsSortableEnabled', 'canmodifyissortablesettings', false),
    IsValidForAdvancedFind: flag('IsValidForAdvancedFind', 'canmodifysearchsettings', true),
    ModifiedOn: isoTime(change.work.env.clock.now()),
    RequiredLevel: requiredLevel(properties.get('RequiredLevel'), current),
  };
}

function requiredLevel(written: unknown, current: Definition | undefined): Definition {
  const level = isJsonObject(written) ? written : { Value: 'None', CanBeChanged: true };
  const before = current?.['RequiredLevel'];
  const isSystem = isJsonObject(before) && before['Value'] === 'SystemRequired';
  if ((level['Value'] === 'SystemRequired') !== isSystem) {
    throw invalidArgument('The required level SystemRequired is the platform’s.');
  }
  return { ...level, ManagedPropertyLogicalName: 'canmodifyrequirementlevelsettings' };
}

/** Columns that show another one's value as text; they hold none of their own. */
export function childrenOf(work: Work, table: string, column: Definition): Definition[] {
  const parent = String(column['SchemaName']);
  const child = (suffix: string, type: string, code: string, typeName: string, more: Definition = {}): Definition => ({
    ...fixed(work, { id: work.env.newId(), table, name: `${parent}${suffix}`, type, code, typeName }),
    AttributeOf: String(column['LogicalName']),
    CanBeSecuredForCreate: false,
    CanBeSecuredForRead: false,
    CanBeSecuredForUpdate: false,
    DisplayName: { LocalizedLabels: [], UserLocalizedLabel: null },
    IsLogical: true,
    IsValidForAdvancedFind: managed('canmodifysearchsettings', false, false),
    IsValidForCreate: false,
    IsValidForForm: false,
    IsValidForGrid: false,
    IsValidForUpdate: false,
    IsValidODataAttribute: false,
    RequiredLevel: {
      Value: 'None',
      CanBeChanged: false,
      ManagedPropertyLogicalName: 'canmodifyrequirementlevelsettings',
    },
    ...more,
  });
  if (column['OptionSet']) return [child('Name', 'AttributeMetadata', 'Virtual', 'VirtualType')];
  const targets = column['Targets'];
  if (!Array.isArray(targets)) return [];
  const text = { Format: 'Text', FormatName: { Value: 'Text' }, ImeMode: 'Auto', MaxLength: 100, DatabaseLength: 200 };
  const named = child('Name', 'StringAttributeMetadata', 'String', 'StringType', text);
  const entityName = { OptionSet: null, DefaultFormValue: null, IsEntityReferenceStored: true };
  const type = child('Type', 'EntityNameAttributeMetadata', 'EntityName', 'EntityNameType', entityName);
  return targets.length > 1 ? [named, type] : [named];
}

/** A lookup; `Customer` where it points to accounts and contacts. */
export const lookupDefinition = (
  draft: ColumnDraft,
  targets: readonly string[],
  code: 'Customer' | 'Lookup',
): Definition => ({
  ...fixed(draft.change.work, {
    id: draft.id,
    table: draft.table,
    name: draft.schemaName,
    type: 'LookupAttributeMetadata',
    code,
    typeName: `${code}Type`,
  }),
  ...changeable(draft),
  Format: 'None',
  Targets: targets,
});
