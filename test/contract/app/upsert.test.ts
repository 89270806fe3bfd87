import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Answer, type CallOptions, KEYS, linesOf, startApp, type TestApp } from '../../support/app.ts';

let app: TestApp;

beforeAll(async () => {
  // A limit that holds for long holds for every request of a connection, so tests of it have connections of their own.
  app = await startApp({ settings: ({ connection }) => ({ ...connection('limited'), ...connection('unread') }) });
  await app.defineKey('account', 'accountnumber');
  await app.defineKey('account', 'tickersymbol');
  await app.defineKey('contact', 'numberofchildren');
  await app.defineKey('contact', 'lastonholdtime');
  await app.defineKey('contact', 'firstname', 'birthdate');
});
afterEach(() => app.clearRules());
afterAll(() => app.close());

const CSV = 'text/csv';
const NDJSON = 'application/x-ndjson';
const JSON_TYPE = 'application/json';

let world = 0;
/** A prefix for keys that no other test has. */
const prefix = (): string => {
  world += 1;
  return `W${world}-`;
};

const upsert = (type: string, body: CallOptions['body'] & {}, query = '', headers: Record<string, string> = {}) =>
  app.call('POST', `tables/account/upsert?keyColumns=accountnumber${query}`, { type, body, headers });

/** The answer's lines, after a look at what must hold of every answer. */
function settled(answer: Answer) {
  expect(answer.status, answer.text).toBe(200);
  const { rows, summary, problem } = linesOf(answer);
  expect(problem).toBeUndefined();
  const total = Object.values<number>(summary.counts).reduce((sum, count) => sum + count, 0);
  expect(summary.input).toBe(total);
  expect(rows).toHaveLength(total);
  expect(rows.map(({ index }) => index)).toEqual(rows.map((_, at) => at));
  for (const [outcome, count] of Object.entries(summary.counts)) {
    expect(rows.filter((row) => row.outcome === outcome)).toHaveLength(count as number);
  }
  return { rows, summary, outcomes: rows.map(({ outcome }) => outcome) };
}

/** What Dataverse holds, by account number. */
async function stored(start: string): Promise<Record<string, { id: string; name: string | null }>> {
  const path = `accounts?$select=accountnumber,name&$filter=startswith(accountnumber,'${start}')`;
  const { value } = (await app.admin('GET', path)).json;
  return Object.fromEntries(
    value.map((row: Record<string, string>) => [row['accountnumber'], { id: row['accountid'], name: row['name'] }]),
  );
}

const csv = (p: string, count: number, name = 'Name'): string =>
  ['accountnumber,name', ...Array.from({ length: count }, (_, at) => `${p}${at},${name} ${at}`)].join('\n');

