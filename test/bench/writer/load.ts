import { writeFileSync } from 'node:fs';
import type { RowToWrite } from '../../../src/dataverse/bulk/write-rows.ts';
import { newGuid } from '../../../src/shared/ids.ts';
import { account, type InputRow } from './accounts.ts';
import { inPages, prepared, readDefinition, upsertWithOurs, type Written, writeWithOurs } from './ours.ts';
import { type ReadyRequest, readyRequests, sendReady } from './ready-bodies.ts';

/**
 * A client in a process of its own, which writes to a sink and prints what it took as JSON:
 * `load.ts SIDE SINK DEFINITIONS ROWS`. But for `stream`, rows are in memory before the time begins.
 */
const [side = '', sink = '', definitions = '', count = '0'] = process.argv.slice(2);
const rows = Number(count);
/** The concurrency that the sink recommends. */
const CONCURRENCY = 5;
const PAGE = 500;
/** Ready-made bodies are sent over and over. */
const ROWS_OF_BODIES = 20_000;

const someRows = (from: number, to: number): InputRow[] =>
  Array.from({ length: to - from }, (_, offset) => account('load', from + offset, 0));

async function* pagesUpTo(count: number): AsyncGenerator<readonly InputRow[]> {
  for (let at = 0; at < count; at += PAGE) yield someRows(at, Math.min(count, at + PAGE));
}

async function allOf<T>(pages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const page of pages) all.push(page);
  return all;
}

/** Their values over and over, each time with a key and an id of its own. */
async function* repeatedItems(
  some: readonly RowToWrite[],
  numbers: readonly string[],
  ids: readonly string[],
): AsyncGenerator<readonly RowToWrite[]> {
  for (let at = 0; at < rows; at += PAGE) {
    const page: RowToWrite[] = [];
    for (let index = at; index < at + PAGE && index < rows; index += 1) {
      const { values } = some[index % some.length] as RowToWrite;
      page.push({ index, key: { accountnumber: numbers[index] as string }, values, newId: ids[index] as string });
    }
    yield page;
  }
}

/** The same text in one piece, as it comes out of a file: its clearing up would count for the writer. */
const flat = (text: string): string => Buffer.from(text).toString();

async function created(written: Promise<Written>): Promise<number> {
  const { ms, counts } = await written;
  if (counts.created !== rows) throw new Error(`Of ${rows} rows ${counts.created} were created.`);
  return ms;
}

/** Bodies that are made while others are on their way, by the shortest code that there is. */
function* stringified(all: readonly InputRow[]): Generator<ReadyRequest> {
  for (let at = 0; at < all.length; at += 1000) yield* readyRequests('CreateMultiple', all.slice(at, at + 1000));
}

function* repeated(bodies: readonly ReadyRequest[]): Generator<ReadyRequest> {
  for (let sent = 0; sent < rows / 1000; sent += 1) yield bodies[sent % bodies.length] as ReadyRequest;
}

async function run(): Promise<Times> {
  switch (side) {
    case 'ready': {
      const bodies = readyRequests('CreateMultiple', someRows(0, ROWS_OF_BODIES));
      return measured(() => sendReady(sink, repeated(bodies), CONCURRENCY));
    }
    case 'stringify': {
      const all = someRows(0, rows);
      return measured(() => sendReady(sink, stringified(all), CONCURRENCY));
    }
    case 'writer': {
      const table = await readDefinition(definitions);
      const some = (await allOf(prepared(table, pagesUpTo(ROWS_OF_BODIES)))).flat() as RowToWrite[];
      const ids = Array.from({ length: rows }, newGuid);
      const numbers = Array.from({ length: rows }, (_, number) => flat(`load-${number}`));
      return measured(() =>
        created(writeWithOurs(sink, table, repeatedItems(some, numbers, ids), { mode: 'create', resolve: false })),
      );
    }
    case 'upsert': {
      const table = await readDefinition(definitions);
      const all = someRows(0, rows);
      return measured(() => created(upsertWithOurs(sink, table, inPages(all))));
    }
    case 'stream': {
      const table = await readDefinition(definitions);
      return measured(() => created(upsertWithOurs(sink, table, pagesUpTo(rows))));
    }
    default:
      throw new Error(`There is no side ${side}.`);
  }
}

interface Times {
  readonly ms: number;
  readonly processorMs: number;
}

/** The processor's time is what counts on a machine that has more to do than this. */
async function measured(work: () => Promise<number>): Promise<Times> {
  const before = process.cpuUsage();
  const ms = await work();
  const { user, system } = process.cpuUsage(before);
  return { ms, processorMs: (user + system) / 1000 };
}

const times = await run();
const { maxRSS } = process.resourceUsage();
writeFileSync(1, `${JSON.stringify({ ...times, peakMegabytes: (maxRSS * 1024) / 1e6 })}\n`);
process.exit(0);
