import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { DuckDBAppender } from '@duckdb/node-api';
import { CsvError, type Info, parse } from 'csv-parse';
import { messageOf } from '../shared/errors.ts';
import { type Engine, sqlName, sqlText } from './engine.ts';
import { ActivationError } from './errors.ts';

export type SourceFormat = 'csv' | 'ndjson' | 'json' | 'parquet';

const MOST_COLUMNS = 1000;
const LONGEST_ROW_BYTES = 16 * 2 ** 20;

/**
 * Reads a file into the relation `source`, every column as text and empty values as NULL, and rows that cannot be read
 * into `bridge.malformed (row, reason)`, where `row` counts the file's rows from 1 without a header.
 * Throws ActivationError `sourceMalformed` where a fault leaves open where the next row begins, `sourceEmpty` where
 * there is nothing to know the columns from.
 */
export async function loadSource(
  engine: Engine,
  file: string,
  format: SourceFormat,
  signal?: AbortSignal,
): Promise<void> {
  await engine.run('create table bridge.malformed ("row" integer, reason varchar)');
  switch (format) {
    case 'csv':
      return loadCsv(engine, await openBytes(file, signal));
    case 'ndjson':
      await loadLines(engine, await openBytes(file, signal));
      return documentsToSource(engine);
    case 'json':
      await loadArray(engine, file);
      return documentsToSource(engine);
    case 'parquet':
      return refusedAsMalformed('Parquet', () =>
        engine.run(`create table source as select columns(*)::varchar from read_parquet(${sqlText(file)})`),
      );
  }
}

/** The file's bytes without a byte order mark, unpacked if they are gzip. */
async function openBytes(file: string, signal: AbortSignal | undefined): Promise<Readable> {
  const packed = createReadStream(file, signal ? { signal } : {});
  if (!(await isGzip(file))) return Readable.from(withoutMark(packed), { objectMode: false });
  const unpacked = createGunzip();
  packed.once('error', (error) => unpacked.destroy(error));
  return Readable.from(withoutMark(packed.pipe(unpacked)), { objectMode: false });
}

const UTF8_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

async function* withoutMark(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const part of bytes) {
    if (!head) {
      yield part;
      continue;
    }
    head = Buffer.concat([head, part]);
    if (head.length < UTF8_MARK.length) continue;
    yield head.subarray(0, UTF8_MARK.length).equals(UTF8_MARK) ? head.subarray(UTF8_MARK.length) : head;
    head = undefined;
  }
  if (head) yield head;
}

async function isGzip(file: string): Promise<boolean> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer.readUInt16BE() === 0x1f8b;
  } finally {
    await handle.close();
  }
}

/**
 * The text that stands for these bytes, or undefined if they are not UTF-8. Readers are given bytes as characters of
 * latin1, so that they stay what they are until then.
 */
function decode(bytes: string): string | undefined {
  if (!/[\x80-\xff]/.test(bytes)) return bytes;
  const buffer = Buffer.from(bytes, 'latin1');
  return isUtf8(buffer) ? buffer.toString('utf8') : undefined;
}

/** RFC 4180 with a header: commas, double quotes, and quotes doubled within them. */
async function loadCsv(engine: Engine, bytes: Readable): Promise<void> {
  const parser = parse({
    encoding: 'latin1',
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: LONGEST_ROW_BYTES,
  });
  bytes.once('error', (error) => parser.destroy(error));
  bytes.pipe(parser);
  const malformed = await engine.appender('bridge', 'malformed');
  let rows: SourceWriter | undefined;
  let width = 0;
  try {
    for await (const entry of parser) {
      const { record, info } = entry as { record: string[]; info: Info };
      const cells = record.map(decode);
      if (!rows) {
        const names = columnNames(cells);
        width = names.length;
        rows = await sourceTable(engine, names);
        continue;
      }
      const reason = whyUnreadable(cells, width);
      if (reason === undefined) rows.append(cells.map((cell) => (cell ? cell : null)));
      else appendMalformed(malformed, info.records - 1, reason);
    }
  } catch (error) {
    if (!(error instanceof CsvError)) throw asMalformed('CSV', error);
    // The header is the parser's first record; a record that failed is not counted by it.
    const row = typeof error['records'] === 'number' ? error['records'] : 0;
    // The parser names the fault first and quotes the data behind the colon.
    const [fault = ''] = error.message.split(':', 1);
    throw new ActivationError('sourceMalformed', `Malformed CSV at row ${row}: ${fault}.`, {
      hint: 'Put fields that hold quotes into double quotes and double the quotes within them.',
    });
  } finally {
    rows?.close();
    malformed.closeSync();
    bytes.destroy();
  }
  if (!rows) throw new ActivationError('sourceEmpty', 'The source holds no header and no rows.');
}

function columnNames(header: readonly (string | undefined)[]): string[] {
  const names = header.map((name, position) => {
    if (name === undefined) throw new ActivationError('sourceMalformed', 'Malformed CSV: the header is not UTF-8.');
    return name.trim() || `column${position + 1}`;
  });
  requireDistinct(names);
  return names;
}

