import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Json } from '@duckdb/node-api';
import { readKey } from '../dataverse/bulk/keys.ts';
import type { OutcomeCounts, RowError, RowOutcome } from '../dataverse/bulk/outcomes.ts';
import { noOutcomes } from '../dataverse/bulk/outcomes.ts';
import type { RowToWrite } from '../dataverse/bulk/write-rows.ts';
import type { Table } from '../dataverse/table.ts';
import { toWireRow } from '../dataverse/values.ts';
import type { Clock } from '../shared/clock.ts';
import type { NewId } from '../shared/ids.ts';
import type { BlobStore } from '../storage/blobs.ts';
import type { ActivationDefinition } from './definition.ts';
import { type Engine, sqlText } from './engine.ts';
import { writeLines } from './gzip-lines.ts';
import { openLedger, planPart } from './ledger.ts';
import { fitMapping, type Mapping } from './mapping.ts';
import { runModel } from './model.ts';
import { loadSnapshot, planRowsPath } from './snapshot.ts';
import { loadSource, type SourceFormat } from './source-rows.ts';

export interface PlanRequest {
  readonly definition: ActivationDefinition;
  readonly table: Table;
  /** The source as a local file. */
  readonly file: string;
  readonly format: SourceFormat;
  /** The snapshot to compare with; none on the first run. */
  readonly snapshot: string | undefined;
  /** Send every row, whatever was accepted before. */
  readonly fullRefresh: boolean;
  /** Where the plan's blobs go; nothing else is there. */
  readonly folder: string;
  readonly chunkRows: number;
  readonly modelTimeoutMs: number;
}

/** What a run is going to do. */
export interface Plan {
  readonly input: number;
  /** What is settled without a call: unchanged, skipped and rejected rows. */
  readonly counts: OutcomeCounts;
  /** Rows that were in the segment before and are not any more. */
  readonly left: number;
  readonly chunks: number;
}

interface PlanTools {
  readonly engine: Engine;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly signal?: AbortSignal | undefined;
}

/** A run's chunks are counted in a text property, which bounds their number. */
const MOST_CHUNKS = 20_000;
const LEDGER_PART_ROWS = 10_000;

export const chunkPath = (folder: string, chunk: number): string =>
  `${folder}/chunks/${String(chunk).padStart(6, '0')}.ndjson.gz`;

/**
 * Decides for every row of the source what becomes of it and writes that to `folder`: chunks of rows to send, the
 * ledger of the others, and the keys and hashes that the next snapshot is made of. Nothing is sent.
 *
 * Throws ActivationError where the source, the model or the mapping cannot be used.
 */
export async function makePlan(request: PlanRequest, tools: PlanTools): Promise<Plan> {
  const { engine, blobs, clock, signal } = tools;
  const { definition, table } = request;
  const output = join(engine.folder, 'output');
  await mkdir(output, { recursive: true });
  await loadSource(engine, request.file, request.format, signal);
  await loadSnapshot(engine, blobs, request.snapshot, signal);
  // The one folder that can be reached once the model has run; it is empty while it does.
  await engine.run(`set allowed_directories = [${sqlText(output)}]`);
  const columns = await runModel(engine, definition.model, { clock, timeoutMs: request.modelTimeoutMs });
  const mapping = fitMapping(definition, columns, table);
  await compare(engine, mapping, request.fullRefresh);

  const file = join(output, 'plan.parquet');
  await engine.run(
    `copy (select "index", key_text, key, hash from bridge.compared where verdict in ('unchanged', 'write'))
     to ${sqlText(file)} (format parquet, compression zstd)`,
  );
  await blobs.upload(planRowsPath(request.folder), file, {}, signal);

  const [facts] = await engine.all(
    `select count(*)::integer as input, (count(*) filter (where verdict = 'write'))::integer as writes,
       (select count(*) from bridge.snapshot s
        where not s.absent and s.key_text not in (select key_text from bridge.compared where key_text is not null)
       )::integer as "left"
     from bridge.compared`,
  );
  const written = await writePlan(request, mapping, Number(facts?.['writes']), tools);
  return { ...written, left: Number(facts?.['left']) };
}

/** Gives every row of the model its index, key, hash and verdict in `bridge.compared`, its values in `bridge.segment`. */
async function compare(engine: Engine, mapping: Mapping, fullRefresh: boolean): Promise<void> {
  const values = mapping.expressions.map((expression, n) => `${expression} as c${n}`).join(', ');
  await engine.run(
    `create table bridge.segment as
     select (row_number() over () - 1)::integer as "index", ${values} from bridge.model m`,
  );
  await engine.run('drop table bridge.model');
  await engine.run(
    `create table bridge.compared as
     with keyed as (
       select "index", ${mapping.keyText} as key_text, ${mapping.keyJson} as key, ${mapping.hash} as hash
       from bridge.segment)
     select k."index", k.key_text, k.key, k.hash, s.id,
       case when k.key_text is null then 'emptyKey'
            when k."index" <> max(k."index") over (partition by k.key_text) then 'duplicate'
            when ${fullRefresh ? 'false' : 'not s.absent and s.hash = k.hash'} then 'unchanged'
            else 'write' end as verdict
     from keyed k left join bridge.snapshot s on s.key_text = k.key_text`,
  );
}

