import { describe, expect, onTestFinished, test } from 'vitest';
import { openCatalog } from '../../../../src/local/dataverse/catalog.ts';
import { relationshipsOf } from '../../../../src/local/dataverse/definitions/relationship-shape.ts';
import type { Definition, Table } from '../../../../src/local/dataverse/metadata.ts';
import { openStore, type Store } from '../../../../src/local/dataverse/store.ts';

function openEmpty(): Store {
  const store = openStore(':memory:');
  onTestFinished(() => store.close());
  return store;
}

const text = (name: string): Definition => ({
  '@odata.type': '#Microsoft.Dynamics.CRM.StringAttributeMetadata',
  LogicalName: name,
  SchemaName: name,
  AttributeType: 'String',
  AttributeTypeName: { Value: 'StringType' },
});

const columnsIn = (store: Store, table: string): unknown[] =>
  store.all('SELECT name FROM pragma_table_info(?)', [table]).map(({ name }) => name);

describe('a column that is added', () => {
  test('is in the table’s next definition and, on its next use, in the database', () => {
    const store = openEmpty();
    const catalog = openCatalog(store);
    const before = catalog.table('account') as Table;
    store.ensure(before);
    catalog.saveColumn('account', text('new_code'));
    const after = catalog.table('account') as Table;
    expect(before.columns.has('new_code')).toBe(false);
    expect(after.columns.has('new_code')).toBe(true);
    store.ensure(after);
    expect(columnsIn(store, 'account')).toContain('new_code');
    const column = after.columns.get('new_code');
    if (column) {
      store.index(after, column);
      store.dropColumn('account', column);
    }
    expect(columnsIn(store, 'account')).not.toContain('new_code');
    expect(columnsIn(store, 'account')).toContain('name');
  });

  test('is gone from both when the transaction is undone', () => {
    const store = openEmpty();
    const catalog = openCatalog(store);
    store.ensure(catalog.table('account') as Table);
    const version = catalog.version;
    expect(() =>
      store.transaction(() => {
        catalog.saveColumn('account', text('new_code'));
        store.ensure(catalog.table('account') as Table);
        expect(columnsIn(store, 'account')).toContain('new_code');
        throw new Error('no');
      }),
    ).toThrow('no');
    catalog.changed();
    expect(catalog.version).toBe(version);
    expect(catalog.table('account')?.columns.has('new_code')).toBe(false);
    expect(columnsIn(store, 'account')).not.toContain('new_code');
    catalog.saveColumn('account', text('new_code'));
    store.ensure(catalog.table('account') as Table);
    expect(columnsIn(store, 'account')).toContain('new_code');
  });

  test('concerns no other emulator', () => {
    const [one, other] = [openCatalog(openEmpty()), openCatalog(openEmpty())];
    one.saveColumn('account', text('new_code'));
    expect(other.table('account')?.columns.has('new_code')).toBe(false);
    expect(() => openCatalog().saveColumn('account', text('new_code'))).toThrow('Without a database');
  });
});

test('what the emulator brings along can be changed, deleted and brought back', () => {
  const catalog = openCatalog(openEmpty());
  const [name] = catalog.choices().keys();
  const choice = catalog.choices().get(name ?? '') as Definition;
  catalog.saveChoice({ ...choice, Options: [] });
  expect(catalog.choices().get(name ?? '')?.['Options']).toEqual([]);
  catalog.removeChoice(String(name));
  expect(catalog.choices().has(name ?? '')).toBe(false);

  catalog.removeColumn('account', 'fax');
  expect(catalog.table('account')?.columns.has('fax')).toBe(false);
  catalog.saveColumn('account', text('fax'));
  expect(catalog.table('account')?.columns.has('fax')).toBe(true);

  const task = catalog.table('task') as Table;
  const relationship = relationshipsOf(task, 'ManyToOneRelationships').find(
    (one) => one['SchemaName'] === 'Account_Tasks',
  ) as Definition;
  catalog.removeRelationship(relationship);
  expect(catalog.table('account')?.collections.has('Account_Tasks')).toBe(false);
  expect(catalog.table('task')?.navigations.has('regardingobjectid_account_task')).toBe(false);
  catalog.saveRelationship(relationship);
  expect(catalog.table('account')?.collections.has('Account_Tasks')).toBe(true);
});
