import { Readable } from 'node:stream';
import type { BlobStore } from '../storage/blobs.ts';
import { ActivationError } from './errors.ts';

/** Rows that a caller sends along with the start of a run. */
export interface RunInput {
  readonly contentType: string;
  readonly body: AsyncIterable<Uint8Array>;
}

/** Where such rows are kept. */
export interface StoredInput {
  readonly path: string;
  readonly format: 'csv' | 'ndjson' | 'json';
  /** Bytes. */
  readonly size: number;
}

/** The longest request body of the platform. */
const MOST_BYTES = 100 * 1024 * 1024;

const FORMATS: Readonly<Record<string, 'csv' | 'ndjson' | 'json'>> = {
  'text/csv': 'csv',
  'application/x-ndjson': 'ndjson',
  'application/json': 'json',
};

/**
 * Streams the rows into a blob below `folder`. Throws ActivationError `inputTypeUnknown`, `inputEmpty` or
 * `inputTooLarge`, and whatever the body throws when it breaks off; nothing is stored then.
 */
export async function storeInput(
  blobs: BlobStore,
  folder: string,
  input: RunInput,
  signal?: AbortSignal,
): Promise<StoredInput> {
  const type = input.contentType.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const format = FORMATS[type];
  if (!format) {
    throw new ActivationError('inputTypeUnknown', `Rows of the type '${type}' are not read.`, {
      hint: `Send ${Object.keys(FORMATS).join(', ')}.`,
    });
  }
  const path = `${folder}/input.${format}`;
  let refusal: unknown;
  let size = 0;
  async function* bounded(): AsyncGenerator<Uint8Array> {
    try {
      for await (const part of input.body) {
        size += part.length;
        if (size > MOST_BYTES) throw tooLarge();
        yield part;
      }
      if (size === 0) throw new ActivationError('inputEmpty', 'The body is empty.', { hint: HINT_EMPTY });
    } catch (error) {
      refusal = error;
      throw error;
    }
  }
  try {
    await blobs.write(path, Readable.from(bounded(), { objectMode: false }), {}, signal);
  } catch (error) {
    // Storage wraps what the stream threw; the caller is told the cause itself.
    throw refusal ?? error;
  }
  return { path, format, size };
}

const HINT_EMPTY = 'Send rows, or no body and no content type to read the definition’s own source.';

const tooLarge = (): ActivationError =>
  new ActivationError('inputTooLarge', `The body is larger than ${MOST_BYTES / 2 ** 20} MB.`, {
    hint: 'Put the rows into a blob that the definition’s source names.',
  });
