import { SaxesParser } from 'saxes';
import { expect, test } from 'vitest';
import { BANK, bankAccount, column, oneToMany } from './definition-bodies.ts';
import { openEnvironment } from './environment.ts';

interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: Element[];
}

/** The document as a tree. Throws when it is not well-formed. */
function parse(text: string): Element {
  const root: Element = { name: '', attributes: {}, children: [] };
  const open = [root];
  const parser = new SaxesParser({ xmlns: false });
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', ({ name, attributes }) => {
    const element: Element = { name, attributes, children: [] };
    open.at(-1)?.children.push(element);
    open.push(element);
  });
  parser.on('closetag', () => open.pop());
  parser.write(text).close();
  return root;
}

const childrenOf = (element: Element | undefined, name: string): Element[] =>
  element?.children.filter((child) => child.name === name) ?? [];

const named = (elements: readonly Element[], name: string): Element | undefined =>
  elements.find(({ attributes }) => attributes['Name'] === name);

const plain = (type = ''): string => type.replace(/^Collection\((.*)\)$/, '$1');

function schemaOf(text: string): Element {
  const [edmx] = parse(text).children;
  expect(edmx).toMatchObject({
    name: 'edmx:Edmx',
    attributes: { Version: '4.0', 'xmlns:edmx': 'http://docs.oasis-open.org/odata/ns/edmx' },
  });
  const [schema] = childrenOf(childrenOf(edmx, 'edmx:DataServices')[0], 'Schema');
  if (!schema) throw new Error('There is no schema');
  expect(schema.attributes).toEqual({
    Namespace: 'Microsoft.Dynamics.CRM',
    Alias: 'mscrm',
    xmlns: 'http://docs.oasis-open.org/odata/ns/edm',
  });
  return schema;
}

test('$metadata describes the tables as the documentation shows them', async () => {
  const { call } = await openEnvironment();
  const answer = await call('GET', '$metadata');
  expect(answer.headers.get('content-type')).toContain('application/xml');
  const types = childrenOf(schemaOf(answer.text), 'EntityType');
  const account = named(types, 'account');
  expect(account?.attributes).toEqual({ Name: 'account', BaseType: 'mscrm.crmbaseentity' });
  expect(childrenOf(childrenOf(account, 'Key')[0], 'PropertyRef')[0]?.attributes).toEqual({ Name: 'accountid' });
  const properties = childrenOf(account, 'Property');
  expect(named(properties, 'name')?.attributes).toEqual({ Name: 'name', Type: 'Edm.String', Unicode: 'false' });
  expect(named(properties, '_primarycontactid_value')?.attributes['Type']).toBe('Edm.Guid');
  expect(named(properties, 'revenue')?.attributes['Type']).toBe('Edm.Decimal');
  expect(named(properties, 'industrycodename')).toBeUndefined();
  const navigations = childrenOf(account, 'NavigationProperty');
  const contact = named(navigations, 'primarycontactid');
  expect(contact?.attributes).toEqual({
    Name: 'primarycontactid',
    Type: 'mscrm.contact',
    Nullable: 'false',
    Partner: 'account_primary_contact',
  });
  expect(childrenOf(contact, 'ReferentialConstraint')[0]?.attributes).toEqual({
    Property: '_primarycontactid_value',
    ReferencedProperty: 'contactid',
  });
  expect(named(navigations, 'Account_Tasks')?.attributes).toEqual({
    Name: 'Account_Tasks',
    Type: 'Collection(mscrm.task)',
    Partner: 'regardingobjectid_account_task',
  });
  expect(named(types, 'systemuser')?.attributes['BaseType']).toBe('mscrm.principal');
  const annotated = await call('GET', '$metadata?annotations=true');
  expect(annotated.text).toContain('Org.OData.Core.V1.Description');
  expect(answer.text).not.toContain('Org.OData.Core.V1.Description');
  expect((await call('POST', '$metadata', {})).status).toBe(405);
});

