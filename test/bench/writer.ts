import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { type ServiceModel, serviceModelSchema } from '../../src/local/dataverse/service-model.ts';
import { report } from './result.ts';
import { account, type InputRow, interleaved, orphaned, spoilt, tooLong } from './writer/accounts.ts';
import { type Environment, ensureKey, environmentAt } from './writer/environment.ts';
import { type Figure, figure, median } from './writer/figures.ts';
import { inPages, readDefinition, upsertWithOurs, type Written } from './writer/ours.ts';
import { asShown, tuned, type Way } from './writer/peer.ts';
import { readyRequests, sendReady } from './writer/ready-bodies.ts';
import { startEmulator, startSink } from './writer/servers.ts';
import { leastLookUps, leastMs, leastWork, optimumWithBadRows } from './writer/theory.ts';

const RUNS = 3;
const ROWS = 20_000;
const ROWS_OF_PEER = 5_000;
const ROWS_ONE_BY_ONE = 200;
const WINDOWS = 3.2;
const BAD_SHARE = 0.01;
const ROWS_ON_ONE_CORE = 200_000;

const { values: options } = parseArgs({ options: { target: { type: 'string' }, model: { type: 'string' } } });
const modelFile = options.model ?? fileURLToPath(new URL('service-model.json', import.meta.url));
const model: ServiceModel = serviceModelSchema.parse(JSON.parse(readFileSync(modelFile, 'utf8')));
const { limits: _, ...unlimited } = model;
const folder = mkdtempSync(join(tmpdir(), 'dataverse-bridge-writer-'));
const run = promisify(execFile);
/** Account numbers of this run are its own, should the target keep rows. */
const stamp = Date.now().toString(36).slice(-5);

const note = (text: string): void => void process.stderr.write(`  ${text}\n`);
const rate = (rows: number, ms: number): number => (rows / ms) * 1000;
const setOf = (name: string, count: number, version = 0, from = 0): InputRow[] =>
  Array.from({ length: count }, (_, number) => account(`${stamp}${name}`, from + number, version));

/** Chance that is the same in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 4_294_967_296;
  };
}

async function ours({ apiUrl, rest }: Environment, rows: readonly InputRow[]): Promise<Written> {
  const table = await readDefinition(apiUrl);
  await rest();
  return upsertWithOurs(apiUrl, table, inPages(rows));
}

function assertCounts({ counts }: Written, due: { created: number; updated: number; rejected: number }): void {
  for (const [outcome, count] of Object.entries(due)) {
    const told = counts[outcome as keyof typeof due];
    if (told !== count) throw new Error(`${told} rows are ${outcome} instead of ${count}.`);
  }
}

/** Throws unless exactly the spoilt rows were rejected. */
function assertExact(written: Written, rows: readonly InputRow[], isBad: (row: InputRow) => boolean): void {
  const told = written.rejected.map(({ index }) => index).sort((a, b) => a - b);
  const due = rows.flatMap((row, index) => (isBad(row) ? index : []));
  if (told.join() !== due.join())
    throw new Error(`${told.length} rows were rejected instead of ${due.length}, or others.`);
}

interface Speed {
  readonly figures: Readonly<Record<string, Figure>>;
  readonly cleanRate: number;
}

