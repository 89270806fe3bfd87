import { EventEmitter, once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openEngine } from '../../../src/activations/engine.ts';
import { DataverseError } from '../../../src/dataverse/errors.ts';
import { mortalStorage } from './memory-storage.ts';
import { definition, openWorld, putSource, type World } from './world.ts';

async function openWith(
  source: string | Buffer,
  changes: Record<string, unknown> = {},
  chunkRows = 1000,
): Promise<World> {
  const world = openWorld({ chunkRows });
  await world.activations.put('companies', definition(changes));
  await putSource(world, source);
  return world;
}

const valuesOf = (world: World) => [...world.target.rows.values()].map((row) => row.values);

describe('a run', () => {
  test('gives every row one outcome, and says why the bad ones were rejected', async () => {
    const world = await openWith(
      Buffer.concat([
        Buffer.from('number,name,employees\nA,Alpha,1\n,No key,1\n   ,Blank key,1\nb,First,1\nB  ,Last,2\n'),
        Buffer.from(`C,${'x'.repeat(161)},1\nD,Delta,many\nE,Echo,-1\nF,short\nG,`),
        Buffer.from([0xff]),
        Buffer.from(',1\nH,"multi\nline",\n'),
      ]),
    );
    const run = await world.runToEnd('companies');
    expect(run).toMatchObject({ state: 'completedWithRejections', input: 11 });
    expect(run.counts).toEqual({ created: 3, updated: 0, unchanged: 0, deleted: 0, rejected: 7, skipped: 1 });
    const rows = await world.allRows('companies', run.id);
    expect(rows.map(({ outcome, error }) => [outcome, error?.code])).toEqual([
      ['created', undefined],
      ['rejected', 'emptyKey'],
      ['rejected', 'emptyKey'],
      ['skipped', 'duplicateKey'],
      ['created', undefined],
      ['rejected', 'valueTooLong'],
      ['rejected', 'wrongType'],
      ['rejected', 'outOfRange'],
      ['created', undefined],
      ['rejected', 'malformedRow'],
      ['rejected', 'malformedRow'],
    ]);
    expect(rows[9]?.error?.message).toContain('row 9');
    expect(rows[5]?.error).toMatchObject({ column: 'name', hint: expect.stringContaining('truncate') });
    expect(rows[4]?.key).toEqual({ accountnumber: 'B  ' });

    const rejected = await world.activations.rows('companies', run.id, { outcome: 'rejected', pageSize: 5 });
    expect(rejected.value).toHaveLength(5);
    const rest = await world.activations.rows('companies', run.id, { outcome: 'rejected', page: rejected.nextPage });
    expect(rest.value).toHaveLength(2);
    await expect(world.activations.rows('companies', run.id, { page: 'x' })).rejects.toMatchObject({
      code: 'pageUnknown',
    });

    const blobs = world.storage.blobs('activations');
    const paths: string[] = [];
    for await (const { path } of blobs.list('runs/')) paths.push(path);
    const path = paths.find((each) => each.endsWith('/rejected.ndjson.gz')) ?? '';
    const blob = await blobs.read(path);
    expect(
      gunzipSync(blob?.body ?? '')
        .toString()
        .trim()
        .split('\n'),
    ).toHaveLength(7);
  });

  test('sends a rejected row again, and one that was accepted only when it has changed', async () => {
    const world = await openWith('number,name,employees\nA,Alpha,1\nB,Beta,many\n');
    world.target.beforeRow = (row) =>
      row.key['accountnumber'] === 'A' ? { code: '0x80040265', message: 'A plug-in refused it.' } : undefined;
    expect((await world.runToEnd('companies')).counts).toMatchObject({ created: 0, rejected: 2 });
    world.target.beforeRow = () => undefined;
    expect((await world.runToEnd('companies')).counts).toMatchObject({ created: 1, rejected: 1 });
    expect((await world.runToEnd('companies')).counts).toMatchObject({ unchanged: 1, rejected: 1 });
  });

  test('leaves a row that left the segment, and updates it by its id when it is back', async () => {
    const world = await openWith('number,name,employees\nA,Alpha,1\nB,Beta,2\n');
    await world.runToEnd('companies');
    await putSource(world, 'number,name,employees\nA,Alpha,1\n');
    expect(await world.runToEnd('companies')).toMatchObject({ left: 1, counts: { unchanged: 1 } });
    expect(await world.runToEnd('companies')).toMatchObject({ left: 0, counts: { unchanged: 1 } });
    await putSource(world, 'number,name,employees\nA,Alpha,1\nB,Beta,2\n');
    expect(await world.runToEnd('companies')).toMatchObject({ left: 0, counts: { unchanged: 1, updated: 1 } });
    expect(world.target.rows.size).toBe(2);
  });

  test('sends everything again when asked to, and when the mapping changes', async () => {
    const world = await openWith('number,name,employees\nA,Alpha,1\n');
    await world.runToEnd('companies');
    expect((await world.runToEnd('companies', { fullRefresh: true })).counts).toMatchObject({ updated: 1 });
    expect((await world.runToEnd('companies')).counts).toMatchObject({ unchanged: 1 });
    const mapping = { accountnumber: 'number', name: 'name' };
    await world.activations.put('companies', definition({ mapping }));
    expect((await world.runToEnd('companies')).counts).toMatchObject({ updated: 1 });
  });

  test('sends everything by key again when the snapshot is gone', async () => {
    const world = await openWith('number,name,employees\nA,Alpha,1\n');
    await world.runToEnd('companies');
    const blobs = world.storage.blobs('activations');
    for await (const { path } of blobs.list('snapshots/')) await blobs.remove(path);
    expect(await world.runToEnd('companies')).toMatchObject({ state: 'succeeded', counts: { updated: 1 } });
    expect((await world.runToEnd('companies')).counts).toMatchObject({ unchanged: 1 });
  });

  test('leaves empty values alone or clears them, as the definition says', async () => {
    const source = 'number,name,employees\nA,,\n';
    const ignoring = await openWith(source);
    await ignoring.runToEnd('companies');
    expect(valuesOf(ignoring)).toEqual([{}]);
    const clearing = await openWith(source, { nulls: 'clear' });
    await clearing.runToEnd('companies');
    expect(valuesOf(clearing)).toEqual([{ name: null, numberofemployees: null }]);
  });

  test('cuts text to the column where the mapping says so, without splitting a character', async () => {
    const mapping = { accountnumber: 'number', tickersymbol: { from: 'name', truncate: true } };
    const world = await openWith('number,name\nA,123456789😀\nB,12345678😀x\n', { mapping });
    await world.runToEnd('companies');
    expect(valuesOf(world)).toEqual([{ tickersymbol: '123456789' }, { tickersymbol: '12345678😀' }]);
  });

  test.each([
    ['rows.ndjson', '{"number":"A","name":"Älpha","employees":5}\n\nnot json\n{"number":"B"}\n', 1],
    ['rows.json', '[{"number":"A","name":"Älpha","employees":5},{"number":"B"}]', 0],
    ['rows.csv.gz', gzipSync('number,name,employees\nA,Älpha,5\nB,,\n'), 0],
    ['rows.csv', '\ufeffnumber,name,employees\r\nA,Älpha,5\r\n\r\nB,,\r\n', 0],
  ])('reads %s', async (path, body, rejected) => {
    const world = openWorld();
    await world.activations.put('companies', definition({ source: { kind: 'blob', path: 'inbox/rows*' } }));
    await putSource(world, body, path);
    expect(await world.runToEnd('companies')).toMatchObject({ counts: { created: 2, rejected } });
    expect(valuesOf(world)).toEqual([{ name: 'Älpha', numberofemployees: 5 }, {}]);
  });

  test('reads Parquet, whatever the types of its columns', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'parquet-test-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const engine = await openEngine(folder);
    const file = join(folder, 'rows.parquet');
    await engine.run(`copy (select 'A' as number, 'Alpha' as name, 7 as employees) to '${file}' (format parquet)`);
    engine.close();
    const world = openWorld();
    await world.activations.put('companies', definition({ source: { kind: 'blob', path: 'inbox/*.parquet' } }));
    await putSource(world, readFileSync(file), 'rows.parquet');
    expect((await world.runToEnd('companies')).counts).toMatchObject({ created: 1 });
    expect(valuesOf(world)).toEqual([{ name: 'Alpha', numberofemployees: 7 }]);
  });

  test('takes the newest of the blobs that match', async () => {
    const world = await openWith('number,name,employees\nOLD,,\n');
    world.later(1000);
    await putSource(world, 'number,name,employees\nNEW,,\n', 'rows-1.csv');
    await putSource(world, 'number,name,employees\nSAME,,\n', 'rows-0.csv');
    await putSource(world, 'number,name,employees\nELSEWHERE,,\n', 'rows/2.csv');
    const run = await world.runToEnd('companies');
    expect(await world.allRows('companies', run.id)).toMatchObject([{ key: { accountnumber: 'NEW' } }]);
  });

  test.each([
    ['sourceNotFound', undefined, {}],
    ['sourceMalformed', 'number,name,employees\nA,"open,1\nB,Beta,2\n', {}],
    ['sourceMalformed', 'number,Number\nA,B\n', {}],
    ['sourceMalformed', '[{"number":"A"},{"number":', { source: { kind: 'blob', path: 'inbox/rows.json' } }],
    ['sourceMalformed', 'no Parquet', { source: { kind: 'blob', path: 'inbox/rows.parquet' } }],
    ['sourceMalformed', 'x', { source: { kind: 'blob', path: 'inbox/rows.xlsx' } }],
    ['sourceEmpty', '[]', { source: { kind: 'blob', path: 'inbox/rows.json' } }],
    ['sourceEmpty', '', {}],
    ['modelInvalid', 'number\nA\n', { model: 'select nothing from source' }],
    ['tableUnknown', 'number\nA\n', { table: 'acount' }],
  ])('fails as %s with a problem, and nothing is sent', async (code, source, changes) => {
    const world = openWorld();
    await world.activations.put('companies', definition(changes));
    const { definition: stored } = await world.activations.get('companies');
    const path = stored.source.path.replace('inbox/', '').replace('*', '');
    if (source !== undefined) await putSource(world, source, path);
    const run = await world.runToEnd('companies');
    expect(run).toMatchObject({ state: 'failed', problem: { code }, calls: 0 });
    expect(run.endedAt).toBeDefined();
    expect(run.problem?.message).not.toContain(tmpdir());
  });

  test('fails with one problem that names every column which the model or the table does not have', async () => {
    const mapping = { accountnumber: 'Nummer', naam: 'name', createdon: 'name', name: 'title' };
    const world = await openWith('number,name\nA,Alpha\n', { mapping });
    const { state, problem } = await world.runToEnd('companies');
    expect(state).toBe('failed');
    expect(problem?.code).toBe('mappingInvalid');
    expect(problem?.errors?.map(({ path, code }) => `${path} ${code}`)).toEqual([
      'mapping.accountnumber columnUnknown',
      'mapping.createdon columnReadOnly',
      'mapping.naam columnUnknown',
      'mapping.name columnUnknown',
    ]);
  });

  test('takes the rows that come with its start for the source', async () => {
    const world = await openWith('number,name,employees\nA,Alpha,1\n');
    const body = async function* () {
      yield Buffer.from('{"number":"Z","na');
      yield Buffer.from('me":"Zulu"}\n');
    };
    const mapping = { accountnumber: 'number', name: 'name' };
    await world.activations.put('companies', definition({ mapping }));
    const run = await world.runToEnd('companies', { input: { contentType: 'application/x-ndjson', body: body() } });
    expect(await world.allRows('companies', run.id)).toMatchObject([
      { key: { accountnumber: 'Z' }, outcome: 'created' },
    ]);
  });

  test.each([
    ['inputTypeUnknown', 'text/html', ['x']],
    ['inputEmpty', 'text/csv; charset=utf-8', []],
    ['inputTooLarge', 'text/csv', Array.from({ length: 101 }, () => Buffer.alloc(2 ** 20))],
  ])('is not started where its rows are refused as %s', async (code, contentType, parts) => {
    const world = await openWith('number\nA\n');
    const body = (async function* () {
      for (const part of parts) yield Buffer.from(part);
    })();
    const start = world.activations.start('companies', { startedBy: 'test', input: { contentType, body } });
    await expect(start).rejects.toMatchObject({ code });
    expect((await world.activations.runs('companies')).value).toEqual([]);
  });
});

