import { describe, expect, test } from 'vitest';
import { BANK, label, oneToMany, openBank, refusal } from './definition-bodies.ts';
import { idOf } from './environment.ts';

const ANNOTATED = { Prefer: 'odata.include-annotations="*"' };

describe('a new relationship', () => {
  test('from many to one has a lookup, navigation properties with the default names, and cascades', async () => {
    const { call, apiUrl } = await openBank();
    const made = await call('POST', 'RelationshipDefinitions', oneToMany('contact'));
    expect(made.headers.get('odata-entityid')).toBe(`${apiUrl}RelationshipDefinitions(${idOf(made)})`);
    const cast = `RelationshipDefinitions(${idOf(made)})/Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata`;
    expect((await call('GET', cast)).json).toMatchObject({
      SchemaName: 'new_contact_new_bankaccount',
      ReferencingAttribute: 'new_accountowner',
      ReferencingEntityNavigationPropertyName: 'new_AccountOwner',
      ReferencedEntityNavigationPropertyName: 'new_contact_new_bankaccount',
      CascadeConfiguration: { Delete: 'Cascade', Assign: 'NoCascade' },
    });
    const contact = idOf(await call('POST', 'contacts', { lastname: 'Owner' }));
    const row = { new_accountname: 'Owned', 'new_AccountOwner@odata.bind': `/contacts(${contact})` };
    expect((await call('POST', 'new_bankaccounts', row)).status).toBe(204);
    const read = await call(
      'GET',
      "new_bankaccounts?$filter=new_AccountOwner/lastname eq 'Owner'&$expand=new_AccountOwner($select=lastname)",
    );
    expect(read.json.value).toMatchObject([
      { _new_accountowner_value: contact, new_AccountOwner: { lastname: 'Owner' } },
    ]);
    const back = await call('GET', `contacts(${contact})/new_contact_new_bankaccount?$select=new_accountname`);
    expect(back.json.value).toMatchObject([{ new_accountname: 'Owned' }]);

    const definition = (await call('GET', cast)).json;
    const changed = { ...definition, CascadeConfiguration: { Delete: 'Restrict' } };
    expect((await call('PUT', cast, changed)).status).toBe(204);
    expect((await call('DELETE', `contacts(${contact})`)).status).toBe(405);
    await call('PUT', cast, definition);
    expect((await call('DELETE', `contacts(${contact})`)).status).toBe(204);
    expect((await call('GET', 'new_bankaccounts')).json.value).toEqual([]);

    expect(refusal(await call('POST', 'RelationshipDefinitions', oneToMany('contact')))).toBe('400 0x8004432B');
    expect((await call('DELETE', `RelationshipDefinitions(SchemaName='new_contact_new_bankaccount')`)).status).toBe(
      204,
    );
    expect((await call('GET', `${BANK}/Attributes(LogicalName='new_accountowner')`)).status).toBe(404);
  });

  test('to accounts and contacts is a customer lookup', async () => {
    const { call } = await openBank();
    const side = (referenced: string) => ({
      SchemaName: `new_bankaccount_customer_${referenced}`,
      ReferencedEntity: referenced,
      ReferencingEntity: 'new_bankaccount',
    });
    const body = {
      OneToManyRelationships: [side('account'), side('contact')],
      Lookup: {
        AttributeType: 'Lookup',
        AttributeTypeName: { Value: 'LookupType' },
        DisplayName: label('Customer'),
        SchemaName: 'new_CustomerId',
        '@odata.type': 'Microsoft.Dynamics.CRM.ComplexLookupAttributeMetadata',
      },
    };
    const made = await call('POST', 'CreateCustomerRelationships', body);
    expect(made.status).toBe(200);
    expect(made.json.RelationshipIds).toHaveLength(2);
    const lookup = await call(
      'GET',
      `${BANK}/Attributes(${made.json.AttributeId})/Microsoft.Dynamics.CRM.LookupAttributeMetadata`,
    );
    expect(lookup.json).toMatchObject({ AttributeType: 'Customer', Targets: ['account', 'contact'] });
    const account = idOf(await call('POST', 'accounts', { name: 'Customer' }));
    await call('POST', 'new_bankaccounts', { 'new_CustomerId_account@odata.bind': `/accounts(${account})` });
    const { json } = await call('GET', 'new_bankaccounts?$select=_new_customerid_value', undefined, ANNOTATED);
    expect(json.value[0]).toMatchObject({
      _new_customerid_value: account,
      '_new_customerid_value@Microsoft.Dynamics.CRM.lookuplogicalname': 'account',
      '_new_customerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty': 'new_CustomerId_account',
    });
    expect(refusal(await call('DELETE', `RelationshipDefinitions(${made.json.RelationshipIds[0]})`))).toBe(
      '400 0x8004F032',
    );
    expect((await call('DELETE', `${BANK}/Attributes(${made.json.AttributeId})`)).status).toBe(204);
    expect((await call('GET', `RelationshipDefinitions(${made.json.RelationshipIds[0]})`)).status).toBe(404);
  });

  test('from many to many links rows through a table of its own', async () => {
    const { call } = await openBank();
    const body = {
      '@odata.type': 'Microsoft.Dynamics.CRM.ManyToManyRelationshipMetadata',
      SchemaName: 'new_bankaccounts_campaigns',
      Entity1LogicalName: 'new_bankaccount',
      Entity2LogicalName: 'campaign',
      IntersectEntityName: 'new_bankaccounts_campaigns',
      Entity1AssociatedMenuConfiguration: {
        Behavior: 'UseLabel',
        Group: 'Details',
        Label: label('Account'),
        Order: 10_000,
      },
    };
    const made = await call('POST', 'RelationshipDefinitions', body);
    expect(made.status).toBe(204);
    expect(refusal(await call('POST', 'RelationshipDefinitions', body))).toBe('400 0x8004432B');
    const bank = idOf(await call('POST', 'new_bankaccounts', { new_accountname: 'A' }));
    const campaign = idOf(await call('POST', 'campaigns', { name: 'C' }));
    const link = await call('POST', `new_bankaccounts(${bank})/new_bankaccounts_campaigns/$ref`, {
      '@odata.id': `campaigns(${campaign})`,
    });
    expect(link.status).toBe(204);
    const linked = await call('GET', `campaigns(${campaign})/new_bankaccounts_campaigns?$select=new_accountname`);
    expect(linked.json.value).toMatchObject([{ new_accountname: 'A' }]);
    expect((await call('DELETE', `RelationshipDefinitions(${idOf(made)})`)).status).toBe(204);
    expect((await call('GET', `campaigns(${campaign})/new_bankaccounts_campaigns`)).status).toBe(404);
  });

  test('is refused where a name is taken or a table is missing', async () => {
    const { call } = await openBank();
    await call('POST', 'RelationshipDefinitions', oneToMany('contact'));
    const lookup = { '@odata.type': 'Microsoft.Dynamics.CRM.LookupAttributeMetadata', SchemaName: 'new_Other' };
    const other = (more: Record<string, unknown>) => oneToMany('account', { Lookup: lookup, ...more });
    const refused: [Record<string, unknown>, string][] = [
      [oneToMany('account'), '400 0x80047013'],
      [other({ SchemaName: 'plain' }), '400 0x80044366'],
      [other({ SchemaName: undefined }), '400 0x8004432A'],
      [other({ ReferencedEntity: 'nothing' }), '400 0x80041102'],
      [other({ ReferencingEntity: "x' --" }), '400 0x80041102'],
      [other({ Lookup: undefined }), '400 0x80047003'],
      [other({ ReferencingEntityNavigationPropertyName: 'new_AccountOwner' }), '400 0x80072551'],
      [other({ ReferencingEntityNavigationPropertyName: 'a"b' }), '400 0x80048d19'],
      [other({ CascadeConfiguration: { Delete: 'Maybe' } }), '400 0x80048d19'],
      [other({ '@odata.type': undefined }), '400 0x80048d19'],
    ];
    for (const [body, expected] of refused) {
      const answer = await call('POST', 'RelationshipDefinitions', body);
      expect([JSON.stringify(body), refusal(answer)]).toEqual([expect.anything(), expected]);
    }
  });
});
