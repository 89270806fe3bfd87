import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CallOptions, KEYS, startApp, type TestApp } from '../../support/app.ts';

let app: TestApp;

beforeAll(async () => {
  app = await startApp();
  await app.defineKey('account', 'accountnumber');
});
afterAll(() => app.close());

const definition = (name: string, changes: Record<string, unknown> = {}) => ({
  name,
  connection: 'default',
  source: { kind: 'blob', path: 'inbox/*.csv' },
  table: 'account',
  key: { kind: 'alternateKey', columns: ['accountnumber'] },
  mapping: { accountnumber: 'number', name: 'name' },
  ...changes,
});

const put = (name: string, body: unknown, headers: Record<string, string> = {}) =>
  app.call('PUT', `activations/${name}`, {
    key: KEYS.master,
    type: 'application/json',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers,
  });
const operator = (method: string, path: string, options: CallOptions = {}) =>
  app.call(method, path, { key: KEYS.master, ...options });

const ENDED = ['succeeded', 'completedWithRejections', 'failed', 'cancelled'];

/** The run once it has ended. */
async function ended(name: string, id: string) {
  const path = `activations/${name}/runs/${id}`;
  const state = async () => (await app.call('GET', path)).json.state;
  await expect.poll(async () => ENDED.includes(await state())).toBe(true);
  return (await app.call('GET', path)).json;
}

async function run(name: string, options: CallOptions = {}) {
  const answer = await app.call('POST', `activations/${name}/runs`, options);
  expect(answer.status, answer.text).toBe(202);
  expect(answer.headers.get('location')).toBe(`/api/activations/${name}/runs/${answer.json.id}`);
  return ended(name, answer.json.id);
}

describe('a definition', () => {
  test('is stored, read with its ETag, listed and deleted', async () => {
    const created = await put('kept', definition('kept'));
    expect(created.status, created.text).toBe(201);
    expect(created.json).toMatchObject({ name: 'kept', mode: 'upsert', nulls: 'ignore' });
    const read = await app.call('GET', 'activations/kept');
    expect(read.json).toEqual(created.json);
    expect(read.headers.get('etag')).toBe(created.headers.get('etag'));
    expect((await put('kept', definition('kept', { mode: 'update' }))).status).toBe(200);
    const { value } = (await app.call('GET', 'activations')).json;
    expect(value.find(({ name }: { name: string }) => name === 'kept')).toMatchObject({ mode: 'update' });
    expect((await operator('DELETE', 'activations/kept')).status).toBe(204);
    expect((await app.call('GET', 'activations/kept')).json).toMatchObject({ status: 404, code: 'activationUnknown' });
    expect((await operator('DELETE', 'activations/kept')).status).toBe(404);
  });

  test('with faults is refused with every one of them and where it is', async () => {
    const faulty = definition('other', {
      table: 'No Table',
      mode: 'replace',
      mapping: { 'Bad Column': 'x' },
      schedule: { cron: 'whenever' },
      colour: 'blue',
    });
    const { status, json } = await put('faulty', faulty);
    expect([status, json.code]).toEqual([400, 'definitionInvalid']);
    const paths = json.errors.map(({ path }: { path: string }) => path).join(' ');
    for (const path of ['table', 'mode', 'mapping', 'schedule.cron']) expect(paths).toContain(path);
    expect(JSON.stringify(json.errors)).toContain('colour');
    expect((await app.call('GET', 'activations/faulty')).status).toBe(404);
  });

  test.each([
    ['no JSON', '{"name":', 400, 'bodyNotJson'],
    ['no body', '', 400, 'bodyEmpty'],
    ['too large a body', JSON.stringify({ model: 'x'.repeat(1024 * 1024) }), 413, 'bodyTooLarge'],
    ['no object', '[]', 400, 'definitionInvalid'],
  ])('of %s is refused', async (_, body, status, code) => {
    expect((await put('none', body)).json).toMatchObject({ status, code });
  });

  test('is created and changed on condition only', async () => {
    const once = await put('conditional', definition('conditional'), { 'if-none-match': '*' });
    expect(once.status).toBe(201);
    const again = await put('conditional', definition('conditional'), { 'if-none-match': '*' });
    expect(again.json).toMatchObject({ status: 412, code: 'definitionConflict', hint: expect.any(String) });
    const etag = once.headers.get('etag') ?? '';
    const changed = await put('conditional', definition('conditional', { mode: 'create' }), { 'if-match': etag });
    expect(changed.status).toBe(200);
    expect((await put('conditional', definition('conditional'), { 'if-match': etag })).status).toBe(412);
    expect((await operator('DELETE', 'activations/conditional', { headers: { 'if-match': etag } })).status).toBe(412);
    expect((await put('conditional', definition('conditional'), { 'if-none-match': etag })).json.code).toBe(
      'headerInvalid',
    );
  });
});

