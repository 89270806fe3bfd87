import { describe, expect, onTestFinished, test } from 'vitest';
import { openCatalog } from '../../../../src/local/dataverse/catalog.ts';
import type { Table } from '../../../../src/local/dataverse/metadata.ts';
import { derivedGuid, fold, openStore, type Store, UniqueViolation } from '../../../../src/local/dataverse/store.ts';

const account = openCatalog().table('account') as Table;

function openAccounts(): Store {
  const store = openStore(':memory:');
  onTestFinished(() => store.close());
  store.ensure(account);
  return store;
}

const insert = (store: Store, id: string) => store.run('INSERT INTO account (accountid) VALUES (?)', [id]);
const count = (store: Store) => store.get('SELECT count(*) AS n FROM account')?.['n'];

describe('transactions', () => {
  test('keep nothing of what a failed one wrote, and go on', () => {
    const store = openAccounts();
    const fail = () =>
      store.transaction(() => {
        insert(store, 'a');
        throw new Error('no');
      });
    expect(fail).toThrow('no');
    expect(count(store)).toBe(0);
    store.transaction(() => insert(store, 'b'));
    expect(count(store)).toBe(1);
  });

  test('inside others are undone alone', () => {
    const store = openAccounts();
    store.transaction(() => {
      insert(store, 'a');
      expect(() =>
        store.transaction(() => {
          insert(store, 'b');
          throw new Error('inner');
        }),
      ).toThrow('inner');
      insert(store, 'c');
    });
    expect(store.all('SELECT accountid FROM account ORDER BY 1').map((row) => row['accountid'])).toEqual(['a', 'c']);
  });

  test('that are undone take their tables along, which are made again when needed', () => {
    const store = openStore(':memory:');
    onTestFinished(() => store.close());
    expect(() =>
      store.transaction(() => {
        store.ensure(account);
        throw new Error('no');
      }),
    ).toThrow('no');
    expect(store.tables().has('account')).toBe(false);
    store.ensure(account);
    expect(count(store)).toBe(0);
  });
});

test('a second row with one id is told apart from other failures', () => {
  const store = openAccounts();
  insert(store, 'a');
  expect(() => insert(store, 'a')).toThrow(UniqueViolation);
  expect(() => store.run('INSERT INTO missing VALUES (1)')).toThrow('no such table');
});

test('texts compare without regard to case and to blanks at the end', () => {
  expect(fold('Ab C  ')).toBe('ab c');
  expect(fold(' ÄÖ')).toBe(' äö');
  const store = openAccounts();
  store.run('INSERT INTO account (accountid, name) VALUES (?, ?)', ['a', 'Zoë  ']);
  expect(store.get('SELECT accountid FROM account WHERE fold("name") = ?', [fold('ZOË')])).toEqual({ accountid: 'a' });
});

test('derived ids are stable GUIDs', () => {
  expect(derivedGuid('x')).toBe(derivedGuid('x'));
  expect(derivedGuid('x')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(derivedGuid('x')).not.toBe(derivedGuid('y'));
});
