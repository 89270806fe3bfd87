import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Answer, TestApp } from '../../support/app.ts';
import { sharedApp } from '../../support/shared-app.ts';

let app: TestApp;

beforeAll(async () => {
  app = await sharedApp();
  await app.defineKey('account', 'accountnumber');
});
afterAll(() => app.assertNoSecret());
beforeEach(() => app.clearRules());

const run = (body: unknown, connection = 'default'): Promise<Answer> =>
  app.call('POST', `batch?connection=${connection}`, {
    body: typeof body === 'string' ? body : JSON.stringify(body),
    type: 'application/json',
  });

const guid = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
const outcomes = ({ json }: Answer): string[] => json.map((each: { outcome: string }) => each.outcome);
const batches = async (): Promise<number> =>
  (await app.calls()).filter(({ path, inBatch }) => !inBatch && path.endsWith('$batch')).length;

describe('a batch', () => {
  test('does what the connector’s own sample asks for: a custom table, choices as text', async () => {
    const key = guid(2);
    await app.admin('POST', 'msevtmgt_events', { msevtmgt_eventid: key, msevtmgt_name: 'Test Event' });
    const data = { msevtmgt_name: 'Test Event 1', msevtmgt_eventtype: '100000002' };
    const answer = await run(
      [
        { collection: 'msevtmgt_events', action: 'create', returnRepresentation: true, data },
        {
          collection: 'msevtmgt_events',
          action: 'update',
          key,
          returnRepresentation: true,
          data: { ...data, msevtmgt_name: 'Test Event 2' },
        },
        { collection: 'msevtmgt_events', action: 'delete', key },
      ],
      'events',
    );
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual([
      {
        index: 0,
        outcome: 'created',
        status: 201,
        id: expect.any(String),
        data: expect.objectContaining({ msevtmgt_name: 'Test Event 1', msevtmgt_eventtype: 100000002 }),
      },
      {
        index: 1,
        outcome: 'updated',
        status: 200,
        id: key,
        data: expect.objectContaining({ msevtmgt_name: 'Test Event 2', msevtmgt_eventtype: 100000002 }),
      },
      { index: 2, outcome: 'deleted', status: 204, id: key },
    ]);
  });

  test('lets an entry that fails fail alone, and tells why', async () => {
    const data = { name: 'A' };
    const answer = await run([
      { collection: 'accounts', action: 'create', data },
      { collection: 'accounts', action: 'update', key: guid(404), data },
      { collection: 'accounts', action: 'create', data: { nam: 'A' } },
      { collection: 'accounts', action: 'create', data: { industrycode: 'nothing' } },
      { collection: 'nowhere', action: 'create', data },
      { collection: 'opportunity', action: 'create', data },
      { collection: 'accounts', action: 'update', key: "accountnumbr='A'", data },
      { collection: 'accounts', action: 'delete', key: "accountnumber='none'" },
      { collection: 'account', action: 'create', data },
    ]);
    expect(outcomes(answer)).toEqual(['created', ...Array(7).fill('rejected'), 'created']);
    expect(answer.json.map((each: { status: number }) => each.status)).toEqual([
      204, 404, 400, 400, 404, 403, 400, 404, 204,
    ]);
    expect(answer.json.map((each: { error?: { code: string } }) => each.error?.code)).toEqual([
      undefined,
      '0x80040217',
      'columnUnknown',
      'unknownChoice',
      'tableUnknown',
      'tableNotAllowed',
      'keyUnknown',
      '0x80060891',
      undefined,
    ]);
    expect(answer.json[2].error).toMatchObject({ column: 'nam', hint: 'Did you mean name?' });
  });

  test.each([
    ['', null],
    ['', 'create'],
    ['', []],
    ['', { collection: 'accounts' }],
    ['', { collection: 'accounts', action: 'upsert', data: {} }],
    ['collection', { action: 'create', data: {} }],
    ['collection', { collection: 7, action: 'create', data: {} }],
    ['collection', { collection: 'x'.repeat(200), action: 'create', data: {} }],
    ['key', { collection: 'accounts', action: 'update', data: {} }],
    ['key', { collection: 'accounts', action: 'delete' }],
    ['key', { collection: 'accounts', action: 'delete', key: 7 }],
    ['key', { collection: 'accounts', action: 'create', key: guid(1), data: {} }],
    ['data', { collection: 'accounts', action: 'create' }],
    ['data', { collection: 'accounts', action: 'update', key: guid(1) }],
    ['data', { collection: 'accounts', action: 'create', data: [] }],
    ['data', { collection: 'accounts', action: 'delete', key: guid(1), data: {} }],
    ['returnRepresentation', { collection: 'accounts', action: 'create', data: {}, returnRepresentation: 'yes' }],
    ['other', { collection: 'accounts', action: 'create', data: {}, other: 1 }],
  ])('tells what is wrong with a malformed entry: %s (%#)', async (member, entry) => {
    const answer = await run([entry]);
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject([
      { index: 0, outcome: 'rejected', status: 400, error: { code: 'entryInvalid' } },
    ]);
    if (member !== '') expect(answer.json[0].error.message).toMatch(new RegExp(`^${member}: `));
  });

  test.each([
    ['key that quotes', { collection: 'accounts', action: 'delete', key: "accountnumber='a' or 1 eq 1" }],
    ['key that breaks lines', { collection: 'accounts', action: 'delete', key: `${guid(1)}\r\nHost: x` }],
    ['key that leads away', { collection: 'accounts', action: 'delete', key: `${guid(1)})/../contacts(${guid(1)}` }],
    ['collection that leads away', { collection: 'accounts/../contacts', action: 'delete', key: guid(1) }],
    ['collection that breaks lines', { collection: 'accounts\r\nHost: x', action: 'delete', key: guid(1) }],
  ])('sends no %s', async (_, entry) => {
    await app.forgetCalls();
    expect(outcomes(await run([entry]))).toEqual(['rejected']);
    expect((await app.calls()).filter(({ method }) => method !== 'GET')).toEqual([]);
  });

  test('does not mistake a member of every object for a column', async () => {
    const answer = await run('[{"collection":"accounts","action":"create","data":{"__proto__":{"name":"A"}}}]');
    expect(answer.json[0].error).toMatchObject({ code: 'columnUnknown', column: '__proto__' });
  });

  test.each([
    [400, { collection: 'accounts' }],
    [400, 'text'],
    [400, Array.from({ length: 1001 }, () => ({}))],
    [413, `["${'x'.repeat(33 * 1024 * 1024)}"]`],
  ])('is refused with %d as a whole where it is no list of at most 1000 (%#)', async (status, body) => {
    expect((await run(body)).status).toBe(status);
  });

  test('takes no entries at all', async () => {
    expect((await run([])).json).toEqual([]);
  });

  test('keeps the order of entries on one row, however many there are', async () => {
    const id = guid(7);
    const updates = Array.from({ length: 150 }, (_, at) => ({
      collection: 'accounts',
      action: 'update',
      key: at % 2 === 0 ? id : id.toUpperCase(),
      data: { name: `Name ${at}` },
    }));
    const answer = await run([
      { collection: 'accounts', action: 'create', data: { accountid: id, name: 'First' } },
      ...updates,
    ]);
    expect(new Set(outcomes(answer).slice(1))).toEqual(new Set(['updated']));
    expect((await app.admin('GET', `accounts(${id})?$select=name`)).json.name).toBe('Name 149');
  });

  test('finds rows by alternate key, also by one that no path carries, after what comes before it', async () => {
    const data = { name: 'By key', accountnumber: 'A/1 & more' };
    const key = "accountnumber='A/1 & more'";
    const answer = await run([
      { collection: 'accounts', action: 'create', data },
      { collection: 'accounts', action: 'update', key, data: { name: 'Renamed' }, returnRepresentation: true },
      { collection: 'accounts', action: 'delete', key },
      { collection: 'accounts', action: 'delete', key },
    ]);
    expect(outcomes(answer)).toEqual(['created', 'updated', 'deleted', 'rejected']);
    expect(answer.json[1]).toMatchObject({ id: answer.json[0].id, data: { name: 'Renamed' } });
    expect(answer.json[3]).toMatchObject({ status: 404, error: { code: 'notFound' } });
  });

  test('binds lookups, by id and by key, of allowed tables only', async () => {
    await run([{ collection: 'accounts', action: 'create', data: { name: 'Parent', accountnumber: 'PARENT' } }]);
    const create = (parent: unknown) => ({
      collection: 'contacts',
      action: 'create',
      data: { lastname: 'Doe', parentcustomerid: parent },
      returnRepresentation: true,
    });
    const answer = await run([
      create({ table: 'account', key: { accountnumber: 'PARENT' } }),
      create({ table: 'account', id: guid(404) }),
      create({ table: 'opportunity', id: guid(1) }),
    ]);
    expect(outcomes(answer)).toEqual(['created', 'rejected', 'rejected']);
    expect(answer.json[0].data.parentcustomerid).toMatchObject({ table: 'account' });
  });

  test('carries a thousand entries in requests of a hundred', async () => {
    await app.forgetCalls();
    const entries = Array.from({ length: 1000 }, (_, at) => ({
      collection: 'accounts',
      action: 'create',
      data: { accountid: guid(100_000 + at), name: `Many ${at}` },
    }));
    const answer = await run(entries);
    expect(outcomes(answer)).toEqual(Array(1000).fill('created'));
    expect(answer.json.map((each: { index: number }) => each.index)).toEqual(entries.map((_, at) => at));
    // One more reads the table's definition when it is not known yet.
    expect(await batches()).toBeLessThanOrEqual(11);
  });

  test('waits for service protection limits', async () => {
    await app.rule({
      match: { path: '$batch' },
      times: 1,
      action: {
        status: 429,
        headers: { 'retry-after': '0' },
        body: { error: { code: '0x80072322', message: 'limit' } },
      },
    });
    expect(outcomes(await run([{ collection: 'accounts', action: 'create', data: { name: 'A' } }]))).toEqual([
      'created',
    ]);
  });

  test('creates no second row when the connection breaks after the commit', async () => {
    const name = 'Broken off';
    const entry = { collection: 'accounts', action: 'create', data: { name }, returnRepresentation: true };
    await run([{ collection: 'accounts', action: 'create', data: { name: 'to know the table' } }]);
    await app.rule({ match: { path: '$batch' }, times: 1, action: { reset: 'after' } });
    const answer = await run([entry, { collection: 'accounts', action: 'delete', key: guid(404) }]);
    expect(answer.json[0]).toMatchObject({ outcome: 'created', status: 201, data: { name } });
    const found = await app.admin('GET', `accounts?$select=accountid&$filter=name eq '${name}'`);
    expect(found.json.value).toHaveLength(1);
    expect(answer.json[0].id).toBe(found.json.value[0].accountid);
  });
});
