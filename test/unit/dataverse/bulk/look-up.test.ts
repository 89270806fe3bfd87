import { describe, expect, test } from 'vitest';
import { findRows } from '../../../../src/dataverse/bulk/look-up.ts';
import type { DataverseClient } from '../../../../src/dataverse/client.ts';
import { rowStatuses } from '../../../../src/dataverse/wire/bulk.ts';
import { ACCOUNT } from './account-table.ts';
import { id } from './world.ts';

const byName = { kind: 'match', columns: ['name'] } as const;

/** A client that answers each query with what is given for it. */
function answering(answer: (keys: readonly string[]) => unknown): {
  client: DataverseClient;
  asked: (readonly string[])[];
} {
  const asked: (readonly string[])[] = [];
  const client: DataverseClient = {
    async send({ path }) {
      const keys = JSON.parse(new URL(`https://x/${path}`).searchParams.get('@v') ?? '[]');
      asked.push(keys);
      const body = answer(keys);
      return { status: 200, header: () => undefined, text: '', json: () => body };
    },
  };
  return { client, asked };
}

const names = (...keys: string[]) => keys.map((name) => ({ name }));

describe('a look-up', () => {
  test('that the service pages is asked in halves, until each page is whole', async () => {
    const { client, asked } = answering((keys) => ({
      value: keys.map((name, at) => ({ accountid: id(at), name })),
      ...(keys.length > 2 && { '@odata.nextLink': 'https://x/next' }),
    }));
    const found = await findRows({ client, table: ACCOUNT }, byName, names('a', 'b', 'c', 'd', 'e'), {});
    expect(found.size).toBe(5);
    expect(asked.map((keys) => keys.length)).toEqual([5, 3, 2, 1, 2]);
  });

  test('of one key that so many rows have that the service pages them is ambiguous', async () => {
    const { client } = answering(() => ({
      value: [1, 2].map((at) => ({ accountid: id(at), name: 'a' })),
      '@odata.nextLink': 'https://x/next',
    }));
    expect((await findRows({ client, table: ACCOUNT }, byName, names('a'), {})).get('a')).toBe('ambiguous');
  });

  test('of one key takes whatever is found for it, and tells one row from several answers of the same', async () => {
    const { client } = answering(() => ({
      value: [1, 1].map((at) => ({ accountid: id(at).toUpperCase(), name: 'Strasse' })),
    }));
    expect((await findRows({ client, table: ACCOUNT }, byName, names('Straße'), {})).get('straße')).toEqual({
      id: id(1),
    });
  });

  test('answered with something else is no look-up', async () => {
    const { client } = answering(() => ({ rows: [] }));
    await expect(findRows({ client, table: ACCOUNT }, byName, names('a'), {})).rejects.toMatchObject({
      code: 'notDataverse',
    });
  });
});

test.each([
  ['as text', JSON.stringify([{ RequestIndex: 0, Id: id(1), StatusCode: 201 }])],
  ['as an array', [{ RequestIndex: 0, Id: id(1), StatusCode: 201 }, { RequestIndex: 'x' }, null]],
])('states of an elastic table’s rows are read %s, under any annotation of that end', (_, value) => {
  expect(rowStatuses({ code: 'x', '@Some.Prefix.Plugin.BulkApiErrorDetails': value })).toEqual([
    { index: 0, status: 201 },
  ]);
});

test.each([[{ code: 'x' }], [{ '@x.BulkApiErrorDetails': 'no JSON' }], [{ '@x.BulkApiErrorDetails': 5 }]])(
  'no states are read from %j',
  (error) => {
    expect(rowStatuses(error)).toBeUndefined();
  },
);