describe('rows', () => {
  test.each([
    ['CSV', CSV, (p: string) => `\ufeffaccountnumber,name\r\n${p}1,"Müller, ""Söhne"""\r\n${p}2,Two\r\n`],
    [
      'NDJSON',
      NDJSON,
      (p: string) => `{"accountnumber":"${p}1","name":"Müller, \\"Söhne\\""}\n\n{"accountnumber":"${p}2","name":"Two"}`,
    ],
    [
      'JSON',
      JSON_TYPE,
      (p: string) =>
        JSON.stringify([
          { accountnumber: `${p}1`, name: 'Müller, "Söhne"' },
          { accountnumber: `${p}2`, name: 'Two' },
        ]),
    ],
  ])('of %s are created once and updated the next time, with the id that Dataverse has', async (_, type, body) => {
    const p = prefix();
    const first = settled(await upsert(type, body(p)));
    expect(first.outcomes).toEqual(['created', 'created']);
    const rows = await stored(p);
    expect(rows).toMatchObject({ [`${p}1`]: { name: 'Müller, "Söhne"' }, [`${p}2`]: { name: 'Two' } });
    expect(first.rows.map(({ key, id }) => [key, id])).toEqual([
      [{ accountnumber: `${p}1` }, rows[`${p}1`]?.id],
      [{ accountnumber: `${p}2` }, rows[`${p}2`]?.id],
    ]);
    const second = settled(await upsert(type, body(p)));
    expect(second.outcomes).toEqual(['updated', 'updated']);
    expect(second.rows.map(({ id }) => id)).toEqual(first.rows.map(({ id }) => id));
  });

  test('are addressed by the primary id where no key columns are named', async () => {
    const [id, p] = [randomUUID(), prefix()];
    const body = JSON.stringify([{ accountid: id.toUpperCase(), accountnumber: p, name: 'By id' }]);
    const send = () => app.call('POST', 'tables/accounts/upsert', { type: JSON_TYPE, body });
    expect(settled(await send()).rows).toEqual([{ index: 0, key: { id }, outcome: 'created', id }]);
    expect(settled(await send()).outcomes).toEqual(['updated']);
    expect((await stored(p))[p]).toEqual({ id, name: 'By id' });
  });

  test.each([
    ['a number', ['numberofchildren'], { numberofchildren: 7 }, { numberofchildren: '7' }],
    [
      'a time',
      ['lastonholdtime'],
      { lastonholdtime: '2026-05-31T10:00:00Z' },
      { lastonholdtime: '2026-05-31 12:00:00+02:00' },
    ],
    [
      'a text and a date',
      ['firstname', 'birthdate'],
      { firstname: "O'Neill & Söhne", birthdate: '2000-02-29' },
      { firstname: "o'neill & söhne ", birthdate: '2000-02-29' },
    ],
  ])('are found again by a key of %s, however it is written', async (_, columns, first, again) => {
    const send = (row: object) =>
      app.call('POST', `tables/contact/upsert?keyColumns=${columns.join(',')}`, {
        type: JSON_TYPE,
        body: JSON.stringify([{ ...row, lastname: 'Keyed' }]),
      });
    const created = settled(await send(first));
    expect(created.outcomes, JSON.stringify(created.rows)).toEqual(['created']);
    const updated = settled(await send(again));
    expect(updated.outcomes, JSON.stringify(updated.rows)).toEqual(['updated']);
    expect(updated.rows[0].id).toBe(created.rows[0].id);
  });

  test('that two callers send at the same time become one row each', async () => {
    const p = prefix();
    const both = await Promise.all([upsert(CSV, csv(p, 50, 'One')), upsert(CSV, csv(p, 50, 'Two'))]);
    const [one, two] = both.map(settled);
    for (let at = 0; at < 50; at += 1) {
      expect([one?.outcomes[at], two?.outcomes[at]].sort()).toEqual(['created', 'updated']);
      expect(one?.rows[at].id).toBe(two?.rows[at].id);
    }
    expect(Object.keys(await stored(p))).toHaveLength(50);
  });

  test('of mode create, update and delete do only that', async () => {
    const p = prefix();
    const body = `accountnumber,name\n${p}1,x`;
    expect(settled(await upsert(CSV, body, '&mode=update')).rows[0]).toMatchObject({
      outcome: 'rejected',
      error: { code: 'notFound', hint: expect.stringContaining('mode=upsert') },
    });
    expect(settled(await upsert(CSV, body, '&mode=create')).outcomes).toEqual(['created']);
    expect(settled(await upsert(CSV, body, '&mode=create')).rows[0].error.code).toBe('alreadyExists');
    expect(settled(await upsert(CSV, body, '&mode=update')).outcomes).toEqual(['updated']);
    expect(settled(await upsert(CSV, body, '&mode=delete')).outcomes).toEqual(['deleted']);
    expect(await stored(p)).toEqual({});
    expect(settled(await upsert(CSV, body, '&mode=delete')).rows[0]).toMatchObject({
      outcome: 'skipped',
      error: { code: 'notFound' },
    });
  });

  test('with equal keys are written in input order, each with its own outcome, and the last value stays', async () => {
    const p = prefix();
    const names = ['First', 'Second', 'Third'];
    const body = ['accountnumber,name', ...names.map((name, at) => `${at === 1 ? p.toLowerCase() : p},${name}`)].join(
      '\n',
    );
    const { rows, outcomes } = settled(await upsert(CSV, body));
    expect(outcomes).toEqual(['created', 'updated', 'updated']);
    expect(new Set(rows.map(({ id }) => id)).size).toBe(1);
    expect(Object.values(await stored(p)).map(({ name }) => name)).toEqual(['Third']);
  });

  test('more than fit into one request keep their order', async () => {
    const p = prefix();
    const { summary, rows } = settled(await upsert(CSV, csv(p, 1_201)));
    expect(summary).toMatchObject({ input: 1_201, complete: true, counts: { created: 1_201 } });
    expect(rows.map(({ key }) => key.accountnumber)).toEqual(Array.from({ length: 1_201 }, (_, at) => `${p}${at}`));
    expect(Object.keys(await stored(p))).toHaveLength(1_201);
    expect(settled(await upsert(CSV, csv(p, 1_201))).summary.counts.updated).toBe(1_201);
  });

  test('come as one document for a caller that accepts JSON', async () => {
    const p = prefix();
    const answer = await upsert(CSV, csv(p, 2), '', { accept: JSON_TYPE });
    expect(answer.headers.get('content-type')).toBe(JSON_TYPE);
    expect(answer.json).toMatchObject({
      rows: [
        { index: 0, outcome: 'created' },
        { index: 1, outcome: 'created' },
      ],
      summary: { input: 2, complete: true, counts: { created: 2 }, throttled: { count: 0, waitedMs: 0 } },
    });
  });

  test('are answered before the body has ended', async () => {
    const p = prefix();
    const call = await slowly(`${csv(p, 600)}\n`);
    expect(call.firstLine).toMatchObject({ index: 0, outcome: 'created' });
    expect(await call.end(`${p}last,Last`)).toMatchObject({ summary: { input: 601, complete: true } });
  });

  test('that come after the deadline of the call are told as not tried', async () => {
    const p = prefix();
    const call = await slowly(`${csv(p, 600)}\n`);
    const now = Date.now();
    const clock = vi.spyOn(Date, 'now').mockImplementation(() => now + 201_000);
    const { summary } = await call.end(`${p}late,Late\n${p}later,Later`);
    clock.mockRestore();
    expect(summary).toMatchObject({ input: 602, complete: false });
    // Which rows had been taken by then is up to the network; 500 are one request.
    expect(summary.counts.created).toBeGreaterThanOrEqual(500);
    expect(summary.counts.created + summary.counts.skipped).toBe(602);
    const late = call.lines().slice(summary.counts.created, -1);
    expect(late.map(({ outcome, error }) => [outcome, error.code])).toEqual(late.map(() => ['skipped', 'deadline']));
    expect(late.at(-1)).toMatchObject({ index: 601 });
    expect((await stored(p))[`${p}late`]).toBeUndefined();
  });
});