function requireDistinct(names: readonly string[]): void {
  if (names.length > MOST_COLUMNS) {
    throw new ActivationError('sourceMalformed', `The source has ${names.length} columns; ${MOST_COLUMNS} are read.`);
  }
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name.toLowerCase())) {
      throw new ActivationError('sourceMalformed', `The source has two columns named '${name}'.`, {
        hint: 'Give each column a name of its own; case does not tell them apart.',
      });
    }
    seen.add(name.toLowerCase());
  }
}

function whyUnreadable(cells: readonly (string | undefined)[], width: number): string | undefined {
  if (cells.length !== width) return `it has ${cells.length} fields, the header ${width}`;
  return cells.includes(undefined) ? 'it is not valid UTF-8' : undefined;
}

interface SourceWriter {
  append(cells: readonly (string | null)[]): void;
  close(): void;
}

async function sourceTable(engine: Engine, names: readonly string[]): Promise<SourceWriter> {
  await engine.run(`create table source (${names.map((name) => `${sqlName(name)} varchar`).join(', ')})`);
  const appender = await engine.appender('main', 'source');
  return {
    append(cells) {
      for (const cell of cells) {
        if (cell === null) appender.appendNull();
        else appender.appendVarchar(cell);
      }
      appender.endRow();
    },
    close: () => appender.closeSync(),
  };
}

/** One JSON value a line; what a line holds is looked at once all are there. */
async function loadLines(engine: Engine, bytes: Readable): Promise<void> {
  await engine.run('create table bridge.document ("row" integer, text varchar)');
  const documents = await engine.appender('bridge', 'document');
  const malformed = await engine.appender('bridge', 'malformed');
  const lines = createInterface({ input: bytes.setEncoding('latin1'), crlfDelay: Number.POSITIVE_INFINITY });
  // readline does not hand on what goes wrong below it: the stream would just seem to end.
  let failure: unknown;
  bytes.once('error', (error) => {
    failure = error;
    lines.close();
  });
  let row = 0;
  try {
    for await (const raw of lines) {
      row += 1;
      const line = decode(raw);
      if (line === undefined) appendMalformed(malformed, row, 'it is not valid UTF-8');
      else if (line.trim()) {
        documents.appendInteger(row);
        documents.appendVarchar(line);
        documents.endRow();
      }
    }
  } finally {
    documents.closeSync();
    malformed.closeSync();
    bytes.destroy();
  }
  if (failure !== undefined) throw asMalformed('NDJSON', failure);
}

/** One array of objects, which has to be whole: behind a fault in it nobody knows where the next row begins. */
async function loadArray(engine: Engine, file: string): Promise<void> {
  const compression = (await isGzip(file)) ? 'gzip' : 'uncompressed';
  const options = `format = 'array', compression = '${compression}', maximum_object_size = ${LONGEST_ROW_BYTES}`;
  await refusedAsMalformed('JSON', () =>
    engine.run(
      `create table bridge.document as select (row_number() over ())::integer as "row", json::varchar as text
       from read_json_objects(${sqlText(file)}, ${options})`,
    ),
  );
}

/** Makes `source` of the objects read; the columns are the names that occur in any of them. */
async function documentsToSource(engine: Engine): Promise<void> {
  const isObject = `case when json_valid(text) then json_type(text) = 'OBJECT' else false end`;
  await engine.run(
    `insert into bridge.malformed select "row", 'it is not a JSON object' from bridge.document where not ${isObject}`,
  );
  await engine.run(`delete from bridge.document where not ${isObject}`);
  const found = await engine.all(
    `select name from (select "row", unnest(json_keys(text)) as name from bridge.document)
     group by name order by min("row"), name`,
  );
  const names = found.map(({ name }) => String(name));
  if (names.length === 0) {
    throw new ActivationError('sourceEmpty', 'The source holds no object with members, so its columns are not known.');
  }
  requireDistinct(names);
  const columns = names.map((name) => `nullif(json_extract_string(text, ${jsonPath(name)}), '') as ${sqlName(name)}`);
  await engine.run(`create table source as select ${columns.join(', ')} from bridge.document order by "row"`);
  await engine.run('drop table bridge.document');
}

function jsonPath(name: string): string {
  // DuckDB's paths cannot name the empty member, and take * for all of them.
  if (name === '' || name === '*') {
    throw new ActivationError('sourceMalformed', `A member named '${name}' cannot be read as a column.`);
  }
  return sqlText(`$."${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`);
}

function appendMalformed(appender: DuckDBAppender, row: number, reason: string): void {
  appender.appendInteger(row);
  appender.appendVarchar(reason);
  appender.endRow();
}

async function refusedAsMalformed(format: string, read: () => Promise<void>): Promise<void> {
  try {
    await read();
  } catch (error) {
    throw asMalformed(format, error);
  }
}

/** What a reader said, down to its first line, as the others quote the data, and without the temporary file's name. */
function asMalformed(format: string, error: unknown): unknown {
  if (error instanceof ActivationError || (error instanceof Error && error.name === 'AbortError')) return error;
  const [first = ''] = messageOf(error).split('\n', 1);
  const reason = first.replace(/(["'])\/[^"']*\1/g, 'the source');
  return new ActivationError('sourceMalformed', `Malformed ${format}: ${reason}`, { cause: error });
}
