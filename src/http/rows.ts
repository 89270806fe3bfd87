import { JSONParser } from '@streamparser/json';
import { parse as parseCsv } from 'csv-parse';
import { BridgeError, messageOf } from '../shared/errors.ts';
import { RequestError } from './problem.ts';

/** A row of a request's body, or why there is none at this position. */
export type InputRow =
  | { readonly index: number; readonly values: Readonly<Record<string, unknown>>; readonly error?: never }
  | {
      readonly index: number;
      readonly error: { readonly code: string; readonly message: string; readonly hint?: string };
      readonly values?: never;
    };

export interface InputRows {
  readonly format: 'csv' | 'json' | 'ndjson';
  /** The header of a CSV body; other forms have none. */
  readonly columns: readonly string[] | undefined;
  /** Throws BodyBrokenError where the rest of the body cannot be read. */
  readonly rows: AsyncIterable<InputRow>;
}

/** The body cannot be read any further; `index` is the row at which it broke. */
export class BodyBrokenError extends BridgeError<'malformedCsv' | 'malformedJson' | 'bodyTooLarge' | 'bodyCutOff'> {
  readonly index: number;

  constructor(
    code: 'malformedCsv' | 'malformedJson' | 'bodyTooLarge' | 'bodyCutOff',
    index: number,
    message: string,
    cause: unknown,
  ) {
    super(code, message, { cause, hint: 'Rows before this one were taken; correct the body and send the rest.' });
    this.index = index;
  }
}

const LONGEST_ROW_BYTES = 1024 * 1024;

/**
 * Reads rows from a body as it arrives: CSV with a header (RFC 4180), NDJSON, or a JSON array of objects, all UTF-8.
 * A row that is wrong in itself (ragged, invalid UTF-8, no object) becomes an error at its position, the rest goes on.
 * Throws RequestError for what is wrong before the first row.
 */
export async function readRows(contentType: string | null, body: AsyncIterable<Uint8Array>): Promise<InputRows> {
  const [type = '', ...parameters] = (contentType ?? '').toLowerCase().split(';');
  assertUtf8(parameters);
  const chunks = withoutMark(await nonEmpty(body));
  switch (type.trim()) {
    case 'text/csv':
      return csvRows(chunks);
    case 'application/x-ndjson':
    case 'application/jsonl':
      return { format: 'ndjson', columns: undefined, rows: ndjsonRows(chunks) };
    case 'application/json':
      return { format: 'json', columns: undefined, rows: await jsonRows(chunks) };
    default:
      throw new RequestError(
        415,
        'contentTypeUnknown',
        `Rows cannot be read from ${type.trim() || 'a body without Content-Type'}.`,
        {
          hint: 'Send text/csv, application/x-ndjson or application/json.',
        },
      );
  }
}

/** Text in another encoding may be valid UTF-8 by chance, so what the caller says about it counts. */
function assertUtf8(parameters: readonly string[]): void {
  const charset = parameters.map((each) => each.match(/^\s*charset\s*=\s*"?([^"\s]*)/)?.[1]).find((each) => each);
  if (charset === undefined || charset === 'utf-8' || charset === 'utf8' || charset === 'us-ascii') return;
  throw new RequestError(415, 'contentTypeUnknown', `Rows cannot be read from text in ${charset.slice(0, 40)}.`, {
    hint: 'Send UTF-8.',
  });
}

async function nonEmpty(body: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const iterator = body[Symbol.asyncIterator]();
  let first = await iterator.next();
  while (!first.done && first.value.length === 0) first = await iterator.next();
  if (first.done)
    throw new RequestError(400, 'bodyEmpty', 'The request has no body.', {
      hint: 'Send rows as CSV, NDJSON or a JSON array.',
    });
  const { value } = first;
  return (async function* () {
    yield value;
    yield* { [Symbol.asyncIterator]: () => iterator };
  })();
}

const MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** Drops the byte order mark that spreadsheets put in front; the CSV parser's own way to do so makes text of all fields. */
async function* withoutMark(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of chunks) {
    if (!head) yield chunk;
    else {
      head = Buffer.concat([head, chunk]);
      if (head.length < MARK.length && MARK.subarray(0, head.length).equals(head)) continue;
      yield head.subarray(0, MARK.length).equals(MARK) ? head.subarray(MARK.length) : head;
      head = undefined;
    }
  }
  if (head) yield head;
}

