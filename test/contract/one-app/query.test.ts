import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, linesOf, type TestApp } from '../../support/app.ts';
import { sharedApp } from '../../support/shared-app.ts';

let app: TestApp;

/** Nine accounts of this file's own, in the order of their names. */
const NAMES = Array.from({ length: 9 }, (_, at) => `Query ${at}`);

beforeAll(async () => {
  app = await sharedApp();
  for (const [at, name] of NAMES.entries()) {
    const contact = at === 0 ? [{ firstname: 'Ann', lastname: "O'Brien" }] : [];
    const row = {
      name,
      revenue: at * 1000,
      numberofemployees: at,
      accountcategorycode: at % 2 === 0 ? 1 : 2,
      description: `${at}`.repeat(1500),
      ...(contact[0] && { primarycontactid: contact[0] }),
    };
    const answer = await app.admin('POST', 'accounts', row);
    if (answer.status !== 204) throw new Error(answer.text);
  }
});
afterAll(() => app.assertNoSecret());
beforeEach(async () => {
  await app.clearRules();
  await app.forgetCalls();
});

const OWN = "startswith(name,'Query ')";
const get = (values: Readonly<Record<string, string>>, table = 'account'): Promise<Answer> =>
  app.call('GET', `tables/${table}/rows?${new URLSearchParams(values)}`);
const post = (body: unknown, table = 'account', query = ''): Promise<Answer> =>
  app.call('POST', `tables/${table}/query${query}`, { type: 'application/json', body: JSON.stringify(body) });
const namesOf = ({ json }: Answer): string[] => json.value.map((row: { name: string }) => row.name);

describe('a query', () => {
  test('filters, sorts and selects by logical names', async () => {
    const answer = await get({
      select: 'name,accountcategorycode',
      filter: `${OWN} and revenue ge 3000 and accountcategorycode eq 2`,
      orderBy: 'revenue desc',
      count: 'true',
    });
    expect(answer.status, answer.text).toBe(200);
    expect(namesOf(answer)).toEqual(['Query 7', 'Query 5', 'Query 3']);
    expect(answer.json.value[0]).toEqual({ accountid: expect.any(String), name: 'Query 7', accountcategorycode: 2 });
    expect(answer.json.count).toBe(3);
    expect(answer.json).not.toHaveProperty('nextPage');
  });

  test('takes lookups by their logical names, paths through them, and quotes in texts', async () => {
    const filter = `${OWN} and primarycontactid ne null and primarycontactid/lastname eq 'O''Brien'`;
    const answer = await post({
      select: ['name', 'primarycontactid'],
      filter,
      orderBy: 'primarycontactid',
      formatted: true,
    });
    expect(answer.json.value).toMatchObject([
      {
        name: 'Query 0',
        primarycontactid: { table: 'contact', name: "Ann O'Brien" },
        _formatted: { primarycontactid: "Ann O'Brien" },
      },
    ]);
  });

  test('takes query functions of Dataverse, with their namespace and without', async () => {
    for (const name of ['In', 'Microsoft.Dynamics.CRM.In']) {
      const filter = `${name}(PropertyName='name',PropertyValues=['Query 1',"Query 2"])`;
      expect(namesOf(await get({ select: 'name', filter, orderBy: 'name' }))).toEqual(['Query 1', 'Query 2']);
    }
  });

  test('expands, row by row in terms of its table', async () => {
    const answer = await get({
      select: 'name',
      filter: "name eq 'Query 0'",
      expand: 'primarycontactid($select=fullname,parentcustomerid)',
    });
    expect(answer.json.value[0].primarycontactid).toEqual({
      contactid: expect.any(String),
      fullname: "Ann O'Brien",
      parentcustomerid: null,
    });
  });

  test('longer than an address travels in a batch', async () => {
    const answer = await post({
      select: ['name'],
      filter: `${OWN} and name ne '${'long '.repeat(2_000)}'`,
      pageSize: 4,
    });
    expect(answer.status, answer.text).toBe(200);
    expect((await app.calls()).map(({ message }) => message)).toContain('Batch');
    const next = await post({ page: answer.json.nextPage });
    expect([...namesOf(answer), ...namesOf(next)]).toHaveLength(8);
  });

  test('longer than a batch takes is refused', async () => {
    const answer = await post({ filter: `name ne '${'漢'.repeat(20_000)}'` });
    expect(answer.json).toMatchObject({ status: 400, code: 'queryTooLong' });
  });

  test('costs one request, once its table is known', async () => {
    await get({ pageSize: '1' });
    await app.forgetCalls();
    await get({ select: 'name', filter: OWN });
    expect((await app.calls()).map(({ message }) => message)).toEqual(['RetrieveMultiple']);
  });
});

