import { readFile, writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { BlobStore, WriteOptions } from '../../../src/storage/blobs.ts';
import { StorageError } from '../../../src/storage/errors.ts';
import type { Storage } from '../../../src/storage/storage.ts';
import type { StoredEntity, TableCondition, TableStore } from '../../../src/storage/tables.ts';
import { memoryLeases } from '../../support/leases.ts';

export interface QueuedMessage {
  readonly queue: string;
  readonly message: unknown;
}

/** Storage in this process's memory, with ETags and conflicts as the real one; what the real one does besides is shown by its contract tests. */
export interface MemoryStorage extends Storage {
  /** Messages that nobody has taken yet, oldest first. */
  readonly messages: QueuedMessage[];
  /** The same state, from which on changes are not shared. */
  fork(now: () => number): MemoryStorage;
}

interface State {
  readonly contents: Map<string, { body: Buffer; etag: string; modifiedAt: Date }>;
  readonly tables: Map<string, Map<string, StoredEntity>>;
  version: number;
}

export function memoryStorage(
  now: () => number,
  state: State = { contents: new Map(), tables: new Map(), version: 0 },
): MemoryStorage {
  const { contents, tables } = state;
  const messages: QueuedMessage[] = [];
  const leases = memoryLeases(now);
  const nextEtag = (): string => {
    state.version += 1;
    return `"${state.version}"`;
  };
  const conflict = (): never => {
    throw new StorageError('conflict', 'The precondition does not hold.');
  };

  const blobs = (container: string): BlobStore => {
    const full = (path: string): string => `${container}/${path}`;
    const check = (path: string, { ifMatch, ifNoneMatch }: WriteOptions): void => {
      const existing = contents.get(full(path));
      if (ifNoneMatch && existing) conflict();
      if (ifMatch !== undefined && existing?.etag !== ifMatch) conflict();
    };
    const store: BlobStore = {
      async read(path) {
        const blob = contents.get(full(path));
        return blob && { body: blob.body, etag: blob.etag };
      },
      async open(path) {
        const blob = contents.get(full(path));
        return blob && { stream: Readable.from([blob.body]), etag: blob.etag, size: blob.body.length };
      },
      async write(path, body, options = {}) {
        const bytes = body instanceof Readable ? await bytesOf(body) : Buffer.from(body);
        check(path, options);
        const etag = nextEtag();
        contents.set(full(path), { body: bytes, etag, modifiedAt: new Date(now()) });
        return { etag };
      },
      async remove(path, options = {}) {
        check(path, options);
        return contents.delete(full(path));
      },
      exists: async (path) => contents.has(full(path)),
      async *list(prefix) {
        for (const [path, { etag, body, modifiedAt }] of [...contents].sort(([a], [b]) => (a < b ? -1 : 1))) {
          if (!path.startsWith(full(prefix))) continue;
          yield { path: path.slice(container.length + 1), etag, size: body.length, modifiedAt };
        }
      },
      async download(path, file) {
        const blob = contents.get(full(path));
        if (!blob) return undefined;
        await writeFile(file, blob.body);
        return { etag: blob.etag, size: blob.body.length };
      },
      upload: async (path, file, options) => store.write(path, await readFile(file), options),
    };
    return store;
  };

  const table = (name: string): TableStore => {
    const rows = tables.get(name) ?? new Map<string, StoredEntity>();
    tables.set(name, rows);
    const keyOf = (partition: string, row: string): string => `${partition}\n${row}`;
    return {
      get: async (partition, row) => rows.get(keyOf(partition, row)),
      async insert(entity) {
        const key = keyOf(entity.partition, entity.row);
        if (rows.has(key)) conflict();
        const etag = nextEtag();
        rows.set(key, { ...entity, etag });
        return { etag };
      },
      async put(entity) {
        rows.set(keyOf(entity.partition, entity.row), { ...entity, etag: nextEtag() });
      },
      async replace(entity, etag) {
        const key = keyOf(entity.partition, entity.row);
        if (rows.get(key)?.etag !== etag) conflict();
        const next = nextEtag();
        rows.set(key, { ...entity, etag: next });
        return { etag: next };
      },
      remove: async (partition, row) => rows.delete(keyOf(partition, row)),
      async query({ where = [], limit, continuation }) {
        const found = [...rows]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([, entity]) => entity)
          .filter((entity) => where.every((condition) => holds(entity, condition)));
        const from = Number(continuation ?? 0);
        const rest = from + limit < found.length ? { continuation: String(from + limit) } : {};
        return { entities: found.slice(from, from + limit), ...rest };
      },
    };
  };

  return {
    messages,
    fork: (clock) =>
      memoryStorage(clock, {
        contents: new Map(contents),
        tables: new Map([...tables].map(([name, rows]) => [name, new Map(rows)])),
        version: state.version,
      }),
    blobs,
    table,
    leases: () => leases,
    queue: (queue) => ({
      async send(message) {
        messages.push({ queue, message: JSON.parse(JSON.stringify(message)) });
      },
      count: async () => messages.filter((each) => each.queue === queue).length,
    }),
  };
}