async function writePlan(
  request: PlanRequest,
  mapping: Mapping,
  writes: number,
  tools: PlanTools,
): Promise<Omit<Plan, 'left'>> {
  const { engine, blobs, newId, signal } = tools;
  const { folder } = request;
  const ledger = openLedger(blobs, folder);
  const settled = inPortions<RowOutcome>(LEDGER_PART_ROWS, async (rows, number) => {
    const summary = { calls: 0, throttled: { count: 0, waitedMs: 0 } };
    await ledger.write(planPart(number), { rows, summary }, signal);
  });
  const chunkRows = Math.max(request.chunkRows, Math.ceil(writes / MOST_CHUNKS));
  const chunks = inPortions<RowToWrite>(chunkRows, async (rows, number) => {
    await writeLines(blobs, chunkPath(folder, number), rows, { signal });
  });
  const counts = noOutcomes();
  let input = 0;
  const settle = async (row: RowOutcome): Promise<void> => {
    counts[row.outcome] += 1;
    await settled.add(row);
  };

  const values = mapping.columns.map((_, n) => `s.c${n}`).join(', ');
  const rows = engine.stream(
    `select c."index", c.verdict, c.id, ${values}
     from bridge.compared c join bridge.segment s on s."index" = c."index" order by c."index"`,
  );
  for await (const portion of rows) {
    for (const row of portion) {
      input += 1;
      const decided = decide(request, mapping, row, newId);
      await ('outcome' in decided ? settle(decided) : chunks.add(decided));
    }
  }
  for await (const portion of engine.stream('select "row", reason from bridge.malformed order by "row"')) {
    for (const row of portion) {
      await settle(malformedRow(input, request.format, Number(row['row']), String(row['reason'])));
      input += 1;
    }
  }
  await settled.end();
  return { input, counts, chunks: await chunks.end() };
}

/** What becomes of one row: an outcome, or something to send. */
function decide(
  { definition, table }: PlanRequest,
  mapping: Mapping,
  row: Record<string, Json>,
  newId: NewId,
): RowOutcome | RowToWrite {
  const index = Number(row['index']);
  const id = typeof row['id'] === 'string' ? row['id'] : undefined;
  const known = id !== undefined && { id };
  const values = mappedValues(mapping, row);
  const { key, error } = readKey(table, mapping.strategy, values);
  const rejected = (reason: RowError): RowOutcome => ({ index, key, outcome: 'rejected', ...known, error: reason });
  if (error) return rejected(error);
  if (row['verdict'] === 'emptyKey') return rejected(EMPTY_KEY);
  if (row['verdict'] === 'duplicate') return { index, key, outcome: 'skipped', ...known, error: DUPLICATE };
  if (row['verdict'] === 'unchanged') return { index, key, outcome: 'unchanged', ...known };
  const wire = toWireRow(table, valuesToSend(definition, table, mapping, values));
  if (wire.error) return rejected(wire.error);
  return { index, key, values: wire.values, ...known, newId: newId() };
}

const DUPLICATE: RowError = {
  code: 'duplicateKey',
  message: 'A later row of the segment has the same key.',
  hint: 'Make the model yield one row for each key; of several the last is sent.',
};

const malformedRow = (index: number, format: SourceFormat, row: number, reason: string): RowOutcome => ({
  index,
  key: {},
  outcome: 'rejected',
  error: { code: 'malformedRow', message: `Malformed ${format.toUpperCase()} at row ${row}: ${reason}.` },
});

const EMPTY_KEY: RowError = { code: 'emptyKey', message: 'A part of the row’s key holds nothing but blanks.' };

function mappedValues(mapping: Mapping, row: Record<string, Json>): Record<string, string | null> {
  const values: Record<string, string | null> = {};
  for (const [position, { name, maxLength }] of mapping.columns.entries()) {
    const value = row[`c${position}`];
    values[name] = typeof value === 'string' ? cutToUnits(value, maxLength) : null;
  }
  return values;
}

/** SQL has cut to so many characters; Dataverse counts UTF-16 units, of which some characters have two. */
function cutToUnits(text: string, length: number | undefined): string {
  if (length === undefined || text.length <= length) return text;
  const last = text.charCodeAt(length - 1);
  const splitsPair = last >= 0xd800 && last < 0xdc00;
  return text.slice(0, splitsPair ? length - 1 : length);
}

function valuesToSend(
  { nulls }: ActivationDefinition,
  table: Table,
  { strategy }: Mapping,
  values: Record<string, string | null>,
): Record<string, string | null> {
  const keyColumns = strategy.kind === 'id' ? [table.primaryId] : strategy.columns;
  return Object.fromEntries(
    Object.entries(values).filter(
      ([name, value]) => !keyColumns.includes(name) && (nulls === 'clear' || value !== null),
    ),
  );
}

/** Collects items and hands them on in portions, numbered from 0; `end` hands on the rest and returns their number. */
function inPortions<T>(size: number, hand: (items: readonly T[], number: number) => Promise<void>) {
  let items: T[] = [];
  let number = 0;
  const flush = async (): Promise<void> => {
    if (items.length === 0) return;
    await hand(items, number);
    items = [];
    number += 1;
  };
  return {
    async add(item: T): Promise<void> {
      items.push(item);
      if (items.length >= size) await flush();
    },
    async end(): Promise<number> {
      await flush();
      return number;
    },
  };
}
