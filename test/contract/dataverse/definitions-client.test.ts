import { DynamicsWebApi } from 'dynamics-web-api';
import { expect, test } from 'vitest';
import { balance, bankAccount, label, oneToMany, options } from './definition-bodies.ts';
import { openEnvironment } from './environment.ts';

const MONEY = 'Microsoft.Dynamics.CRM.MoneyAttributeMetadata';

test('an independent client defines a table, its columns, a choice and a relationship, and reads them', async () => {
  const { url } = await openEnvironment();
  const client = new DynamicsWebApi({ serverUrl: url, dataApi: { version: '9.2' } });
  const tableId: string = await client.createEntity({ data: bankAccount() });
  const table = await client.retrieveEntity({ key: "LogicalName='new_bankaccount'", select: ['EntitySetName'] });
  expect(table).toMatchObject({ MetadataId: tableId, EntitySetName: 'new_bankaccounts' });

  const columnId: string = await client.createAttribute({ entityKey: tableId, data: balance });
  const found = await client.retrieveAttribute({ entityKey: tableId, attributeKey: columnId, castType: MONEY });
  expect(found).toMatchObject({ LogicalName: 'new_balance', PrecisionSource: 2 });
  await client.updateAttribute({
    entityKey: tableId,
    data: { ...found, DisplayName: label('Saldo', 1031) },
    castType: MONEY,
    mergeLabels: true,
  });
  const columns = await client.retrieveAttributes({
    entityKey: "LogicalName='new_bankaccount'",
    castType: MONEY,
    select: ['LogicalName', 'DisplayName'],
    filter: "LogicalName eq 'new_balance'",
  });
  expect(columns.value[0].DisplayName.LocalizedLabels).toHaveLength(2);

  const choiceId: string = await client.createGlobalOptionSet({
    data: { ...options('Red'), Name: 'new_colors', IsGlobal: true, DisplayName: label('Colors') },
  });
  const choice = await client.retrieveGlobalOptionSet({ key: choiceId });
  expect(choice.Name).toBe('new_colors');
  await client.updateGlobalOptionSet({ data: { ...choice, DisplayName: label('Paints') } });
  await client.deleteGlobalOptionSet({ key: choiceId });

  const relationshipId: string = await client.createRelationship({ data: oneToMany('contact') });
  const relationship = await client.retrieveRelationship({
    key: relationshipId,
    castType: 'Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata',
  });
  await client.updateRelationship({ data: { ...relationship, IsValidForAdvancedFind: false } });
  await client.deleteRelationship({ key: relationshipId });

  await client.updateEntity({ data: { ...(await client.retrieveEntity({ key: tableId })), HasNotes: true } });
  const csdl = await client.retrieveCsdlMetadata({ addAnnotations: true });
  expect(csdl).toContain('EntityType Name="new_bankaccount"');
  await client.callAction({ actionName: 'PublishAllXml' });
});