/** A broken body as the answer to the whole request, while nothing of it has been taken. */
async function beforeAnyRow<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof BodyBrokenError)) throw error;
    const status = error.code === 'bodyTooLarge' ? 413 : 400;
    throw new RequestError(status, error.code, error.message, {
      cause: error,
      hint: 'Correct the body; nothing was taken.',
    });
  }
}

/** Tells a failure of the body itself by the row that was reached. */
async function* intact(chunks: AsyncIterable<Uint8Array>, index: () => number): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } catch (cause) {
    if (cause instanceof RequestError && cause.code === 'bodyTooLarge')
      throw new BodyBrokenError('bodyTooLarge', index(), cause.message, cause);
    throw new BodyBrokenError('bodyCutOff', index(), `The body broke off at row ${index()}.`, cause);
  }
}

/** `why` is ours: a parser's own text quotes the body. */
const malformed = (form: 'Csv' | 'Json', index: number, why: string, cause?: unknown): BodyBrokenError =>
  new BodyBrokenError(
    `malformed${form}`,
    index,
    `The body is no ${form.toUpperCase()} from row ${index} on: ${why}.`,
    cause,
  );

const tooLong = (form: 'Csv' | 'Json', index: number): BodyBrokenError =>
  malformed(form, index, `a row is longer than ${LONGEST_ROW_BYTES} bytes`);

// The mark at the start of the body is gone already; elsewhere it belongs to the value.
const decodeStrictly = (bytes: Uint8Array): string =>
  new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);

async function csvRows(chunks: AsyncIterable<Uint8Array>): Promise<InputRows> {
  const records = csvRecords(chunks);
  const first = await beforeAnyRow(() => records.next());
  const header = first.done ? [] : first.value;
  let columns: string[];
  try {
    columns = header.map((field) => decodeStrictly(field).trim());
  } catch (cause) {
    throw new RequestError(400, 'malformedCsv', 'The header is not UTF-8.', { cause });
  }
  if (columns.length === 0 || columns.includes(''))
    throw new RequestError(400, 'malformedCsv', 'The header has an empty name.');
  const twice = columns.find((name, at) => columns.indexOf(name) !== at);
  if (twice !== undefined)
    throw new RequestError(400, 'duplicateHeader', `The header names '${twice.slice(0, 128)}' twice.`);
  return { format: 'csv', columns, rows: csvDataRows(columns, records) };
}

/**
 * Records as fields of raw bytes, so that invalid UTF-8 is found where it is. The parser hands them over one by one and
 * not as a stream, which would drop those in front of a fault.
 */
async function* csvRecords(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array[]> {
  const found: Uint8Array[][] = [];
  const parser = parseCsv({
    encoding: null,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: LONGEST_ROW_BYTES,
    on_record(record: unknown) {
      // The types of the parser do not know what `encoding: null` does.
      found.push(record as Uint8Array[]);
      return null;
    },
  });
  // Told by the callbacks, too.
  parser.on('error', () => {});
  const step = (act: (done: (error?: Error | null) => void) => void): Promise<Error | undefined> =>
    new Promise((resolve) => act((error) => resolve(error ?? undefined)));
  let taken = 0;
  // The header is no row.
  const index = (): number => Math.max(0, taken - 1);
  const records = function* (): Generator<Uint8Array[]> {
    for (const record of found.splice(0)) {
      yield record;
      taken += 1;
    }
  };
  for await (const chunk of intact(chunks, index)) {
    const fault = await step((done) => parser.write(Buffer.from(chunk), done));
    yield* records();
    if (fault) throw csvFault(fault, index());
  }
  const fault = await step((done) => parser.end(done));
  yield* records();
  if (fault) throw csvFault(fault, index());
}

function csvFault(fault: Error, index: number): BodyBrokenError {
  const code = 'code' in fault ? String(fault.code) : '';
  if (code === 'CSV_MAX_RECORD_SIZE') return tooLong('Csv', index);
  return malformed('Csv', index, code.replace(/^CSV_/, '').replaceAll('_', ' ').toLowerCase(), fault);
}

async function* csvDataRows(
  columns: readonly string[],
  records: AsyncIterable<Uint8Array[]>,
): AsyncGenerator<InputRow> {
  let index = 0;
  for await (const record of records) {
    yield csvRow(columns, record, index);
    index += 1;
  }
}

function csvRow(columns: readonly string[], record: readonly Uint8Array[], index: number): InputRow {
  if (record.length !== columns.length) {
    return {
      index,
      error: { code: 'raggedRow', message: `The row has ${record.length} fields; the header has ${columns.length}.` },
    };
  }
  const values: Record<string, unknown> = Object.create(null);
  for (const [at, name] of columns.entries()) {
    let text: string;
    try {
      text = decodeStrictly(record[at] ?? new Uint8Array());
    } catch {
      return {
        index,
        error: { code: 'invalidUtf8', message: `The field '${name}' is not UTF-8.`, hint: 'Save the file as UTF-8.' },
      };
    }
    // CSV cannot tell an empty text from none: an empty field leaves its column alone.
    if (text !== '') values[name] = text;
  }
  return { index, values };
}

async function* ndjsonRows(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<InputRow> {
  let index = 0;
  for await (const line of lines(chunks, () => index)) {
    const row = ndjsonRow(line, index);
    if (!row) continue;
    yield row;
    index += 1;
  }
}

async function* lines(chunks: AsyncIterable<Uint8Array>, index: () => number): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of intact(chunks, index)) {
    let from = 0;
    for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, from)) {
      yield Buffer.concat([...rest, chunk.subarray(from, at)]);
      rest = [];
      size = 0;
      from = at + 1;
    }
    rest.push(chunk.subarray(from));
    size += chunk.length - from;
    if (size > LONGEST_ROW_BYTES) throw tooLong('Json', index());
  }
  yield Buffer.concat(rest);
}

