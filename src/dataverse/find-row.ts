import * as z from 'zod';
import type { DataverseClient } from './client.ts';
import { DataverseError } from './errors.ts';
import type { DataverseRequest } from './request.ts';
import type { RowAddress } from './row-address.ts';
import { idByKeyPath } from './wire/keys.ts';

/** What bounds a request, and what it belongs to. */
export type RequestLimits = Pick<DataverseRequest, 'signal' | 'deadline' | 'meter' | 'clientRequestId'>;

/**
 * The id of the row at an address, found by a query, which takes values that no path carries. Undefined where there is
 * no such row. Throws what the client throws.
 */
export async function findRowId(
  client: DataverseClient,
  address: RowAddress,
  limits: RequestLimits,
): Promise<string | undefined> {
  if (address.kind === 'id') return address.id;
  const { table, parts } = address;
  const path = idByKeyPath(table.entitySetName, table.primaryId, parts);
  const answer = await client.send({ method: 'GET', path, ...limits });
  const { data } = z.object({ value: z.array(z.object({ [table.primaryId]: z.string() })) }).safeParse(answer.json());
  if (!data)
    throw new DataverseError('notDataverse', 'The answer to a query holds no rows.', { status: answer.status });
  const [found, another] = data.value;
  // The key's index keeps this from being; a wildcard in a text that the service took for one would not.
  if (another) throw new DataverseError('refused', `Several rows of '${table.logicalName}' have this key.`);
  return found?.[table.primaryId];
}