/** Sends the beginning of a body and waits for the first line; `end` sends the rest and resolves with the last one. */
async function slowly(beginning: string) {
  let more: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      more = controller;
      controller.enqueue(Buffer.from(beginning));
    },
  });
  const response = await fetch(`${app.url}/api/tables/account/upsert?keyColumns=accountnumber`, {
    method: 'POST',
    headers: { 'x-functions-key': KEYS.function, 'content-type': CSV },
    body,
    duplex: 'half',
  });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!text.includes('\n')) text += (await reader?.read())?.value ?? '';
  const lines = () =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  return {
    firstLine: JSON.parse(text.slice(0, text.indexOf('\n'))),
    lines,
    async end(rest: string) {
      more?.enqueue(Buffer.from(rest));
      more?.close();
      for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) text += read.value;
      return lines().at(-1);
    },
  };
}

describe('a request that cannot be served', () => {
  test.each([
    ['an unknown connection', 'tables/account/upsert?connection=nowhere', CSV, 'a\n1', 404, 'connectionUnknown'],
    ['an unknown table', 'tables/acount/upsert', CSV, 'a\n1', 404, 'tableUnknown'],
    ['a table that is not allowed', 'tables/opportunity/upsert', CSV, 'opportunityid\n1', 403, 'tableNotAllowed'],
    ['an unknown mode', 'tables/account/upsert?mode=merge', CSV, 'a\n1', 400, 'queryInvalid'],
    ['an unknown key column', 'tables/account/upsert?keyColumns=acountnumber', CSV, 'name\n1', 400, 'columnUnknown'],
    ['columns that are no key', 'tables/account/upsert?keyColumns=name', CSV, 'name\n1', 400, 'keyUnknown'],
    [
      'an unknown column in the header',
      'tables/account/upsert?keyColumns=accountnumber',
      CSV,
      'accountnumber,nme\n1,x',
      400,
      'columnUnknown',
    ],
    [
      'a header without the key',
      'tables/account/upsert?keyColumns=accountnumber',
      CSV,
      'name\nx',
      400,
      'keyColumnMissing',
    ],
    ['a header with a name twice', 'tables/account/upsert', CSV, 'accountid,name,name\n', 400, 'duplicateHeader'],
    ['a header with an empty name', 'tables/account/upsert', CSV, 'accountid,,name\n', 400, 'malformedCsv'],
    ['a header that is no CSV', 'tables/account/upsert', CSV, '"account"id,name\n', 400, 'malformedCsv'],
    [
      'a header that is not UTF-8',
      'tables/account/upsert',
      CSV,
      Buffer.from('acco\xfcnt\n', 'latin1'),
      400,
      'malformedCsv',
    ],
    ['no body', 'tables/account/upsert', CSV, '', 400, 'bodyEmpty'],
    ['a JSON body that is no array', 'tables/account/upsert', JSON_TYPE, '{"accountid":"1"}', 400, 'malformedJson'],
    ['a JSON body that is none', 'tables/account/upsert', JSON_TYPE, '[nonsense', 400, 'malformedJson'],
    ['another content type', 'tables/account/upsert', 'application/xml', '<a/>', 415, 'contentTypeUnknown'],
    [
      'another encoding',
      'tables/account/upsert',
      'text/csv; charset=windows-1252',
      'accountid\n',
      415,
      'contentTypeUnknown',
    ],
  ])('for %s is told by a problem', async (_, path, type, body, status, code) => {
    const answer = await app.call('POST', path, { type, body });
    expect(answer.status, answer.text).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.json).toMatchObject({ status, code, requestId: answer.headers.get('x-request-id') });
    expect(answer.json.hint ?? answer.json.detail).not.toBe('');
  });

  test('for more bytes than the platform takes is told as soon as they are announced', async () => {
    const headers = { 'x-functions-key': KEYS.function, 'content-type': CSV, 'content-length': 101 * 1024 * 1024 };
    const sent = request(`${app.url}/api/tables/account/upsert`, { method: 'POST', headers });
    sent.write('accountid\n');
    const [response] = await once(sent, 'response');
    sent.on('error', () => {}).destroy();
    expect(response.statusCode).toBe(413);
  });

  test('names every unknown column of the header and what comes near', async () => {
    const { json } = await upsert(CSV, 'accountnumber,nam,telefone1\nx,y,z');
    expect(json.errors.map(({ path }: { path: string }) => path)).toEqual(['nam', 'telefone1']);
    expect(json.hint).toContain('name');
    expect(json.hint).toContain('telephone1');
  });

  test('does not keep a header without rows from being an input of none', async () => {
    expect(settled(await upsert(CSV, 'accountnumber,name\n')).summary).toMatchObject({ input: 0, complete: true });
    expect(settled(await upsert(JSON_TYPE, ' [ ] ')).summary).toMatchObject({ input: 0, complete: true });
  });
});

