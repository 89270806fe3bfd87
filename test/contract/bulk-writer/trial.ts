import { noExperience } from '../../../src/dataverse/bulk/effort.ts';
import type { RowOutcome } from '../../../src/dataverse/bulk/outcomes.ts';
import type { BulkSupport, Forms } from '../../../src/dataverse/bulk/support.ts';
import { type WriteItem, writeRows } from '../../../src/dataverse/bulk/write-rows.ts';
import { createDataverseClient } from '../../../src/dataverse/client.ts';
import { createPace } from '../../../src/dataverse/pace.ts';
import { newMeter, type TokenOptions } from '../../../src/dataverse/request.ts';
import type { Table } from '../../../src/dataverse/table.ts';
import type { Transport } from '../../../src/dataverse/transport.ts';
import type { Clock } from '../../../src/shared/clock.ts';
import { newGuid } from '../../../src/shared/ids.ts';
import { ADDRESSES, type Case, drawCase, type Stored, targetOf } from './cases.ts';
import { drawFaults } from './faults.ts';
import { judge } from './judge.ts';
import { type Chance, chance } from './random.ts';

/** What a table is said to support, whatever is true. */
const supportOf = (forms: Forms): BulkSupport => ({
  of: async () => ({ ...forms }),
  experience: (_, limits) => noExperience(limits),
});

/** An environment to write to, and what trials need of it. */
export interface Arena {
  readonly apiUrl: string;
  readonly clock: Clock;
  readonly speed: number;
  readonly transport: Transport;
  readonly table: Table;
  readonly contacts: readonly [string, ...string[]];
  /** A token that is good for so many milliseconds; below 0, one that has been expired for so long. */
  token(lifetimeMs: number): Promise<string>;
  /** A request of somebody else, whom no rule spoils. */
  call(method: string, path: string, body?: unknown): Promise<{ status: number; json: unknown }>;
  rules(rules: readonly unknown[]): Promise<void>;
}

export interface Verdict {
  readonly seed: number;
  /** What is wrong, in words; empty if all rows are as the ledger says. */
  readonly faults: readonly string[];
  readonly rows: number;
  /** Whether a second run was needed, for the first was broken off. */
  readonly repeated: boolean;
  readonly description: string;
}

/** Runs a writer through faults that the seed decides on, and compares its ledger with what is stored. */
export async function runTrial(arena: Arena, seed: number): Promise<Verdict> {
  const luck = chance(seed);
  const drawn = drawCase(luck, seed, arena.contacts);
  const faults = drawFaults(luck);
  const broken = faults.outage || luck.is(0.15);
  const options = {
    onOutage: luck.one(['throw', 'reject'] as const),
    abortAfter: broken && luck.is(0.5) ? luck.whole(1, 12) : undefined,
  };
  const { address, mode, resolve, batchSize, forms } = drawn;
  const description = JSON.stringify({
    mode,
    address,
    resolve,
    batchSize,
    forms,
    ...options,
    rules: faults.rules.slice(3),
  });
  await store(arena, drawn);
  await arena.rules(faults.rules);
  // Rows under their caller's own ids are told apart by the second in which they were created.
  if (address === 'id') await arena.clock.sleep(2_500);
  const since = arena.clock.now();
  const others = secondWriter(arena, drawn, luck);
  const ledger = new Map<number, RowOutcome>();
  const wrong: string[] = [];
  const run = { arena, drawn, luck, since, others, ledger, wrong };
  const first = await write(run, options);
  let repeated = false;
  if (broken) {
    await arena.rules(faults.rules.slice(0, 3));
    wrong.push(...judge({ drawn, ledger, stored: await stored(arena, drawn), others, broken: true }));
    for (const [index, outcome] of ledger) if (isOpen(drawn, outcome)) ledger.delete(index);
    if (ledger.size < drawn.rows.length) {
      repeated = true;
      const second = await write(run, { onOutage: 'throw', abortAfter: undefined });
      if (second !== undefined) wrong.push(`the second run threw ${second}`);
    }
  } else if (first !== undefined) wrong.push(`the write threw ${first}`);
  await arena.rules([]);
  wrong.push(...judge({ drawn, ledger, stored: await stored(arena, drawn), others, broken: false, repeated }));
  return { seed, faults: wrong, rows: drawn.rows.length, repeated, description };
}

/** Codes with which a row is done for: sending it again changes nothing. */
const FINAL = new Set(['0x80040265', 'alreadyExists', 'notFound', 'ambiguousKey']);
/** A row exists that the service was not asked for any more: only a create is done for then. */
const DUPLICATE = new Set(['0x80040237', '0x80060892']);

const isOpen = ({ mode }: Case, { outcome, error }: RowOutcome): boolean =>
  (outcome === 'rejected' || outcome === 'skipped') &&
  !FINAL.has(error?.code ?? '') &&
  !(mode === 'create' && DUPLICATE.has(error?.code ?? ''));

/** What the second writer has done. */
export interface Others {
  /** Ids of the rows that it created, by target. */
  readonly created: Map<number, string>;
  readonly deleted: Set<number>;
  /** Does one thing, if there is one left. */
  act(): Promise<void>;
}

