import { describe, expect, test } from 'vitest';
import { type PagedQuery, prepareQuery, type RowPage, type RowsSummary, readAll } from '../../../src/actions/query.ts';
import type { StreamingClient } from '../../../src/dataverse/client.ts';
import { DataverseError } from '../../../src/dataverse/errors.ts';
import type { DataverseRequest } from '../../../src/dataverse/request.ts';
import { fakeClock } from '../../support/clock.ts';
import { fakeMetadata } from '../dataverse/fake-metadata.ts';

/** A query of `pages` pages with two rows each; `read` is called before a page is given. */
function query(pages: number, read: (path: string) => void = () => {}) {
  const kept: string[] = [];
  const paged: PagedQuery = {
    first: '1',
    async read(path): Promise<RowPage> {
      read(path);
      const number = Number(path);
      const rows = [
        { page: number, row: 1 },
        { page: number, row: 2 },
      ];
      return { rows, ...(number < pages && { next: String(number + 1) }) };
    },
    async keep(path) {
      kept.push(path);
      return `token for ${path}`;
    },
  };
  return { paged, kept };
}

async function run(paged: PagedQuery, { largest = 1e6, ms = 1_000, clock = fakeClock() } = {}) {
  const lines: string[] = [];
  let summary: RowsSummary | undefined;
  const all = readAll({ paged, path: paged.first, clock, deadline: clock.now() + ms, largest });
  for await (const part of all) {
    if (typeof part === 'string') lines.push(...part.trimEnd().split('\n'));
    else summary = part;
  }
  return { lines, summary };
}

describe('all rows', () => {
  test('are read page by page to the end', async () => {
    const { lines, summary } = await run(query(3).paged);
    expect(lines).toHaveLength(6);
    expect(summary).toEqual({ count: 6, complete: true });
  });

  test('stop in front of a page that does not fit', async () => {
    const { paged } = query(3);
    const { lines, summary } = await run(paged, { largest: 50 });
    expect(lines).toHaveLength(2);
    expect(summary).toEqual({ count: 2, complete: false, nextPage: 'token for 2' });
  });

  test('have one page at least, however large', async () => {
    const { summary } = await run(query(2).paged, { largest: 1 });
    expect(summary).toEqual({ count: 2, complete: false, nextPage: 'token for 2' });
  });

  test('stop when there is no time for another page', async () => {
    const clock = fakeClock();
    const { paged } = query(9, () => clock.advance(400));
    const { lines, summary } = await run(paged, { clock });
    expect(lines).toHaveLength(6);
    expect(summary).toEqual({ count: 6, complete: false, nextPage: 'token for 4' });
  });

  test.each(['limitExceeded', 'network'] as const)(
    'stop where a later page ends with %s, and say where to go on',
    async (code) => {
      const { paged } = query(3, (path) => {
        if (path === '2') throw new DataverseError(code, 'no');
      });
      expect((await run(paged)).summary).toEqual({ count: 2, complete: false, nextPage: 'token for 2' });
    },
  );

  test('break off where a page fails otherwise, and where the first does', async () => {
    const failing = (at: string, code: 'forbidden' | 'network') =>
      query(3, (path) => {
        if (path === at) throw new DataverseError(code, 'no');
      }).paged;
    await expect(run(failing('2', 'forbidden'))).rejects.toMatchObject({ code: 'forbidden' });
    await expect(run(failing('1', 'network'))).rejects.toMatchObject({ code: 'network' });
  });
});

describe('the service’s link to the next page', () => {
  /** The first page of a query that the service answers with this link. */
  async function readWith(link: unknown) {
    const sent: DataverseRequest[] = [];
    const answer = { value: [], '@odata.nextLink': link };
    const client: StreamingClient = {
      async send(request) {
        sent.push(request);
        return { status: 200, header: () => undefined, text: '', json: () => answer };
      },
      open: () => Promise.reject(new Error('not asked for')),
    };
    const connection = { client, metadata: fakeMetadata({ account: {} }), apiPath: '/api/data/v9.2/' };
    const context = { connection, name: 'default', table: 'account', newId: () => 'id', limits: {} };
    const pages = () => {
      throw new Error('not asked for');
    };
    const paged = await prepareQuery(context, { pageSize: 5, count: false, formatted: false }, pages);
    return { page: await paged.read(paged.first), paged, sent };
  }

  test.each([
    'https://contoso.crm4.dynamics.com/api/data/v9.2/accounts?$skiptoken=%3Ccookie',
    'https://evil.example/api/data/v9.2/accounts?$skiptoken=%3Ccookie',
  ])('leads to the connection’s own host, whatever %s names', async (link) => {
    const { page, paged, sent } = await readWith(link);
    expect(page.next).toBe('accounts?$skiptoken=%3Ccookie');
    await paged.read(page.next ?? '');
    expect(sent.map(({ path }) => path)).toEqual(['accounts', 'accounts?$skiptoken=%3Ccookie']);
  });

  test.each([
    'https://contoso.crm4.dynamics.com/api/data/v9.2/contacts?$skiptoken=x',
    'https://contoso.crm4.dynamics.com/api/data/v9.2/accounts/../contacts?$skiptoken=x',
    'https://contoso.crm4.dynamics.com/other/accounts?$skiptoken=x',
    'accounts?$skiptoken=x',
  ])('to anything but more rows of the table (%s) is not followed', async (link) => {
    await expect(readWith(link)).rejects.toMatchObject({ code: 'notDataverse' });
  });
});