describe('a run that Dataverse fails', () => {
  const unavailable = (): never => {
    throw new DataverseError('unavailable', 'Dataverse answered 503.', { status: 503 }, { hint: 'Wait.' });
  };

  test('counts a row as created that a worker created before it died without a word', async () => {
    const world = await openWith('number,name,employees\nA,,\nB,,\nC,,\n');
    const { activations, storage } = world;
    const { id } = await activations.start('companies', { startedBy: 'test' });
    await activations.planRun(storage.messages.shift()?.message);
    const [chunk] = storage.messages;
    // The sixth step is the chunk's ledger.
    const doomed = world.process(mortalStorage(storage, 6).storage);
    await expect(doomed.writeChunk(chunk?.message)).rejects.toThrow();
    expect(world.target.rows.size).toBe(3);
    expect((await activations.rows('companies', id)).value).toEqual([]);
    await world.settle();
    expect((await activations.run('companies', id)).counts).toMatchObject({ created: 3, updated: 0 });
    expect(world.target.sent).toEqual({ created: 3, updated: 0 });
  });

  test('goes on where it stopped when the chunk is delivered again', async () => {
    const world = await openWith('number,name,employees\nA,,\nB,,\nC,,\n');
    let failures = 2;
    world.target.beforeRow = (row) => {
      if (row.key['accountnumber'] === 'B' && failures > 0) {
        failures -= 1;
        unavailable();
      }
      return undefined;
    };
    const run = await world.runToEnd('companies');
    expect(run).toMatchObject({ state: 'succeeded', counts: { created: 3 }, calls: 3 });
    expect(world.target.sent.created).toBe(3);
  });

  test('ends as failed after the last try, says why, keeps what was written and loses no row', async () => {
    const world = await openWith('number,name,employees\nA,,\nB,,\nC,,\nD,,\n', {}, 3);
    world.target.beforeRow = (row) => (row.key['accountnumber'] === 'B' ? unavailable() : undefined);
    const run = await world.runToEnd('companies');
    expect(run).toMatchObject({ state: 'failed', input: 4, problem: { code: 'unavailable' } });
    expect(run.problem?.message).toContain('1 of 2 chunks');
    expect(run.counts).toEqual({ created: 2, updated: 0, unchanged: 0, deleted: 0, rejected: 0, skipped: 2 });
    const rows = await world.allRows('companies', run.id);
    expect(rows.map((row) => row.error?.code)).toEqual([undefined, 'notWritten', 'notWritten', undefined]);
    world.target.beforeRow = () => undefined;
    expect((await world.runToEnd('companies')).counts).toMatchObject({ unchanged: 2, created: 2 });
    expect(world.target.rows.size).toBe(4);
  });

  test('sends a row again whose update was given up, even if the source has its old values back', async () => {
    const before = 'number,name,employees\nA,Alpha,1\n';
    const world = await openWith(before);
    await world.runToEnd('companies');
    await putSource(world, 'number,name,employees\nA,Renamed,1\n');
    world.target.beforeRow = unavailable;
    expect(await world.runToEnd('companies')).toMatchObject({ state: 'failed', counts: { skipped: 1 } });
    world.target.beforeRow = () => undefined;
    await putSource(world, before);
    expect((await world.runToEnd('companies')).counts).toMatchObject({ updated: 1, unchanged: 0 });
  });

  test('ends as failed when what it is made of is gone', async () => {
    const world = await openWith('number,name,employees\nA,,\n');
    const { activations, storage } = world;
    const { id } = await activations.start('companies', { startedBy: 'test' });
    await activations.planRun(storage.messages.shift()?.message);
    const blobs = storage.blobs('activations');
    for await (const { path } of blobs.list('runs/')) if (path.includes('/chunks/')) await blobs.remove(path);
    await world.settle();
    expect(await activations.run('companies', id)).toMatchObject({
      state: 'failed',
      problem: { code: 'ledgerIncomplete' },
    });
    expect(await world.runToEnd('companies')).toMatchObject({ state: 'succeeded', counts: { created: 1 } });
  });

  test('stops without an outcome when it is aborted, and goes on when it is delivered again', async () => {
    const world = await openWith('number,name,employees\nA,,\n');
    const { activations, storage } = world;
    const { id } = await activations.start('companies', { startedBy: 'test' });
    const [message] = storage.messages;
    const aborted = activations.planRun(message?.message, AbortSignal.abort(new Error('The host stops.')));
    await expect(aborted).rejects.toThrow('The host stops.');
    expect(await activations.run('companies', id)).toMatchObject({ state: 'planning' });
    await world.settle();
    expect(await activations.run('companies', id)).toMatchObject({ state: 'succeeded' });
  });

  test('ends as failed when it cannot be planned at any try', async () => {
    const world = await openWith('number,name,employees\nA,,\n');
    const { open } = world.target;
    let failures = 5;
    world.target.open = async (...args) => {
      if (failures > 0) {
        failures -= 1;
        unavailable();
      }
      return open(...args);
    };
    expect(await world.runToEnd('companies')).toMatchObject({
      state: 'failed',
      problem: { code: 'unavailable', message: 'Dataverse answered 503.' },
    });
    expect(await world.runToEnd('companies')).toMatchObject({ state: 'succeeded' });
  });
});

