import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { BlobEntry } from '../storage/blobs.ts';
import type { Storage } from '../storage/storage.ts';
import { type ActivationDefinition, sourceLocation } from './definition.ts';
import { ActivationError } from './errors.ts';
import type { SourceFormat } from './source-rows.ts';

/** A blob that a run reads. */
export interface SourceBlob {
  readonly container: string;
  readonly path: string;
  readonly format: SourceFormat;
  /** Bytes. */
  readonly size: number;
}

const FORMATS: readonly (readonly [RegExp, SourceFormat])[] = [
  [/\.csv(\.gz)?$/i, 'csv'],
  [/\.(ndjson|jsonl)(\.gz)?$/i, 'ndjson'],
  [/\.json(\.gz)?$/i, 'json'],
  [/\.parquet$/i, 'parquet'],
];

/** The blob that a definition's source stands for now. Throws ActivationError `sourceNotFound`. */
export async function findSource(
  storage: Storage,
  { path, take }: ActivationDefinition['source'],
  signal?: AbortSignal,
): Promise<SourceBlob> {
  const { container, pattern } = sourceLocation(path);
  const prefix = pattern.slice(0, pattern.search(/[*?]|$/));
  let newest: BlobEntry | undefined;
  for await (const blob of storage.blobs(container).list(prefix, signal)) {
    if (isMatch(blob.path, pattern) && isLater(blob, newest)) newest = blob;
  }
  if (!newest) {
    throw new ActivationError('sourceNotFound', `There is no blob ${path}.`, {
      hint: `Put a file there (take: ${take}), or start the run with the rows in its body.`,
    });
  }
  const format = formatOf(newest.path);
  if (!format) {
    throw new ActivationError('sourceMalformed', `The format of the blob ${container}/${newest.path} is not known.`, {
      hint: 'Name it .csv, .ndjson, .jsonl, .json (each also with .gz) or .parquet.',
    });
  }
  return { container, path: newest.path, format, size: newest.size };
}

const formatOf = (path: string): SourceFormat | undefined => FORMATS.find(([ending]) => ending.test(path))?.[1];

/** Only * and ? are wildcards, both within one folder. */
function isMatch(path: string, pattern: string): boolean {
  const expression = pattern
    .replace(/[\\^$.|+()[\]{}]/g, '\\$&')
    .replaceAll('*', '[^/]*')
    .replaceAll('?', '[^/]');
  return new RegExp(`^${expression}$`).test(path);
}

function isLater(blob: BlobEntry, than: BlobEntry | undefined): boolean {
  if (!than) return true;
  const difference = blob.modifiedAt.getTime() - than.modifiedAt.getTime();
  return difference > 0 || (difference === 0 && blob.path > than.path);
}

/** Rows as text, their decoded form and DuckDB's working copy: what a plan may take on disk for each source byte. */
const SPACE_FACTOR = 4;

/** Copies the blob into `folder` and returns the file. Throws ActivationError `sourceNotFound` or `spaceMissing`. */
export async function downloadSource(
  storage: Storage,
  source: SourceBlob,
  folder: string,
  signal?: AbortSignal,
): Promise<string> {
  await requireSpace(folder, source.size * SPACE_FACTOR);
  const file = join(folder, 'source');
  if (!(await storage.blobs(source.container).download(source.path, file, signal))) {
    throw new ActivationError('sourceNotFound', `The blob ${source.container}/${source.path} is gone.`);
  }
  return file;
}

async function requireSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  const megabytes = (count: number): number => Math.ceil(count / 2 ** 20);
  throw new ActivationError(
    'spaceMissing',
    `Planning needs about ${megabytes(bytes)} MB of temporary space, ${megabytes(bavail * bsize)} MB are free.`,
    { hint: 'Split the source, or use an instance size with more temporary storage.' },
  );
}