describe('a bad row', () => {
  test.each([
    ['too long a text', { name: 'x'.repeat(161) }, { code: 'valueTooLong', column: 'name' }],
    ['text for a number', { numberofemployees: 'many' }, { code: 'wrongType', column: 'numberofemployees' }],
    ['a number out of range', { numberofemployees: -1 }, { code: 'outOfRange', column: 'numberofemployees' }],
    ['a number for text', { name: 5 }, { code: 'wrongType', column: 'name' }],
    ['an unknown choice', { industrycode: 999_999 }, { code: 'unknownChoice', column: 'industrycode' }],
    ['an unknown column', { telefone1: '1' }, { code: 'columnUnknown', hint: expect.stringContaining('telephone1') }],
    ['a column that cannot be written', { createdon: '2026-01-01T00:00:00Z' }, { code: 'columnReadOnly' }],
    ['an empty key', { accountnumber: '' }, { code: 'emptyKey', column: 'accountnumber' }],
    ['a control character', { name: 'a\u0000b' }, { code: 'invalidCharacter' }],
  ])('with %s is rejected, the rest is written', async (_, bad, error) => {
    const p = prefix();
    const body = JSON.stringify([
      { accountnumber: `${p}1`, name: 'One' },
      { accountnumber: `${p}2`, ...bad },
      { accountnumber: `${p}3`, name: 'Three' },
    ]);
    const { rows, outcomes } = settled(await upsert(JSON_TYPE, body));
    expect(outcomes).toEqual(['created', 'rejected', 'created']);
    expect(rows[1].error).toMatchObject({ message: expect.stringMatching(/./), ...error });
    expect(Object.keys(await stored(p)).sort()).toEqual([`${p}1`, `${p}3`]);
  });

  test('that is ragged or not UTF-8 is rejected in its place, the rest is written', async () => {
    const p = prefix();
    const text = `accountnumber,name\n${p}0,Good\n${p}1\n${p}2,M\xfcller\n${p}3,a,b\n${p}4,Good\n`;
    const { rows, outcomes } = settled(await upsert(CSV, Buffer.from(text, 'latin1')));
    expect(outcomes).toEqual(['created', 'rejected', 'rejected', 'rejected', 'created']);
    expect(rows.flatMap(({ error }) => error?.code ?? [])).toEqual(['raggedRow', 'invalidUtf8', 'raggedRow']);
    expect(Object.keys(await stored(p)).sort()).toEqual([`${p}0`, `${p}4`]);
  });

  test('that is no JSON, no object or not UTF-8 is rejected in its place among lines', async () => {
    const p = prefix();
    const text = `{"accountnumber":"${p}0"}\n{"accountnumber":\n[1]\n{"accountnumber":"M\xfc"}\n{"accountnumber":"${p}4"}\n`;
    const { rows, outcomes } = settled(await upsert(NDJSON, Buffer.from(text, 'latin1')));
    expect(outcomes).toEqual(['created', 'rejected', 'rejected', 'rejected', 'created']);
    expect(rows.flatMap(({ error }) => error?.code ?? [])).toEqual(['malformedJson', 'rowNotObject', 'invalidUtf8']);
  });

  test.each([
    ['CSV', CSV, (p: string) => `accountnumber,name\n${p}0,x\n${p}1,x\n"${p}2"y,z\n${p}3,x\n`, 'malformedCsv'],
    [
      'CSV with a quote that never closes',
      CSV,
      (p: string) => `accountnumber,name\n${p}0,x\n${p}1,x\n"${p}2,z\n`,
      'malformedCsv',
    ],
    [
      'JSON',
      JSON_TYPE,
      (p: string) => `[{"accountnumber":"${p}0"},{"accountnumber":"${p}1"},{"accountnumber":secret}]`,
      'malformedJson',
    ],
    [
      'JSON that ends inside',
      JSON_TYPE,
      (p: string) => `[{"accountnumber":"${p}0"},{"accountnumber":"${p}1"},{"account`,
      'malformedJson',
    ],
  ])('from which on the body is no %s ends the input; what was before it is written', async (_, type, body, code) => {
    const p = prefix();
    const { rows, summary, outcomes } = settled(await upsert(type, body(p)));
    expect(outcomes).toEqual(['created', 'created', 'rejected']);
    expect(rows[2].error).toMatchObject({ code, message: expect.stringContaining('row 2'), hint: expect.any(String) });
    expect(rows[2].error.message).not.toMatch(/secret|W\d/);
    expect(summary).toMatchObject({ input: 3, complete: false });
    expect(Object.keys(await stored(p)).sort()).toEqual([`${p}0`, `${p}1`]);
  });

  test('that only the service refuses is told exactly, among good ones', async () => {
    const p = prefix();
    await upsert(JSON_TYPE, JSON.stringify([{ accountnumber: `${p}taken`, tickersymbol: `${p}T` }]));
    const rows = Array.from({ length: 130 }, (_, at) => ({ accountnumber: `${p}${at}`, tickersymbol: `${p}${at}` }));
    Object.assign(rows[7] ?? {}, { tickersymbol: `${p}T` });
    Object.assign(rows[104] ?? {}, { tickersymbol: `${p}T` });
    const answer = settled(await upsert(JSON_TYPE, JSON.stringify(rows)));
    expect(answer.rows.filter(({ outcome }) => outcome !== 'created').map(({ index }) => index)).toEqual([7, 104]);
    expect(answer.rows[7].error).toMatchObject({ code: '0x80060892', hint: expect.any(String) });
    expect(Object.keys(await stored(p))).toHaveLength(129);
  });
});

