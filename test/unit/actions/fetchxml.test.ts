import { expect, test } from 'vitest';
import { type FetchRequest, fetchRows } from '../../../src/actions/fetchxml.ts';
import type { DataverseRequest } from '../../../src/dataverse/request.ts';
import { fakeMetadata } from '../dataverse/fake-metadata.ts';

const inner = (page: number): string => `<cookie page="${page}"><accountid last="{A}" first="{B}" /></cookie>`;
const annotation = (page: number): string =>
  `<cookie pagenumber="${page + 1}" pagingcookie="${encodeURIComponent(encodeURIComponent(inner(page)))}" istracking="False" />`;

/** Runs a query against a service that gives this answer. */
async function run(request: Partial<FetchRequest>, answer: unknown) {
  const sent: DataverseRequest[] = [];
  const text = JSON.stringify(answer);
  const result = fetchRows(
    {
      client: {
        send: async (each) => {
          sent.push(each);
          return { status: 200, header: () => undefined, text, json: () => JSON.parse(text) };
        },
      },
      apiPath: '/api/data/v9.2/',
      metadata: fakeMetadata({ account: {} }),
      allowedTables: undefined,
      newId: () => 'id',
      limits: {},
    },
    { table: 'account', xml: '<fetch><entity name="account" /></fetch>', annotations: [], ...request },
  );
  return { result: await result, request: sent[0] };
}

const page = (number: number) => ({
  value: [{ name: 'A' }],
  '@Microsoft.Dynamics.CRM.fetchxmlpagingcookie': annotation(number),
  '@Microsoft.Dynamics.CRM.morerecords': true,
});

test('a page tells the plain cookie of the next', async () => {
  const { result } = await run({}, page(1));
  expect(result).toEqual({ value: [{ name: 'A' }], moreRecords: true, page: 1, cookie: inner(1) });
});

test('a page whose cookie is that of the page before ends the reading', async () => {
  await expect(run({ cookie: inner(1) }, page(1))).rejects.toMatchObject({ code: 'pageRepeated', status: 502 });
  await expect(run({ cookie: annotation(1) }, page(2))).resolves.toMatchObject({
    result: { page: 2, cookie: inner(2) },
  });
});

test('a cookie that is none is the service’s fault, not the caller’s', async () => {
  const answer = { ...page(1), '@Microsoft.Dynamics.CRM.fetchxmlpagingcookie': 'x' };
  await expect(run({}, answer)).rejects.toMatchObject({ code: 'notDataverse' });
  await expect(run({}, { value: 7 })).rejects.toMatchObject({ code: 'notDataverse' });
});

test('the last page has no cookie, and the count where it was asked for', async () => {
  const { result } = await run({}, { value: [], '@Microsoft.Dynamics.CRM.totalrecordcount': 12 });
  expect(result).toEqual({ value: [], moreRecords: false, page: 1, count: 12 });
  expect((await run({}, { value: [], '@Microsoft.Dynamics.CRM.totalrecordcount': -1 })).result).not.toHaveProperty(
    'count',
  );
});

test('a user is told by the id of its row or by its object id in Entra', async () => {
  const id = '0b000000-0000-4000-8000-000000000001';
  expect((await run({ impersonate: { systemUserId: id } }, { value: [] })).request?.headers).toMatchObject({
    mscrmcallerid: id,
  });
  expect((await run({ impersonate: { entraObjectId: id } }, { value: [] })).request?.headers).toMatchObject({
    callerobjectid: id,
  });
  expect(Object.keys((await run({}, { value: [] })).request?.headers ?? {})).toEqual(['prefer']);
});

test('annotations are told where they were asked for', async () => {
  const row = {
    _primarycontactid_value: 'x',
    '_primarycontactid_value@OData.Community.Display.V1.FormattedValue': 'Ann',
    '_primarycontactid_value@Microsoft.Dynamics.CRM.lookuplogicalname': 'contact',
    '_primarycontactid_value@Microsoft.Dynamics.CRM.associatednavigationproperty': 'primarycontactid',
  };
  const ask = async (...annotations: string[]) => (await run({ annotations }, { value: [row] })).result.value[0];
  expect(await ask()).not.toHaveProperty('_annotations');
  expect(await ask('OData.Community.Display.V1.FormattedValue')).toMatchObject({
    _formatted: { primarycontactid: 'Ann' },
  });
  expect(await ask('Microsoft.Dynamics.CRM.associated*')).toMatchObject({
    _annotations: { primarycontactid: { 'Microsoft.Dynamics.CRM.associatednavigationproperty': 'primarycontactid' } },
  });
  expect(Object.keys((await ask('*')) ?? {})).toEqual(['primarycontactid', '_formatted', '_annotations']);
});

test('a query that is too long even for a batch is refused before it is sent', async () => {
  const xml = `<fetch><entity name="account"><attribute name="${'&quot;'.repeat(9_000)}" /></entity></fetch>`;
  await expect(run({ xml }, { value: [] })).rejects.toMatchObject({ code: 'xmlInvalid' });
});
