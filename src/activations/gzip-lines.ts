import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGzip, gunzip, gzip } from 'node:zlib';
import { parseExactJson } from '../shared/exact-json.ts';
import type { BlobStore } from '../storage/blobs.ts';
import { StorageError } from '../storage/errors.ts';

const pack = promisify(gzip);
const unpack = promisify(gunzip);
const CONTENT = { contentType: 'application/x-ndjson', contentEncoding: 'gzip' };

/** Writes values as gzip NDJSON. Resolves with false where `once` is set and there is such a blob already. */
export async function writeLines(
  blobs: BlobStore,
  path: string,
  lines: readonly unknown[],
  { once = false, signal }: { once?: boolean; signal?: AbortSignal | undefined } = {},
): Promise<boolean> {
  const body = await pack(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  try {
    await blobs.write(path, body, once ? { ...CONTENT, ifNoneMatch: '*' } : CONTENT, signal);
    return true;
  } catch (error) {
    if (once && error instanceof StorageError && error.code === 'conflict') return false;
    throw error;
  }
}

/** Writes lines as they come, so that their number does not matter. */
export async function writeLineStream(
  blobs: BlobStore,
  path: string,
  lines: AsyncIterable<string>,
  signal?: AbortSignal,
): Promise<void> {
  const packed = createGzip();
  const [written, fed] = await Promise.allSettled([
    blobs.write(path, packed, CONTENT, signal).finally(() => packed.destroy()),
    pipeline(Readable.from(lines), packed),
  ]);
  // What broke the lines says more than that their stream broke off.
  if (fed.status === 'rejected') throw fed.reason;
  if (written.status === 'rejected') throw written.reason;
}

/** Reads a blob of gzip NDJSON; undefined where there is none. */
export async function readLines(blobs: BlobStore, path: string, signal?: AbortSignal): Promise<unknown[] | undefined> {
  const blob = await blobs.read(path, signal);
  if (!blob) return undefined;
  const text = (await unpack(blob.body)).toString('utf8');
  return text.split('\n').flatMap((line) => (line ? [parseExactJson(line)] : []));
}
