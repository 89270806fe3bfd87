import type { TokenCredential } from '@azure/identity';
import type { StorageSettings } from '../config/settings.ts';
import { type BlobStore, blobStore } from './blobs.ts';
import { lazily } from './create-on-first-use.ts';
import { StorageError } from './errors.ts';
import { type LeaseStore, leaseStore } from './leases.ts';
import { type QueueSender, queueSender } from './queues.ts';
import { type TableStore, tableStore } from './tables.ts';

/** The app's own storage account. Names follow the service's rules: 3 to 63 characters, in lower case with hyphens; tables letters and digits only. */
export interface Storage {
  blobs(container: string): BlobStore;
  leases(container: string): LeaseStore;
  queue(name: string): QueueSender;
  table(name: string): TableStore;
}

// The SDKs' defaults wait for up to two minutes before they give up; callers over HTTP have less, Dataverse a minute.
const TRIES = 3;
const RETRY_DELAY_MS = 200;
const MAX_RETRY_DELAY_MS = 2_000;

/**
 * Opens the storage account; nothing is loaded or called before the first use.
 *
 * With service addresses a credential is needed, without one the first use throws `StorageError` `denied`.
 */
export function openStorage(settings: StorageSettings, credential?: TokenCredential): Storage {
  const identity = (): TokenCredential => {
    if (credential) return credential;
    throw new StorageError('denied', 'Storage is addressed by service, which needs a credential, and there is none.');
  };
  const retryOptions = { maxTries: TRIES, retryDelayInMs: RETRY_DELAY_MS, maxRetryDelayInMs: MAX_RETRY_DELAY_MS };

  const blobService = lazily(async () => {
    const { BlobServiceClient } = await import('@azure/storage-blob');
    return 'connectionString' in settings
      ? BlobServiceClient.fromConnectionString(settings.connectionString, { retryOptions })
      : new BlobServiceClient(settings.blobServiceUri, identity(), { retryOptions });
  });
  const queueService = lazily(async () => {
    const { QueueServiceClient } = await import('@azure/storage-queue');
    return 'connectionString' in settings
      ? QueueServiceClient.fromConnectionString(settings.connectionString, { retryOptions })
      : new QueueServiceClient(settings.queueServiceUri, identity(), { retryOptions });
  });
  const tableClient = async (name: string) => {
    const { TableClient } = await import('@azure/data-tables');
    const options = {
      retryOptions: { maxRetries: TRIES - 1, retryDelayInMs: RETRY_DELAY_MS, maxRetryDelayInMs: MAX_RETRY_DELAY_MS },
    };
    return 'connectionString' in settings
      ? TableClient.fromConnectionString(settings.connectionString, name, options)
      : new TableClient(settings.tableServiceUri, name, identity(), options);
  };

  const blobs = kept((name) => blobStore(name, async () => (await blobService()).getContainerClient(name)));
  const leases = kept((name) => leaseStore(name, async () => (await blobService()).getContainerClient(name)));
  const queues = kept((name) => queueSender(name, async () => (await queueService()).getQueueClient(name)));
  const tables = kept((name) =>
    tableStore(
      name,
      lazily(() => tableClient(name)),
    ),
  );
  return { blobs, leases, queue: queues, table: tables };
}

/** One store for a name, so that concurrent first uses make its container, queue or table once. */
function kept<T>(make: (name: string) => T): (name: string) => T {
  const made = new Map<string, T>();
  return (name) => {
    const store = made.get(name) ?? make(name);
    made.set(name, store);
    return store;
  };
}