/** P1 and P3: half of the rows are there before, in even alternation with those that are not. */
async function measureSpeed(environment: Environment): Promise<Speed> {
  const work = leastWork(environment.model, { fresh: 1000, known: 1000 });
  const rows = environment.atMost(ROWS, { ms: work.executionMs / 2000, requests: work.requests / 2000 });
  const half = rows >> 1;
  note(`writing ${half} rows that are to be there`);
  await ours(environment, setOf('k', half));
  const least = leastMs(environment.model, leastWork(environment.model, { fresh: half, known: half }));
  const clean: number[] = [];
  const revealed: number[] = [];
  const refused: number[] = [];
  const optimum = optimumRate(environment);
  for (let turn = 0; turn < RUNS; turn += 1) {
    const good = interleaved(setOf(`a${turn}`, half), setOf('k', half, turn + 1));
    const plain = await ours(environment, good);
    assertCounts(plain, { created: half, updated: half, rejected: 0 });
    clean.push(rate(good.length, plain.ms));
    note(
      `clean: ${Math.round(clean.at(-1) ?? 0)} rows/s, ${plain.calls} calls; theory ${Math.round(rate(good.length, least))}`,
    );

    const withLong = spoilt(interleaved(setOf(`b${turn}`, half), setOf('k', half, turn + 11)), tooLong, seeded(turn));
    const checked = await ours(environment, withLong);
    assertExact(checked, withLong, (row) => String(row['name']).length > 160);
    revealed.push(rate(withLong.length, checked.ms));
    note(`1 % refused by metadata: ${Math.round(revealed.at(-1) ?? 0)} rows/s`);

    const some = environment.atMost(ROWS, { ms: 5, requests: 1 / 20 }) >> 1;
    const mixed = interleaved(setOf(`c${turn}`, some), setOf('k', some, turn + 21));
    const withOrphans = spoilt(mixed, orphaned, seeded(100 + turn));
    const isolated = await ours(environment, withOrphans);
    assertExact(isolated, withOrphans, (row) => 'parentaccountid' in row);
    refused.push(rate(withOrphans.length, isolated.ms));
    note(
      `1 % refused by the service: ${Math.round(refused.at(-1) ?? 0)} rows/s, ${isolated.calls} calls; optimum ${Math.round(optimum)}`,
    );
  }
  const theory = rate(2 * half, least);
  const cleanRate = median(clean);
  return {
    cleanRate,
    figures: {
      P1: figure(
        'clean upsert ÷ theoretical',
        ['>=', 0.95],
        clean.map((each) => each / theory),
        {
          rowsPerSecond: cleanRate,
          theoreticalRowsPerSecond: theory,
        },
      ),
      P3a: figure(
        '1 % bad rows that metadata reveals ÷ clean',
        ['>=', 0.95],
        revealed.map((each, turn) => each / (clean[turn] ?? each)),
        {
          rowsPerSecond: median(revealed),
        },
      ),
      P3b: figure(
        '1 % bad rows that only the service refuses ÷ optimum',
        ['>=', 0.9],
        refused.map((each) => each / optimum),
        {
          rowsPerSecond: median(refused),
          optimumRowsPerSecond: optimum,
        },
      ),
    },
  };
}

/** Rows per second of the best way to find bad rows, look-ups included, half of the rows being there. */
function optimumRate({ model: of }: Environment): number {
  const lookUpMs = leastLookUps(of, { fresh: 500, known: 500 }).serverMs / 1000;
  const rowMs =
    (optimumWithBadRows(of, 'creates', BAD_SHARE).rowMs + optimumWithBadRows(of, 'updates', BAD_SHARE).rowMs) / 2;
  return (of.dopHint / (rowMs + lookUpMs)) * 1000;
}

/** P2: the same mix of rows through dynamics-web-api. Each way is tried once, the best of them with each run more. */
async function measurePeer(environment: Environment, cleanRate: number): Promise<Readonly<Record<string, Figure>>> {
  const { model: of, apiUrl, rest } = environment;
  let sets = 0;
  const rateOf = async (way: Way, wanted: number, cost: { ms: number; requests: number }): Promise<number> => {
    const half = environment.atMost(wanted, cost) >> 1;
    sets += 1;
    const rows = interleaved(setOf(`p${sets}`, half), setOf('k', half, 30 + sets));
    await rest();
    const found = rate(rows.length, await way.upsert(apiUrl, rows));
    note(`dynamics-web-api, ${way.name}: ${Math.round(found)} rows/s`);
    return found;
  };
  const perRow = 2.4 * Math.max(of.rowMs.create, of.rowMs.update);
  const single = { ms: of.callMs + perRow, requests: 1 };
  const many = { ms: perRow + of.batchOperationMs, requests: 1 / 10 };
  const shown: { name: string; rates: number[] }[] = [];
  for (const way of asShown) {
    const rates: number[] = [];
    for (let turn = 0; turn < RUNS; turn += 1) rates.push(await rateOf(way, ROWS_ONE_BY_ONE, single));
    shown.push({ name: way.name, rates });
  }
  const best: { way: Way; rate: number }[] = [];
  for (const way of tuned(of.dopHint)) {
    const isOneByOne = way.rowsOfCall === 1;
    best.push({
      way,
      rate: await rateOf(way, isOneByOne ? 5 * ROWS_ONE_BY_ONE : ROWS_OF_PEER, isOneByOne ? single : many),
    });
  }
  best.sort((a, b) => b.rate - a.rate);
  shown.sort((a, b) => median(b.rates) - median(a.rates));
  const [winner] = best;
  const [first] = shown;
  if (!winner || !first) throw new Error('There is no way to be compared with.');
  const again = [winner.rate];
  for (let turn = 1; turn < RUNS; turn += 1) again.push(await rateOf(winner.way, ROWS_OF_PEER, many));
  return {
    P2a: figure(
      'clean upsert ÷ dynamics-web-api as shown',
      ['>=', 4],
      first.rates.map((each) => cleanRate / each),
      {
        way: first.name,
        rowsPerSecond: median(first.rates),
      },
    ),
    P2b: figure(
      'clean upsert ÷ dynamics-web-api tuned',
      ['>=', 1.2],
      again.map((each) => cleanRate / each),
      {
        way: winner.way.name,
        rowsPerSecond: median(again),
      },
    ),
  };
}

