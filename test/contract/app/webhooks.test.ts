import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KEYS, startApp, type TestApp, WEBHOOK_SECRET } from '../../support/app.ts';

const CONTACT = JSON.parse(
  readFileSync(new URL('../../fixtures/webhooks/update-contact-async-msdocs.json', import.meta.url), 'utf8'),
);

let app: TestApp;

beforeAll(async () => {
  app = await startApp({ settings: () => ({ Webhook__main__query: 'secret', Webhook__main__header: 'X-Own-Header' }) });
});
afterAll(() => app.close());

let operations = 0;
/** A recorded post as a new operation. */
const contact = (changes: Record<string, unknown> = {}): string => {
  operations += 1;
  const id = `00000000-0000-4000-8000-${String(operations).padStart(12, '0')}`;
  return JSON.stringify({ ...CONTACT, OperationId: id, PrimaryEntityId: id, ...changes });
};

const right = { 'x-own-header': WEBHOOK_SECRET };
const post = (body: string, options: { headers?: Record<string, string>; query?: string; endpoint?: string } = {}) =>
  app.call('POST', `webhooks/dataverse/${options.endpoint ?? 'main'}${options.query ?? ''}`, {
    key: null,
    type: 'application/json',
    body,
    headers: options.headers ?? right,
  });

const events = async (query = '') => (await app.call('GET', `webhooks/events${query}`)).json;
/** Waits until the worker has stored an event. */
const stored = (id: string) =>
  expect.poll(async () => (await app.call('GET', `webhooks/events/${id}`)).status).toBe(200);

describe('the secret of an endpoint', () => {
  test.each([
    ['in its header', { headers: right }],
    ['as ?code=', { headers: {}, query: `?code=${WEBHOOK_SECRET}` }],
    ['as its query value', { headers: {}, query: `?secret=${WEBHOOK_SECRET}` }],
  ])('opens it %s', async (_, options) => {
    expect((await post(contact(), options)).status).toBe(202);
  });

  test.each([
    ['nowhere', { headers: {} }],
    ['wrong', { headers: { 'x-own-header': `${WEBHOOK_SECRET}x` } }],
    ['under the default header', { headers: { 'x-bridge-key': WEBHOOK_SECRET } }],
    ['as a key of the app', { headers: { 'x-functions-key': KEYS.master } }],
    ['empty', { headers: { 'x-own-header': '' }, query: '?code=&secret=' }],
  ])('keeps it closed when it comes %s', async (_, options) => {
    const answer = await post(contact(), options);
    expect(answer.status).toBe(401);
    expect(answer.json).toMatchObject({ code: 'secretWrong', hint: expect.any(String) });
    expect(answer.text).not.toContain(WEBHOOK_SECRET);
  });

  test('does not open an endpoint that there is not', async () => {
    const answer = await post(contact(), { endpoint: 'other' });
    expect([answer.status, answer.json.code]).toEqual([404, 'endpointUnknown']);
  });
});