describe('a page', () => {
  const query = { select: 'name', filter: OWN, orderBy: 'description desc,name', pageSize: '4' };

  test('leads to the next by a short name, whatever the service’s own is', async () => {
    const found: string[] = [];
    let answer = await get(query);
    for (;;) {
      found.push(...namesOf(answer));
      const page = answer.json.nextPage;
      if (page === undefined) break;
      expect(page).toMatch(/^[0-9a-f]{64}$/);
      answer = await get(found.length === 4 ? { ...query, page } : { page });
    }
    expect(found).toEqual([...NAMES].reverse());
  });

  test('is asked for by POST as well', async () => {
    const { json } = await get(query);
    expect(namesOf(await post({ page: json.nextPage }))).toHaveLength(4);
    const repeated = { select: ['name'], filter: OWN, orderBy: query.orderBy, pageSize: 4, page: json.nextPage };
    expect(namesOf(await post(repeated))).toHaveLength(4);
  });

  test('can be asked for twice', async () => {
    const { json } = await get(query);
    const [one, two] = [await get({ page: json.nextPage }), await get({ page: json.nextPage })];
    expect(namesOf(one)).toEqual(namesOf(two));
  });

  test('of another query, table or connection is refused, and so is one that was never given', async () => {
    const { nextPage: page } = (await get(query)).json;
    for (const other of [
      await get({ ...query, filter: `${OWN} and revenue gt 1`, page }),
      await get({ ...query, pageSize: '5', page }),
      await get({ select: 'name', page }),
      await get({ page }, 'contact'),
      await get({ page, connection: 'second' }),
      await get({ page: page.replace(/.$/, (last: string) => (last === '0' ? '1' : '0')) }),
      await get({ page: 'https://evil.example/api/data/v9.2/accounts' }),
      await get({ page: '../'.repeat(10) }),
      await get({ page: "x' or 1 eq 1" }),
    ]) {
      expect(other.json).toMatchObject({ status: 400, code: 'pageInvalid' });
    }
    expect((await get({ page: 'x'.repeat(513) })).json).toMatchObject({ status: 400, code: 'queryInvalid' });
  });
});

describe('all rows', () => {
  test('come as lines, with a summary as the last', async () => {
    const answer = await get({ select: 'name', filter: OWN, orderBy: 'name', pageSize: '4', all: 'true' });
    expect(answer.headers.get('content-type')).toBe('application/x-ndjson');
    const { rows, summary } = linesOf(answer);
    expect(rows.map(({ name }) => name)).toEqual(NAMES);
    expect(summary).toEqual({ count: 9, complete: true });
  });

  test('go on from a page', async () => {
    const { nextPage } = (await get({ select: 'name', filter: OWN, orderBy: 'name', pageSize: '4' })).json;
    const { rows, summary } = linesOf(await post({ page: nextPage, all: true }));
    expect(rows.map(({ name }) => name)).toEqual(NAMES.slice(4));
    expect(summary).toEqual({ count: 5, complete: true });
  });

  test('that cannot be had at all are a problem with its own status', async () => {
    await app.rule({
      match: { table: 'account', method: 'GET' },
      action: { status: 403, body: { error: { code: '0x80040220', message: 'no' } } },
    });
    expect((await get({ all: 'true' })).json).toMatchObject({ status: 403, code: 'forbidden' });
  });

  test('that break off end with the problem in place of the summary', async () => {
    const refused = { status: 403, body: { error: { code: '0x80040220', message: 'no' } } };
    await app.rule({ match: { table: 'account', method: 'GET' }, after: 1, action: refused });
    const answer = await get({ select: 'name', filter: OWN, pageSize: '4', all: 'true' });
    const { rows, summary, problem } = linesOf(answer);
    expect([rows.length, summary]).toEqual([4, undefined]);
    expect(problem).toMatchObject({ status: 403, code: 'forbidden' });
  });
});

