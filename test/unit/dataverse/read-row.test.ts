import { describe, expect, test } from 'vitest';
import { readRow } from '../../../src/dataverse/read-row.ts';
import type { ColumnShape, TableShape } from '../../../src/dataverse/table.ts';
import { parseExactJson } from '../../../src/shared/exact-json.ts';

const shape = (logicalName: string, types: Readonly<Record<string, string>>): TableShape => ({
  logicalName,
  entitySetName: `${logicalName}s`,
  primaryId: `${logicalName}id`,
  primaryName: 'name',
  columns: new Map(
    Object.entries(types).map(([name, type]): [string, ColumnShape] => [name, { logicalName: name, type }]),
  ),
});
const contact = shape('contact', {
  fullname: 'String',
  parentcustomerid: 'Customer',
  industrycode: 'Picklist',
  tags: 'MultiSelectPicklist',
  revenue: 'Money',
  _odd_value: 'String',
});
const account = shape('account', { name: 'String', primarycontactid: 'Lookup' });
const ID = '11111111-1111-4111-8111-111111111111';
const parent = {
  _parentcustomerid_value: ID,
  '_parentcustomerid_value@OData.Community.Display.V1.FormattedValue': 'Contoso',
  '_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname': 'account',
  '_parentcustomerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty': 'parentcustomerid_account',
};

describe('a row read', () => {
  test('has lookups under the column’s name, and no annotation', () => {
    expect(readRow(contact, { '@odata.etag': 'W/"1"', fullname: 'Ann', ...parent })).toEqual({
      fullname: 'Ann',
      parentcustomerid: { table: 'account', id: ID, name: 'Contoso' },
    });
  });

  test('keeps an empty lookup empty, and tells no table that the service did not tell', () => {
    expect(readRow(contact, { _parentcustomerid_value: null })).toEqual({ parentcustomerid: null });
    expect(readRow(contact, { _parentcustomerid_value: ID })).toEqual({ parentcustomerid: { id: ID } });
  });

  test('has choices as numbers, several as an array of them', () => {
    expect(readRow(contact, { industrycode: 3, tags: '1,100000002' })).toEqual({
      industrycode: 3,
      tags: [1, 100_000_002],
    });
  });

  test('has what the service wrote for people when that is asked for', () => {
    const wire = {
      industrycode: 3,
      'industrycode@OData.Community.Display.V1.FormattedValue': 'Brokers',
      ...parent,
    };
    expect(readRow(contact, wire, { formatted: true })['_formatted']).toEqual({
      industrycode: 'Brokers',
      parentcustomerid: 'Contoso',
    });
    expect(readRow(contact, wire)).not.toHaveProperty('_formatted');
  });

  test('keeps every digit of a number', () => {
    const wire = parseExactJson('{"revenue":12345678901234567.8901}') as Record<string, unknown>;
    expect(JSON.stringify(readRow(contact, wire))).toBe('{"revenue":12345678901234567.8901}');
  });

  test('takes a column that is named like a lookup’s property for what it is', () => {
    expect(readRow(contact, { _odd_value: 'x', _other_value: 'y' })).toEqual({ _odd_value: 'x', _other_value: 'y' });
  });

  test('has rows that were expanded in their own terms, at any depth', () => {
    const expanded = new Map([
      [
        'contact_customer_accounts',
        { table: contact, expanded: new Map([['parentcustomerid_account', { table: account, expanded: new Map() }]]) },
      ],
      ['primarycontactid', { table: contact, expanded: new Map() }],
    ]);
    const row = readRow(
      account,
      {
        _primarycontactid_value: ID,
        primarycontactid: { fullname: 'Ann', ...parent },
        contact_customer_accounts: [{ tags: '1', parentcustomerid_account: null }],
        'contact_customer_accounts@odata.nextLink': 'https://x/api/data/v9.2/accounts(1)/c?$select=tags',
      },
      { expanded },
    );
    expect(row).toEqual({
      primarycontactid: { fullname: 'Ann', parentcustomerid: { table: 'account', id: ID, name: 'Contoso' } },
      contact_customer_accounts: [{ tags: [1], parentcustomerid_account: null }],
    });
  });

  test('names an expanded collection that goes on beyond what the service gave', () => {
    const expanded = new Map([['tasks', { table: contact, expanded: new Map() }]]);
    const wire = { tasks: [], 'tasks@odata.nextLink': 'https://x/accounts(1)/tasks?$select=a&$skiptoken=b' };
    expect(readRow(account, wire, { expanded })).toEqual({ tasks: [], _incomplete: ['tasks'] });
  });

  test('has columns of FetchXML’s links under alias and name', () => {
    const wire = {
      'c.fullname': 'Ann',
      'c.parentcustomerid': ID,
      'c.parentcustomerid@Microsoft.Dynamics.CRM.lookuplogicalname': 'account',
      'd._parentcustomerid_value': ID,
      'd._parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname': 'account',
    };
    expect(readRow(account, wire)).toEqual({
      'c.fullname': 'Ann',
      'c.parentcustomerid': { table: 'account', id: ID },
      'd.parentcustomerid': { table: 'account', id: ID },
    });
  });

  test('takes no harm from a hostile alias', () => {
    const wire = JSON.parse('{"__proto__":{"polluted":true}}') as Record<string, unknown>;
    expect(JSON.stringify(readRow(account, wire))).toBe('{"__proto__":{"polluted":true}}');
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});
