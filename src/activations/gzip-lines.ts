import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { BlobStore } from '../storage/blobs.ts';
import { StorageError } from '../storage/errors.ts';

const pack = promisify(gzip);
const unpack = promisify(gunzip);

/** Writes values as gzip NDJSON. Resolves with false where `once` is set and there is such a blob already. */
export async function writeLines(
  blobs: BlobStore,
  path: string,
  lines: readonly unknown[],
  { once = false, signal }: { once?: boolean; signal?: AbortSignal | undefined } = {},
): Promise<boolean> {
  const body = await pack(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const options = { contentType: 'application/x-ndjson', contentEncoding: 'gzip' };
  try {
    await blobs.write(path, body, once ? { ...options, ifNoneMatch: '*' } : options, signal);
    return true;
  } catch (error) {
    if (once && error instanceof StorageError && error.code === 'conflict') return false;
    throw error;
  }
}

/** Reads a blob of gzip NDJSON; undefined where there is none. */
export async function readLines(blobs: BlobStore, path: string, signal?: AbortSignal): Promise<unknown[] | undefined> {
  const blob = await blobs.read(path, signal);
  if (!blob) return undefined;
  const text = (await unpack(blob.body)).toString('utf8');
  return text.split('\n').flatMap((line) => (line ? [JSON.parse(line) as unknown] : []));
}