test('a body that is cut off midway writes the rows before the cut and nothing of the row that it cuts', async () => {
  const p = prefix();
  const socket = connect(Number(new URL(app.url).port), '127.0.0.1');
  const body = `${csv(p, 3)}\n${p}3,Cut of`;
  const head = [
    'POST /api/tables/account/upsert?keyColumns=accountnumber HTTP/1.1',
    'Host: localhost',
    `x-functions-key: ${KEYS.function}`,
    `content-type: ${CSV}`,
    `content-length: ${body.length + 100}`,
  ].join('\r\n');
  const started = () => app.lines.filter((line) => line.includes("Executing 'Functions.upsertRows'")).length;
  const before = started();
  socket.write(`${head}\r\n\r\n${body}`);
  await expect.poll(started).toBe(before + 1);
  socket.destroy();
  await once(socket, 'close');
  await expect.poll(async () => Object.keys(await stored(p)).sort()).toEqual([`${p}0`, `${p}1`, `${p}2`]);
  expect(settled(await upsert(CSV, csv(p, 4))).outcomes).toEqual(['updated', 'updated', 'updated', 'created']);
});

describe('when Dataverse', () => {
  const writes = { message: 'CreateMultiple' };

  test('answers 401 once, the token is renewed and all rows are written', async () => {
    const p = prefix();
    await app.rule({ match: writes, times: 1, action: { status: 401 } });
    expect(settled(await upsert(CSV, csv(p, 3))).summary).toMatchObject({ complete: true, counts: { created: 3 } });
    expect(Object.keys(await stored(p))).toHaveLength(3);
  });

  test('answers 401 to every token, no row is told as written', async () => {
    const p = prefix();
    await app.rule({ match: writes, action: { status: 401 } });
    const { rows, outcomes } = settled(await upsert(CSV, csv(p, 2)));
    expect(outcomes).toEqual(['rejected', 'rejected']);
    expect(rows[0].error).toMatchObject({ code: 'unauthenticated', hint: expect.any(String) });
    expect(await stored(p)).toEqual({});
  });

  test.each([
    ['writes', 'CreateMultiple'],
    ['look-ups', 'RetrieveMultiple'],
  ])('answers 403 to %s, each row is rejected with what the service says', async (_, message) => {
    const p = prefix();
    const body = { error: { code: '0x80040220', message: 'Principal user is missing prvCreateAccount privilege' } };
    await app.rule({ match: { message, table: 'account' }, action: { status: 403, body } });
    if (message === 'CreateMultiple') await app.rule({ match: { path: '$batch' }, action: { status: 403, body } });
    const { rows, outcomes } = settled(await upsert(CSV, csv(p, 2)));
    expect(outcomes).toEqual(['rejected', 'rejected']);
    expect(rows[0].error).toMatchObject({ code: '0x80040220', hint: expect.stringContaining('privilege') });
  });

  test('answers 429, the call waits as long as Retry-After says and counts it', async () => {
    const p = prefix();
    const error = { error: { code: '0x80072322', message: 'Number of requests exceeded the limit of 6000.' } };
    await app.rule({
      match: writes,
      times: 2,
      action: { status: 429, headers: { 'Retry-After': '0.05' }, body: error },
    });
    const { summary } = settled(await upsert(CSV, csv(p, 3)));
    expect(summary).toMatchObject({ complete: true, counts: { created: 3 }, throttled: { count: 2, waitedMs: 100 } });
    expect(Object.keys(await stored(p))).toHaveLength(3);
  });

  test('answers 429 for longer than a call may last, rows are told as refused at once and the rest is not tried', async () => {
    const p = prefix();
    const error = { error: { code: '0x80072321', message: 'Combined execution time exceeded the limit.' } };
    await app.rule({ match: writes, action: { status: 429, headers: { 'Retry-After': '299' }, body: error } });
    const { rows, summary } = settled(await upsert(CSV, csv(p, 501), '&connection=limited'));
    expect(summary.counts).toMatchObject({ rejected: 500, skipped: 1 });
    expect(rows[0].error).toMatchObject({ code: 'limitExceeded', hint: expect.stringContaining('Retry-After') });
  });

  test('answers 429 for long before the table is known, the caller is told when to come again', async () => {
    await app.rule({
      match: { path: 'EntityDefinitions' },
      action: { status: 429, headers: { 'Retry-After': '299' } },
    });
    const answer = await upsert(CSV, 'accountnumber\n1', '&connection=unread');
    expect([answer.status, answer.json.code, answer.headers.get('retry-after')]).toEqual([429, 'limitExceeded', '299']);
  });

  test.each([
    ['503 once', { status: 503, headers: { 'Retry-After': '0' } }],
    ['a gateway’s page with 503 once', { html: 503 }],
    ['a reset before it is carried out', { reset: 'before' }],
    ['a reset after it is carried out', { reset: 'after' }],
  ])('answers %s, each row is written once and told as created', async (_, action) => {
    const p = prefix();
    await app.rule({ match: writes, times: 1, action });
    const { rows, summary } = settled(await upsert(CSV, csv(p, 3)));
    expect(summary).toMatchObject({ complete: true, counts: { created: 3 } });
    const found = await stored(p);
    expect(rows.map(({ id }) => id)).toEqual([0, 1, 2].map((at) => found[`${p}${at}`]?.id));
  });

  test('resets after it has created rows by id, they are told as created', async () => {
    const [id, p] = [randomUUID(), prefix()];
    await app.rule({ match: writes, times: 1, action: { reset: 'after' } });
    const body = JSON.stringify([{ accountid: id, accountnumber: p }]);
    const answer = await app.call('POST', 'tables/account/upsert', { type: JSON_TYPE, body });
    expect(settled(answer).rows).toEqual([{ index: 0, key: { id }, outcome: 'created', id }]);
  });

  test('answers with a page of HTML and 200, rows are told as unknown and the rest is not tried', async () => {
    const p = prefix();
    await app.rule({ match: { message: 'RetrieveMultiple', table: 'account' }, action: { html: 200 } });
    const { rows, summary } = settled(await upsert(CSV, csv(p, 501)));
    expect(summary.counts).toMatchObject({ rejected: 500, skipped: 1 });
    expect(rows[0].error.hint).toContain('Something other than Dataverse');
    expect(rows[500].error.code).toBe('notDataverse');
    await app.clearRules();
    expect(await stored(p)).toEqual({});
  });
});