describe('a body', () => {
  test('that is a recorded post becomes an event that can be read by its id', async () => {
    const row = '6d81597f-0f9f-e711-8122-000d3aa2331c';
    const { status, json } = await post(contact({ PrimaryEntityId: row }));
    expect([status, json]).toEqual([202, { id: expect.any(String), recognised: true }]);
    await stored(json.id);
    const event = (await app.call('GET', `webhooks/events/${json.id}`)).json;
    expect(event).toMatchObject({
      id: json.id,
      endpoint: 'main',
      table: 'contact',
      row,
      message: 'Update',
      state: 'received',
    });
    expect(event.context.inputParameters.Target.columns.firstname).toBe('James');
  });

  test('that is no JSON is 400, a body that is missing too', async () => {
    for (const body of ['<xml/>', '', '{"a":']) {
      const answer = await post(body);
      expect([answer.status, answer.json.code]).toEqual([400, 'bodyNotJson']);
    }
  });

  test('of unknown shape is kept raw as unrecognised', async () => {
    const { status, json } = await post('{"hello":["world"]}');
    expect([status, json.recognised]).toEqual([202, false]);
    await stored(json.id);
    expect((await app.call('GET', `webhooks/events/${json.id}`)).json).toMatchObject({
      state: 'unrecognised',
      table: null,
      context: { hello: ['world'] },
    });
  });

  test('of 300 KB is kept whole', async () => {
    const text = 'ab\u00e9'.repeat(100_000);
    const { json } = await post(contact({ InputParameters: [{ key: 'Target', value: text }] }));
    await stored(json.id);
    const event = (await app.call('GET', `webhooks/events/${json.id}`)).json;
    expect(event.context.inputParameters.Target).toBe(text);
  });

  test('of more than 1 MB is 413, announced or not', async () => {
    const body = JSON.stringify({ a: 'x'.repeat(1024 * 1024) });
    expect((await post(body)).json.code).toBe('bodyTooLarge');
    const stream = new Blob([body]).stream() as ReadableStream<Uint8Array>;
    const answer = await app.call('POST', 'webhooks/dataverse/main', { key: null, headers: right, body: stream });
    expect(answer.status).toBe(413);
  });

  test('that is posted twice is one event', async () => {
    const body = contact({ PrimaryEntityName: 'lead' });
    const ids = [(await post(body)).json.id, (await post(body)).json.id];
    expect(ids[0]).toBe(ids[1]);
    await stored(ids[0]);
    expect((await events('?table=lead')).value).toHaveLength(1);
  });
});

describe('the feed', () => {
  test('is filtered and paged, newest first', async () => {
    const posted: string[] = [];
    for (let second = 0; second < 3; second += 1) {
      const OperationCreatedOn = `/Date(${Date.parse(`2026-03-01T10:00:0${second}Z`)})/`;
      const { json } = await post(
        contact({ PrimaryEntityName: 'opportunity', MessageName: 'Create', OperationCreatedOn }),
      );
      posted.unshift(json.id);
    }
    for (const id of posted) await stored(id);
    const ids = async (query: string) => (await events(query)).value.map(({ id }: { id: string }) => id);
    expect(await ids('?table=opportunity')).toEqual(posted);
    expect(await ids('?table=opportunity&message=Create')).toEqual(posted);
    expect(await ids('?table=opportunity&message=Update')).toEqual([]);
    expect(await ids('?table=opportunity&state=unrecognised')).toEqual([]);
    expect(await ids('?table=opportunity&from=2026-03-01T10:00:01Z&to=2026-03-01T10:00:02Z')).toEqual([posted[1]]);
    const [event] = (await events(`?table=opportunity&pageSize=1`)).value;
    expect(await ids(`?row=${event.row}`)).toEqual([posted[0]]);
    const first = await events('?table=opportunity&pageSize=2');
    expect(first.value).toHaveLength(2);
    const second = await events(`?table=opportunity&pageSize=2&page=${first.nextPage}`);
    expect([...first.value, ...second.value].map(({ id }) => id)).toEqual(posted);
    expect(second.nextPage).toBeUndefined();
  });

  test.each(['pageSize=0', 'pageSize=1001', 'pageSize=x', 'page=nonsense', 'from=yesterday', 'state=lost'])(
    'refuses %s',
    async (query) => {
      const answer = await app.call('GET', `webhooks/events?${query}`);
      expect([answer.status, answer.json.title]).toEqual([400, 'Bad request']);
    },
  );

  test('says that there is no such event', async () => {
    const answer = await app.call('GET', 'webhooks/events/none');
    expect([answer.status, answer.json.code]).toEqual([404, 'eventUnknown']);
  });
});

test('neither an answer nor the log holds the secret', () => {
  expect(app.lines.join('\n')).not.toContain(WEBHOOK_SECRET);
});
