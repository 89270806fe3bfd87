import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { noExperience } from '../../../../src/dataverse/bulk/effort.ts';
import type { RowOutcome } from '../../../../src/dataverse/bulk/outcomes.ts';
import type { WriteProgress } from '../../../../src/dataverse/bulk/progress.ts';
import { createBulkSupport } from '../../../../src/dataverse/bulk/support.ts';
import { writePages, writeRows } from '../../../../src/dataverse/bulk/write-rows.ts';
import { ACCOUNT } from './account-table.ts';
import { account, id, kinds, openWorld, row } from './world.ts';

const refused = { refuses: ({ name }: { readonly name?: unknown }) => (name === 'refused' ? '0x80040203' : undefined) };

describe('rows', () => {
  test('that exist go out as one update by id, the others as one create with the id made for them', async () => {
    const world = openWorld({ rows: [account(id(1), 'A-1')] });
    expect(await world.write([row(0, 'a-1 '), row(1, 'A-2')])).toEqual([
      { index: 0, key: { accountnumber: 'a-1 ' }, outcome: 'updated', id: id(1) },
      { index: 1, key: { accountnumber: 'A-2' }, outcome: 'created', id: id(1001) },
    ]);
    expect(world.service.requests).toEqual(['lookUp', 'bulk create', 'bulk update']);
    expect(world.rows.get(id(1))).toMatchObject({ accountnumber: 'A-1', name: 'Name' });
  });

  test('with equal keys are never on their way together, keep their order, and the last value stays', async () => {
    const world = openWorld();
    const rows = ['A', 'B', 'a', 'A ', 'C'].map((number, at) => row(at, number, `Value ${at}`));
    expect(kinds(await world.write(rows))).toEqual(['created', 'created', 'updated', 'updated', 'created']);
    expect(world.byNumber('A')).toMatchObject({ name: 'Value 3' });
    expect(world.races).toEqual([]);
  });

  test('with different keys that lead to one row are not on their way together either', async () => {
    const world = openWorld({ rows: [account(id(1), 'A')] });
    const rows = [row(0, 'A', 'First', { id: id(1) }), row(1, 'B', 'Second', { id: id(1) })];
    expect(kinds(await world.write(rows))).toEqual(['updated', 'updated']);
    expect(world.races).toEqual([]);
    expect(world.rows.get(id(1))).toMatchObject({ name: 'Second' });
  });

  test('that are outcomes already keep their place', async () => {
    const rejected: RowOutcome = { index: 1, key: {}, outcome: 'rejected', error: { code: 'x', message: 'x' } };
    const outcomes = await openWorld().write([row(0, 'A'), rejected, row(2, 'B')]);
    expect(outcomes.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(outcomes[1]).toBe(rejected);
  });

  test('that were made by an earlier try of the same write count as created and are not sent again', async () => {
    const world = openWorld({ rows: [account(id(1000), 'A', 'Name')] });
    expect(kinds(await world.write([row(0, 'A')]))).toEqual(['created']);
    expect(world.service.requests).toEqual(['lookUp']);
  });

  test('whose remembered id is gone are found again by their key', async () => {
    const gone = row(0, 'A', 'New', { id: id(99) });
    expect(await openWorld({ rows: [account(id(1), 'A')] }).write([gone])).toMatchObject([
      { outcome: 'updated', id: id(1) },
    ]);
    const lost = openWorld();
    expect(await lost.write([gone])).toMatchObject([{ outcome: 'created', id: id(1000) }]);
    expect(lost.byNumber('A')).toMatchObject({ name: 'New' });
  });

  test('that another writer creates in between are updated', async () => {
    const world = openWorld({
      fault: ({ kind }) => {
        if (kind === 'create' && world.rows.size === 0) world.rows.set(id(7), account(id(7), 'A'));
        return undefined;
      },
    });
    expect(await world.write([row(0, 'A', 'Ours'), row(1, 'B')])).toMatchObject([
      { outcome: 'updated', id: id(7) },
      { outcome: 'created' },
    ]);
    expect(world.rows.get(id(7))).toMatchObject({ name: 'Ours' });
  });

  test('that another writer creates under a key written otherwise are found by asking for them alone', async () => {
    // To SQL Server's collation ß and ss are the same, to us they are not.
    const world = openWorld({
      fault: ({ kind, rows }) => {
        if (kind === 'create' && rows.some((each) => each['accountnumber'] === 'Straße'))
          return { status: 412, code: '0x80060892' };
        return undefined;
      },
    });
    world.rows.set(id(7), account(id(7), 'Strasse'));
    const { transport } = world.service;
    const collating = openWorld();
    collating.context.client.send = async (request) => {
      const asked = decodeURIComponent(request.path).includes('["Straße"]');
      const response = await transport({
        method: request.method,
        url: new URL(
          `https://x/api/data/v9.2/${asked ? request.path.replace('Stra%C3%9Fe', 'Strasse') : request.path}`,
        ),
        headers: request.headers ?? {},
        body: request.body,
      });
      if (response.status >= 400) return world.client.send(request);
      const text = response.body.toString();
      return {
        status: response.status,
        header: (name) => String(response.headers[name]),
        text,
        json: () => JSON.parse(text),
      };
    };
    expect(await collating.write([row(0, 'Straße', 'Ours'), row(1, 'B')])).toMatchObject([
      { outcome: 'updated', id: id(7) },
      { outcome: 'created' },
    ]);
  });

  test('of which the caller knows what they have send only what changes, or nothing', async () => {
    const world = openWorld({ rows: [account(id(1), 'A', 'Old')] });
    const known = { id: id(1), known: { name: 'Old', description: null } };
    const outcomes = await world.write([
      row(0, 'A', 'Old', { ...known, values: { name: 'Old', description: null } }),
      row(1, 'A', 'New', { ...known, values: { name: 'New', description: null } }),
    ]);
    expect(kinds(outcomes)).toEqual(['unchanged', 'updated']);
    const [update] = world.sent.filter(({ kind }) => kind === 'update');
    expect(update?.rows).toEqual([{ '@odata.type': 'Microsoft.Dynamics.CRM.account', accountid: id(1), name: 'New' }]);
  });

  test('come in the order in which they are settled, where that is asked for', async () => {
    const world = openWorld({ fault: ({ kind }) => (kind === 'create' ? { slow: 1000 } : undefined) });
    world.rows.set(id(1), account(id(1), 'B'));
    const rows = [row(0, 'A'), row(1, 'B')];
    expect((await world.write(rows, { order: 'completion' })).map(({ index }) => index)).toEqual([1, 0]);
  });

  test('in pages are written as rows one by one are, and outcomes come in pages', async () => {
    const world = openWorld();
    const pages: number[] = [];
    const source = (async function* () {
      for (let at = 0; at < 900; at += 300) yield Array.from({ length: 300 }, (_, n) => row(at + n, `A${at + n}`));
    })();
    const collect = async (): Promise<void> => {
      for await (const page of writePages(world.context, source)) pages.push(page.length);
    };
    await world.clock.run(collect());
    expect(pages.reduce((sum, length) => sum + length, 0)).toBe(900);
    expect(pages.length).toBeLessThan(30);
    expect(world.rows.size).toBe(900);
  });
});

describe('keys', () => {
  test('of several columns, with lookups, lead to rows, and are written with new ones', async () => {
    const contact = id(500);
    const world = openWorld({
      rows: [{ accountid: id(1), accountnumber: "O'Neill & Söhne/1", _primarycontactid_value: contact }],
    });
    const key = (accountnumber: string) => ({ accountnumber, primarycontactid: contact });
    const outcomes = await world.write(
      [row(0, '', 'Old', { key: key("O'Neill & Söhne/1") }), row(1, '', 'New', { key: key('N') })],
      { strategy: { kind: 'alternateKey', columns: ['accountnumber', 'primarycontactid'] } },
    );
    expect(outcomes).toMatchObject([{ outcome: 'updated', id: id(1) }, { outcome: 'created' }]);
    expect(world.rows.get(id(1001))).toMatchObject({
      accountnumber: 'N',
      'primarycontactid_nav@odata.bind': `/contacts(${contact})`,
    });
  });

  test('without a key lead to the one row that matches; several are refused, none is created', async () => {
    const world = openWorld({
      rows: [
        { accountid: id(1), name: 'One' },
        { accountid: id(2), name: 'Two' },
        { accountid: id(3), name: 'two ' },
      ],
    });
    const match = (index: number, name: string) => row(index, '', '', { key: { name }, values: { description: 'x' } });
    const outcomes = await world.write([match(0, 'one'), match(1, 'Two'), match(2, 'Three')], {
      strategy: { kind: 'match', columns: ['name'] },
    });
    expect(outcomes).toMatchObject([
      { outcome: 'updated', id: id(1) },
      { outcome: 'rejected', error: { code: 'ambiguousKey' } },
      { outcome: 'created', id: id(1002) },
    ]);
    expect(world.rows.get(id(1002))).toMatchObject({ name: 'Three', description: 'x' });
  });

  test('are looked up in several pages at once, each within the longest URL', async () => {
    const number = (at: number) => `ä${String(at).padStart(19, '0')}`;
    const seed = Array.from({ length: 1200 }, (_, at) => account(id(at), number(at)));
    const world = openWorld({ rows: seed, model: { call: 10, create: 1, update: 1, operation: 1, key: 0 } });
    const outcomes = await world.write(seed.map((_, at) => row(at, number(at))));
    expect(new Set(kinds(outcomes))).toEqual(new Set(['updated']));
    const starts = world.sent.filter(({ form }) => form === 'query').map(({ at }) => at);
    expect(new Set(starts).size).toBeLessThan(starts.length);
  });

  test('that came before in the same input are not looked up again', async () => {
    const world = openWorld();
    await world.write([row(0, 'A'), ...Array.from({ length: 5 }, (_, at) => row(at + 1, 'a', `Value ${at}`))]);
    expect(world.service.requests.filter((each) => each === 'lookUp')).toHaveLength(1);
  });
});

describe('the wire form', () => {
  const many = Array.from({ length: 130 }, (_, at) => row(at, `A${at}`));

  test('is a $batch where the table has no bulk messages, asked once for all writes', async () => {
    const world = openWorld({ bulkMessages: false });
    const support = createBulkSupport(world.client);
    await world.write(many, { support });
    await world.write([row(500, 'B')], { support });
    expect(world.service.requests.filter((each) => each.startsWith('support'))).toHaveLength(1);
    expect(new Set(world.service.requests.filter((each) => !/lookUp/.test(each)))).toEqual(new Set(['batch create']));
    expect(world.rows.size).toBe(131);
  });

  test('is corrected, and remembered, where a bulk message proves unsupported', async () => {
    const world = openWorld({ bulkMessages: false });
    const forms = { bulk: true, batch: true };
    const outcomes = await world.write(many, {
      support: { of: async () => forms, experience: (_, limits) => noExperience(limits) },
    });
    expect(new Set(kinds(outcomes))).toEqual(new Set(['created']));
    expect(forms).toEqual({ bulk: false, batch: true });
  });

  test('is one request a row where there is nothing else', async () => {
    const world = openWorld({ ...refused, bulkMessages: false, batches: false });
    const outcomes = await world.write([...many.slice(0, 5), row(5, 'A5', 'refused')]);
    expect(kinds(outcomes)).toEqual([...Array(5).fill('created'), 'rejected']);
    expect(world.service.requests.filter((each) => each === 'single create')).toHaveLength(6);
  });

  test('is UpsertMultiple by key where no look-up is wanted, but for keys that no address carries', async () => {
    const world = openWorld({ rows: [account(id(1), 'A')] });
    const outcomes = await world.write([row(0, 'A'), row(1, "B'1"), row(2, 'C/2')], { resolve: false });
    expect(kinds(outcomes)).toEqual(['updated', 'updated', 'created']);
    expect(world.service.requests.sort()).toEqual(['bulk create', 'bulk upsert', 'lookUp']);
    const [upsert] = world.sent.filter(({ kind }) => kind === 'upsert');
    expect(upsert?.rows[1]).toEqual({
      '@odata.type': 'Microsoft.Dynamics.CRM.account',
      '@odata.id': 'accounts(accountnumber=%27B%27%271%27)',
      name: 'Name',
    });
    expect(outcomes[0]).not.toHaveProperty('id');
  });

  test('without a look-up settles bad rows, deletions and creates by key as well', async () => {
    const world = openWorld({ ...refused, rows: [account(id(1), 'A')] });
    const direct = { resolve: false } as const;
    const upserts = await world.write([row(0, 'A', 'New'), row(1, 'B', 'refused'), row(2, 'C')], direct);
    expect(kinds(upserts)).toEqual(['updated', 'rejected', 'updated']);
    const creates = await world.write([row(3, 'D'), row(4, 'a')], { ...direct, mode: 'create' });
    expect(creates).toMatchObject([{ outcome: 'created' }, { outcome: 'rejected', error: { code: 'alreadyExists' } }]);
    const byId = (number: number) => row(number, '', '', { key: { id: id(number) }, values: {} });
    const deletes = await world.write([byId(1), byId(77)], { ...direct, mode: 'delete', strategy: { kind: 'id' } });
    expect(kinds(deletes)).toEqual(['deleted', 'skipped']);
  });

  test.each([true, false])('takes part successes of elastic tables for what they are (told: %s)', async (statuses) => {
    const world = openWorld({ ...refused, elastic: { statuses } });
    const table = { ...ACCOUNT, elastic: true };
    const rows = many.map((each, at) => (at % 40 === 7 ? { ...each, values: { name: 'refused' } } : each));
    const outcomes = await world.write(rows, { table });
    expect(kinds(outcomes)).toEqual(rows.map(({ values }) => (values['name'] === 'refused' ? 'rejected' : 'created')));
    expect(outcomes[7]?.error?.code).toBe('0x80040203');
    expect(world.sent.every(({ form, rows: sent }) => form !== 'bulk' || sent.length <= 100)).toBe(true);
    const removed = await world.write(many, { table, mode: 'delete' });
    expect(kinds(removed).filter((kind) => kind === 'deleted')).toHaveLength(126);
    expect(world.service.requests).toContain('bulk delete');
  });
});

describe('bad rows', () => {
  test('are told exactly, whichever they are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ bad: fc.boolean(), known: fc.boolean() }), { maxLength: 230 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (specs, badness) => {
          const isBad = (at: number): boolean => specs[at]?.bad === true && (at * 0.618) % 1 < badness;
          const world = openWorld({
            ...refused,
            rows: specs.flatMap(({ known }, at) => (known ? [account(id(at), `A${at}`)] : [])),
          });
          const rows = specs.map((_, at) => row(at, `A${at}`, isBad(at) ? 'refused' : 'Good'));
          const outcomes = await world.write(rows, { batchSize: 60, stopAt: { share: 1, rows: 1000 } });
          const expected = specs.map(({ known }, at) => (isBad(at) ? 'rejected' : known ? 'updated' : 'created'));
          expect(kinds(outcomes)).toEqual(expected);
          for (const [at, { known }] of specs.entries()) {
            expect(world.byNumber(`A${at}`)?.['name']).toBe(isBad(at) ? (known ? 'Before' : undefined) : 'Good');
            if (isBad(at)) expect(outcomes[at]?.error).toMatchObject({ code: '0x80040203' });
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test('that take a value which another row has are told with the refusal, and do not become that row', async () => {
    const world = openWorld({ rows: [{ ...account(id(1), 'T'), tickersymbol: 'X' }] });
    const twin = row(1, 'B', 'Twin', { values: { name: 'Twin', tickersymbol: 'x' } });
    const outcomes = await world.write([row(0, 'A'), twin, row(2, 'T', 'Theirs')]);
    expect(outcomes).toMatchObject([
      { outcome: 'created' },
      { outcome: 'rejected', error: { code: '0x80060892', hint: expect.any(String) } },
      { outcome: 'updated', id: id(1) },
    ]);
  });

  test('of a hopeless share end the write, and the rest is told why', async () => {
    const world = openWorld({ ...refused });
    const rows = Array.from({ length: 2000 }, (_, at) => row(at, `A${at}`, at % 50 === 0 ? 'Good' : 'refused'));
    const outcomes = await world.write(rows, { stopAt: { share: 0.9, rows: 100 } });
    expect(outcomes).toHaveLength(2000);
    const skipped = outcomes.filter(({ outcome }) => outcome === 'skipped');
    expect(skipped.length).toBeGreaterThan(1000);
    expect(skipped[0]?.error).toMatchObject({ code: 'writeStopped', message: expect.stringContaining('0x80040203') });
    for (const { index, outcome } of outcomes)
      expect(world.byNumber(`A${index}`) !== undefined).toBe(outcome === 'created');
  });

  test('of which there are few leave the price near that of clean ones', async () => {
    const model = { call: 12, create: 2, update: 2.4, operation: 8, key: 0 };
    const took = async (bad: number): Promise<number> => {
      const world = openWorld({ ...refused, model, hint: 4 });
      const start = world.clock.now();
      const rows = Array.from({ length: 6000 }, (_, at) => row(at, `A${at}`, at % 100 < bad ? 'refused' : 'Good'));
      const outcomes = await world.write(rows);
      expect(kinds(outcomes).filter((kind) => kind === 'rejected')).toHaveLength(60 * bad);
      return world.clock.now() - start;
    };
    expect((await took(1)) / (await took(0))).toBeLessThan(2.3);
  });
});

describe('mode', () => {
  const both = [row(0, 'A', 'New'), row(1, 'B', 'New')];
  const rows = [account(id(1), 'A')];

  test('create leaves rows alone that exist', async () => {
    const world = openWorld({ rows });
    expect(await world.write(both, { mode: 'create' })).toMatchObject([
      { outcome: 'rejected', error: { code: 'alreadyExists' } },
      { outcome: 'created' },
    ]);
    expect(world.rows.get(id(1))).toMatchObject({ name: 'Before' });
  });

  test('update creates none', async () => {
    const world = openWorld({ rows });
    expect(await world.write(both, { mode: 'update' })).toMatchObject([
      { outcome: 'updated' },
      { outcome: 'rejected', error: { code: 'notFound' } },
    ]);
    expect(world.rows.size).toBe(1);
  });

  test('delete skips what is not there, also what goes in between', async () => {
    const world = openWorld({
      rows: [...rows, account(id(2), 'B')],
      fault: ({ form }) => {
        if (form === 'batch') world.rows.delete(id(2));
        return undefined;
      },
    });
    expect(await world.write([...both, row(2, 'C')], { mode: 'delete' })).toMatchObject([
      { outcome: 'deleted', id: id(1) },
      { outcome: 'skipped', error: { code: 'notFound' } },
      { outcome: 'skipped', error: { code: 'notFound' } },
    ]);
    expect(world.rows.size).toBe(0);
  });
});

describe('rows addressed by id', () => {
  const byId = { strategy: { kind: 'id' } } as const;
  const idRow = (number: number) => row(number, '', 'Name', { key: { id: id(number) } });

  test('are created under their id and updated when they exist', async () => {
    const world = openWorld({ rows: [account(id(1), 'A')] });
    expect(await world.write([idRow(0), idRow(1)], byId)).toMatchObject([
      { outcome: 'created', id: id(0) },
      { outcome: 'updated', id: id(1) },
    ]);
    expect(world.rows.get(id(0))).toMatchObject({ accountid: id(0), name: 'Name' });
  });

  test.each(['upsert', 'create'] as const)('of mode %s count as created where the answer was lost', async (mode) => {
    const world = openWorld({
      fault: ({ kind, at }) => (kind === 'create' && at === start ? { reset: 'after' } : undefined),
    });
    const start = world.clock.now();
    expect(await world.write([idRow(0)], { ...byId, mode })).toMatchObject([{ outcome: 'created', id: id(0) }]);
    expect(world.service.requests).toEqual(['lookUp', 'bulk create', 'lookUp']);
  });

  test('that are younger than the write count as created by it, and get their values', async () => {
    const world = openWorld();
    const since = world.clock.now();
    const young = { ...account(id(0), 'A'), createdon: new Date(since).toISOString() };
    world.rows.set(id(0), young);
    world.rows.set(id(1), { ...account(id(1), 'B'), createdon: new Date(since - 2000).toISOString() });
    expect(kinds(await world.write([idRow(0), idRow(1)], { ...byId, since }))).toEqual(['created', 'updated']);
    expect(world.rows.get(id(0))).toMatchObject({ name: 'Name' });
    world.rows.set(id(0), young);
    expect(kinds(await world.write([idRow(0), idRow(1)], { ...byId, since, mode: 'create' }))).toEqual([
      'created',
      'rejected',
    ]);
  });
});

describe('the source', () => {
  test('is read only as fast as rows are written, in bounded memory', async () => {
    const world = openWorld({ model: { call: 5, create: 1, update: 1, operation: 1, key: 0 } });
    let given = 0;
    let most = 0;
    let settled = 0;
    const source = (async function* () {
      for (let at = 0; at < 30_000; at += 1) {
        given += 1;
        most = Math.max(most, given - settled);
        yield row(at, `A${at}`, 'Name', { id: id(1) });
      }
    })();
    world.rows.set(id(1), account(id(1), 'X'));
    const collect = async (): Promise<void> => {
      for await (const _ of writeRows({ ...world.context, batchSize: 50, mode: 'create' }, source)) settled += 1;
    };
    await world.clock.run(collect());
    expect(settled).toBe(30_000);
    expect(most).toBeLessThan(3_000);
  });

  test('that falls silent does not hold back what it gave before', async () => {
    const world = openWorld();
    const source = (async function* () {
      yield row(0, 'A');
      await world.clock.sleep(60_000);
      yield row(1, 'B');
    })();
    const times: number[] = [];
    const start = world.clock.now();
    const collect = async (): Promise<void> => {
      for await (const _ of writeRows(world.context, source)) times.push(world.clock.now() - start);
    };
    await world.clock.run(collect());
    expect(times[0]).toBeLessThan(1_000);
    expect(times[1]).toBe(60_000);
  });

  test('that fails ends the write with its error, once what is on its way has ended', async () => {
    const world = openWorld();
    const source = (async function* () {
      for (let at = 0; at < 150; at += 1) yield row(at, `A${at}`);
      throw new Error('the file is gone');
    })();
    const outcomes: RowOutcome[] = [];
    const collect = async (): Promise<void> => {
      for await (const outcome of writeRows(world.context, source)) outcomes.push(outcome);
    };
    await expect(world.clock.run(collect())).rejects.toThrow('the file is gone');
    expect(outcomes.filter(({ outcome }) => outcome === 'created')).toHaveLength(world.rows.size);
  });
});

test('a reader that leaves ends the write', async () => {
  const world = openWorld({ model: { call: 10, create: 1, update: 1, operation: 1, key: 0 } });
  const source = (async function* () {
    for (let at = 0; at < 100_000; at += 1) yield row(at, `A${at}`);
  })();
  const leave = async (): Promise<void> => {
    for await (const _ of writeRows(world.context, source)) return;
  };
  await world.clock.run(leave());
  const { size } = world.rows;
  expect(size).toBeLessThan(5_000);
  await new Promise((resolve) => setImmediate(resolve));
  expect(world.rows.size).toBe(size);
});

test('progress is told after each call: rows by outcome, rate, time left, cost and pace', async () => {
  const told: WriteProgress[] = [];
  const world = openWorld({ model: { call: 100, create: 1, update: 1, operation: 1, key: 0 }, hint: 4 });
  const rows = Array.from({ length: 1000 }, (_, at) => row(at, `A${at}`));
  await world.write(rows, { total: 2000, onProgress: (progress) => told.push(progress) });
  const last = told.at(-1);
  expect(last).toMatchObject({ taken: 1000, settled: 1000, calls: world.sent.length, concurrency: 4 });
  expect(last?.counts).toMatchObject({ created: 1000 });
  expect(last?.batchSize).toBeGreaterThan(100);
  expect(Math.abs((last?.etaMs ?? 0) * (last?.rowsPerSecond ?? 0) - 1_000_000)).toBeLessThan(1_000);
});
