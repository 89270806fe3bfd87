import type { Effort } from '../../../src/local/dataverse/effort.ts';
import { executionMs, modelledMs, type ServiceModel } from '../../../src/local/dataverse/service-model.ts';

/** Rows to be upserted by an alternate key: how many are not there yet, and how many are. */
export interface Rows {
  readonly fresh: number;
  readonly known: number;
}

/** What the service does for some work at the least, all requests together. */
export interface LeastWork {
  readonly requests: number;
  /** Milliseconds that the requests take, one after the other. */
  readonly serverMs: number;
  /** Milliseconds of it that count towards the limit of execution time. */
  readonly executionMs: number;
}

/** Rows that the documentation recommends at most for a bulk message, and keys that fit a query's URL and SQL Server. */
const ROWS_OF_CALL = 1000;
const KEYS_OF_QUERY = 500;

/**
 * The least work that upserts these rows and knows of each whether it was created or updated: the keys are looked up in
 * full pages, then the rows go by id in full CreateMultiple and UpdateMultiple. (UpsertMultiple does not tell which.)
 */
export function leastWork(model: ServiceModel, { fresh, known }: Rows): LeastWork {
  return together(model, [
    lookUps({ fresh, known }),
    [Math.ceil(fresh / ROWS_OF_CALL), { creates: fresh }],
    [Math.ceil(known / ROWS_OF_CALL), { updates: known }],
  ]);
}

/** The part of it that looks the keys up. */
export const leastLookUps = (model: ServiceModel, rows: Rows): LeastWork => together(model, [lookUps(rows)]);

function lookUps({ fresh, known }: Rows): readonly [number, Partial<Effort>] {
  const queries = Math.ceil((fresh + known) / KEYS_OF_QUERY);
  return [queries, { queries, rowsRead: known, keysLookedUp: fresh + known }];
}

/** So many requests of a kind, with the effort of all of them. */
function together(model: ServiceModel, kinds: readonly (readonly [number, Partial<Effort>])[]): LeastWork {
  let work: LeastWork = { requests: 0, serverMs: 0, executionMs: 0 };
  for (const [requests, effort] of kinds) {
    work = {
      requests: work.requests + requests,
      serverMs: work.serverMs + modelledMs(model, effort) + (requests - 1) * modelledMs(model, {}),
      executionMs: work.executionMs + executionMs(model, effort) + (requests - 1) * executionMs(model, {}),
    };
  }
  return work;
}

/**
 * Milliseconds that the work takes at the least: at the concurrency that the service recommends, without a gap, and
 * within its sliding windows. Of a limit's amount A the first window gives A at once, as fast as the calls go; from then
 * on A more are free in every window.
 */
export function leastMs(model: ServiceModel, work: LeastWork): number {
  const paceMs = work.serverMs / model.dopHint;
  const { limits } = model;
  if (!limits) return paceMs;
  const within = (total: number, limit: number | null): number => {
    if (limit === null || total === 0) return 0;
    const amount = limit * model.webServers;
    const fullWindows = Math.max(0, Math.ceil(total / amount) - 1);
    return fullWindows * limits.windowMs + ((total - fullWindows * amount) / total) * paceMs;
  };
  return Math.max(paceMs, within(work.requests, limits.requests), within(work.executionMs, limits.executionMs));
}

export interface Optimum {
  /** Milliseconds of the service per row until the row's fate is known. */
  readonly rowMs: number;
  /** Rows that a call for rows of which nothing is known has. */
  readonly callRows: number;
}

/**
 * The least expected time of the service per row when each row is refused with the probability `share`, whatever is
 * done to find out which: bulk messages of any size are all or nothing and stop at the first bad row, a `$batch` tells
 * of each row, and rows of a group in which one is bad are split anywhere. The bad row that is left over needs no call of
 * its own: the last refusal was its. Rows are in endless supply and calls have no gaps.
 *
 * By dynamic programming: a policy's worth is its expected time less `price` for each row that it settles; the price at
 * which the best policy's worth is 0 is the least time per row.
 */
export function optimumWithBadRows(model: ServiceModel, kind: 'creates' | 'updates', share: number): Optimum {
  // Larger groups are as good as certain to have a bad row.
  const most = Math.min(ROWS_OF_CALL, Math.ceil(4 / share));
  const taken = Array.from({ length: most + 1 }, (_, rows) => modelledMs(model, { [kind]: rows }));
  const batch = taken.map((_, rows) => modelledMs(model, { [kind]: rows, batchOperations: rows }));
  const costs: Costs = { taken, batch, share };
  let low = 0;
  const allInBatches = modelledMs(model, { [kind]: ROWS_OF_CALL, batchOperations: ROWS_OF_CALL }) / ROWS_OF_CALL;
  let high = Math.min(taken[1] ?? 0, allInBatches);
  if (bestFresh(costs, high).worth >= 0) return { rowMs: high, callRows: ROWS_OF_CALL };
  for (let step = 0; step < 40; step += 1) {
    const price = (low + high) / 2;
    if (bestFresh(costs, price).worth < 0) high = price;
    else low = price;
  }
  return { rowMs: high, callRows: bestFresh(costs, high).rows };
}

/** Milliseconds by the number of rows: of a bulk message that many rows of which were carried out, and of a `$batch`. */
interface Costs {
  readonly taken: readonly number[];
  readonly batch: readonly number[];
  readonly share: number;
}

/** The best first call for rows of which nothing is known. */
function bestFresh({ taken, batch, share }: Costs, price: number): { readonly worth: number; readonly rows: number } {
  const most = taken.length - 1;
  const at = (list: readonly number[], index: number): number => list[index] ?? 0;
  const clean = taken.map((_, rows) => (1 - share) ** rows);
  // Times the probability that the first bad row stands there.
  const refused = [0];
  for (let rows = 1; rows <= most; rows += 1) {
    refused.push(at(refused, rows - 1) + share * at(clean, rows - 1) * at(taken, rows));
  }
  // Worth of a group with a bad row, times the probability that it has one.
  const bad = [0, -share * price];
  let best = { worth: at(batch, 1) - price, rows: 1 };
  for (let rows = 1; rows <= most; rows += 1) {
    if (rows > 1) {
      let least = (1 - at(clean, rows)) * (at(batch, rows) - price * rows);
      for (let first = 1; first < rows; first += 1) {
        const rest = rows - first;
        const firstClean =
          at(clean, first) * ((1 - at(clean, rest)) * (at(taken, first) - price * first) + at(bad, rest));
        least = Math.min(least, at(refused, first) + at(bad, first) + firstClean);
      }
      bad.push(least);
    }
    const bulk = at(refused, rows) + at(bad, rows) + at(clean, rows) * (at(taken, rows) - price * rows);
    for (const worth of [bulk, at(batch, rows) - price * rows]) if (worth < best.worth) best = { worth, rows };
  }
  return best;
}
