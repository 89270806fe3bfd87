// Bodies of definitions in the form of the samples in Microsoft's documentation ("Create and update column definitions
// using the Web API", "Create and update table definitions using the Web API").

import type { Dataverse } from '../../../src/local/dataverse/server.ts';
import { type Answer, type Call, openEnvironment } from './environment.ts';

type Json = Record<string, unknown>;

export const BANK = "EntityDefinitions(LogicalName='new_bankaccount')";

/** `400 0x80048d19` */
export const refusal = ({ status, json }: Answer): string => `${status} ${json?.error?.code}`;

export const label = (text: string, language = 1033): Json => ({
  '@odata.type': 'Microsoft.Dynamics.CRM.Label',
  LocalizedLabels: [
    { '@odata.type': 'Microsoft.Dynamics.CRM.LocalizedLabel', Label: text, LanguageCode: language, IsManaged: false },
  ],
});

export const required = (level: string): Json => ({
  Value: level,
  CanBeChanged: true,
  ManagedPropertyLogicalName: 'canmodifyrequirementlevelsettings',
});

/** A column of one of the types that are made by themselves. */
export const column = (type: string, schemaName: string, more: Json = {}): Json => ({
  '@odata.type': `Microsoft.Dynamics.CRM.${type}AttributeMetadata`,
  SchemaName: schemaName,
  DisplayName: label(schemaName.replace(/^[a-z0-9]+_/i, '')),
  RequiredLevel: required('None'),
  ...more,
});

export const options = (...labels: string[]): Json => ({
  '@odata.type': 'Microsoft.Dynamics.CRM.OptionSetMetadata',
  IsGlobal: false,
  OptionSetType: 'Picklist',
  Options: labels.map((text, at) => ({ Value: 727_000_000 + at, Label: label(text) })),
});

/** The documentation's bank account. */
export const bankAccount = (more: Json = {}): Json => ({
  '@odata.type': 'Microsoft.Dynamics.CRM.EntityMetadata',
  Attributes: [
    {
      AttributeType: 'String',
      AttributeTypeName: { Value: 'StringType' },
      Description: label('Type the name of the bank account'),
      DisplayName: label('Account Name'),
      IsPrimaryName: true,
      RequiredLevel: required('None'),
      SchemaName: 'new_AccountName',
      '@odata.type': 'Microsoft.Dynamics.CRM.StringAttributeMetadata',
      FormatName: { Value: 'Text' },
      MaxLength: 100,
    },
  ],
  Description: label('An entity to store information about customer bank accounts'),
  DisplayCollectionName: label('Bank Accounts'),
  DisplayName: label('Bank Account'),
  HasActivities: false,
  HasNotes: false,
  IsActivity: false,
  OwnershipType: 'UserOwned',
  SchemaName: 'new_BankAccount',
  ...more,
});

/** The example that the integration platform's connector gives for its action "Create Attribute". */
export const balance: Json = {
  AttributeType: 'Money',
  AttributeTypeName: { Value: 'MoneyType' },
  Description: label('Enter the balance amount'),
  DisplayName: label('Balance'),
  RequiredLevel: required('None'),
  SchemaName: 'new_Balance',
  '@odata.type': 'Microsoft.Dynamics.CRM.MoneyAttributeMetadata',
  PrecisionSource: 2,
};

/** A lookup from bank accounts to another table. */
export const oneToMany = (referenced: string, more: Json = {}): Json => ({
  '@odata.type': 'Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata',
  SchemaName: `new_${referenced}_new_bankaccount`,
  ReferencedEntity: referenced,
  ReferencedAttribute: `${referenced}id`,
  ReferencingEntity: 'new_bankaccount',
  AssociatedMenuConfiguration: {
    Behavior: 'UseCollectionName',
    Group: 'Details',
    Label: label('Bank Accounts'),
    Order: 10_000,
  },
  CascadeConfiguration: { Assign: 'NoCascade', Delete: 'Cascade', Merge: 'NoCascade', Reparent: 'NoCascade' },
  Lookup: {
    '@odata.type': 'Microsoft.Dynamics.CRM.LookupAttributeMetadata',
    AttributeType: 'Lookup',
    AttributeTypeName: { Value: 'LookupType' },
    DisplayName: label('Account Owner'),
    RequiredLevel: required('ApplicationRequired'),
    SchemaName: 'new_AccountOwner',
  },
  ...more,
});

/** An environment with the documentation's table. */
export async function openBank(): Promise<Dataverse & { call: Call }> {
  const environment = await openEnvironment();
  const made = await environment.call('POST', 'EntityDefinitions', bankAccount());
  if (made.status !== 204) throw new Error(made.text);
  return environment;
}