describe('a run', () => {
  test('finds rows of a table without a key by what they hold, and touches none of several that hold it', async () => {
    for (const [firstname, lastname] of [
      ['Ann', 'Matched'],
      ['Twin', 'Matched'],
      ['Twin', 'Matched'],
    ]) {
      await app.admin('POST', 'contacts', { firstname, lastname });
    }
    const matched = definition('matched', {
      table: 'contact',
      key: { kind: 'match', columns: ['firstname', 'lastname'] },
      mapping: { firstname: 'first', lastname: 'last', jobtitle: 'job' },
    });
    expect((await put('matched', matched)).status).toBe(201);
    const rows = ['Ann,Matched,Engineer', 'Twin,Matched,Twin', 'Bob,Matched,New', 'ann ,matched,Again', ',Matched,x'];
    const body = ['first,last,job', ...rows].join('\n');
    const first = await run('matched', { type: 'text/csv', body });
    expect(first).toMatchObject({
      state: 'completedWithRejections',
      counts: { created: 1, updated: 1, rejected: 2, skipped: 1 },
    });
    const ledger = await app.call('GET', `activations/matched/runs/${first.id}/rows`);
    const errors = ledger.json.value.map((row: { index: number; error?: { code: string } }) => [
      row.index,
      row.error?.code,
    ]);
    expect(Object.fromEntries(errors)).toEqual({ 0: 'duplicateKey', 1: 'ambiguousKey', 4: 'emptyKey' });
    const held = await app.admin('GET', "contacts?$select=firstname,jobtitle&$filter=lastname eq 'Matched'");
    expect(held.json.value.map((row: Record<string, unknown>) => [row['firstname'], row['jobtitle']]).sort()).toEqual([
      ['Ann', 'Again'],
      ['Bob', 'New'],
      ['Twin', null],
      ['Twin', null],
    ]);
    const again = await run('matched', { type: 'text/csv', body: body.replace('Again', 'Once more') });
    expect(again.counts).toMatchObject({ created: 0, updated: 1, unchanged: 1, rejected: 2 });
  });

  test('by columns that cannot be compared fails with what is wrong', async () => {
    const key = { kind: 'match', columns: ['description'] };
    await put('unmatched', definition('unmatched', { key, mapping: { description: 'text', name: 'text' } }));
    const failed = await run('unmatched', { type: 'text/csv', body: 'text\nA' });
    const message = expect.stringContaining("cannot be matched by 'description'");
    expect(failed.problem).toMatchObject({ errors: [{ path: 'key', code: 'keyUnknown', message }] });
  });

  test('takes the rows of its body and tells what became of each', async () => {
    await put('rows', definition('rows'));
    const body = ['number,name', 'R-1,One', 'R-2,Two', `R-3,${'x'.repeat(161)}`, ',Nameless', 'R-2,Two again'].join(
      '\n',
    );
    const ended = await run('rows', { type: 'text/csv', body });
    expect(ended).toMatchObject({
      state: 'completedWithRejections',
      startedBy: 'http',
      input: 5,
      counts: { created: 2, updated: 0, unchanged: 0, rejected: 2, skipped: 1 },
    });
    const path = `activations/rows/runs/${ended.id}/rows`;
    const { value } = (await app.call('GET', path)).json;
    const byIndex = value.map(({ index, outcome }: { index: number; outcome: string }) => [index, outcome]).sort();
    expect(byIndex).toEqual([
      [0, 'created'],
      [1, 'skipped'],
      [2, 'rejected'],
      [3, 'rejected'],
      [4, 'created'],
    ]);
    const rejected = (await app.call('GET', `${path}?outcome=rejected`)).json.value;
    expect(rejected.map(({ index, error }: { index: number; error: { code: string } }) => [index, error.code])).toEqual(
      [
        [2, 'valueTooLong'],
        [3, 'emptyKey'],
      ],
    );
    expect((await app.call('GET', `${path}?outcome=lost`)).status).toBe(400);
    const accounts = await app.admin('GET', "accounts?$select=name&$filter=startswith(accountnumber,'R-')");
    expect(accounts.json.value.map(({ name }: { name: string }) => name).sort()).toEqual(['One', 'Two again']);
  });

  test('sends nothing that was accepted before, unless it is to refresh all', async () => {
    await put('again', definition('again'));
    const body = JSON.stringify([
      { number: 'A-1', name: 'One' },
      { number: 'A-2', name: 'Two' },
    ]);
    const rows = { type: 'application/json', body };
    expect(await run('again', rows)).toMatchObject({ counts: { created: 2 } });
    expect(await run('again', rows)).toMatchObject({
      state: 'succeeded',
      calls: 0,
      counts: { unchanged: 2, updated: 0 },
    });
    const listed = (await app.call('GET', 'activations/again/runs?pageSize=1')).json;
    expect(listed.value).toMatchObject([{ counts: { unchanged: 2 } }]);
    expect((await app.call('GET', `activations/again/runs?page=${listed.nextPage}`)).json.value).toMatchObject([
      { counts: { created: 2 } },
    ]);
  });

  test('without a source to read fails and says why', async () => {
    await put('sourceless', definition('sourceless', { source: { kind: 'blob', path: 'nowhere/*.csv' } }));
    const failed = await run('sourceless', { type: 'application/json', body: '{"fullRefresh":true}' });
    expect(failed).toMatchObject({ state: 'failed', problem: { code: 'sourceNotFound' } });
  });

  test.each([
    ['an unknown activation', 'nowhere', {}, 404, 'activationUnknown'],
    ['an unknown option', 'startable', { type: 'application/json', body: '{"planId":"x"}' }, 400, 'bodyInvalid'],
    [
      'an option of the wrong type',
      'startable',
      { type: 'application/json', body: '{"fullRefresh":1}' },
      400,
      'bodyInvalid',
    ],
    ['rows of an unknown type', 'startable', { type: 'application/xml', body: '<a/>' }, 415, 'inputTypeUnknown'],
  ])('of %s is not started', async (_, name, options, status, code) => {
    await put('startable', definition('startable'));
    expect((await app.call('POST', `activations/${name}/runs`, options)).json).toMatchObject({ status, code });
    expect((await app.call('GET', 'activations/startable/runs')).json.value).toEqual([]);
  });

  test('that there is not is 404', async () => {
    await put('runless', definition('runless'));
    expect((await app.call('GET', 'activations/runless/runs/none')).json).toMatchObject({
      status: 404,
      code: 'runUnknown',
    });
    expect((await app.call('GET', 'activations/runless/runs/none/rows')).json.code).toBe('runUnknown');
    expect((await app.call('GET', 'activations/nowhere/runs')).json.code).toBe('activationUnknown');
  });
});