/** Ready-made bodies at the concurrency that is recommended: what the service gives to whoever has nothing to do. */
async function measureReady({ model: of, apiUrl, rest, atMost }: Environment): Promise<number> {
  const rows = Math.max(1000, atMost(10_000, { ms: of.rowMs.create, requests: 0.001 }));
  const requests = readyRequests('CreateMultiple', setOf('r', rows));
  await rest();
  const found = rate(rows, await sendReady(apiUrl, requests, of.dopHint));
  note(`ready-made bodies: ${Math.round(found)} rows/s`);
  return found;
}

/** P5: so many rows that they need more than three windows of what is allowed. */
async function measureLimits(environment: Environment): Promise<Figure | undefined> {
  const { model: of, apiUrl } = environment;
  const perRow = leastWork(of, { fresh: 10_000, known: 0 });
  const { limits } = of;
  if (!limits) {
    note('the model has no limits: no P5');
    return undefined;
  }
  const rowsOfWindow = Math.min(
    limits.executionMs === null ? Number.POSITIVE_INFINITY : limits.executionMs / (perRow.executionMs / 10_000),
    limits.requests === null ? Number.POSITIVE_INFINITY : limits.requests / (perRow.requests / 10_000),
  );
  const rows = Math.ceil(WINDOWS * rowsOfWindow * of.webServers);
  const least = leastMs(of, leastWork(of, { fresh: rows, known: 0 }));
  const table = await readDefinition(apiUrl);
  note(`writing ${rows} rows under limits, ${Math.round(least / 1000)} s at the least`);
  const written = await upsertWithOurs(apiUrl, table, inPages(setOf('l', rows)));
  assertCounts(written, { created: rows, updated: 0, rejected: 0 });
  const { avoidable } = written;
  note(`under limits: ${Math.round(written.ms / 1000)} s, ${written.throttled} × 429, ${avoidable} of them avoidable`);
  const found = figure('under limits ÷ the least time', ['<=', 1.1], [written.ms / least], {
    seconds: written.ms / 1000,
    leastSeconds: least / 1000,
    windows: WINDOWS,
    tooManyRequests: written.throttled,
    avoidable,
  });
  return { ...found, reached: found.reached && avoidable === 0 };
}

interface Load {
  readonly ms: number;
  readonly processorMs: number;
  readonly peakMegabytes: number;
}

/** A client of its own process, on a core of its own where that can be arranged. */
async function load(side: string, sink: string, definitions: string, rows: number): Promise<Load> {
  const program = fileURLToPath(new URL('writer/load.ts', import.meta.url));
  const args = [program, side, sink, definitions, String(rows)];
  const isPinned = cpus().length > 1 && existsSync('/usr/bin/taskset');
  const [command, all] = isPinned
    ? ['/usr/bin/taskset', ['-c', '0', process.execPath, ...args]]
    : [process.execPath, args];
  const { stdout } = await run(command, all);
  return JSON.parse(stdout) as Load;
}

