import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openCatalog } from '../../../../src/local/dataverse/catalog.ts';
import { parseTable, readMetadataFile, type Table } from '../../../../src/local/dataverse/metadata.ts';

const catalog = openCatalog();
const files = readdirSync(new URL('../../../../src/local/dataverse/metadata/entitydefinitions/', import.meta.url));

test('the index lists every definition and nothing else', () => {
  expect(catalog.names.map(({ logicalName }) => `${logicalName}.json`).sort()).toEqual([...files].sort());
  for (const name of catalog.names) {
    const table = catalog.table(name.logicalName) as Table;
    const { logicalName, entitySetName, schemaName, metadataId, primaryId } = table;
    expect({ logicalName, entitySetName, schemaName, metadataId, primaryId }).toEqual(name);
    expect(table.columns.has(primaryId)).toBe(true);
  }
});

describe('a table', () => {
  test('is found by its set and by its MetadataId', () => {
    const account = catalog.table('account') as Table;
    expect(catalog.tableOfSet('accounts')).toBe(account);
    expect(catalog.tableOfId(account.metadataId.toUpperCase())).toBe(account);
    expect(catalog.tableOfSet('Accounts')).toBeUndefined();
    expect(catalog.table('__proto__')).toBeUndefined();
  });

  test('names its lookups in JSON by _value and knows their navigation properties', () => {
    const contact = catalog.table('contact') as Table;
    expect(contact.properties.get('_parentcustomerid_value')?.logicalName).toBe('parentcustomerid');
    expect(contact.properties.has('parentcustomerid')).toBe(false);
    expect(contact.navigations.get('parentcustomerid_account')?.target).toBe('account');
    expect(contact.navigations.get('ownerid')?.target).toBeUndefined();
  });

  test('leaves out columns that are names of other columns’ values', () => {
    const account = catalog.table('account') as Table;
    expect(account.columns.has('industrycodename')).toBe(false);
    expect(account.columns.has('owneridtype')).toBe(false);
    expect(account.columns.get('entityimage')?.kind).toBe('unsupported');
  });

  test('that is made by hand has the shape of the others', () => {
    const event = catalog.table('msevtmgt_event') as Table;
    expect(event.primaryName).toBe('msevtmgt_name');
    expect([...(event.columns.get('msevtmgt_eventtype')?.options.keys() ?? [])][0]).toBe(100_000_000);
    expect(event.columns.get('msevtmgt_publishdate')?.kind).toBe('dateonly');
    expect(() => parseTable({})).toThrow();
    expect(() => parseTable(readMetadataFile('entitydefinitions/msevtmgt_event.json'))).not.toThrow();
  });
});
