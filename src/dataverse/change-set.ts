import type { DataverseClient } from './client.ts';
import type { BatchAnswer, BatchOperation } from './wire/batch.ts';
import { readChangeSet, writeChangeSet } from './wire/change-set.ts';
import { CONTINUE_ON_ERROR } from './wire/headers.ts';

/**
 * Sends operations that are carried out together or not at all. Resolves with the answer of the one that failed, or
 * undefined where all was committed. Never repeated: after a lost answer nobody knows. Throws DataverseError when the
 * batch as a whole failed.
 */
export async function sendChangeSet(
  client: DataverseClient,
  apiPath: string,
  operations: readonly BatchOperation[],
  { boundary, signal }: { boundary: string; signal?: AbortSignal | undefined },
): Promise<BatchAnswer | undefined> {
  const { contentType, body } = writeChangeSet(operations, apiPath, boundary);
  // With the preference the outer status is 200, and the failure stands where the client does not take it for its own.
  const response = await client.send({
    method: 'POST',
    path: '$batch',
    headers: { ...CONTINUE_ON_ERROR, 'content-type': contentType },
    body,
    signal,
  });
  return readChangeSet(response.header('content-type') ?? '', response.text);
}
