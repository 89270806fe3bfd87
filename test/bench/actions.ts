import { loadavg } from 'node:os';
import { Pool } from 'undici';
import { connectionSettings } from '../../src/config/settings.ts';
import { newGuid } from '../../src/shared/ids.ts';
import { type Case, casesOf } from './actions/cases.ts';
import { inTurns, type Pair } from './actions/in-turns.ts';
import { measureThroughApp } from './actions/through-app.ts';
import { requestOf, sendBare, type WireRequest } from './actions/wire.ts';
import { openConnection } from './connection.ts';
import { type BenchLine, report } from './result.ts';
import { account } from './writer/accounts.ts';
import { readyRequests, sendReady } from './writer/ready-bodies.ts';
import { startPlainEmulator } from './writer/servers.ts';

const READ = 1_000;
const BARE = 'bare undici';
/** More than both sides delete. */
const DOOMED = 2_000;

/** Creates accounts and tells their ids. */
async function seed(apiUrl: string, count: number): Promise<string[]> {
  const rows = Array.from({ length: count }, (_, number) => account('bench', number, 0));
  const ids = rows.map(() => newGuid());
  const idOf = new Map(rows.map((row, at) => [row, ids[at] ?? '']));
  await sendReady(
    apiUrl,
    readyRequests('CreateMultiple', rows, (row) => idOf.get(row) ?? ''),
    2,
  );
  return ids;
}

/** The action beside its own request, sent bare. Definitions and the token are there by then. */
async function measure(pool: Pool, { name, calls, ours, next }: Case): Promise<Pair> {
  await ours();
  const sent = await requestOf(ours);
  const wire = (): WireRequest => (next ? next(sent) : sent);
  wires.set(name, wire);
  return inTurns(calls, ours, () => sendBare(pool, wire()));
}

/** The next request of a case that was measured. */
function wireOf(name: string): WireRequest {
  const wire = wires.get(name);
  if (!wire) throw new Error(`There is no case '${name}'.`);
  return wire();
}

function linesOf(name: string, { ours, peer }: Pair): BenchLine[] {
  return [
    { what: name, unit: 'us', ours: ours.us, peer: { name: BARE, value: peer.us } },
    {
      what: `${name}: processor of the caller`,
      unit: 'us',
      ours: ours.processorUs,
      peer: { name: BARE, value: peer.processorUs },
    },
  ];
}

const wires = new Map<string, () => WireRequest>();
const emulator = await startPlainEmulator();
const bench = await openConnection();
const ids = await seed(emulator.apiUrl, READ + DOOMED);
const { connection, close } = bench.connections.open({
  ...connectionSettings(bench.settings, 'default'),
  apiUrl: emulator.apiUrl,
});
const pool = new Pool(new URL(emulator.apiUrl).origin, { connections: 1 });
const rows = { ids: ids.slice(0, READ), doomed: ids.slice(READ).values() };
const pairs: [string, Pair][] = [];
for (const each of casesOf(connection, rows)) pairs.push([each.name, await measure(pool, each)]);
await Promise.all([pool.close(), close()]);
await bench.close();
await emulator.close();
const throughApp = await measureThroughApp(wireOf, rows.ids);
report({
  bench: 'actions',
  lines: [
    ...pairs.flatMap(([name, pair]) => linesOf(name, pair)),
    ...throughApp.map(([name, { ours, peer }]) => ({
      what: `${name}, through the app`,
      unit: 'us',
      ours: ours.us,
      peer: { name: BARE, value: peer.us },
    })),
    { what: 'load of the machine in the last minute', unit: '', ours: loadavg()[0] ?? 0 },
  ],
  figures: { actions: Object.fromEntries(pairs), actionsThroughApp: Object.fromEntries(throughApp) },
});
