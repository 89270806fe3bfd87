import * as z from 'zod';
import type { DataverseClient } from '../client.ts';
import { DataverseError } from '../errors.ts';
import type { DataverseRequest } from '../request.ts';
import type { RowKey, Table } from '../table.ts';
import { nextLink } from '../wire/annotations.ts';
import { type KeyStrategy, keyFilter, keyOf, sameKey } from './keys.ts';

/** A row that a key led to. */
export interface Found {
  readonly id: string;
  /** When it was created, in milliseconds since 1970, where rows are addressed by id. */
  readonly createdAt?: number;
}

/** What keys led to, by `sameKey`: no entry = no row. */
export type Findings = ReadonlyMap<string, Found | 'ambiguous'>;

/** A look-up's query stays well below the 32,768 characters that a GET may have, gateways on the way included. */
const LONGEST_QUERY = 16_000;
/** Keys of one query at most: SQL Server takes 2,100 parameters, and a key may have several columns. */
const MOST_KEYS = 500;

/** As many of the keys as one query takes, from the first on: their number, and the query. */
export function pageOfKeys(
  table: Table,
  strategy: KeyStrategy,
  keys: readonly RowKey[],
): { readonly count: number; readonly query: string } {
  let count = Math.min(keys.length, MOST_KEYS);
  let query = keyFilter(table, strategy, keys.slice(0, count));
  while (query.length > LONGEST_QUERY && count > 1) {
    count = Math.max(1, Math.min(count - 1, Math.floor((count * LONGEST_QUERY) / query.length)));
    query = keyFilter(table, strategy, keys.slice(0, count));
  }
  return { count, query };
}

const page = z.looseObject({ value: z.array(z.record(z.string(), z.unknown())) });

export interface LookUpContext {
  readonly client: DataverseClient;
  readonly table: Table;
}

/**
 * Finds the rows of these keys, in one query unless so many rows have them that the service pages its answer. A key that
 * leads to several rows is `ambiguous`. Throws what the client throws.
 */
export async function findRows(
  { client, table }: LookUpContext,
  strategy: KeyStrategy,
  keys: readonly RowKey[],
  options: Partial<DataverseRequest>,
): Promise<Findings> {
  const { count, query } = pageOfKeys(table, strategy, keys);
  const rest = keys.slice(count);
  const answer = await client.send({ ...options, method: 'GET', path: `${table.entitySetName}?${query}` });
  const { success, data } = page.safeParse(answer.json());
  if (!success) {
    throw new DataverseError('notDataverse', 'The answer to a query holds no rows.', { status: answer.status });
  }
  const again = (part: readonly RowKey[]) => findRows({ client, table }, strategy, part, options);
  const found = new Map<string, Found | 'ambiguous'>();
  if (nextLink(data) !== undefined && count > 1) {
    for (const part of [keys.slice(0, Math.ceil(count / 2)), keys.slice(Math.ceil(count / 2), count)])
      for (const [key, row] of await again(part)) found.set(key, row);
  } else {
    for (const row of data.value) {
      const id = String(row[table.primaryId]).toLowerCase();
      const createdAt = Date.parse(String(row['createdon']));
      // Alone, whatever was found is what the service takes for this key, however it writes it.
      const key = sameKey(keys.length === 1 && keys[0] ? keys[0] : keyOf(table, strategy, row));
      const other = found.get(key);
      const ambiguous = other !== undefined && (other === 'ambiguous' || other.id !== id);
      found.set(key, ambiguous ? 'ambiguous' : { id, ...(!Number.isNaN(createdAt) && { createdAt }) });
    }
  }
  if (rest.length > 0) for (const [key, row] of await again(rest)) found.set(key, row);
  return found;
}
