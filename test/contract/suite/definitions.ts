import { describe, expect, test } from 'vitest';
import type { World } from './world.ts';

const TYPE = 'Microsoft.Dynamics.CRM';
// A real environment builds an index within a minute or so.
const INDEX_MS = 180_000;

const label = (text: string, LanguageCode = 1033) => ({
  '@odata.type': `${TYPE}.Label`,
  LocalizedLabels: [{ '@odata.type': `${TYPE}.LocalizedLabel`, Label: text, LanguageCode }],
});

const column = (type: string, SchemaName: string, more: object = {}) => ({
  '@odata.type': `${TYPE}.${type}AttributeMetadata`,
  SchemaName,
  DisplayName: label(SchemaName),
  RequiredLevel: { Value: 'None', CanBeChanged: true, ManagedPropertyLogicalName: 'canmodifyrequirementlevelsettings' },
  ...more,
});

/** Tables, columns, relationships, choices and keys: read, and a table of the suite's own made, used and deleted. */
export function describeDefinitions(world: World): void {
  describe('definitions', () => {
    test('of tables and columns are listed and read one by one', async () => {
      const { client } = world;
      const tables = await client.retrieveEntities({
        select: ['LogicalName', 'EntitySetName'],
        filter: "LogicalName eq 'account' or LogicalName eq 'contact'",
      });
      expect(tables.value.map(({ EntitySetName }) => EntitySetName).sort()).toEqual(['accounts', 'contacts']);
      const account = await client.retrieveEntity({
        key: "LogicalName='account'",
        select: ['PrimaryIdAttribute', 'PrimaryNameAttribute'],
        expand: [{ property: 'Attributes', select: ['LogicalName'], filter: "LogicalName eq 'revenue'" }],
      });
      expect(account).toMatchObject({
        PrimaryIdAttribute: 'accountid',
        PrimaryNameAttribute: 'name',
        Attributes: [{ LogicalName: 'revenue' }],
      });
      const choices = await client.retrieveAttributes({
        entityKey: account.MetadataId,
        castType: `${TYPE}.PicklistAttributeMetadata`,
        select: ['LogicalName'],
        filter: "LogicalName eq 'accountcategorycode'",
        expand: [{ property: 'OptionSet', select: ['Options'] }],
      });
      expect(choices.value).toMatchObject([
        { LogicalName: 'accountcategorycode', OptionSet: { Options: [{ Value: 1 }, { Value: 2 }] } },
      ]);
      const revenue = await client.retrieveAttribute({
        entityKey: "LogicalName='account'",
        attributeKey: "LogicalName='revenue'",
        castType: `${TYPE}.MoneyAttributeMetadata`,
        select: ['LogicalName', 'PrecisionSource'],
      });
      expect(revenue).toMatchObject({ LogicalName: 'revenue', PrecisionSource: expect.any(Number) });
    });

    test('of relationships are listed and read one by one', async () => {
      const { client } = world;
      const castType = `${TYPE}.OneToManyRelationshipMetadata`;
      const filter = "SchemaName eq 'account_primary_contact'";
      const { value } = await client.retrieveRelationships({ castType, select: ['SchemaName'], filter });
      expect(value).toHaveLength(1);
      expect(await client.retrieveRelationship({ key: value[0].MetadataId, castType })).toMatchObject({
        ReferencedEntity: 'contact',
        ReferencingEntity: 'account',
        ReferencingEntityNavigationPropertyName: 'primarycontactid',
      });
    });

    test('of all are in one document', async () => {
      const csdl = await world.client.retrieveCsdlMetadata({ addAnnotations: true });
      const declared = csdl.match(/<(?:EntityType Name="account"|EntitySet Name="accounts") [^>]*>/g);
      expect(declared?.map((element) => element.split(/[ "]/)[0])).toEqual(['<EntityType', '<EntitySet']);
    });
  });

  test('a choice for all tables is made, changed and deleted', async () => {
    const { client } = world;
    const Name = `new_${world.mark}colors`;
    const key = await client.createGlobalOptionSet<string>({
      data: {
        '@odata.type': `${TYPE}.OptionSetMetadata`,
        Name,
        IsGlobal: true,
        OptionSetType: 'Picklist',
        DisplayName: label('Colors'),
        Options: [{ Value: 727_000_000, Label: label('Red') }],
      },
    });
    world.keep('GlobalOptionSetDefinitions', key);
    const castType = `${TYPE}.OptionSetMetadata`;
    const choice = await client.retrieveGlobalOptionSet({ key, castType });
    expect(choice).toMatchObject({ Name, Options: [{ Value: 727_000_000 }] });
    await client.updateGlobalOptionSet({ data: { ...choice, DisplayName: label('Paints') }, mergeLabels: true });
    const action = { OptionSetName: Name, Value: 727_000_001, Label: label('Blue') };
    expect(await client.callAction({ actionName: 'InsertOptionValue', action })).toMatchObject({
      NewOptionValue: 727_000_001,
    });
    const changed = await client.retrieveGlobalOptionSet({ key: `Name='${Name}'`, castType });
    expect(changed.DisplayName.LocalizedLabels).toMatchObject([{ Label: 'Paints' }]);
    expect(changed.Options).toHaveLength(2);
    const all = await client.retrieveGlobalOptionSets({ castType, select: ['Name'] });
    expect(all.value).toContainEqual(expect.objectContaining({ Name }));
    await client.deleteGlobalOptionSet({ key });
    await expect(client.retrieveGlobalOptionSet({ key, castType })).rejects.toMatchObject({ status: 404 });
  });

  test('a table is defined with columns, a relationship and a key, its rows are addressed by the key, and it is deleted', async () => {
    const { client } = world;
    const SchemaName = `new_${world.mark}`;
    const logicalName = SchemaName.toLowerCase();
    const table = await client.createEntity<string>({
      data: {
        '@odata.type': `${TYPE}.EntityMetadata`,
        SchemaName,
        DisplayName: label('Suite row'),
        DisplayCollectionName: label('Suite rows'),
        OwnershipType: 'UserOwned',
        HasActivities: false,
        HasNotes: false,
        IsActivity: false,
        Attributes: [
          column('String', 'new_Name', { IsPrimaryName: true, MaxLength: 100, FormatName: { Value: 'Text' } }),
        ],
      },
    });
    world.keep('EntityDefinitions', table);
    const entityKey = table;
    await client.createAttribute({
      entityKey,
      data: column('String', 'new_Code', { MaxLength: 40, FormatName: { Value: 'Text' } }),
    });
    const number = column('Integer', 'new_Number', { MinValue: 0, MaxValue: 1000, Format: 'None' });
    const castType = `${TYPE}.IntegerAttributeMetadata`;
    const attributeKey = await client.createAttribute<string>({ entityKey, data: number });
    const made = await client.retrieveAttribute({ entityKey, attributeKey, castType });
    expect(made).toMatchObject({ LogicalName: 'new_number', MaxValue: 1000 });
    await client.updateAttribute({ entityKey, castType, data: { ...made, MaxValue: 2000 }, mergeLabels: true });
    expect(await client.retrieveAttribute({ entityKey, attributeKey, castType })).toMatchObject({ MaxValue: 2000 });

    const relationship = await client.createRelationship<string>({
      data: {
        '@odata.type': `${TYPE}.OneToManyRelationshipMetadata`,
        SchemaName: `new_contact_${world.mark}`,
        ReferencedEntity: 'contact',
        ReferencedAttribute: 'contactid',
        ReferencingEntity: logicalName,
        CascadeConfiguration: { Assign: 'NoCascade', Delete: 'RemoveLink', Merge: 'NoCascade', Reparent: 'NoCascade' },
        Lookup: column('Lookup', 'new_Person'),
      },
    });
    const ofContact = { key: relationship, castType: `${TYPE}.OneToManyRelationshipMetadata` };
    const lookup = await client.retrieveRelationship(ofContact);
    await client.updateRelationship({ data: { ...lookup, IsValidForAdvancedFind: false } });
    expect(await client.retrieveRelationship(ofContact)).toMatchObject({ IsValidForAdvancedFind: false });

    const definition = await client.retrieveEntity({ key: table });
    await client.updateEntity({ data: { ...definition, DisplayName: label('Row of the suite') }, mergeLabels: true });
    const { EntitySetName: set } = await client.retrieveEntity({ key: table, select: ['EntitySetName'] });

    await client.create({
      collection: 'EntityDefinitions',
      key: table,
      navigationProperty: 'Keys',
      data: {
        SchemaName: `new_${world.mark}key`,
        DisplayName: label('Key'),
        KeyAttributes: ['new_code', 'new_number'],
      },
    });
    const status = async () =>
      (await client.retrieveEntity({ key: table, select: ['LogicalName'], expand: [{ property: 'Keys' }] })).Keys[0]
        .EntityKeyIndexStatus;
    await expect.poll(status, { timeout: INDEX_MS, interval: 20 }).toBe('Active');

    const contact = await world.create('contacts', { lastname: `${world.mark} key` });
    const row = { collection: set, key: "new_code='O''Brien A',new_number=7" };
    await client.upsert({ ...row, data: { new_name: 'first', 'new_Person@odata.bind': `/contacts(${contact})` } });
    await client.upsert({ ...row, data: { new_name: 'second' } });
    expect(await client.update({ ...row, data: { new_name: 'third' } })).toBe(true);
    const found = await client.retrieve({ ...row, select: ['new_name', 'new_code', '_new_person_value'] });
    expect(found).toMatchObject({ new_name: 'third', new_code: "O'Brien A", _new_person_value: contact });
    expect(await client.count({ collection: set })).toBe(1);
    const absent = client.update({ ...row, key: "new_code='none',new_number=7", data: { new_name: 'x' } });
    await expect(absent).rejects.toMatchObject({ status: 404, code: '0x80060891' });
    expect(await client.deleteRecord(row)).toBe(true);

    await client.deleteRelationship({ key: relationship });
    expect(await client.deleteRecord({ collection: 'EntityDefinitions', key: table })).toBe(true);
    await expect(client.retrieveEntity({ key: table })).rejects.toMatchObject({ status: 404 });
  });
}
