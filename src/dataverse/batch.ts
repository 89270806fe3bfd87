import type { DataverseClient } from './client.ts';
import type { DataverseRequest } from './request.ts';
import { type BatchAnswer, type BatchOperation, readBatch, writeBatch } from './wire/batch.ts';
import { CONTINUE_ON_ERROR } from './wire/headers.ts';

type BatchOptions = Pick<DataverseRequest, 'signal' | 'deadline' | 'meter' | 'repeatable' | 'clientRequestId'> & {
  readonly boundary: string;
};

/**
 * Sends independent operations as one `$batch` that goes on after errors, and resolves with one answer for each, in
 * order. Throws DataverseError when the batch as a whole failed or answers fewer operations than it was sent.
 */
export async function sendBatch(
  client: DataverseClient,
  apiPath: string,
  operations: readonly BatchOperation[],
  { boundary, ...options }: BatchOptions,
): Promise<BatchAnswer[]> {
  const { contentType, body } = writeBatch(operations, apiPath, `batch_${boundary}`);
  const response = await client.send({
    method: 'POST',
    path: '$batch',
    headers: { ...CONTINUE_ON_ERROR, 'content-type': contentType },
    body,
    ...options,
  });
  return readBatch(response.header('content-type') ?? '', response.text);
}
