import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { buildExecutionContext } from '../../../../../src/local/dataverse/events/execution-context.ts';
import type { ColumnValue, RowEvent, RowState } from '../../../../../src/local/dataverse/events/row-event.ts';

type Wire = string | number | boolean | null | Wire[] | { [key: string]: Wire };
type WirePair = { key: string; value: Wire };
interface WireEntity {
  Attributes: WirePair[];
  FormattedValues: { key: string; value: string }[];
  Id: string;
  LogicalName: string;
}
interface Context {
  [key: string]: Wire;
}

const ORGANIZATION = { id: 'c0ffee00-0000-4000-8000-000000000000', name: 'org1', host: 'org1.crm4.dynamics.com' };
const STEP = {
  id: '2c28fe56-903e-eb11-a813-000d3ad9c2e1',
  images: [],
  mode: 'asynchronous',
  stage: 40,
} as const;

const recorded = (name: string): Context => JSON.parse(readFileSync(`test/fixtures/webhooks/${name}.json`, 'utf8'));

const target = (context: Context): WireEntity => {
  const pairs = context['InputParameters'] as unknown as { key: string; value: WireEntity }[];
  const found = pairs.find(({ key }) => key === 'Target');
  if (!found) throw new Error('no Target');
  return found.value;
};

/** A column value as the emulator's tables hold it, from one as it was recorded. */
function columnValue(value: Wire): ColumnValue {
  if (Array.isArray(value))
    return { kind: 'choices', values: value.map((item) => Number((item as { Value: Wire })['Value'])) };
  if (typeof value === 'string') {
    const date = /^\/Date\((\d+)\)\/$/.exec(value);
    return date ? { kind: 'date', ms: Number(date[1]) } : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  const type = String(value['__type']).split(':')[0];
  if (type === 'OptionSetValue') return { kind: 'choice', value: Number(value['Value']) };
  if (type === 'Money') return { kind: 'money', value: Number(value['Value']) };
  const name = value['Name'];
  return {
    kind: 'lookup',
    table: String(value['LogicalName']),
    id: String(value['Id']),
    ...(typeof name === 'string' && { name }),
  };
}

const columnsOf = (pairs: readonly WirePair[]) =>
  Object.fromEntries(pairs.map(({ key, value }) => [key, columnValue(value)]));

const stateOf = (entity: WireEntity): RowState => ({
  columns: columnsOf(entity.Attributes),
  formatted: Object.fromEntries(entity.FormattedValues.map(({ key, value }) => [key, value])),
});

/** The event that a recorded payload tells of. */
function eventOf(context: Context, facts: Pick<RowEvent, 'message' | 'primaryIdColumn'> & Partial<RowEvent>): RowEvent {
  const text = (name: string) => String(context[name]);
  return {
    table: text('PrimaryEntityName'),
    id: text('PrimaryEntityId'),
    columns: {},
    userId: text('UserId'),
    initiatingUserId: text('InitiatingUserId'),
    businessUnitId: text('BusinessUnitId'),
    correlationId: text('CorrelationId'),
    requestId: text('RequestId'),
    operationTime: Number(/\d+/.exec(text('OperationCreatedOn'))?.[0]),
    depth: 1,
    ...facts,
  };
}

const build = (event: RowEvent, images: Parameters<typeof buildExecutionContext>[1]['images'] = []): Context =>
  JSON.parse(JSON.stringify(buildExecutionContext(event, { ...STEP, images }, ORGANIZATION, 'an-operation-id')));

describe('execution contexts', () => {
  test('a created row is told as in a recorded payload, key for key', () => {
    const payload = recorded('create-alltypes-async-1');
    const parent = payload['ParentContext'] as Context;
    const { albxrm_alltypesid: _, ...columns } = columnsOf(target(parent).Attributes);
    const state = stateOf(target(payload));
    const event = eventOf(payload, {
      message: 'Create',
      primaryIdColumn: 'albxrm_alltypesid',
      primaryNameColumn: 'albxrm_name',
      columns,
      after: { ...state, columns: { ...state.columns, versionnumber: 7, albxrm_empty: null } },
    });
    const organization = { id: String(payload['OrganizationId']), name: String(payload['OrganizationName']), host: '' };
    const built = buildExecutionContext(event, STEP, organization, String(payload['OperationId']));
    // Newer payloads have one key more than this one.
    const known = JSON.stringify(built, (key, value) => (key === 'InitiatingUserAgent' ? undefined : value));
    // The recorded request was a form's, which sends its own texts along.
    target(parent).FormattedValues = [];
    expect(JSON.parse(known)).toEqual(payload);
    expect(known, 'the order of keys').toBe(JSON.stringify(payload));
  });

  test('an update tells the columns of the request, those that followed, and who changed the row when', () => {
    const payload = recorded('update-contact-async-msdocs');
    const all = columnsOf(target(payload).Attributes);
    const { fullname = null, yomifullname = null } = all;
    const event = eventOf(payload, {
      message: 'Update',
      primaryIdColumn: 'contactid',
      primaryNameColumn: 'fullname',
      columns: { firstname: 'James' },
      derived: { fullname, yomifullname },
      before: { columns: { firstname: 'Jim' } },
      after: { columns: { lastname: 'Glynn (sample)', versionnumber: 2, ...all } },
    });
    const context = build(event);
    const parent = context['ParentContext'] as Context;
    expect(target(context)).toEqual(target(payload));
    expect(parent['InputParameters']).toEqual((payload['ParentContext'] as Context)['InputParameters']);
    expect(context['PostEntityImages']).toEqual(payload['PostEntityImages']);
    expect([context['OutputParameters'], context['Stage'], parent['Stage']]).toEqual([[], 40, 30]);
  });

  test('images hold the columns of the step that have a value, with texts and the names of lookups', () => {
    const payload = recorded('create-sharepointdocumentlocation-async-postimage');
    const [image] = payload['PostEntityImages'] as unknown as { key: string; value: WireEntity }[];
    if (!image) throw new Error('no image');
    const state = stateOf(image.value);
    const event = eventOf(payload, {
      message: 'Create',
      primaryIdColumn: 'sharepointdocumentlocationid',
      primaryNameColumn: 'name',
      after: { ...state, columns: { ...state.columns, description: null, absoluteurl: 'x' } },
    });
    const columns = [...Object.keys(state.columns), 'description', 'unknown'];
    const context = build(event, [
      { alias: 'PostImage', kind: 'post', columns },
      { alias: 'Before', kind: 'pre', columns },
    ]);
    expect(context['PostEntityImages']).toEqual(payload['PostEntityImages']);
    expect(context['PreEntityImages']).toEqual([]);
  });

  test('a pre-image tells the row as it was', () => {
    const payload = recorded('update-customactivity-async-preimage');
    const [image] = payload['PreEntityImages'] as unknown as { key: string; value: WireEntity }[];
    if (!image) throw new Error('no image');
    const plain = {
      ...image.value,
      Attributes: image.value.Attributes.filter(({ key }) => key !== 'from' && key !== 'to'),
    };
    const event = eventOf(payload, {
      message: 'Update',
      primaryIdColumn: 'activityid',
      primaryNameColumn: 'subject',
      before: stateOf(plain),
      after: stateOf(plain),
    });
    const context = build(event, [{ alias: 'Image', kind: 'both', columns: [] }]);
    expect(context['PreEntityImages']).toEqual([{ key: 'Image', value: plain }]);
    expect((context['PostEntityImages'] as unknown as { key: string }[]).map(({ key }) => key)).toEqual([
      'Image',
      'AsynchronousStepPrimaryName',
    ]);
  });

  test('a deleted row is a reference, without post images', () => {
    const event = eventOf(recorded('create-alltypes-async-1'), {
      message: 'Delete',
      primaryIdColumn: 'albxrm_alltypesid',
      primaryNameColumn: 'albxrm_name',
      before: { columns: { albxrm_name: 'gone' } },
      sharedVariables: { tag: 'nightly' },
    });
    const context = build(event, [{ alias: 'Before', kind: 'both', columns: ['albxrm_name'] }]);
    expect(context['InputParameters']).toEqual([
      {
        key: 'Target',
        value: {
          __type: 'EntityReference:http://schemas.microsoft.com/xrm/2011/Contracts',
          Id: event.id,
          KeyAttributes: [],
          LogicalName: 'albxrm_alltypes',
          Name: null,
          RowVersion: null,
        },
      },
    ]);
    expect(context['PostEntityImages']).toEqual([]);
    expect(context['PreEntityImages']).toMatchObject([{ key: 'Before', value: { Attributes: [{ value: 'gone' }] } }]);
    expect(context['SharedVariables']).toEqual([
      { key: 'IsAutoTransact', value: true },
      { key: 'tag', value: 'nightly' },
    ]);
  });
});