describe('the schedule', () => {
  const EVERY_SECOND = { cron: '* * * * * *' };
  const tick = async (): Promise<void> => {
    const done = () => app.lines.filter((line) => line.includes("Executed 'Functions.activationScheduler'")).length;
    const before = done();
    const answers = await Promise.all(
      [1, 2].map(() =>
        fetch(`${app.url}/admin/functions/activationScheduler`, {
          method: 'POST',
          headers: { 'x-functions-key': KEYS.master, 'content-type': 'application/json' },
          body: '{}',
        }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([202, 202]);
    await expect.poll(done).toBeGreaterThanOrEqual(before + 2);
  };
  const runsOf = async (name: string) => (await app.call('GET', `activations/${name}/runs`)).json.value;

  test('starts one run when two instances tick, and none while it is paused', async () => {
    await put(
      'scheduled',
      definition('scheduled', { schedule: EVERY_SECOND, source: { kind: 'blob', path: 'nowhere/*.csv' } }),
    );
    expect((await operator('POST', 'activations/scheduled/pause')).status).toBe(204);
    await tick();
    expect(await runsOf('scheduled')).toEqual([]);
    expect((await operator('POST', 'activations/scheduled/resume')).status).toBe(204);
    // A slot is due as soon as the second is over; until then a tick starts nothing.
    await expect
      .poll(
        async () => {
          await tick();
          return (await runsOf('scheduled')).length;
        },
        { timeout: 10_000 },
      )
      .toBeGreaterThan(0);
    await operator('POST', 'activations/scheduled/pause');
    const started = await runsOf('scheduled');
    expect(started.map(({ startedBy }: { startedBy: string }) => startedBy)).toEqual(started.map(() => 'schedule'));
    // An id begins with the slot that the run is for.
    const slots = started.map(({ id }: { id: string }) => id.split('-')[0]);
    expect(new Set(slots).size).toBe(slots.length);
  });

  test.each(['pause', 'resume'])('cannot be told to %s where there is no activation', async (what) => {
    expect((await operator('POST', `activations/nowhere/${what}`)).json.code).toBe('activationUnknown');
  });
});
