import { DataverseError, type ErrorAnswer } from '../errors.ts';
import { parseRetryAfter } from '../retry.ts';

export interface BatchOperation {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Below the Web API's root, already encoded. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface BatchAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
}

/** Writes independent operations as one multipart body. Every line ends with CRLF: the service refuses bare LF. */
export function writeBatch(
  operations: readonly BatchOperation[],
  rootPath: string,
  boundary: string,
): { contentType: string; body: string } {
  const parts = operations.map((operation) => {
    const headers = Object.entries({
      ...operation.headers,
      ...(operation.body !== undefined && { 'Content-Type': 'application/json; type=entry' }),
    });
    return [
      `--${boundary}`,
      'Content-Type: application/http',
      'Content-Transfer-Encoding: binary',
      '',
      `${operation.method} ${rootPath}${operation.path} HTTP/1.1`,
      ...headers.map(([name, value]) => `${name}: ${value}`),
      '',
      operation.body ?? '',
      '',
    ].join('\r\n');
  });
  return { contentType: `multipart/mixed; boundary=${boundary}`, body: `${parts.join('')}--${boundary}--\r\n` };
}

/**
 * Reads the answers of independent operations, in order. Throws DataverseError `network` when the body ends before
 * its closing boundary: then nobody knows what was carried out.
 */
export function readBatch(contentType: string, text: string): BatchAnswer[] {
  const { answers, complete } = readArrived(contentType, text);
  if (!complete) throw new DataverseError('network', 'The answer to a batch broke off before its end.');
  return answers;
}

/** The answers that arrived whole, and whether the body has its end: of operations behind a break nothing is known. */
export function readArrived(contentType: string, text: string): { answers: BatchAnswer[]; complete: boolean } {
  const boundary = contentType.match(/boundary="?([^";]+)"?/i)?.[1];
  if (!boundary)
    throw new DataverseError(
      'notDataverse',
      `The answer to a batch is ${contentType || 'untyped'}, not multipart/mixed.`,
    );
  const sections = `\r\n${text}`.split(`\r\n--${boundary}`);
  return { answers: sections.slice(1, -1).map(readPart), complete: sections.at(-1)?.startsWith('--') === true };
}

function readPart(section: string): BatchAnswer {
  const [, inner = ''] = splitOnce(section, '\r\n\r\n');
  const [head, body] = splitOnce(inner, '\r\n\r\n');
  const [statusLine = '', ...lines] = head.split('\r\n');
  const status = statusLine.match(/^HTTP\/1\.\d (\d{3})/)?.[1];
  if (!status) throw new DataverseError('notDataverse', 'A part of a batch answer is no HTTP message.');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [name, value] = splitOnce(line, ':');
    headers.set(name.trim().toLowerCase(), value.trim());
  }
  return { status: Number(status), headers, text: body.trim() };
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}

/** A failed part in the form that `errorFromAnswer` takes. */
export const asErrorAnswer = (answer: BatchAnswer): ErrorAnswer => ({
  status: answer.status,
  contentType: answer.headers.get('content-type') ?? '',
  text: answer.text,
  serviceRequestId: answer.headers.get('req_id'),
  retryAfterMs: parseRetryAfter(answer.headers.get('retry-after'), Date.parse(answer.headers.get('date') ?? '')),
});
