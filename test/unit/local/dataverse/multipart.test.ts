import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  BatchFormatError,
  type BatchOperation,
  type BatchPart,
  parseBatch,
  writeBatchResponse,
} from '../../../../src/local/dataverse/multipart.ts';

const TYPE = 'multipart/mixed; boundary=b';
const PART = ['Content-Type: application/http', 'Content-Transfer-Encoding: binary', ''];

const lines = (...text: (string | string[])[]): Buffer => Buffer.from(text.flat().join('\r\n'));
const parse = (...text: (string | string[])[]): BatchPart[] => parseBatch(TYPE, lines(...text));

function operationsOf(parts: readonly BatchPart[]): BatchOperation[] {
  return parts.flatMap((part) => (part.kind === 'operation' ? [part] : part.operations));
}

describe('reading a batch', () => {
  test('operations come with their method, URL, headers and body', () => {
    const parts = parse(
      '--b',
      PART,
      'POST /api/data/v9.2/tasks HTTP/1.1',
      'Content-Type: application/json; type=entry',
      'If-Match:*',
      '',
      '{"subject":"Task 1"}',
      '--b',
      PART,
      'GET https://org/api/data/v9.2/tasks(1) HTTP/1.1',
      '',
      '--b--',
    );
    expect(operationsOf(parts).map(({ method, url, body }) => [method, url, body.toString()])).toEqual([
      ['POST', '/api/data/v9.2/tasks', '{"subject":"Task 1"}'],
      ['GET', 'https://org/api/data/v9.2/tasks(1)', ''],
    ]);
    expect(Object.fromEntries(operationsOf(parts)[0]?.headers ?? [])).toEqual({
      'content-type': 'application/json; type=entry',
      'if-match': '*',
    });
  });

  test('change sets hold their operations, with Content-IDs from either header', () => {
    const parts = parse(
      '--b',
      'Content-Type: multipart/mixed;boundary="b1"',
      '',
      '--b1',
      'content-type: application/http; msgtype=request',
      'Content-ID: 0',
      '',
      'POST accounts HTTP/1.1',
      'Host: org',
      '',
      '{}',
      '--b1',
      PART,
      'PATCH $0 HTTP/1.1',
      'Content-ID: 100001',
      'If-Match: *',
      '',
      '{}',
      '--b1--',
      '--b--',
      '',
    );
    expect(parts).toMatchObject([
      {
        kind: 'changeSet',
        operations: [
          { contentId: '0', method: 'POST', url: 'accounts' },
          { contentId: '100001', method: 'PATCH', url: '$0' },
        ],
      },
    ]);
  });

  test('the URL is what stands between the first and the last blank', () => {
    const [part] = parse('--b', PART, "GET accounts?$filter=name eq 'a  b' HTTP/1.1", '', '', '--b--');
    expect(part).toMatchObject({ url: "accounts?$filter=name eq 'a  b'" });
  });

  test('the boundary may be quoted, and text before it is ignored', () => {
    const body = lines('', 'preamble', '--x y', PART, 'GET a HTTP/1.1', '', '--x y--', 'epilogue');
    expect(parseBatch('multipart/mixed;boundary="x y"', body)).toHaveLength(1);
  });

  test('a body is not cut at something that only resembles the boundary', () => {
    const [part] = parse('--b', PART, 'POST a HTTP/1.1', '', '{"a":"--b "}', '--bc', '--b--');
    expect(part?.kind === 'operation' && part.body.toString()).toBe('{"a":"--b "}\r\n--bc');
  });

  test('an inner Content-Length counts, and line feeds in a body are data', () => {
    const [part] = parse('--b', PART, 'POST a HTTP/1.1', 'Content-Length: 4', '', '{\n\n}', '', '--b--');
    expect(part?.kind === 'operation' && part.body.toString()).toBe('{\n\n}');
  });

  test('a batch that ends early is read as far as it goes', () => {
    expect(parse('--b', PART, 'POST a HTTP/1.1', '', '{"a":')).toMatchObject([{ method: 'POST' }]);
    expect(parse('nothing')).toEqual([]);
  });
});