test('$metadata names nothing that it does not declare, and both ends of a relationship name each other', async () => {
  const { call } = await openEnvironment();
  const schema = schemaOf((await call('GET', '$metadata')).text);
  const declared = new Set(
    schema.children
      .filter(({ name }) => ['EntityType', 'ComplexType', 'EnumType'].includes(name))
      .map(({ attributes }) => `mscrm.${attributes['Name']}`),
  );
  const types = childrenOf(schema, 'EntityType');
  const unknown = new Set<string>();
  const visit = (element: Element): void => {
    for (const attribute of ['Type', 'BaseType', 'EntityType']) {
      const type = plain(element.attributes[attribute]);
      if (type !== '' && !type.startsWith('Edm.') && !declared.has(type)) unknown.add(type);
    }
    for (const child of element.children) visit(child);
  };
  visit(schema);
  expect([...unknown]).toEqual([]);
  for (const type of types) {
    const names = type.children
      .filter(({ name }) => /Property$/.test(name))
      .map(({ attributes }) => attributes['Name']);
    expect(new Set(names).size).toBe(names.length);
    for (const { attributes } of childrenOf(type, 'NavigationProperty')) {
      if (attributes['Partner'] === undefined) continue;
      const other = named(types, plain(attributes['Type']).replace('mscrm.', ''));
      const partner = named(childrenOf(other, 'NavigationProperty'), attributes['Partner']);
      expect([type.attributes['Name'], attributes['Name'], partner?.attributes['Partner']]).toEqual([
        type.attributes['Name'],
        attributes['Name'],
        attributes['Name'],
      ]);
    }
  }
  const [container] = childrenOf(schema, 'EntityContainer');
  const sets = childrenOf(container, 'EntitySet');
  const setNames = new Set(sets.map(({ attributes }) => attributes['Name']));
  for (const set of sets) {
    const type = named(types, (set.attributes['EntityType'] ?? '').replace('mscrm.', ''));
    for (const { attributes } of childrenOf(set, 'NavigationPropertyBinding')) {
      expect(named(childrenOf(type, 'NavigationProperty'), attributes['Path'] ?? '')).toBeDefined();
      expect(setNames).toContain(attributes['Target']);
    }
  }
  expect(setNames).toContain('EntityDefinitions');
  const callable = new Set(
    [...childrenOf(schema, 'Action'), ...childrenOf(schema, 'Function')].map((one) => one.attributes['Name']),
  );
  for (const name of ['WhoAmI', 'InsertOptionValue', 'CreateMultiple', 'AddPrivilegesRole'])
    expect(callable).toContain(name);
  for (const one of [...childrenOf(container, 'ActionImport'), ...childrenOf(container, 'FunctionImport')]) {
    expect(callable).toContain(one.attributes['Name']);
  }
});

test('$metadata follows changes of definitions', async () => {
  const { call } = await openEnvironment();
  const before = (await call('GET', '$metadata')).text;
  expect((await call('GET', '$metadata')).text).toBe(before);
  await call('POST', 'EntityDefinitions', bankAccount());
  await call(
    'POST',
    `${BANK}/Attributes`,
    column('DateTime', 'new_Day', { Format: 'DateOnly', DateTimeBehavior: { Value: 'DateOnly' } }),
  );
  await call('POST', 'RelationshipDefinitions', oneToMany('contact'));
  const types = childrenOf(schemaOf((await call('GET', '$metadata')).text), 'EntityType');
  const bank = named(types, 'new_bankaccount');
  expect(named(childrenOf(bank, 'Property'), 'new_day')?.attributes['Type']).toBe('Edm.Date');
  expect(named(childrenOf(bank, 'NavigationProperty'), 'new_AccountOwner')?.attributes['Partner']).toBe(
    'new_contact_new_bankaccount',
  );
  await call('DELETE', BANK);
  expect((await call('GET', '$metadata')).text).not.toContain('new_bankaccount');
});
