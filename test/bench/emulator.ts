import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'undici';
import { identifier, openStore } from '../../src/local/dataverse/store.ts';
import { newGuid } from '../../src/shared/ids.ts';
import { type BenchLine, report } from './result.ts';
import { account } from './writer/accounts.ts';
import { median } from './writer/figures.ts';
import { type ReadyRequest, readyRequests, sendReady } from './writer/ready-bodies.ts';
import { type Server, startPlainEmulator, startSink } from './writer/servers.ts';

const RUNS = 5;
const ROWS_OF_RUN = 20_000;
const COPIES = 9;
const ALL_ROWS = RUNS * ROWS_OF_RUN * (COPIES + 1);
const IN_PARALLEL = 5;
const READS_OF_RUN = 2_000;
const PAGES_OF_RUN = 100;
const PAGE = 100;
const COLUMNS = 'name,accountnumber,telephone1,numberofemployees';
const HEADERS = { authorization: 'Bearer bench', accept: 'application/json', prefer: `odata.maxpagesize=${PAGE}` };

const note = (text: string): void => void process.stderr.write(`  ${text}\n`);
const folder = mkdtempSync(join(tmpdir(), 'dataverse-bridge-emulator-'));

/** The median of the runs, of which each tells how many of something it did in a second. */
async function perSecond(what: string, run: (number: number) => Promise<{ count: number; ms: number }>) {
  const rates: number[] = [];
  for (let number = 0; number < RUNS; number += 1) {
    const { count, ms } = await run(number);
    rates.push((count / ms) * 1000);
  }
  note(`${what}: ${rates.map((each) => each.toPrecision(4)).join(', ')} per second`);
  return median(rates);
}

/** Bodies are made before, so that hardly anything of the time is the sender's own. */
const written = async ({ apiUrl }: Server, requests: readonly ReadyRequest[]) => ({
  count: requests.length * 1000,
  ms: await sendReady(apiUrl, requests, IN_PARALLEL),
});

/** Reads addresses below the Web API's root, so many at a time; `check` tells how much of what is counted each answer has. */
async function read(
  { apiUrl }: Server,
  paths: readonly string[],
  inParallel: number,
  check: (answer: string) => number,
): Promise<{ count: number; ms: number }> {
  const { origin, pathname } = new URL(apiUrl);
  const pool = new Pool(origin, { connections: inParallel });
  const waiting = paths.values();
  let count = 0;
  const reader = async (): Promise<void> => {
    for (const path of waiting) {
      const answer = await pool.request({ method: 'GET', path: pathname + path, headers: HEADERS });
      const text = await answer.body.text();
      if (answer.statusCode !== 200) throw new Error(`${path} answered ${answer.statusCode}: ${text}`);
      count += check(text);
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: inParallel }, reader));
  const ms = performance.now() - startedAt;
  await pool.close();
  return { count, ms };
}

/** A full page of rows. */
function fullPage(text: string): number {
  const { value } = JSON.parse(text) as { value: unknown[] };
  if (value.length !== PAGE) throw new Error(`There were ${value.length} rows on a page instead of ${PAGE}.`);
  return PAGE;
}

/** Each account of the emulator's database nine times more, under other ids and numbers. */
function multiply(file: string): void {
  const store = openStore(file);
  const columns = store.all("SELECT name FROM pragma_table_info('account')").map(({ name }) => String(name));
  const changed: Readonly<Record<string, string>> = {
    accountid: `substr('00000000', 1, 8 - length(copy)) || copy || substr(accountid, 9)`,
    accountnumber: `accountnumber || '-' || copy`,
    name: `name || ', ' || copy`,
  };
  const names = columns.map(identifier).join(', ');
  const values = columns.map((column) => changed[column] ?? identifier(column)).join(', ');
  store.transaction(() => {
    const copied = store.run(
      `WITH RECURSIVE copies(copy) AS (SELECT 1 UNION ALL SELECT copy + 1 FROM copies WHERE copy < ?)
       INSERT INTO account (${names}) SELECT ${values} FROM copies CROSS JOIN account`,
      [COPIES],
    );
    if (copied !== RUNS * ROWS_OF_RUN * COPIES) throw new Error(`There were ${copied} copies.`);
  });
  store.close();
}

