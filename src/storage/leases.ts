import type { BlobClient, ContainerClient } from '@azure/storage-blob';
import { containerAccess } from './container-access.ts';
import { abortable } from './create-on-first-use.ts';
import { isMissing, isTaken, StorageError } from './errors.ts';

/** Short texts by name: letters and digits, a letter first; the service does not keep the case of names. */
export type Notes = Readonly<Record<string, string>>;

export interface Leasable {
  readonly path: string;
  /** Whether somebody holds it at this moment, by the service's clock. */
  readonly held: boolean;
  readonly notes: Notes;
}

/**
 * Things that one process at a time can hold, as empty blobs of one container: blob leases, which end by themselves when
 * their holder dies. `holder` is a GUID.
 *
 * All methods throw `StorageError`; an aborted one throws the signal's reason. The first thing makes the container.
 */
export interface LeaseStore {
  /** In the order of paths. */
  list(prefix: string, signal?: AbortSignal): Promise<readonly Leasable[]>;
  /** Holds it for `seconds` (15 to 60), making it where it is not there; false where another holds it. */
  acquire(path: string, holder: string, seconds: number, signal?: AbortSignal): Promise<boolean>;
  /** Begins the time anew; false where it is not the holder's any more. */
  renew(path: string, holder: string, signal?: AbortSignal): Promise<boolean>;
  /** Gives it back, if it still is the holder's. */
  release(path: string, holder: string, signal?: AbortSignal): Promise<void>;
  /** Replaces the notes on what is held; false where it is not the holder's any more. */
  annotate(path: string, holder: string, notes: Notes, signal?: AbortSignal): Promise<boolean>;
  /**
   * Changes the notes on something that nobody holds, on top of what others change at the same time. `change` may be called
   * several times, and gives undefined to leave the notes as they are. Throws `conflict` after many tries.
   */
  change(path: string, change: (notes: Notes) => Notes | undefined, signal?: AbortSignal): Promise<void>;
}

const MOST_TRIES = 10;

export function leaseStore(name: string, container: () => Promise<ContainerClient>): LeaseStore {
  const { withHome, blob, attempt } = containerAccess(name, container);
  const make = async (path: string, notes: Notes, signal: AbortSignal | undefined): Promise<void> => {
    const client = await blob(path);
    const options = { metadata: { ...notes }, conditions: { ifNoneMatch: '*' }, ...abortable(signal) };
    await withHome(() => client.upload('', 0, options));
  };
  return {
    list: (prefix, signal) =>
      attempt('list', prefix, signal, async () => {
        const found: Leasable[] = [];
        try {
          const options = { prefix, includeMetadata: true, ...abortable(signal) };
          for await (const { name: path, properties, metadata = {} } of (await container()).listBlobsFlat(options)) {
            found.push({ path, held: properties.leaseState === 'leased', notes: inLowerCase(metadata) });
          }
        } catch (error) {
          if (!isMissing(error)) throw error;
        }
        return found;
      }),
    acquire: (path, holder, seconds, signal) =>
      attempt('lease', path, signal, async () => {
        const lease = (await blob(path)).getBlobLeaseClient(holder);
        const acquire = () => lease.acquireLease(seconds, abortable(signal));
        try {
          return await unlessTaken(acquire);
        } catch (error) {
          if (!isMissing(error)) throw error;
        }
        // Whoever else makes it at the same time makes the same.
        await make(path, {}, signal).catch((error: unknown) => {
          if (!isTaken(error)) throw error;
        });
        return unlessTaken(acquire);
      }),
    renew: (path, holder, signal) =>
      attempt('renew the lease of', path, signal, async () => {
        const lease = (await blob(path)).getBlobLeaseClient(holder);
        return ifStillThere(() => lease.renewLease(abortable(signal)));
      }),
    release: (path, holder, signal) =>
      attempt('release', path, signal, async () => {
        const lease = (await blob(path)).getBlobLeaseClient(holder);
        await ifStillThere(() => lease.releaseLease(abortable(signal)));
      }),
    annotate: (path, holder, notes, signal) =>
      attempt('annotate', path, signal, async () => {
        const client: BlobClient = await blob(path);
        const options = { conditions: { leaseId: holder }, ...abortable(signal) };
        return ifStillThere(() => client.setMetadata({ ...notes }, options));
      }),
    change: (path, change, signal) =>
      attempt('annotate', path, signal, async () => {
        const client = await blob(path);
        for (let tries = 1; ; tries += 1) {
          const before = await readNotes(client, signal);
          const after = change(before?.notes ?? {});
          if (!after) return;
          const options = { conditions: { ifMatch: before?.etag ?? '' }, ...abortable(signal) };
          const write = () => (before ? client.setMetadata({ ...after }, options) : make(path, after, signal));
          if (await ifStillThere(write)) return;
          if (tries === MOST_TRIES) throw new StorageError('conflict', 'Others change it all the time.');
        }
      }),
  };
}

/** False where the service says that another holds it, or that it has changed. */
async function unlessTaken(run: () => Promise<unknown>): Promise<boolean> {
  try {
    await run();
    return true;
  } catch (error) {
    if (isTaken(error)) return false;
    throw error;
  }
}

/** The same, and false where it is gone. */
async function ifStillThere(run: () => Promise<unknown>): Promise<boolean> {
  try {
    return await unlessTaken(run);
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

async function readNotes(
  client: BlobClient,
  signal: AbortSignal | undefined,
): Promise<{ notes: Notes; etag: string } | undefined> {
  try {
    const { metadata = {}, etag = '' } = await client.getProperties(abortable(signal));
    return { notes: inLowerCase(metadata), etag };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Names of metadata come back as header names do. */
const inLowerCase = (metadata: Readonly<Record<string, string>>): Notes =>
  Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key.toLowerCase(), value]));
