import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { BlobHTTPHeaders, ContainerClient } from '@azure/storage-blob';
import { containerAccess } from './container-access.ts';
import { abortable } from './create-on-first-use.ts';
import { isMissing, StorageError, storageError } from './errors.ts';

/** What a write demands of the blob as it is, and what it says of the new content. */
export interface WriteOptions {
  /** Write only over this version. */
  readonly ifMatch?: string;
  /** Write only where there is no blob. */
  readonly ifNoneMatch?: '*';
  readonly contentType?: string;
  /** Said to readers by HTTP; the content itself is neither packed nor unpacked here. */
  readonly contentEncoding?: string;
}

export interface BlobEntry {
  readonly path: string;
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
  readonly modifiedAt: Date;
}

/**
 * The blobs of one container. Every ETag in and out is in its quoted form.
 *
 * All methods throw `StorageError`; an aborted one throws the signal's reason. Nothing is found in a container that
 * does not exist yet; the first write makes it.
 */
export interface BlobStore {
  read(path: string, signal?: AbortSignal): Promise<{ body: Buffer; etag: string } | undefined>;
  /** The blob as a stream, which resumes over broken connections and fails if the blob is changed meanwhile. */
  open(path: string, signal?: AbortSignal): Promise<{ stream: Readable; etag: string; size: number } | undefined>;
  /** Throws `conflict` where `ifMatch` or `ifNoneMatch` does not hold. A stream that breaks off writes nothing. */
  write(
    path: string,
    body: Buffer | string | Readable,
    options?: WriteOptions,
    signal?: AbortSignal,
  ): Promise<{ etag: string }>;
  /** False where there was no such blob; throws `conflict` where `ifMatch` does not hold. */
  remove(path: string, options?: { ifMatch?: string }, signal?: AbortSignal): Promise<boolean>;
  exists(path: string, signal?: AbortSignal): Promise<boolean>;
  /** In the order of paths. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<BlobEntry>;
  /** Into a local file, which is written anew. */
  download(path: string, file: string, signal?: AbortSignal): Promise<{ etag: string; size: number } | undefined>;
  /** From a local file, in parallel blocks where it is large. */
  upload(path: string, file: string, options?: WriteOptions, signal?: AbortSignal): Promise<{ etag: string }>;
}

const BLOCK_BYTES = 4 * 1024 * 1024;
const PARALLEL_BLOCKS = 2;

export function blobStore(name: string, container: () => Promise<ContainerClient>): BlobStore {
  const { withHome, blob, attempt } = containerAccess(name, container);
  /** As `attempt`, with `undefined` for what is not there. */
  const find = <T>(verb: string, path: string, signal: AbortSignal | undefined, run: () => Promise<T>) =>
    attempt(verb, path, signal, async () => {
      try {
        return await run();
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });

  const writeStream = async (path: string, body: Readable, options: WriteOptions, signal: AbortSignal | undefined) => {
    // A stream can be read once only, so the container has to be there before its first byte is taken.
    await withHome(async () => (await container()).getProperties(abortable(signal)));
    const client = await blob(path);
    // The SDK waits for an `end` event; through a pipeline a source that is destroyed or aborted becomes an error.
    const source = new PassThrough();
    const fed = pipeline(body, source, signal ? { signal } : {});
    const sent = client.uploadStream(source, BLOCK_BYTES, PARALLEL_BLOCKS, writeOptions(options, signal));
    const [upload, feed] = await Promise.allSettled([
      sent.catch((error: unknown) => {
        source.destroy();
        throw error;
      }),
      fed,
    ]);
    if (upload.status === 'rejected') throw upload.reason;
    if (feed.status === 'rejected') throw feed.reason;
    return upload.value;
  };

  return {
    read: (path, signal) =>
      find('read', path, signal, async () => {
        const answer = await (await blob(path)).download(0, undefined, abortable(signal));
        const parts: Buffer[] = [];
        for await (const part of bodyOf(answer.readableStreamBody)) parts.push(part);
        return { body: Buffer.concat(parts), etag: etagOf(answer.etag) };
      }),
    open: (path, signal) =>
      find('read', path, signal, async () => {
        const answer = await (await blob(path)).download(0, undefined, abortable(signal));
        return {
          stream: bodyOf(answer.readableStreamBody),
          etag: etagOf(answer.etag),
          size: answer.contentLength ?? 0,
        };
      }),
    write: (path, body, options = {}, signal) =>
      attempt('write', path, signal, async () => {
        if (body instanceof Readable) return { etag: etagOf((await writeStream(path, body, options, signal)).etag) };
        const client = await blob(path);
        const bytes = typeof body === 'string' ? Buffer.from(body) : body;
        const answer = await withHome(() => client.upload(bytes, bytes.length, writeOptions(options, signal)));
        return { etag: etagOf(answer.etag) };
      }),
    remove: async (path, options = {}, signal) => {
      const conditions = options.ifMatch === undefined ? {} : { conditions: { ifMatch: options.ifMatch } };
      const answer = await find('remove', path, signal, async () =>
        (await blob(path)).delete({ ...conditions, ...abortable(signal) }),
      );
      return answer !== undefined;
    },
    exists: async (path, signal) => {
      const answer = await find('look for', path, signal, async () =>
        (await blob(path)).getProperties(abortable(signal)),
      );
      return answer !== undefined;
    },
    async *list(prefix, signal) {
      try {
        signal?.throwIfAborted();
        for await (const item of (await container()).listBlobsFlat({ prefix, ...abortable(signal) })) {
          const { etag, contentLength = 0, lastModified } = item.properties;
          yield { path: item.name, etag: etagOf(etag), size: contentLength, modifiedAt: lastModified };
        }
      } catch (error) {
        if (!isMissing(error)) throw storageError(error, `Cannot list the blobs ${name}/${prefix}`, signal);
      }
    },
    download: (path, file, signal) =>
      find('download', path, signal, async () => {
        const answer = await (await blob(path)).downloadToFile(file, 0, undefined, abortable(signal));
        return { etag: etagOf(answer.etag), size: answer.contentLength ?? 0 };
      }),
    upload: (path, file, options = {}, signal) =>
      attempt('upload', path, signal, async () => {
        const client = await blob(path);
        const answer = await withHome(() =>
          client.uploadFile(file, {
            blockSize: BLOCK_BYTES,
            concurrency: PARALLEL_BLOCKS,
            ...writeOptions(options, signal),
          }),
        );
        return { etag: etagOf(answer.etag) };
      }),
  };
}

function writeOptions({ ifMatch, ifNoneMatch, contentType, contentEncoding }: WriteOptions, signal?: AbortSignal) {
  const headers: BlobHTTPHeaders = {
    ...(contentType === undefined ? {} : { blobContentType: contentType }),
    ...(contentEncoding === undefined ? {} : { blobContentEncoding: contentEncoding }),
  };
  const conditions = {
    ...(ifMatch === undefined ? {} : { ifMatch }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }),
  };
  return { blobHTTPHeaders: headers, conditions, ...abortable(signal) };
}

/** Listings give ETags bare, every other answer quoted; an `If-Match` has to be quoted. */
function etagOf(etag: string | undefined): string {
  if (!etag) throw new StorageError('refused', 'The service answered without an ETag.');
  return etag.startsWith('"') ? etag : `"${etag}"`;
}

/** The SDK's stream is a `Readable` on Node, whatever its wider type says. */
function bodyOf(stream: NodeJS.ReadableStream | undefined): Readable {
  if (stream instanceof Readable) return stream;
  throw new StorageError('refused', 'The service answered without a body.');
}
