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
  const [type = ''] = (contentType ?? '').toLowerCase().split(';');
  const chunks = await nonEmpty(body);
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

async function nonEmpty(body: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const iterator = body[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done)
    throw new RequestError(400, 'bodyEmpty', 'The request has no body.', {
      hint: 'Send rows as CSV, NDJSON or a JSON array.',
    });
  return (async function* () {
    yield first.value;
    yield* { [Symbol.asyncIterator]: () => iterator };
  })();
}

const decodeStrictly = (bytes: Uint8Array): string => new TextDecoder('utf-8', { fatal: true }).decode(bytes);

async function csvRows(chunks: AsyncIterable<Uint8Array>): Promise<InputRows> {
  const records = csvRecords(chunks);
  const first = await records.next();
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

/** Records as fields of raw bytes, so that invalid UTF-8 is found where it is. */
async function* csvRecords(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array[]> {
  const parser = parseCsv({
    encoding: null,
    bom: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: LONGEST_ROW_BYTES,
  });
  const feed = async (): Promise<void> => {
    for await (const chunk of chunks) {
      if (!parser.write(Buffer.from(chunk)) && !parser.destroyed)
        await new Promise((resolve) => parser.once('drain', resolve).once('close', resolve));
      if (parser.destroyed) return;
    }
    parser.end();
  };
  feed().catch((error: unknown) => parser.destroy(error instanceof Error ? error : new Error(messageOf(error))));
  let index = -1;
  try {
    for await (const record of parser) {
      yield record as Uint8Array[];
      index += 1;
    }
  } catch (error) {
    throw broken(error, 'malformedCsv', index < 0 ? 0 : index);
  }
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
  try {
    for await (const chunk of chunks) {
      let from = 0;
      for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, from)) {
        yield Buffer.concat([...rest, chunk.subarray(from, at)]);
        rest = [];
        size = 0;
        from = at + 1;
      }
      rest.push(chunk.subarray(from));
      size += chunk.length - from;
      if (size > LONGEST_ROW_BYTES)
        throw new BodyBrokenError(
          'malformedJson',
          index(),
          `Row ${index()} is longer than ${LONGEST_ROW_BYTES} bytes.`,
          undefined,
        );
    }
  } catch (error) {
    throw broken(error, 'malformedJson', index());
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
  let first: IteratorResult<InputRow>;
  try {
    first = await rows.next();
  } catch (error) {
    if (!(error instanceof BodyBrokenError)) throw error;
    throw new RequestError(error.code === 'bodyTooLarge' ? 413 : 400, error.code, error.message, { cause: error });
  }
  return (async function* () {
    if (first.done) return;
    yield first.value;
    yield* rows;
  })();
}

async function* jsonArrayRows(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<InputRow> {
  const parser = new JSONParser({ paths: ['$.*'], keepStack: false });
  let found: InputRow[] = [];
  let index = 0;
  let isArray = true;
  let ended = false;
  parser.onValue = ({ value, parent }) => {
    isArray &&= Array.isArray(parent);
    found.push(objectRow(value, index));
    index += 1;
  };
  parser.onEnd = () => {
    ended = true;
  };
  let sawBracket = false;
  try {
    for await (const chunk of chunks) {
      if (!sawBracket) sawBracket = startsArray(chunk);
      parser.write(chunk);
      if (!isArray) throw new Error('not an array');
      yield* found;
      found = [];
    }
    if (!ended) throw new Error('the body ends inside the array');
  } catch (error) {
    yield* found;
    throw broken(error, 'malformedJson', index);
  }
}

/** Whether the first character that is no blank opens an array. Throws where it does not. */
function startsArray(chunk: Uint8Array): boolean {
  for (const byte of chunk) {
    if (
      byte === 0x20 ||
      byte === 0x09 ||
      byte === 0x0a ||
      byte === 0x0d ||
      byte === 0xef ||
      byte === 0xbb ||
      byte === 0xbf
    )
      continue;
    if (byte !== 0x5b) throw new Error('the body is no JSON array');
    return true;
  }
  return false;
}

function broken(error: unknown, code: 'malformedCsv' | 'malformedJson', index: number): BridgeError {
  if (error instanceof BodyBrokenError) return error;
  if (error instanceof RequestError && error.code === 'bodyTooLarge')
    return new BodyBrokenError('bodyTooLarge', index, error.message, error);
  const reading = code === 'malformedCsv' ? 'CSV' : 'JSON';
  const parserSaid =
    error instanceof Error &&
    /^(CSV_|Unexpected|not an|the body)/.test('code' in error ? String(error.code) : error.message);
  if (!parserSaid) return new BodyBrokenError('bodyCutOff', index, `The body broke off at row ${index}.`, error);
  return new BodyBrokenError(
    code,
    index,
    `The body is no ${reading} from row ${index} on: ${messageOf(error).slice(0, 200)}`,
    error,
  );
}
