import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { KEYS, startApp, type TestApp } from '../../support/app.ts';
import { CSV, csv, JSON_TYPE, NDJSON, prefix, settled, storedIn, upserting } from './upserts.ts';

let app: TestApp;
const upsert = upserting(() => app);
const stored = storedIn(() => app);

beforeAll(async () => {
  app = await startApp();
  await app.defineKey('account', 'accountnumber');
  await app.defineKey('account', 'tickersymbol');
});
afterEach(() => app.clearRules());
afterAll(() => app.close());

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
    if (message === 'CreateMultiple') {
      // In whatever form the rows are sent.
      await app.rule({ match: { path: '$batch' }, action: { status: 403, body } });
      await app.rule({ match: { message: 'Create', table: 'account' }, action: { status: 403, body } });
    }
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
    expect(summary).toMatchObject({ complete: true, counts: { created: 3 }, throttled: { count: 2 } });
    expect(summary.throttled.waitedMs).toBeGreaterThan(0);
    expect(Object.keys(await stored(p))).toHaveLength(3);
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

  test('answers with a page of HTML and 200, rows are told as not written', async () => {
    const p = prefix();
    await app.rule({ match: { message: 'RetrieveMultiple', table: 'account' }, action: { html: 200 } });
    const { rows, summary } = settled(await upsert(CSV, csv(p, 501)));
    expect(summary.counts).toMatchObject({ skipped: 501 });
    expect(rows[0].error.hint).toContain('Something other than Dataverse');
    expect(rows[500].error.code).toBe('notDataverse');
    await app.clearRules();
    expect(await stored(p)).toEqual({});
  });
});

// The limit holds for the application user from here on, so nothing may come behind these.
describe('when Dataverse answers 429 for longer than a call may last', () => {
  test('rows are told as refused at once and the rest is not tried', async () => {
    const p = prefix();
    const error = { error: { code: '0x80072321', message: 'Combined execution time exceeded the limit.' } };
    await app.rule({
      match: { message: 'CreateMultiple' },
      action: { status: 429, headers: { 'Retry-After': '299' }, body: error },
    });
    const { rows, summary } = settled(await upsert(CSV, csv(p, 501)));
    expect(summary.counts.rejected).toBeGreaterThan(0);
    expect(summary.counts.rejected + summary.counts.skipped).toBe(501);
    expect(rows[0].error).toMatchObject({ code: 'limitExceeded', hint: expect.stringContaining('Retry-After') });
  });

  test('a caller whose table is not known yet is told when to come again', async () => {
    const answer = await app.call('POST', 'tables/contact/upsert', { type: CSV, body: 'contactid\n' });
    expect([answer.status, answer.json.code]).toEqual([429, 'limitExceeded']);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(200);
  });
});