/** CreateMultiple of 1000 and reads of single rows, with 100,000 accounts at the end. */
async function measureRows(emulator: Server): Promise<BenchLine[]> {
  const sink = await startSink();
  const ids: string[] = [];
  const requestsOf = (run: number): ReadyRequest[] => {
    const rows = Array.from({ length: ROWS_OF_RUN }, (_, at) => account('bench', run * ROWS_OF_RUN + at, 0));
    return readyRequests('CreateMultiple', rows, () => {
      const id = newGuid();
      ids.push(id);
      return id;
    });
  };
  const name = 'a server that does nothing';
  const createdBySink = await perSecond('rows to the sink', (run) => written(sink, requestsOf(run)));
  ids.length = 0;
  const created = await perSecond('rows created', (run) => written(emulator, requestsOf(run)));
  // From everywhere in the table, in an order that is the same in every run of the benchmark.
  const pathsOf = (run: number): string[] =>
    Array.from({ length: READS_OF_RUN }, (_, at) => {
      const id = ids[((run * READS_OF_RUN + at) * 7_919) % ids.length];
      return `accounts(${id})?$select=${COLUMNS}`;
    });
  const one = (): number => 1;
  const readBySink = await perSecond('reads of the sink', (run) => read(sink, pathsOf(run), IN_PARALLEL, one));
  const pointReads = await perSecond('point reads', (run) => read(emulator, pathsOf(run), IN_PARALLEL, one));
  await sink.close();
  return [
    {
      what: `rows created by CreateMultiple of 1000, ${IN_PARALLEL} in parallel`,
      unit: 'rows/s',
      ours: created,
      peer: { name, value: createdBySink },
    },
    {
      what: `rows read by id, ${IN_PARALLEL} in parallel`,
      unit: 'rows/s',
      ours: pointReads,
      peer: { name, value: readBySink },
    },
  ];
}

/** Pages of a filter over all rows: one that an index serves, made with the first of them, and one that none can. */
async function measurePages(emulator: Server): Promise<BenchLine[]> {
  const filtered = (filter: string): string => `accounts?$select=${COLUMNS}&$filter=${encodeURIComponent(filter)}`;
  const total = await read(emulator, ["RetrieveTotalRecordCount(EntityNames=['account'])"], 1, (text) => {
    const { EntityRecordCountCollection } = JSON.parse(text) as { EntityRecordCountCollection: { Values: number[] } };
    return EntityRecordCountCollection.Values[0] ?? 0;
  });
  if (total.count !== ALL_ROWS) throw new Error(`There are ${total.count} rows instead of ${ALL_ROWS}.`);
  const byNumber = (number: number): string => filtered(`numberofemployees eq ${number % 5_000}`);
  const first = await read(emulator, [byNumber(0)], 1, fullPage);
  const indexed = await perSecond('pages of an indexed column', async (run) => {
    const paths = Array.from({ length: PAGES_OF_RUN }, (_, at) => byNumber(1 + run * PAGES_OF_RUN + at));
    return read(emulator, paths, 1, fullPage);
  });
  // A hundred rows have such a text: whether there is another one is known at the end of the table.
  const scanned = await perSecond('pages of a part of a text', (run) =>
    read(emulator, [filtered(`contains(name,'${1_000 + run} of')`)], 1, fullPage),
  );
  const rows = `of ${ALL_ROWS.toLocaleString('en')} rows`;
  return [
    { what: `rows in pages of ${PAGE} ${rows}, number equal`, unit: 'rows/s', ours: indexed },
    { what: 'such a page', unit: 'ms', ours: (PAGE / indexed) * 1000 },
    { what: 'the first such page, with the index made', unit: 'ms', ours: first.ms },
    { what: `a page of ${PAGE} ${rows}, text contained`, unit: 'ms', ours: (PAGE / scanned) * 1000 },
  ];
}

try {
  const small = await startPlainEmulator(folder);
  const lines = await measureRows(small);
  await small.close();
  note(`copying to ${ALL_ROWS} rows`);
  multiply(join(folder, 'dataverse.db'));
  const large = await startPlainEmulator(folder);
  lines.push(...(await measurePages(large)));
  await large.close();
  lines.push({ what: 'load of the machine in the last minute', unit: '', ours: loadavg()[0] ?? 0 });
  report({ bench: 'emulator', lines });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