describe('tables that the connection may not touch', () => {
  test.each([
    ['as the table', {}, 'opportunity'],
    ['in a path of a filter', { filter: "primarycontactid/owninguser/fullname eq 'x'" }, 'account'],
    ['in a lambda', { filter: 'opportunity_customer_accounts/any()' }, 'account'],
    ['in a sort', { orderBy: 'owninguser/fullname' }, 'account'],
    ['expanded', { expand: 'owninguser' }, 'account'],
    [
      'expanded below an expand',
      { expand: 'primarycontactid($select=fullname;$expand=owninguser($select=fullname))' },
      'account',
    ],
    [
      'in the filter of an expand',
      { expand: "contact_customer_accounts($filter=owninguser/fullname eq 'x')" },
      'account',
    ],
  ])('are not reached %s', async (_, values, table) => {
    const answer = await get(values, table);
    expect(answer.json, answer.text).toMatchObject({ status: 403, code: 'tableNotAllowed' });
    expect((await app.calls()).filter(({ message }) => message === 'RetrieveMultiple')).toEqual([]);
  });

  test('are reached by a connection that may', async () => {
    const answer = await get({
      select: 'name',
      filter: "owninguser/fullname ne 'x'",
      pageSize: '1',
      connection: 'open',
    });
    expect(answer.status, answer.text).toBe(200);
  });
});

describe('bad input', () => {
  test.each<[Readonly<Record<string, string>>, string, string]>([
    [{ filter: "name eq 'x'&$top=1" }, 'filterInvalid', 'filter'],
    [{ filter: "name eq 'x') or (1 eq 1" }, 'filterInvalid', 'filter'],
    [{ filter: "name eq 'x" }, 'filterInvalid', 'filter'],
    [{ filter: "name eq 'x'\r\nX-Header: y" }, 'filterInvalid', 'filter'],
    [{ filter: '' }, 'queryInvalid', 'filter'],
    [{ filter: 'nmae eq 1' }, 'columnUnknown', 'filter'],
    [{ filter: `${'('.repeat(500)}name eq 1${')'.repeat(500)}` }, 'filterInvalid', 'filter'],
    [{ select: 'name;drop' }, 'columnUnknown', 'select'],
    [{ select: '__proto__' }, 'columnUnknown', 'select'],
    [{ orderBy: 'name asc desc' }, 'orderByInvalid', 'orderBy'],
    [{ expand: 'primarycontactid($select=fullname' }, 'expandInvalid', 'expand'],
    [{ expand: 'nothing' }, 'navigationUnknown', 'expand'],
    [{ pageSize: '0' }, 'queryInvalid', 'pageSize'],
    [{ pageSize: '5001' }, 'queryInvalid', 'pageSize'],
    [{ pageSize: 'many' }, 'queryInvalid', 'pageSize'],
    [{ count: 'yes' }, 'queryInvalid', 'count'],
    [{ formatted: '1' }, 'queryInvalid', 'formatted'],
    [{ $filter: "name eq 'x'" }, 'queryInvalid', '$filter'],
    [{ top: '5' }, 'queryInvalid', 'top'],
  ])('%j in the address is refused by name', async (values, code, path) => {
    const answer = await get(values);
    expect(answer.json).toMatchObject({ status: 400, code });
    expect(answer.json.errors[0].path).toBe(path);
  });

  test.each<[unknown, string]>([
    [[], 'bodyInvalid'],
    [{ select: 'name' }, 'bodyInvalid'],
    [{ select: [5] }, 'bodyInvalid'],
    [{ select: ['x'.repeat(200)] }, 'bodyInvalid'],
    [{ filter: 5 }, 'bodyInvalid'],
    [{ filter: 'x'.repeat(100_000) }, 'bodyInvalid'],
    [{ pageSize: 1.5 }, 'bodyInvalid'],
    [{ pageSize: '10' }, 'bodyInvalid'],
    [{ page: 5 }, 'bodyInvalid'],
    [{ top: 5 }, 'bodyInvalid'],
    [{ connection: 'second' }, 'bodyInvalid'],
    [{ filter: 'nmae eq 1' }, 'columnUnknown'],
  ])('a body is refused by name (%#)', async (body, code) => {
    const answer = await post(body);
    expect(answer.json, answer.text.slice(0, 200)).toMatchObject({ status: 400, code });
  });

  test('near names are told', async () => {
    expect((await get({ filter: 'nmae eq 1' })).json.hint).toBe('Did you mean name?');
    expect((await get({ selct: 'name' })).json.errors[0].message).toContain('Did you mean select?');
  });
});
