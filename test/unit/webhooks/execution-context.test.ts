import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseExecutionContext } from '../../../src/webhooks/execution-context.ts';

const FOLDER = new URL('../../fixtures/webhooks/', import.meta.url);
const load = (file: string): Record<string, unknown> => JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8'));
const contact = () => load('update-contact-async-msdocs.json');
/** The columns of the target, whatever it turned out to be. */
const target = (json: unknown) => parseExecutionContext(json)?.inputParameters['Target'];

describe('recorded payloads', () => {
  const expected = {
    'create-account-sync.json': [
      'Create',
      'account',
      '53c52f26-a89d-ef11-8a69-000d3a30b0c1',
      '2024-11-08T08:05:06.922Z',
    ],
    'create-allfieldtypes-sync.json': [
      'Create',
      'shko_allfields',
      '6420f0cc-916b-ee11-9ae6-000d3a688809',
      '2023-10-15T19:34:06.012Z',
    ],
    'create-alltypes-async-1.json': [
      'Create',
      'albxrm_alltypes',
      '44bfc2a7-903e-eb11-a813-000d3ad9c2e1',
      '2020-12-15T04:47:38.000Z',
    ],
    'create-alltypes-async-2.json': [
      'Create',
      'albxrm_alltypes',
      '44bfc2a7-903e-eb11-a813-000d3ad9c2e1',
      '2020-12-15T04:47:38.000Z',
    ],
    'create-sharepointdocumentlocation-async-postimage.json': [
      'Create',
      'sharepointdocumentlocation',
      '1e3839b3-08d4-ef11-aeb0-00155d000101',
      '2025-01-16T12:52:16.000Z',
    ],
    'update-account-sync-typed-guid-datetime.json': [
      'Update',
      'account',
      'ec4e2f7d-9d60-e811-a95a-000d3af24950',
      '2018-05-31T09:05:30.151Z',
    ],
    'update-contact-async-msdocs.json': [
      'Update',
      'contact',
      '6d81597f-0f9f-e711-8122-000d3aa2331c',
      '2017-09-26T00:04:08.000Z',
    ],
    'update-customactivity-async-preimage.json': [
      'Update',
      'new_customactivity',
      '841579d9-7e63-ef11-9e4a-00155d0001ea',
      '2024-08-26T07:43:16.000Z',
    ],
  };

  test('are all covered here', () => {
    expect(readdirSync(FOLDER).filter((file) => file.endsWith('.json'))).toEqual(Object.keys(expected));
  });

  test.each(Object.entries(expected))('%s tells its message, row and time', (file, [message, table, row, at]) => {
    const context = parseExecutionContext(load(file));
    expect(context).toMatchObject({
      message,
      table,
      row,
      operationCreatedOn: at,
      stage: 40,
      depth: 1,
      truncated: false,
    });
    expect(context?.step?.table).toBe('sdkmessageprocessingstep');
    expect(context?.parent).toMatchObject({ correlationId: context?.correlationId, stage: 30 });
    expect(target(load(file))).toMatchObject({ table, id: row });
  });

  test.each(Object.keys(expected))('%s leaves nothing of the wire form behind', (file) => {
    const text = JSON.stringify(parseExecutionContext(load(file)));
    expect(text).not.toMatch(/__type|__value|\/Date\(|"Attributes"|"LogicalName"/);
  });

  // modifiedon is UTC on the wire without offset, so that it shows what the offset of the operation's time means.
  test.each([
    'update-contact-async-msdocs.json',
    'create-sharepointdocumentlocation-async-postimage.json',
    'update-customactivity-async-preimage.json',
  ])('%s was created within a second of the row’s modification', (file) => {
    const context = parseExecutionContext(load(file));
    const row = target(load(file));
    const columns = typeof row === 'object' && row !== null && 'columns' in row ? row.columns : undefined;
    const modifiedOn =
      typeof columns === 'object' && columns !== null && 'modifiedon' in columns ? columns.modifiedon : '';
    const apart = Date.parse(context?.operationCreatedOn ?? '') - Date.parse(String(modifiedOn));
    expect(Math.abs(apart)).toBeLessThanOrEqual(1000);
  });
});

test('decodes every kind of column', () => {
  expect(target(load('create-allfieldtypes-sync.json'))).toMatchObject({
    columns: {
      shko_integer: 321,
      shko_currency: 100,
      shko_decimal: 10.12,
      shko_boolean: false,
      shko_string: 'This is a String',
      shko_choice: 342490000,
      shko_choices: [342490001, 342490002],
      shko_datetime: '2023-10-17T07:00:00.000Z',
      shko_allfieldsid: '6420f0cc-916b-ee11-9ae6-000d3a688809',
      shko_lookup: { table: 'systemuser', id: 'c7877889-0f5f-ee11-8def-000d3adbef1f' },
      modifiedonbehalfby: null,
    },
    formatted: { shko_integer: '321', shko_datetime: '2023-10-17T09:00:00+02:00' },
  });
});

test('decodes GUIDs and dates that carry a type', () => {
  expect(target(load('update-account-sync-typed-guid-datetime.json'))).toMatchObject({
    columns: { accountid: 'ec4e2f7d-9d60-e811-a95a-000d3af24950', modifiedon: '2018-05-31T09:05:24.000Z' },
  });
});

test('decodes images, which carry no type, and the parties within', () => {
  const context = parseExecutionContext(load('update-customactivity-async-preimage.json'));
  const [image] = Object.values(context?.preImages ?? {});
  expect(image).toMatchObject({ table: 'new_customactivity', id: '841579d9-7e63-ef11-9e4a-00155d0001ea' });
  const parties = Object.values(image?.columns ?? {}).find((value) => Array.isArray(value));
  expect(parties).toEqual(expect.arrayContaining([expect.objectContaining({ table: 'activityparty' })]));
  expect(context?.postImages['AsynchronousStepPrimaryName']?.columns).toHaveProperty('subject');
});

test('decodes pairs and queries in parameters and shared variables', () => {
  const changed = parseExecutionContext(contact())?.parent?.sharedVariables['ChangedEntityTypes'];
  expect(changed).toContainEqual({ key: 'feedback', value: 'Update' });
  const parent = parseExecutionContext(load('create-sharepointdocumentlocation-async-postimage.json'))?.parent;
  expect(Object.values(parent?.inputParameters ?? {})).toContainEqual(
    expect.objectContaining({ EntityName: expect.any(String), Orders: expect.any(Array) }),
  );
});

test('decodes a lookup by alternate key and a named one', () => {
  const Id = '00000000-0000-0000-0000-000000000000';
  const keys = [{ key: 'accountnumber', value: 'A-1' }];
  const value = {
    __type: 'EntityReference:ns',
    Id,
    KeyAttributes: keys,
    LogicalName: 'account',
    Name: 'Ann',
    RowVersion: null,
  };
  const json = { ...contact(), InputParameters: [{ key: 'Target', value }] };
  expect(target(json)).toEqual({ table: 'account', id: Id, name: 'Ann', key: { accountnumber: 'A-1' } });
});

test('reads a Delete, whose target is a reference', () => {
  const value = {
    __type: 'EntityReference:http://schemas.microsoft.com/xrm/2011/Contracts',
    Id: '6D81597F-0F9F-E711-8122-000D3AA2331C',
    KeyAttributes: [],
    LogicalName: 'contact',
    Name: null,
    RowVersion: null,
  };
  const json = { ...contact(), MessageName: 'Delete', InputParameters: [{ key: 'Target', value }] };
  expect(parseExecutionContext(json)).toMatchObject({ message: 'Delete', truncated: false });
  expect(target(json)).toEqual({ table: 'contact', id: '6d81597f-0f9f-e711-8122-000d3aa2331c' });
});

describe('a context that was cut down for its size', () => {
  const { ParentContext, InputParameters, PreEntityImages, PostEntityImages, ...rest } = contact();
  test.each([
    ['absent', rest],
    ['null', { ...rest, ParentContext: null, InputParameters: null, PreEntityImages: null, PostEntityImages: null }],
    ['empty', { ...rest, ParentContext: null, InputParameters: [], PreEntityImages: [], PostEntityImages: [] }],
  ])('is recognised as such, the parts being %s', (_, json) => {
    expect(parseExecutionContext(json)).toMatchObject({
      row: '6d81597f-0f9f-e711-8122-000d3aa2331c',
      truncated: true,
      inputParameters: {},
      preImages: {},
      postImages: {},
    });
  });
});

describe('versions and hostile input', () => {
  test('does without the members that old versions lack, and passes over unknown ones', () => {
    const context = parseExecutionContext({ ...contact(), Unknown: null, Newer: { __type: 'Future:ns' } });
    expect(context).toMatchObject({ message: 'Update', initiatingUserAgent: undefined, userObjectId: undefined });
    expect(JSON.stringify(context)).not.toContain('Newer');
  });

  test.each([null, 1, 'text', [], {}, { MessageName: 'Create' }])('recognises no context in %j', (json) => {
    expect(parseExecutionContext(json)).toBeUndefined();
  });

  test.each([
    ['MessageName', ''],
    ['MessageName', 'x'.repeat(1000)],
    ['PrimaryEntityName', 5],
    ['PrimaryEntityId', 'none'],
    ['OperationId', null],
    ['CorrelationId', {}],
    ['OperationCreatedOn', '2026-01-01T00:00:00Z'],
    ['OperationCreatedOn', '/Date(-62135596800000)/'],
    ['OperationCreatedOn', '/Date(999999999999999)/'],
  ])('recognises no context with %s %j', (name, value) => {
    expect(parseExecutionContext({ ...contact(), [name]: value })).toBeUndefined();
  });

  test('takes keys named like parts of the language as keys', () => {
    const json = JSON.parse(
      JSON.stringify(contact())
        .replaceAll('"firstname"', '"__proto__"')
        .replace('"Depth":1', '"__proto__":{"polluted":1}'),
    );
    const row = target(json);
    const columns = typeof row === 'object' && row !== null && 'columns' in row ? row.columns : undefined;
    expect(Object.entries(columns ?? {})).toContainEqual(['__proto__', 'James']);
    expect({}).not.toHaveProperty('polluted');
    expect(Object.getPrototypeOf(columns)).toBe(Object.prototype);
  });

  test('recognises no context in what is nested without end', () => {
    const deep: unknown = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    expect(parseExecutionContext({ ...contact(), SharedVariables: [{ key: 'deep', value: deep }] })).toBeUndefined();
    let nested: Record<string, unknown> = contact();
    const shell = contact();
    for (let level = 0; level < 50_000; level += 1) nested = { ...shell, ParentContext: nested };
    expect(parseExecutionContext(nested)).toBeUndefined();
  });
});