describe('refusing a batch', () => {
  const unix = '--b\nContent-Type: application/http\n\nPOST /api/data/v9.2/accounts HTTP/1.1\n\n{}\n--b--\n';
  const notReadable =
    "Error identified in Payload provided by the user for Entity :'accounts', For more information on this error please follow this help link https://go.microsoft.com/fwlink/?linkid=2195293  ---->  InnerException : System.ArgumentException: Stream was not readable.";

  test('lines that end in LF alone are refused with the text of the service', () => {
    expect(() => parseBatch(TYPE, Buffer.from(unix))).toThrow(new BatchFormatError(notReadable));
  });

  test('lines that end in LF alone are read when two more stand at the end, as documented', () => {
    expect(parseBatch(TYPE, Buffer.from(`${unix}\n\n`))).toHaveLength(1);
  });

  test('an operation without its blank line is refused', () => {
    expect(() => parse('--b', PART, 'GET accounts HTTP/1.1', '--b--')).toThrow(notReadable);
    expect(() => parse('--b', PART, 'GET accounts HTTP/1.1', 'Accept: a', '--b--')).toThrow(notReadable);
  });

  const changeSet = (...text: (string | string[])[]) =>
    parse('--b', 'Content-Type: multipart/mixed; boundary=c', '', '--c', ...text, '--c--', '--b--');

  test.each<[string, () => unknown, RegExp]>([
    ['a change set with a GET', () => changeSet(PART, 'GET a HTTP/1.1', '', ''), /invalid HTTP method 'GET'/],
    [
      'a change set in a change set',
      () => changeSet('Content-Type: multipart/mixed; boundary=d', '', '--d', '--d--'),
      /Nested change sets/,
    ],
    [
      'a Content-ID twice in a change set',
      () => {
        const twice = [...PART.slice(0, 2), 'Content-ID: 1', '', 'POST a HTTP/1.1', '', '{}'];
        return changeSet(twice, '--c', twice);
      },
      /content ID '1' was found more than once/,
    ],
    [
      'a batch in a batch',
      () => parse('--b', PART, 'POST /api/data/v9.2/$batch HTTP/1.1', '', '--b--'),
      /another batch/,
    ],
    ['a request line without a version', () => parse('--b', PART, 'GET accounts', '', '--b--'), /request line/],
    ['another version of HTTP', () => parse('--b', PART, 'GET a HTTP/2', '', '--b--'), /http version 'HTTP\/2'/],
    [
      'a header without a colon',
      () => parse('--b', PART, 'GET a HTTP/1.1', 'Accept', '', '--b--'),
      /header value 'Accept'/,
    ],
    ['a part of another type', () => parse('--b', 'Content-Type: text/plain', '', 'x', '--b--'), /application\/http/],
    ['no boundary', () => parseBatch('multipart/mixed', Buffer.alloc(0)), /exactly one batch boundary/],
    ['another content type', () => parseBatch('application/json; boundary=b', Buffer.alloc(0)), /batch boundary/],
    [
      'a boundary of 71 characters',
      () => parseBatch(`multipart/mixed; boundary=${'b'.repeat(71)}`, Buffer.alloc(0)),
      /maximum of 70/,
    ],
  ])('%s is refused', (_, run, message) => {
    expect(run).toThrow(BatchFormatError);
    expect(run).toThrow(message);
  });

  const many = (count: number) => Array.from({ length: count }, () => [...PART, 'POST a HTTP/1.1', '', '{}']);

  test('a thousand operations are taken and one more is not', () => {
    const body = (count: number) => many(count).flatMap((part) => ['--b', ...part]);
    expect(parse(body(1000), '--b--')).toHaveLength(1000);
    expect(() => parse(body(1001), '--b--')).toThrow(/maximum number of '1000' query operations/);
  });

  test('a change set of 1001 operations is refused', () => {
    expect(() => changeSet(many(1001).flatMap((part, index) => (index ? ['--c', ...part] : part)))).toThrow(
      /A maximum number of '1000' operations are allowed in a change set/,
    );
  });
});

describe('writing an answer', () => {
  const recorded = (name: string) => {
    const text = readFileSync(`test/fixtures/dataverse/http/${name}.http`, 'utf8');
    const body = text.slice(text.indexOf('\r\n\r\n') + 4);
    return {
      body,
      ids: [...new Set([...body.matchAll(/(?:batch|changeset)response_([0-9a-f-]{36})/g)].map(([, id]) => id ?? ''))],
    };
  };
  const written = (name: string, parts: Parameters<typeof writeBatchResponse>[0]) => {
    const { body, ids } = recorded(name);
    const answer = writeBatchResponse(parts, () => ids.shift() ?? '');
    return { answer: answer.body.toString(), contentType: answer.contentType, body };
  };
  const created = (uri: string) => ({
    kind: 'operation' as const,
    status: 204,
    headers: [
      ['OData-Version', '4.0'],
      ['Location', uri],
      ['OData-EntityId', uri],
    ] as const,
  });
  const failed = (requestId: string) => ({
    kind: 'operation' as const,
    status: 400,
    headers: [
      ['REQ_ID', requestId],
      ['Content-Type', 'application/json; odata.metadata=minimal'],
      ['OData-Version', '4.0'],
    ] as const,
    body: `{"error":{"code":"0x80044331","message":"A validation error occurred.  The length of the 'subject' attribute of the 'task' entity exceeded the maximum allowed length of '200'."}}`,
  });

  test('a failed operation is written as recorded', () => {
    const { answer, body, contentType } = written('batch-response-fail-fast', [
      failed('5ecd1cb3-1730-4ffc-909c-d44c22270026'),
    ]);
    expect(answer).toBe(body);
    expect(contentType).toBe('multipart/mixed; boundary=batchresponse_156da4b8-cd2c-4862-a911-4aaab97c001a');
  });

  test('operations after a failed one are written as recorded', () => {
    const task = (id: string) => `[Organization Uri]/api/data/v9.2/tasks(${id})`;
    const { answer, body } = written('batch-response-continue-on-error', [
      failed('de4c5227-4a28-4ebd-8ced-3392ece1697b'),
      created(task('aed2ae8b-3c94-ed11-aad1-000d3a9933c9')),
      created(task('b181a991-3c94-ed11-aad1-000d3a9933c9')),
    ]);
    expect(answer).toBe(body);
  });

  test('a change set is written as recorded', () => {
    const account = '[Organization URI]/api/data/v9.2/accounts(6cd81853-7b75-e911-a97a-000d3a34a1bd)';
    const contact = '[Organization URI]/api/data/v9.2/contacts(6ed81853-7b75-e911-a97a-000d3a34a1bd)';
    const { answer, body } = written('changeset-response', [
      {
        kind: 'changeSet',
        operations: [account, contact, account].map((uri, index) => ({
          ...created(uri),
          contentId: String(index + 1),
        })),
      },
    ]);
    expect(answer).toBe(body);
  });
});
