import { DataverseError } from '../errors.ts';
import { type BatchAnswer, type BatchOperation, readBatch } from './batch.ts';

/** Writes one change set, alone in a `$batch`: all of its operations are carried out, in order, or none. */
export function writeChangeSet(
  operations: readonly BatchOperation[],
  rootPath: string,
  boundary: string,
): { contentType: string; body: string } {
  const inner = `changeset_${boundary}`;
  const outer = `batch_${boundary}`;
  const parts = operations.map(({ method, path, headers = {}, body }, position) =>
    [
      `--${inner}`,
      'Content-Type: application/http',
      'Content-Transfer-Encoding: binary',
      `Content-ID: ${position + 1}`,
      '',
      `${method} ${rootPath}${path} HTTP/1.1`,
      ...Object.entries({
        ...headers,
        ...(body !== undefined && { 'Content-Type': 'application/json; type=entry' }),
      }).map(([name, value]) => `${name}: ${value}`),
      '',
      body ?? '',
      '',
    ].join('\r\n'),
  );
  const head = `--${outer}\r\nContent-Type: multipart/mixed; boundary=${inner}\r\n\r\n`;
  return {
    contentType: `multipart/mixed; boundary=${outer}`,
    body: `${head}${parts.join('')}--${inner}--\r\n--${outer}--\r\n`,
  };
}

/**
 * The answer that stands for a change set that failed; undefined where all of it was committed. A failed one is told by
 * one message in place of the answers (Web API documentation, "Execute batch operations").
 */
export function readChangeSet(contentType: string, text: string): BatchAnswer | undefined {
  if (/^--\S+\s+content-type:\s*multipart\/mixed/im.test(text)) return undefined;
  const [answer] = readBatch(contentType, text);
  if (!answer) throw new DataverseError('notDataverse', 'The answer to a change set holds nothing.');
  return answer;
}
