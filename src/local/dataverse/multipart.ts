import { STATUS_CODES } from 'node:http';
import { BridgeError } from '../../shared/errors.ts';
import { type NewId, newGuid } from '../../shared/ids.ts';

/** A `$batch` body that the service refuses as a whole with 400, this code and this message. */
export class BatchFormatError extends BridgeError<'batchFormat'> {
  readonly serviceCode = '0x80048d19';

  constructor(message: string) {
    super('batchFormat', message);
  }
}

export interface BatchOperation {
  kind: 'operation';
  contentId?: string;
  /** In upper case. */
  method: string;
  /** As written: absolute, from the host (`/api/data/v9.2/…`), relative to the service root, or `$1…`. */
  url: string;
  /** The operation's own headers, names in lower case. */
  headers: ReadonlyMap<string, string>;
  body: Buffer;
}

export type BatchPart = BatchOperation | { kind: 'changeSet'; operations: readonly BatchOperation[] };

export interface BatchAnswer {
  kind: 'operation';
  /** Echoed inside change sets. */
  contentId?: string;
  status: number;
  /** In the order in which they are written. */
  headers: readonly (readonly [name: string, value: string])[];
  body?: string | Buffer;
}

export type BatchAnswerPart = BatchAnswer | { kind: 'changeSet'; operations: readonly BatchAnswer[] };