/** P4 and P7: against a server that does nothing. */
async function measureClient(definitions: string): Promise<Readonly<Record<string, Figure>>> {
  const sink = await startSink();
  const rates: Record<string, number[]> = { ready: [], writer: [], stringify: [], upsert: [] };
  for (let turn = 0; turn < RUNS; turn += 1) {
    for (const side of Object.keys(rates)) {
      const { processorMs } = await load(side, sink.apiUrl, definitions, ROWS_ON_ONE_CORE);
      rates[side]?.push(rate(ROWS_ON_ONE_CORE, processorMs));
      note(`against a sink, ${side}: ${Math.round(rates[side]?.at(-1) ?? 0)} rows per second of the processor`);
    }
  }
  const { ready = [], writer = [], stringify = [], upsert = [] } = rates;
  const few: number[] = [];
  const many: number[] = [];
  for (let turn = 0; turn < RUNS; turn += 1) {
    for (const [rows, peaks] of [
      [100_000, few],
      [1_000_000, many],
    ] as const) {
      const { peakMegabytes } = await load('stream', sink.apiUrl, definitions, rows);
      peaks.push(peakMegabytes);
      note(`memory: ${Math.round(peakMegabytes)} MB at ${rows} rows`);
    }
  }
  await sink.close();
  const memory = figure(
    'peak memory of 1,000,000 rows ÷ 100,000',
    ['<=', 1.2],
    many.map((each, turn) => each / (few[turn] ?? each)),
    { megabytesOf1000000: median(many), megabytesOf100000: median(few) },
  );
  return {
    P4: figure(
      'creates on one core ÷ ready-made bodies',
      ['>=', 0.5],
      writer.map((each, turn) => each / (ready[turn] ?? each)),
      {
        rowsPerSecond: median(writer),
        readyRowsPerSecond: median(ready),
        bodiesMadeAsTheyGoRowsPerSecond: median(stringify),
        checkedAndLookedUpRowsPerSecond: median(upsert),
      },
    ),
    P7: { ...memory, reached: memory.reached && Math.max(...many) < 512 },
  };
}

function lineOf([name, { what, value, goal, reached, low, high, beside = {} }]: [string, Figure]) {
  const spread = low === high ? '' : `, ${low.toPrecision(3)} to ${high.toPrecision(3)}`;
  const more = Object.entries(beside).map(
    ([key, each]) => `${key} ${typeof each === 'number' ? Math.round(each * 10) / 10 : each}`,
  );
  const verdict = reached ? 'reached' : 'SHORT';
  return {
    what: `${name} ${what} (${goal}: ${verdict}${spread}${more.length > 0 ? `; ${more.join(', ')}` : ''})`,
    unit: '',
    ours: value,
  };
}

/** Ours is measured without limits, then with them; a target is as it is, so measurements stay below its limits. */
async function main(): Promise<void> {
  const free = options.target === undefined ? await startEmulator(unlimited, folder) : undefined;
  const speed = environmentAt(free?.apiUrl ?? options.target ?? '', free ? unlimited : model);
  await ensureKey(speed.apiUrl);
  const { cleanRate, figures } = await measureSpeed(speed);
  const ready = await measureReady(speed);
  const peer = await measurePeer(speed, cleanRate);
  const client = await measureClient(speed.apiUrl);
  await free?.close();
  const limited = options.target === undefined ? await startEmulator(model, folder) : undefined;
  const strict = environmentAt(limited?.apiUrl ?? options.target ?? '', model);
  await ensureKey(strict.apiUrl);
  await strict.rest();
  const P5 = await measureLimits(strict);
  await limited?.close();
  const { P1, P3a, P3b } = figures;
  const { P4, P7 } = client;
  const named = { P1, P2a: peer['P2a'], P2b: peer['P2b'], P3a, P3b, P4, P5, P7 };
  const all = Object.fromEntries(
    Object.entries(named).filter((each): each is [string, Figure] => each[1] !== undefined),
  );
  report({
    bench: 'writer',
    lines: [
      ...Object.entries(all).map(lineOf),
      { what: 'ready-made bodies at the same concurrency', unit: 'rows/s', ours: ready },
      { what: 'clean upsert', unit: 'rows/s', ours: cleanRate },
      { what: 'load of the machine in the last minute', unit: '', ours: loadavg()[0] ?? 0 },
    ],
    figures: all,
  });
}

try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