function secondWriter({ call }: Arena, drawn: Case, luck: Chance): Others {
  const created = new Map<number, string>();
  const deleted = new Set<number>();
  const plans = [
    ...drawn.othersCreate.map((target) => async () => {
      const accountid = newGuid();
      const row = { accountid, ...drawn.keyValues(target), name: 'other', tickersymbol: drawn.marker };
      const { status } = await call('POST', 'accounts', row);
      if (status === 204) created.set(target, accountid);
    }),
    ...drawn.othersDelete.map((target) => async () => {
      const found = await rowsOf(call, drawn, target);
      for (const id of found) {
        if ((await call('DELETE', `accounts(${id})`)).status === 204) deleted.add(target);
      }
    }),
  ];
  const shuffled = plans.map((plan) => ({ plan, at: luck.next() })).sort((a, b) => a.at - b.at);
  return { created, deleted, act: async () => shuffled.pop()?.plan() };
}

/** The ids of a target's rows. */
async function rowsOf(call: Arena['call'], drawn: Case, target: number): Promise<string[]> {
  const before = drawn.before.find((each) => each.target === target);
  if (!before) return [];
  const all = await readAll(call, drawn);
  return all.filter((row) => targetOf(drawn, row) === target).map((row) => String(row['accountid']));
}

async function readAll(call: Arena['call'], { marker }: Case): Promise<Stored[]> {
  const select = 'accountid,name,description,accountnumber,telephone1,telephone2,telephone3,numberofemployees';
  const { json } = await call('GET', `accounts?$select=${select}&$filter=tickersymbol eq '${marker}'`);
  return (json as { value: Stored[] }).value;
}

const stored = ({ call }: Arena, drawn: Case): Promise<Stored[]> => readAll(call, drawn);

async function store({ call }: Arena, { before }: Case): Promise<void> {
  if (before.length === 0) return;
  const Targets = before.map(({ values }) => ({ '@odata.type': 'Microsoft.Dynamics.CRM.account', ...values }));
  const { status, json } = await call('POST', 'accounts/Microsoft.Dynamics.CRM.CreateMultiple', { Targets });
  if (status !== 200) throw new Error(`The rows before the trial were refused: ${JSON.stringify(json)}`);
}

interface Run {
  readonly arena: Arena;
  readonly drawn: Case;
  readonly luck: Chance;
  readonly since: number;
  readonly others: Others;
  readonly ledger: Map<number, RowOutcome>;
  readonly wrong: string[];
}

/** Writes the rows that the ledger lacks. Resolves with the error that the write threw, if any. */
async function write(
  { arena, drawn, luck, since, others, ledger, wrong }: Run,
  { onOutage, abortAfter }: { onOutage: 'throw' | 'reject'; abortAfter: number | undefined },
): Promise<string | undefined> {
  const { clock, table } = arena;
  const aborting = new AbortController();
  let sent = 0;
  const transport: Transport = async (request) => {
    sent += 1;
    if (sent === abortAfter) aborting.abort(new Error('aborted'));
    if (luck.is(0.5)) await others.act();
    return arena.transport(request);
  };
  const pace = createPace({ clock, maxConcurrency: luck.whole(1, 8) });
  const client = createDataverseClient({
    apiUrl: arena.apiUrl,
    tokens: expiringTokens(arena, luck),
    transport,
    clock,
    pace,
    random: () => luck.next(),
    newId: newGuid,
  });
  const items = drawn.rows.flatMap(({ row }, index): WriteItem[] => (ledger.has(index) ? [] : [{ ...row, index }]));
  const { kind, columns } = ADDRESSES[drawn.address];
  const { forms } = drawn;
  const context = {
    client,
    apiPath: new URL(arena.apiUrl).pathname,
    table,
    strategy: kind === 'id' ? { kind } : { kind, columns },
    mode: drawn.mode,
    resolve: drawn.resolve,
    order: drawn.order,
    batchSize: drawn.batchSize,
    pace,
    clock,
    newId: newGuid,
    random: () => luck.next(),
    meter: newMeter(),
    since,
    onOutage,
    signal: aborting.signal,
    // Enough rows are bad in some trials for a write to stop by itself.
    stopAt: { share: 1.1, rows: 1_000_000 },
    ...(forms && { support: supportOf(forms) }),
  } as const;
  try {
    for await (const outcome of writeRows(context, source(items, luck, clock))) {
      if (ledger.has(outcome.index)) wrong.push(`row ${outcome.index} has two outcomes`);
      ledger.set(outcome.index, outcome);
    }
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  }
  if (ledger.size !== drawn.rows.length) wrong.push(`${drawn.rows.length - ledger.size} rows have no outcome`);
  return undefined;
}

/** Gives rows now in pages, now one by one, and falls silent now and then. */
async function* source(
  items: readonly WriteItem[],
  luck: Chance,
  clock: Clock,
): AsyncGenerator<WriteItem | readonly WriteItem[]> {
  for (let at = 0; at < items.length; ) {
    const count = luck.one([1, 1, 10, 100]);
    const page = items.slice(at, at + count);
    at += count;
    if (luck.is(0.02)) await clock.sleep(luck.whole(50, 800));
    if (count > 1) yield page;
    else if (page[0]) yield page[0];
  }
}

/** Tokens of which some have expired when they are used, in some trials; after a refusal there is a good one. */
function expiringTokens({ token }: Arena, luck: Chance): (options?: TokenOptions) => Promise<string> {
  const share = luck.one([0, 0, 0.05, 0.3]);
  const good = token(LASTING_MS);
  const expired = token(-LASTING_MS);
  return ({ rejected } = {}) => (rejected === undefined && luck.is(share) ? expired : good);
}

const LASTING_MS = 3_600_000;
