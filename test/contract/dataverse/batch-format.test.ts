import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { CRLF, changeSet, operation, type Part, post, statuses } from './batch-body.ts';
import { create, queryEnvironment } from './query-environment.ts';

const environment = queryEnvironment({}, async () => undefined);
const call = (...given: Parameters<typeof environment.call>) => environment.call(...given);

const GUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/** A recorded or received exchange without what differs from one to the next. */
const normal = (text: string) =>
  text
    .replaceAll(environment.apiUrl, '[Organization URI]/api/data/v9.2/')
    .replace(/\[Organization Uri\]/g, '[Organization URI]')
    .replace(GUID, '<guid>');

/** The answer as it stands on the wire, as far as the recordings show it. */
async function exchange(parts: string[], headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(`${environment.apiUrl}$batch`, {
    method: 'POST',
    headers: { 'Content-Type': 'multipart/mixed; boundary="b"', ...headers },
    body: [...parts.map((part) => `--b${CRLF}${part}`), '--b--', ''].join(CRLF),
  });
  const type = response.headers.get('content-type');
  const version = response.headers.get('odata-version');
  return normal(
    [
      `HTTP/1.1 ${response.status} ${response.statusText}`,
      `Content-Type: ${type}`,
      `OData-Version: ${version}`,
      '',
      await response.text(),
    ].join(CRLF),
  );
}

const recorded = (name: string) =>
  normal(readFileSync(new URL(`../../fixtures/dataverse/http/${name}.http`, import.meta.url), 'utf8'));

const tasks = ['x'.repeat(201), 'Task 2', 'Task 3'].map((subject) =>
  operation({ method: 'POST', url: '/api/data/v9.2/tasks', body: { subject } }),
);

test('a batch that stops at its first failure is answered byte for byte as recorded', async () => {
  expect(await exchange(tasks)).toBe(recorded('batch-response-fail-fast'));
});

test('a batch that goes on after a failure is answered byte for byte as recorded', async () => {
  expect(await exchange(tasks, { Prefer: 'odata.continue-on-error' })).toBe(
    recorded('batch-response-continue-on-error'),
  );
});

test('a change set is answered byte for byte as recorded', async () => {
  const parts: Part[] = [
    { method: 'POST', url: `${environment.apiUrl}accounts`, body: { name: 'a' }, contentId: '1' },
    { method: 'POST', url: `${environment.apiUrl}contacts`, body: { lastname: 'c' }, contentId: '2' },
    {
      method: 'PATCH',
      url: '$1',
      body: { 'primarycontactid@odata.bind': '$2' },
      contentId: '3',
      headers: { 'If-Match': '*' },
    },
  ];
  expect(await exchange([changeSet(parts)])).toBe(recorded('changeset-response'));
});

test('rows that are read come as a stream of JSON, columns and references that are put name no row', async () => {
  const id = await create(call, 'accounts', { name: 'a' });
  const answer = await post(call, [
    operation({ method: 'GET', url: `accounts(${id})?$select=name` }),
    operation({ method: 'PUT', url: `accounts(${id})/name`, body: { value: 'b' } }),
    operation({ method: 'DELETE', url: `accounts(${id})/primarycontactid/$ref` }),
    operation({ method: 'DELETE', url: `accounts(${id})` }),
  ]);
  expect(statuses(answer.text)).toEqual([200, 204, 204, 204]);
  expect(answer.text).toMatch(
    /HTTP\/1\.1 200 OK\r\nContent-Type: application\/json; odata\.metadata=minimal; odata\.streaming=true\r\nOData-Version: 4\.0\r\n/,
  );
  expect(answer.text).not.toContain('Location');
});

const raw = (lines: string[], boundary = 'b', quote = '', end = CRLF) =>
  call('POST', '$batch', [...lines, `--${boundary}--`, ''].join(end), {
    'Content-Type': `multipart/mixed;boundary=${quote}${boundary}${quote}`,
  });

const PART = ['Content-Type: application/http; msgtype=request', 'Content-Transfer-Encoding: binary', ''];

