import { totalmem } from 'node:os';
import { join } from 'node:path';
import type { DuckDBAppender, DuckDBConnection, Json } from '@duckdb/node-api';

/** One in-process database for one piece of work; it spills into its folder and ends with `close`. */
export interface Engine {
  /** Where files may be put while the engine is open. */
  readonly folder: string;
  run(sql: string): Promise<void>;
  /** The whole result; for results that are known to be small. */
  all(sql: string): Promise<Record<string, Json>[]>;
  /** The result in portions. No other statement may run until it is read to its end. */
  stream(sql: string): AsyncIterable<Record<string, Json>[]>;
  appender(schema: string, table: string): Promise<DuckDBAppender>;
  /** Stops the statement that runs at the moment, which then throws. */
  interrupt(): void;
  close(): void;
}

/** DuckDB's share of the instance's memory; the rest is for Node and the streams. */
const MEMORY_SHARE = 0.4;
const THREADS = 2;

/**
 * Opens DuckDB, which is loaded on first use only: 0.1 s that no other function of the app has to wait for.
 * Tables of ours go into the schema `bridge`, out of the search path, so that no name in a model can reach them.
 */
export async function openEngine(folder: string, signal?: AbortSignal): Promise<Engine> {
  signal?.throwIfAborted();
  // The package is CommonJS: a bundle knows its exports as the default one only.
  const { DuckDBInstance } = (await import('@duckdb/node-api')).default;
  const memory = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
  const instance = await DuckDBInstance.create(':memory:', {
    threads: String(THREADS),
    memory_limit: `${Math.floor((memory * MEMORY_SHARE) / 2 ** 20)}MiB`,
    temp_directory: join(folder, 'spill'),
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    allow_community_extensions: 'false',
  });
  const connection = await instance.connect();
  const interrupt = (): void => connection.interrupt();
  signal?.addEventListener('abort', interrupt);
  const engine = engineOn(folder, connection, signal, () => {
    signal?.removeEventListener('abort', interrupt);
    connection.closeSync();
    instance.closeSync();
  });
  await engine.run('create schema bridge');
  return engine;
}

function engineOn(
  folder: string,
  connection: DuckDBConnection,
  signal: AbortSignal | undefined,
  close: () => void,
): Engine {
  /** An aborted statement throws the signal's reason and not DuckDB's word on it. */
  const attempt = async <T>(work: () => Promise<T>): Promise<T> => {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  };
  return {
    folder,
    run: async (sql) => {
      await attempt(() => connection.run(sql));
    },
    all: (sql) => attempt(async () => (await connection.runAndReadAll(sql)).getRowObjectsJson()),
    async *stream(sql) {
      const result = await attempt(() => connection.stream(sql));
      for await (const rows of result.yieldRowObjectJson()) {
        signal?.throwIfAborted();
        yield rows;
      }
    },
    appender: (schema, table) => attempt(() => connection.createAppender(table, schema)),
    interrupt: () => connection.interrupt(),
    close,
  };
}

/** A text as SQL literal, for the places where SQL takes no parameter. */
export const sqlText = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** A name as quoted SQL identifier. */
export const sqlName = (name: string): string => `"${name.replaceAll('"', '""')}"`;
