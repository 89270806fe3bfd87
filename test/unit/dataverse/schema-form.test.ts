import { expect, test } from 'vitest';
import { readDefinition } from '../../../src/dataverse/schema-form.ts';
import { idOfAddress, mergeDefinition, withTypes } from '../../../src/dataverse/wire/schema.ts';

const label = (...texts: [number, string][]) => ({
  LocalizedLabels: texts.map(([LanguageCode, Label]) => ({ Label, LanguageCode })),
});

test('a definition is told with labels as texts and managed properties as values', () => {
  const wire = {
    '@odata.type': '#Microsoft.Dynamics.CRM.PicklistAttributeMetadata',
    LogicalName: 'industrycode',
    AttributeType: 'Picklist',
    AttributeTypeName: { Value: 'PicklistType' },
    DisplayName: { ...label([1031, 'Branche'], [1033, 'Industry']), UserLocalizedLabel: { Label: 'Industry' } },
    Description: { LocalizedLabels: [], UserLocalizedLabel: null },
    RequiredLevel: { Value: 'None', CanBeChanged: true, ManagedPropertyLogicalName: 'x' },
    OptionSet: { Options: [{ Value: 1, Label: label([1033, 'One']), Color: null }] },
  };
  expect(readDefinition(wire)).toEqual({
    logicalName: 'industrycode',
    type: 'Picklist',
    displayName: 'Industry',
    description: null,
    requiredLevel: 'None',
    optionSet: { options: [{ value: 1, label: 'One', color: null }] },
  });
  expect(readDefinition(wire, { languages: true })).toMatchObject({
    displayName: 'Industry',
    displayNameLabels: { 1031: 'Branche', 1033: 'Industry' },
  });
});

test('a type that hides behind another is told by its own name', () => {
  const typeOf = (name: string) =>
    readDefinition({ AttributeType: 'Virtual', AttributeTypeName: { Value: name } })['type'];
  expect(['MultiSelectPicklistType', 'ImageType', 'FileType'].map(typeOf)).toEqual([
    'MultiSelectPicklist',
    'Image',
    'File',
  ]);
});

test('changes are put into a definition member by member, labels language by language', () => {
  const current = {
    SchemaName: 'new_A',
    MaxLength: 10,
    RequiredLevel: { Value: 'None', CanBeChanged: true },
    DisplayName: { ...label([1031, 'Alt'], [1033, 'Old']), UserLocalizedLabel: { Label: 'Old' } },
    List: [1, 2],
  };
  const changes = {
    MaxLength: 20,
    RequiredLevel: { Value: 'Recommended' },
    DisplayName: label([1033, 'New']),
    List: [3],
  };
  expect(mergeDefinition(current, changes)).toEqual({
    SchemaName: 'new_A',
    MaxLength: 20,
    RequiredLevel: { Value: 'Recommended', CanBeChanged: true },
    DisplayName: label([1031, 'Alt'], [1033, 'New']),
    List: [3],
  });
});

test('types that the author of a definition left out are named', () => {
  expect(withTypes({ AttributeType: 'Money', DisplayName: label([1033, 'A']) })).toEqual({
    '@odata.type': 'Microsoft.Dynamics.CRM.MoneyAttributeMetadata',
    AttributeType: 'Money',
    DisplayName: {
      '@odata.type': 'Microsoft.Dynamics.CRM.Label',
      LocalizedLabels: [{ '@odata.type': 'Microsoft.Dynamics.CRM.LocalizedLabel', Label: 'A', LanguageCode: 1033 }],
    },
  });
  const own = { '@odata.type': 'Microsoft.Dynamics.CRM.MemoAttributeMetadata', AttributeType: 'Memo' };
  expect(withTypes(own)).toEqual(own);
});

test('the id of what was made is read from its address', () => {
  const id = '9485cdfc-ad92-4758-b61d-f3705c82a85e';
  expect(idOfAddress(`https://x/api/data/v9.2/EntityDefinitions(LogicalName='a')/Attributes(${id})`)).toBe(id);
  expect(idOfAddress('https://x/EntityDefinitions(1)')).toBeUndefined();
  expect(idOfAddress(undefined)).toBeUndefined();
});