async function bytesOf(stream: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

function holds({ partition, row, properties }: StoredEntity, { name, is, value }: TableCondition): boolean {
  const found = { ...properties, partition, row }[name];
  if (is === 'eq') return found === value;
  if (is === 'gt') return found !== undefined && found > value;
  if (is === 'lt') return found !== undefined && found < value;
  throw new Error(`${is} is not known here`);
}

/** The process died: whatever it still tries does not happen. */
class Killed extends Error {}

/** The same storage as a process sees it that dies before its `fatal`th step. */
export function mortalStorage(
  storage: Storage,
  fatal: number,
): { readonly storage: Storage; readonly isDead: () => boolean; readonly steps: readonly string[] } {
  const steps: string[] = [];
  let dead = false;
  const step = async <T>(name: string, operation: () => Promise<T>): Promise<T> => {
    steps.push(name);
    if (steps.length >= fatal) dead = true;
    if (dead) throw new Killed();
    const result = await operation();
    if (dead) throw new Killed();
    return result;
  };
  const wrapped: Storage = {
    leases: (container) => storage.leases(container),
    blobs(container) {
      const store = storage.blobs(container);
      const at = (operation: string, path: string): string => `${operation} ${container}/${path}`;
      return {
        read: (...args) => step(at('read', args[0]), () => store.read(...args)),
        open: (...args) => step(at('open', args[0]), () => store.open(...args)),
        write: (...args) => step(at('write', args[0]), () => store.write(...args)),
        remove: (...args) => step(at('remove', args[0]), () => store.remove(...args)),
        exists: (...args) => step(at('exists', args[0]), () => store.exists(...args)),
        async *list(...args) {
          await step(at('list', args[0]), async () => undefined);
          yield* store.list(...args);
        },
        download: (...args) => step(at('download', args[0]), () => store.download(...args)),
        upload: (...args) => step(at('upload', args[0]), () => store.upload(...args)),
      };
    },
    queue(name) {
      const sender = storage.queue(name);
      return {
        send: (...args) => step(`send ${name}`, () => sender.send(...args)),
        count: (...args) => step(`count ${name}`, () => sender.count(...args)),
      };
    },
    table(name) {
      const store = storage.table(name);
      return {
        get: (...args) => step(`get ${name}`, () => store.get(...args)),
        insert: (...args) => step(`insert ${name}`, () => store.insert(...args)),
        put: (...args) => step(`put ${name}`, () => store.put(...args)),
        replace: (...args) => step(`replace ${name}`, () => store.replace(...args)),
        remove: (...args) => step(`remove ${name}`, () => store.remove(...args)),
        query: (...args) => step(`query ${name}`, () => store.query(...args)),
      };
    },
  };
  return { storage: wrapped, isDead: () => dead, steps };
}
