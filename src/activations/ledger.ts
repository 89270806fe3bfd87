import * as z from 'zod';
import { noOutcomes, OUTCOMES, type OutcomeCounts, type RowOutcome } from '../dataverse/bulk/outcomes.ts';
import type { BlobStore } from '../storage/blobs.ts';
import { ActivationError } from './errors.ts';
import { readLines, writeLineStream, writeLines } from './gzip-lines.ts';
import { type RunProblem, runProblem } from './runs.ts';

/** One blob of a run's ledger: what the plan decided, or what became of a chunk. */
export interface LedgerPart {
  readonly rows: readonly RowOutcome[];
  readonly summary: PartSummary;
}

/** What writing the rows of a part took. */
export interface PartSummary {
  readonly calls: number;
  readonly throttled: { readonly count: number; readonly waitedMs: number };
  /** Why rows of this part were given up. */
  readonly problem?: RunProblem | undefined;
}

const value = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const rowError = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().exactOptional(),
  column: z.string().exactOptional(),
});
const rowOutcome: z.ZodType<RowOutcome> = z.object({
  index: z.int().nonnegative(),
  key: z.record(z.string(), value),
  outcome: z.enum(OUTCOMES),
  id: z.string().exactOptional(),
  error: rowError.exactOptional(),
});
const partSummary = z.object({
  calls: z.number(),
  throttled: z.object({ count: z.number(), waitedMs: z.number() }),
  problem: runProblem.exactOptional(),
});

/** Names sort in the order in which parts are read: the plan's, then the chunks'. */
export const planPart = (number: number): string => `0-plan-${String(number).padStart(6, '0')}`;
export const chunkPart = (number: number): string => `1-chunk-${String(number).padStart(6, '0')}`;

const partPath = (folder: string, name: string): string => `${folder}/ledger/${name}.ndjson.gz`;
const attemptPath = (folder: string, name: string): string => `${folder}/attempts/${name}.ndjson.gz`;
const rejectedPath = (folder: string): string => `${folder}/rejected.ndjson.gz`;

/**
 * The ledger of one run, below `folder`: a gzip NDJSON blob a part, one row's outcome a line. The last line is
 * `{ "summary": … }`; a part is written once and never changed.
 */
export interface Ledger {
  /** False where the part exists already. */
  write(name: string, part: LedgerPart, signal?: AbortSignal): Promise<boolean>;
  read(name: string, signal?: AbortSignal): Promise<LedgerPart | undefined>;
  /** Keeps what a failed try of a part came to, in place of what tries before it did. */
  keepAttempt(name: string, part: LedgerPart, signal?: AbortSignal): Promise<void>;
  attempt(name: string, signal?: AbortSignal): Promise<LedgerPart | undefined>;
  /** Names of the parts that exist, in order. */
  parts(signal?: AbortSignal): AsyncIterable<string>;
  /** The rejected rows in a blob of their own, for whoever has to mend them. */
  writeRejected(signal?: AbortSignal): Promise<void>;
}

export function openLedger(blobs: BlobStore, folder: string): Ledger {
  const write = (path: string, { rows, summary }: LedgerPart, once: boolean, signal: AbortSignal | undefined) =>
    writeLines(blobs, path, [...rows, { summary }], { once, signal });
  const read = async (path: string, signal: AbortSignal | undefined): Promise<LedgerPart | undefined> => {
    const lines = await readLines(blobs, path, signal);
    if (!lines) return undefined;
    const last = z.object({ summary: partSummary }).parse(lines.pop());
    return { rows: lines.map((line) => rowOutcome.parse(line)), summary: last.summary };
  };
  async function* parts(signal: AbortSignal | undefined): AsyncGenerator<string> {
    const prefix = `${folder}/ledger/`;
    for await (const { path } of blobs.list(prefix, signal)) {
      yield path.slice(prefix.length).replace(/\.ndjson\.gz$/, '');
    }
  }
  async function* rejectedLines(signal: AbortSignal | undefined): AsyncGenerator<string> {
    for await (const name of parts(signal)) {
      const part = await read(partPath(folder, name), signal);
      for (const row of part?.rows ?? []) if (row.outcome === 'rejected') yield `${JSON.stringify(row)}\n`;
    }
  }
  return {
    write: (name, part, signal) => write(partPath(folder, name), part, true, signal),
    read: (name, signal) => read(partPath(folder, name), signal),
    keepAttempt: async (name, part, signal) => {
      await write(attemptPath(folder, name), part, false, signal);
    },
    attempt: (name, signal) => read(attemptPath(folder, name), signal),
    parts: (signal) => parts(signal),
    writeRejected: (signal) => writeLineStream(blobs, rejectedPath(folder), rejectedLines(signal), signal),
  };
}

export function countOutcomes(rows: readonly RowOutcome[]): OutcomeCounts {
  const counts = noOutcomes();
  for (const row of rows) counts[row.outcome] += 1;
  return counts;
}

export interface LedgerQuery {
  readonly outcome?: RowOutcome['outcome'] | undefined;
  /** From `nextPage`. */
  readonly page?: string | undefined;
  /** 1 to 5000. */
  readonly pageSize: number;
}

export interface LedgerPage {
  readonly value: readonly RowOutcome[];
  readonly nextPage?: string;
}

/**
 * A page of a run's rows, part by part. While the run goes on it holds what is settled so far.
 * Throws ActivationError `pageUnknown`.
 */
export async function readLedger(ledger: Ledger, query: LedgerQuery, signal?: AbortSignal): Promise<LedgerPage> {
  const from = query.page === undefined ? { part: '', line: 0 } : parsePage(query.page);
  const value: RowOutcome[] = [];
  for await (const name of ledger.parts(signal)) {
    if (name < from.part) continue;
    const rows = (await ledger.read(name, signal))?.rows ?? [];
    for (let line = name === from.part ? from.line : 0; line < rows.length; line += 1) {
      const row = rows[line];
      if (!row || (query.outcome !== undefined && row.outcome !== query.outcome)) continue;
      if (value.length === query.pageSize) return { value, nextPage: pageText({ part: name, line }) };
      value.push(row);
    }
  }
  return { value };
}

const position = z.object({ part: z.string().max(40), line: z.int().nonnegative() });

const pageText = (at: z.infer<typeof position>): string => Buffer.from(JSON.stringify(at)).toString('base64url');

function parsePage(page: string): z.infer<typeof position> {
  try {
    return position.parse(JSON.parse(Buffer.from(page, 'base64url').toString('utf8')));
  } catch (error) {
    throw new ActivationError('pageUnknown', 'This page is not one that was given out.', {
      cause: error,
      hint: 'Start without `page` and follow `nextPage`.',
    });
  }
}