/** Operations of one batch, those in change sets included. */
const MAX_OPERATIONS = 1000;
const MAX_BOUNDARY_LENGTH = 70;
const LF = 0x0a;
const CR = 0x0d;
const CHANGE_SET_METHODS: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
const REQUEST_LINE = /^(\S+) +(\S.*) (\S+)$/;
const ENTITY_SET = /^(?:https?:\/\/[^/]*)?(?:\/*api\/data\/v[\d.]+)?\/*([^/?(]*)/i;
const NESTED_BATCH = /(?:^|\/)(?:\$|%24)batch(?:[/?#]|$)/i;

/**
 * Parses the body of `POST $batch` by the rules of the service: lines end in CRLF, text before the first boundary is
 * ignored, the boundary may be quoted, a Content-ID may stand in the part's or in the operation's header, a request line
 * may hold blanks in its URL. Throws BatchFormatError.
 */
export function parseBatch(contentType: string, body: Buffer): BatchPart[] {
  const boundary = boundaryOf(contentType);
  const { parts: sections, tail } = splitAtBoundary(body, boundary);
  const reader: BatchReader = { crlfRequired: !endsInBlankLines(tail), operations: 0 };
  return sections.map((section) => readPart(section, reader));
}

/**
 * Writes the body of a `$batch` answer, byte for byte in the service's form (test/fixtures/dataverse/http): an empty body
 * costs a line outside change sets and none inside.
 */
export function writeBatchResponse(
  parts: readonly BatchAnswerPart[],
  newId: NewId = newGuid,
): { contentType: string; body: Buffer } {
  const boundary = `batchresponse_${newId()}`;
  const chunks: (string | Buffer)[] = [];
  for (const part of parts) {
    chunks.push(`--${boundary}\r\n`);
    if (part.kind === 'changeSet') writeChangeSet(part.operations, `changesetresponse_${newId()}`, chunks);
    else writeAnswer(part, chunks, true);
  }
  chunks.push(`--${boundary}--\r\n`);
  return {
    contentType: `multipart/mixed; boundary=${boundary}`,
    body: Buffer.concat(chunks.map((chunk) => (typeof chunk === 'string' ? Buffer.from(chunk) : chunk))),
  };
}

function writeChangeSet(answers: readonly BatchAnswer[], boundary: string, chunks: (string | Buffer)[]): void {
  chunks.push(`Content-Type: multipart/mixed; boundary=${boundary}\r\n\r\n`);
  for (const answer of answers) {
    chunks.push(`--${boundary}\r\n`);
    writeAnswer(answer, chunks, false);
  }
  chunks.push(`--${boundary}--\r\n`);
}

function writeAnswer(answer: BatchAnswer, chunks: (string | Buffer)[], lineForEmptyBody: boolean): void {
  const contentId = answer.contentId === undefined ? '' : `Content-ID: ${answer.contentId}\r\n`;
  const headers = answer.headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  chunks.push(
    `Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n${contentId}\r\n`,
    `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ''}\r\n${headers}\r\n`,
  );
  if (answer.body?.length) chunks.push(answer.body, '\r\n');
  else if (lineForEmptyBody) chunks.push('\r\n');
}

interface BatchReader {
  /** Whether a line of the batch itself that ends in LF alone is refused. */
  crlfRequired: boolean;
  operations: number;
}

function readPart(section: Buffer, reader: BatchReader): BatchPart {
  const block = readHeaders(section, 0);
  const contentType = block.headers.get('content-type') ?? '';
  if (!/^multipart\/mixed\b/i.test(contentType)) return readOperation(section, block, reader, false);
  const operations = splitAtBoundary(section.subarray(block.end), boundaryOf(contentType)).parts.map((part) => {
    const inner = readHeaders(part, 0);
    if (/^multipart\//i.test(inner.headers.get('content-type') ?? '')) {
      throw new BatchFormatError('Nested change sets are not supported.');
    }
    return readOperation(part, inner, reader, true);
  });
  refuseRepeatedContentIds(operations);
  return { kind: 'changeSet', operations };
}

function readOperation(section: Buffer, block: HeaderBlock, reader: BatchReader, inChangeSet: boolean): BatchOperation {
  if (!/^application\/http\b/i.test(block.headers.get('content-type') ?? '')) {
    throw new BatchFormatError(
      "The 'Content-Type' header of a batch part must be 'application/http' or 'multipart/mixed' with a boundary.",
    );
  }
  countOperation(reader, inChangeSet);
  const line = readLine(section, block.end);
  const { method, url } = parseRequestLine(line.text);
  if (inChangeSet && !CHANGE_SET_METHODS.has(method)) {
    throw new BatchFormatError(
      `An invalid HTTP method '${method}' was detected for a request in a change set. Requests in change sets only support the HTTP methods 'POST', 'PUT', 'DELETE', and 'PATCH'.`,
    );
  }
  const { headers, end, complete, bareLineFeed } = readHeaders(section, line.end);
  const lineFeeds = block.bareLineFeed || line.bareLineFeed || bareLineFeed;
  if (!complete || (lineFeeds && reader.crlfRequired)) throw streamNotReadable(url);
  const contentId = headers.get('content-id') ?? block.headers.get('content-id');
  const length = Number(headers.get('content-length') ?? Number.NaN);
  const body = section.subarray(end, Number.isInteger(length) && length >= 0 ? end + length : undefined);
  return { kind: 'operation', ...(contentId !== undefined && { contentId }), method, url, headers, body };
}

function countOperation(reader: BatchReader, inChangeSet: boolean): void {
  reader.operations += 1;
  if (reader.operations <= MAX_OPERATIONS) return;
  throw new BatchFormatError(
    inChangeSet
      ? `The current change set contains too many operations. A maximum number of '${MAX_OPERATIONS}' operations are allowed in a change set.`
      : `The current batch message contains too many parts. Only batch messages with a maximum number of '${MAX_OPERATIONS}' query operations, including changeset operations, are allowed.`,
  );
}

function parseRequestLine(line: string): { method: string; url: string } {
  const [, method, url, version] = REQUEST_LINE.exec(line) ?? [];
  if (!method || !url || hasControlCharacter(line)) {
    throw new BatchFormatError(
      `The request line '${line}' at the beginning of the batch operation is invalid. A request line must be in the format of 'HttpMethod RequestUrl HttpVersion'.`,
    );
  }
  if (version !== 'HTTP/1.1') {
    throw new BatchFormatError(
      `The http version '${version}' used in the batch operation request or response is not valid. The value must be 'HTTP/1.1'.`,
    );
  }
  if (NESTED_BATCH.test(url)) throw new BatchFormatError('A batch request cannot contain another batch request.');
  return { method: method.toUpperCase(), url: url.trim() };
}

function refuseRepeatedContentIds(operations: readonly BatchOperation[]): void {
  const seen = new Set<string>();
  for (const { contentId } of operations) {
    if (contentId === undefined) continue;
    if (seen.has(contentId)) {
      throw new BatchFormatError(
        `The content ID '${contentId}' was found more than once in the same change set or same batch request. Content IDs have to be unique across all operations of a change set for OData V4.0 and have to be unique across all operations in the whole batch request for OData V4.01.`,
      );
    }
    seen.add(contentId);
  }
}

/** Such as a CR in the middle of a line, which would be a line end to others. */
function hasControlCharacter(line: string): boolean {
  for (let at = 0; at < line.length; at += 1) {
    const code = line.charCodeAt(at);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return true;
  }
  return false;
}

interface HeaderBlock {
  headers: ReadonlyMap<string, string>;
  /** Where what follows the blank line begins. */
  end: number;
  /** Whether the block ends in a blank line. */
  complete: boolean;
  bareLineFeed: boolean;
}

/**
 * Reads header lines up to the blank line. The line end in front of a boundary belongs to the boundary, so that the blank
 * line of a part without body is a section that ends after a line end.
 */
function readHeaders(section: Buffer, start: number): HeaderBlock {
  const headers = new Map<string, string>();
  let end = start;
  let bareLineFeed = false;
  while (end < section.length) {
    const line = readLine(section, end);
    bareLineFeed ||= line.bareLineFeed;
    end = line.end;
    if (line.text === '') break;
    const colon = line.text.indexOf(':');
    if (colon <= 0 || hasControlCharacter(line.text)) {
      throw new BatchFormatError(
        `The header value '${line.text}' is invalid. A header must be in the format of 'HeaderName: HeaderValue'.`,
      );
    }
    headers.set(line.text.slice(0, colon).trim().toLowerCase(), line.text.slice(colon + 1).trim());
  }
  return { headers, end, complete: section[end - 1] === LF, bareLineFeed };
}

interface Line {
  text: string;
  end: number;
  bareLineFeed: boolean;
}

function readLine(section: Buffer, start: number): Line {
  const feed = section.indexOf(LF, start);
  if (feed < 0) {
    return { text: section.toString('utf8', start), end: section.length, bareLineFeed: false };
  }
  const crlf = feed > start && section[feed - 1] === CR;
  return {
    text: section.toString('utf8', start, crlf ? feed - 1 : feed),
    end: feed + 1,
    bareLineFeed: !crlf,
  };
}

/** The sections between the boundaries, without the line ends that belong to these, and what follows the last one. */
function splitAtBoundary(body: Buffer, boundary: string): { parts: Buffer[]; tail: Buffer } {
  const delimiter = Buffer.from(`--${boundary}`);
  const parts: Buffer[] = [];
  let sectionStart: number | undefined;
  for (let found = body.indexOf(delimiter); found >= 0; found = body.indexOf(delimiter, found + 1)) {
    if (found > 0 && body[found - 1] !== LF) continue;
    const after = body.toString('latin1', found + delimiter.length, found + delimiter.length + 2);
    if (!/^(?:--|[ \t\r\n]|$)/.test(after)) continue;
    if (sectionStart !== undefined)
      parts.push(body.subarray(sectionStart, Math.max(sectionStart, lineEndBefore(body, found))));
    if (after === '--') return { parts, tail: body.subarray(found + delimiter.length + 2) };
    sectionStart = readLine(body, found).end;
  }
  if (sectionStart !== undefined) parts.push(body.subarray(sectionStart));
  return { parts, tail: Buffer.alloc(0) };
}

const lineEndBefore = (body: Buffer, position: number): number =>
  body[position - 2] === CR ? position - 2 : position - 1;

/** Two more line ends after the last boundary are the documented way to send a batch whose lines end in LF. */
const endsInBlankLines = (tail: Buffer): boolean => /^[ \t]*(?:\r?\n){2}/.test(tail.toString('latin1', 0, 64));

function boundaryOf(contentType: string): string {
  const [, quoted, bare] = /;\s*boundary\s*=\s*(?:"([^"]*)"|([^\s;"]+))/i.exec(contentType) ?? [];
  const boundary = quoted ?? bare;
  if (!/^\s*multipart\/mixed\b/i.test(contentType) || !boundary) {
    throw new BatchFormatError(
      `The content type '${contentType}' specifies a batch payload; however, the payload either does not include a batch boundary or includes more than one boundary. In OData, batch payload content types must specify exactly one batch boundary in the 'boundary' parameter of the content type.`,
    );
  }
  if (boundary.length > MAX_BOUNDARY_LENGTH) {
    throw new BatchFormatError(
      `The boundary delimiter '${boundary}' is invalid. A boundary delimiter must be non-null, be non-empty, and have a maximum of ${MAX_BOUNDARY_LENGTH} characters.`,
    );
  }
  return boundary;
}

function streamNotReadable(url: string): BatchFormatError {
  const entitySet = ENTITY_SET.exec(url)?.[1] ?? '';
  return new BatchFormatError(
    `Error identified in Payload provided by the user for Entity :'${entitySet}', For more information on this error please follow this help link https://go.microsoft.com/fwlink/?linkid=2195293  ---->  InnerException : System.ArgumentException: Stream was not readable.`,
  );
}
