import type { BlockBlobClient, ContainerClient } from '@azure/storage-blob';
import { createOnFirstUse } from './create-on-first-use.ts';
import { storageError } from './errors.ts';

/** What every store on blobs of one container does alike. */
export interface ContainerAccess {
  /** Does a write, and makes the container where that is what it lacks. */
  readonly withHome: ReturnType<typeof createOnFirstUse>;
  blob(path: string): Promise<BlockBlobClient>;
  /** Does the work. Throws `StorageError` that says what could not be done; an aborted one throws the signal's reason. */
  attempt<T>(verb: string, path: string, signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T>;
}

export const containerAccess = (name: string, container: () => Promise<ContainerClient>): ContainerAccess => ({
  withHome: createOnFirstUse(async () => (await container()).create()),
  blob: async (path) => (await container()).getBlockBlobClient(path),
  async attempt(verb, path, signal, run) {
    try {
      signal?.throwIfAborted();
      return await run();
    } catch (error) {
      throw storageError(error, `Cannot ${verb} the blob ${name}/${path}`, signal);
    }
  },
});
