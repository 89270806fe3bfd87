import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { KEYS, type TestApp } from '../../support/app.ts';
import { sharedApp } from '../../support/shared-app.ts';
import { CSV, csv, JSON_TYPE, NDJSON, prefix, settled, storedIn, upserting } from '../app/upserts.ts';

let app: TestApp;
const upsert = upserting(() => app);
const stored = storedIn(() => app);

beforeAll(async () => {
  app = await sharedApp();
  await app.defineKey('account', 'accountnumber');
  await app.defineKey('contact', 'numberofchildren');
  await app.defineKey('contact', 'lastonholdtime');
  await app.defineKey('contact', 'firstname', 'birthdate');
});
afterAll(() => app.assertNoSecret());

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
    // Which rows had been sent by then is up to the network.
    expect(summary.counts.created).toBeGreaterThan(0);
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