test('Content-IDs stand in either header, in any case, and are referred to in URLs, binds and @odata.id', async () => {
  const answer = await raw(
    [
      'a preamble',
      '--b c',
      'Content-Type: multipart/mixed;boundary=s',
      '',
      '--s',
      ...PART,
      'POST /api/data/v9.2/accounts HTTP/1.1',
      'Host: localhost',
      'content-id: 0',
      '',
      '{"name":"zero"}',
      '--s',
      'content-type: application/http',
      'Content-ID: 100001',
      '',
      `POST ${environment.apiUrl}contacts HTTP/1.1`,
      '',
      '{"lastname":"big","parentcustomerid_account@odata.bind":"$0"}',
      '--s',
      ...PART,
      'PUT $0/primarycontactid/$ref HTTP/1.1',
      '',
      '{"@odata.id":"$100001"}',
      '--s--',
      '--b c',
      ...PART,
      "GET accounts?$select=name&$filter=name eq 'zero'&$expand=primarycontactid($select=lastname) HTTP/1.1",
      '',
    ],
    'b c',
    '"',
  );
  expect(statuses(answer.text)).toEqual([204, 204, 204, 200]);
  expect(answer.text).toContain('"primarycontactid":{');
  expect(answer.text).toContain('"lastname":"big"');
  expect(answer.text.match(/Content-ID: (\d+)/g)).toEqual(['Content-ID: 0', 'Content-ID: 100001']);
});

test('lines that end in LF alone are refused, unless two more stand at the end', async () => {
  const lines = ['--b', ...PART, 'GET accounts?$top=1 HTTP/1.1', ''];
  const refused = await raw(lines, 'b', '', '\n');
  expect([refused.status, refused.json.error.code]).toEqual([400, '0x80048d19']);
  expect(refused.json.error.message).toMatch(/System\.ArgumentException: Stream was not readable\./);
  const taken = await raw([...lines, '--b--', '', ''], 'b', '', '\n');
  expect(statuses(taken.text)).toEqual([200]);
});

test('a URL may be twice as long as outside a batch', async () => {
  const filter = (length: number) => `accounts?$filter=name eq '${'x'.repeat(length)}'`;
  const parts = [filter(60_000), filter(66_000)].map((url) => operation({ method: 'GET', url }));
  const answer = await post(call, parts, { Prefer: 'odata.continue-on-error' });
  expect(statuses(answer.text)).toEqual([200, 414]);
});

test('a thousand operations are taken and one more is refused', async () => {
  const part = operation({ method: 'POST', url: 'nothing', body: {} });
  const most = await post(call, Array<string>(1000).fill(part), { Prefer: 'odata.continue-on-error' });
  expect(statuses(most.text)).toHaveLength(1000);
  const tooMany = await post(call, Array<string>(1001).fill(part));
  expect([tooMany.status, tooMany.json.error.code]).toEqual([400, '0x80048d19']);
  expect(tooMany.json.error.message).toMatch(/maximum number of '1000'/);
});

test.each<[string, string[]]>([
  [
    'a change set with a GET',
    ['Content-Type: multipart/mixed; boundary=s', '', '--s', ...PART, 'GET accounts HTTP/1.1', '', '', '--s--'],
  ],
  ['a batch in a batch', [...PART, 'POST $batch HTTP/1.1', '', '']],
  ['a batch in a batch, encoded', [...PART, 'POST /api/data/v9.2/%24batch/ HTTP/1.1', '', '']],
  ['a part that is cut off in its headers', ['Content-Type: application/http']],
  ['a part that is cut off before its request', [...PART]],
  ['a part of another type', ['Content-Type: text/plain', '', 'x']],
  ['a CR in the middle of a header', [...PART, 'GET accounts HTTP/1.1', 'Accept: a\rX-Other: b', '', '']],
  ['a NUL in a request line', [...PART, 'GET accounts\0 HTTP/1.1', '', '']],
])('%s is refused as a whole', async (_, lines) => {
  const answer = await raw(['--b', ...lines]);
  expect([answer.status, answer.json.error.code]).toEqual([400, '0x80048d19']);
});

test.each([
  ['without a boundary', 'multipart/mixed'],
  ['of another type', 'application/json'],
  ['with a boundary that is too long', `multipart/mixed; boundary=${'x'.repeat(71)}`],
])('a batch %s is refused', async (_, type) => {
  const answer = await call('POST', '$batch', `--b${CRLF}`, { 'Content-Type': type });
  expect([answer.status, answer.json.error.code]).toEqual([400, '0x80048d19']);
});

test('a batch cut off in the middle of a body refuses that operation', async () => {
  const body = ['--b', ...PART, 'POST accounts HTTP/1.1', '', '{"name":"cut'].join(CRLF);
  const answer = await call('POST', '$batch', body, { 'Content-Type': 'multipart/mixed; boundary=b' });
  expect(answer.status).toBe(400);
  expect(statuses(answer.text)).toEqual([400]);
  expect(answer.text).toContain('Invalid JSON');
});

test('headers that would change what the batch does are refused for the whole of it', async () => {
  const answer = await post(call, [operation({ method: 'POST', url: 'accounts', body: { name: 'a' } })], {
    'MSCRM.SuppressDuplicateDetection': 'false',
  });
  expect([answer.status, answer.json.error.code]).toEqual([501, '0x80040219']);
});