function ndjsonRow(line: Uint8Array, index: number): InputRow | undefined {
  let text: string;
  try {
    text = decodeStrictly(line).trim();
  } catch {
    return { index, error: { code: 'invalidUtf8', message: 'The line is not UTF-8.' } };
  }
  if (text === '') return undefined;
  try {
    return objectRow(JSON.parse(text), index);
  } catch {
    return { index, error: { code: 'malformedJson', message: 'The line is no JSON.' } };
  }
}

function objectRow(value: unknown, index: number): InputRow {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { index, error: { code: 'rowNotObject', message: 'A row must be a JSON object of columns and values.' } };
  }
  // Without a prototype, so that no name in a body can reach one.
  return { index, values: Object.assign(Object.create(null), value) };
}

async function jsonRows(chunks: AsyncIterable<Uint8Array>): Promise<AsyncIterable<InputRow>> {
  const rows = jsonArrayRows(chunks);
  // The first row is read before the answer starts, so that a body that is no array at all is told by its status.
  const first = await beforeAnyRow(() => rows.next());
  return (async function* () {
    if (first.done) return;
    yield first.value;
    yield* rows;
  })();
}

async function* jsonArrayRows(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<InputRow> {
  const parser = new JSONParser({ paths: ['$.*'], keepStack: false });
  const found: unknown[] = [];
  let ended = false;
  parser.onValue = ({ value }) => {
    found.push(value);
  };
  parser.onEnd = () => {
    ended = true;
  };
  let index = 0;
  const rows = function* (): Generator<InputRow> {
    for (const value of found.splice(0)) {
      yield objectRow(value, index);
      index += 1;
    }
  };
  // The parser would put another character for what is not UTF-8.
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let opened = false;
  let sinceRow = 0;
  for await (const chunk of intact(chunks, () => index)) {
    if (!opened) opened = opensArray(chunk);
    const fault = failureOf(() => parser.write(decoder.decode(chunk, { stream: true })));
    sinceRow = found.length > 0 ? 0 : sinceRow + chunk.length;
    yield* rows();
    if (fault)
      throw malformed('Json', index, fault instanceof TypeError ? 'it is not UTF-8' : 'it cannot be read', fault);
    if (sinceRow > LONGEST_ROW_BYTES) throw tooLong('Json', index);
  }
  if (!ended) throw malformed('Json', index, 'it ends inside the array');
}

function failureOf(work: () => void): Error | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(messageOf(error));
  }
}

const JSON_BLANKS = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** Whether the first character that is no blank has come; throws where it opens no array. */
function opensArray(chunk: Uint8Array): boolean {
  const first = chunk.find((byte) => !JSON_BLANKS.has(byte));
  if (first !== undefined && first !== 0x5b) throw malformed('Json', 0, 'it is not an array');
  return first !== undefined;
}