describe('runs of one activation', () => {
  test('go one at a time in the order of their start, and are listed newest first', async () => {
    const world = await openWith('number,name,employees\nA,Alpha,1\n');
    const { activations, storage } = world;
    const ids: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      world.later(1);
      ids.push((await activations.start('companies', { startedBy: 'test' })).id);
    }
    // The messages come in the wrong order, and some twice.
    storage.messages.push(...storage.messages.splice(0, 3).reverse());
    storage.messages.push(...storage.messages);
    await world.settle();
    const { value } = await activations.runs('companies');
    expect(value.map((run) => run.id)).toEqual(ids.toReversed());
    expect(value.map((run) => run.counts)).toMatchObject([{ unchanged: 1 }, { unchanged: 1 }, { created: 1 }]);
    expect(storage.messages).toEqual([]);
    const page = await activations.runs('companies', { pageSize: 2 });
    expect((await activations.runs('companies', { pageSize: 2, page: page.nextPage })).value).toHaveLength(1);
  });

  test('count one plan, and not another that was made slowly beside it', async () => {
    const world = await openWith('number,name,employees\nA,Alpha,1\nB,Beta,2\n', {}, 1);
    const { activations, storage, target } = world;
    const { id } = await activations.start('companies', { startedBy: 'test' });
    const { open } = target;
    const gate = new EventEmitter();
    const opened = once(gate, 'open');
    target.open = async (...args) => {
      target.open = open;
      await opened;
      return open(...args);
    };
    const slow = world.process().planRun(storage.messages[0]?.message);
    await expect.poll(() => target.open).toBe(open);
    await world.settle();
    const before = await activations.run('companies', id);
    gate.emit('open');
    await slow;
    await world.settle();
    expect(before).toMatchObject({ state: 'succeeded', counts: { created: 2 } });
    expect(await activations.run('companies', id)).toEqual(before);
  });

  test('are told apart from runs and activations that do not exist', async () => {
    const { activations } = openWorld();
    await expect(activations.start('nothing', { startedBy: 'test' })).rejects.toMatchObject({
      code: 'activationUnknown',
    });
    await expect(activations.runs('nothing')).rejects.toMatchObject({ code: 'activationUnknown' });
    await expect(activations.run('nothing', '../x')).rejects.toMatchObject({ code: 'runUnknown' });
    await activations.put('companies', definition());
    await expect(activations.runs('companies', { page: 'x' })).rejects.toMatchObject({ code: 'pageUnknown' });
    await expect(activations.planRun({ run: 1 })).rejects.toMatchObject({ code: 'messageUnreadable' });
  });
});
