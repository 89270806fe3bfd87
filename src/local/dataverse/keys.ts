import type { Clock } from '../../shared/clock.ts';
import type { NewId } from '../../shared/ids.ts';
import {
  invalidKeyOperation,
  keyColumnNotWritable,
  keyColumnsTaken,
  keyNameTaken,
  reactivateOnlyFailed,
} from './errors.ts';
import type { Column, Definition, Table } from './metadata.ts';
import { comparable, derivedGuid, identifier, PARTITION_COLUMN, type Store, type StoredRow } from './store.ts';
import type { Turn } from './turns.ts';

export type KeyStatus = 'Pending' | 'InProgress' | 'Active' | 'Failed';

/** An alternate key. Only an `Active` one addresses rows and keeps its values unique. */
export interface AlternateKey {
  readonly id: string;
  readonly table: string;
  readonly logicalName: string;
  readonly schemaName: string;
  readonly displayName: string;
  /** Logical names. */
  readonly columns: readonly string[];
  readonly status: KeyStatus;
  readonly jobId: string;
}

export interface Keys {
  of(table: string): readonly AlternateKey[];
  /** The key whose unique index SQLite complained about. */
  byIndex(index: string): AlternateKey | undefined;
  /** Defines a key and starts the job that builds its index. Throws WireError. */
  create(table: Table, request: { schemaName: string; displayName: string; columns: readonly string[] }): AlternateKey;
  remove(key: AlternateKey): void;
  /** Starts the job of a failed key again. Throws WireError for any other. */
  reactivate(key: AlternateKey): void;
  /** Starts the jobs that an earlier process left unfinished. */
  resume(): void;
  /** Must be called when a transaction that may have changed keys is undone. */
  changed(): void;
  /** Resolves when no index is being built. */
  idle(): Promise<void>;
  stop(): void;
}

const KEY_KINDS = new Set<Column['kind']>(['text', 'integer', 'decimal', 'datetime', 'dateonly', 'lookup', 'choice']);
const COLUMNS_MAX = 16;
const BYTES_MAX = 900;
const KEYS_MAX = 10;

const indexName = (id: string): string => `key_${id}`;

export interface KeyOptions {
  store: Store;
  clock: Clock;
  newId: NewId;
  tableOf(logicalName: string): Table | undefined;
  /** How long an index stays `Pending`, and then `InProgress`, in milliseconds each. */
  stepMs: number;
  /** Background work takes one whenever it uses the store. */
  turn: Turn;
}

/** Opens the alternate keys of the database. */
export function openKeys({ store, clock, newId, tableOf, turn, stepMs }: KeyOptions): Keys {
  store.run(
    'CREATE TABLE IF NOT EXISTS "_key" (id TEXT PRIMARY KEY, tablename TEXT, logicalname TEXT, schemaname TEXT, ' +
      'displayname TEXT, columns TEXT, status TEXT, jobid TEXT) STRICT',
  );
  const jobs = new Set<Promise<void>>();
  const stopped = new AbortController();
  let byTable: Map<string, AlternateKey[]> | undefined;

  const all = (): Map<string, AlternateKey[]> => {
    if (!byTable) {
      byTable = new Map();
      for (const row of store.all('SELECT * FROM "_key" ORDER BY rowid')) {
        const key = keyOf(row);
        byTable.set(key.table, [...(byTable.get(key.table) ?? []), key]);
      }
    }
    return byTable;
  };
  const find = (test: (key: AlternateKey) => boolean) => [...all().values()].flat().find(test);
  const setStatus = (id: string, status: KeyStatus) => {
    store.run('UPDATE "_key" SET status = ? WHERE id = ?', [status, id]);
    byTable = undefined;
  };

  const build = async (id: string): Promise<void> => {
    for (const before of ['Pending', 'InProgress'] as const) {
      if (!find((key) => key.id === id)) return;
      await turn(() => setStatus(id, before));
      await clock.sleep(stepMs, stopped.signal);
    }
    await turn(() => {
      const key = find((one) => one.id === id);
      const table = key && tableOf(key.table);
      if (table) setStatus(id, buildIndex(store, table, key));
    });
  };
  const start = ({ id }: AlternateKey) => {
    // A job that is stopped with the emulator goes on at the next start.
    const job = build(id)
      .catch(async () => {
        if (!stopped.signal.aborted) await turn(() => setStatus(id, 'Failed'));
      })
      .finally(() => jobs.delete(job));
    jobs.add(job);
  };

  return {
    of: (logicalName) => {
      const table = tableOf(logicalName);
      return table?.isElastic ? [partitionKey(table)] : (all().get(logicalName) ?? []);
    },
    // SQLite names the index where it holds an expression, else its columns.
    byIndex: (index) =>
      find((key) => [indexName(key.id), key.columns.map((name) => `${key.table}.${name}`).join(', ')].includes(index)),
    create(table, request) {
      check(table, request, all().get(table.logicalName) ?? []);
      const id = newId();
      store.run('INSERT INTO "_key" VALUES (?, ?, ?, ?, ?, ?, ?, ?)', [
        id,
        table.logicalName,
        request.schemaName.toLowerCase(),
        request.schemaName,
        request.displayName,
        JSON.stringify(request.columns),
        'Pending',
        newId(),
      ]);
      byTable = undefined;
      const made = find((key) => key.id === id);
      if (!made) throw new Error('The key that was just stored is missing');
      start(made);
      return made;
    },
    remove(key) {
      store.run(`DROP INDEX IF EXISTS ${identifier(indexName(key.id))}`);
      store.run('DELETE FROM "_key" WHERE id = ?', [key.id]);
      byTable = undefined;
    },
    reactivate(key) {
      if (key.status !== 'Failed') throw reactivateOnlyFailed();
      setStatus(key.id, 'Pending');
      start(key);
    },
    resume() {
      for (const key of [...all().values()].flat()) {
        if (key.status === 'Pending' || key.status === 'InProgress') start(key);
      }
    },
    changed() {
      byTable = undefined;
    },
    async idle() {
      while (jobs.size > 0) await Promise.all(jobs);
    },
    stop: () => stopped.abort(),
  };
}

/** UNCONFIRMED: code and text. */
export const elasticKeysFixed = () =>
  invalidKeyOperation('elastic tables have one key, which comes with them and goes with them');

/** The key that every elastic table has and that addresses its rows (documentation, "Create elastic tables using code"). */
const partitionKey = (table: Table): AlternateKey => ({
  id: derivedGuid(`key/${table.logicalName}/partition`),
  table: table.logicalName,
  logicalName: 'keyfornosqlentitywithpkpartitionid',
  schemaName: 'KeyForNoSqlEntityWithPKPartitionId',
  displayName: 'Entity key for NoSql Entity that contains PrimaryKey and PartitionId attributes',
  columns: [table.primaryId, PARTITION_COLUMN],
  status: 'Active',
  jobId: derivedGuid(`key/${table.logicalName}/partition/job`),
});

/** Builds the unique index; rows with the same values make the job fail. */
function buildIndex(store: Store, table: Table, key: AlternateKey): KeyStatus {
  store.ensure(table);
  const columns = key.columns.map((name) => {
    const column = table.columns.get(name);
    return column ? comparable(column, identifier(name)) : identifier(name);
  });
  try {
    // SQLite lets rows with a null in the key stand side by side, as the service's filtered index does.
    store.run(
      `CREATE UNIQUE INDEX ${identifier(indexName(key.id))} ON ${identifier(table.logicalName)} (${columns.join(', ')})`,
    );
    return 'Active';
  } catch {
    return 'Failed';
  }
}

function check(
  table: Table,
  request: { schemaName: string; columns: readonly string[] },
  existing: readonly AlternateKey[],
): void {
  const { schemaName, columns } = request;
  if (table.isElastic) throw elasticKeysFixed();
  const logicalName = schemaName.toLowerCase();
  if (existing.some((key) => key.logicalName === logicalName)) throw keyNameTaken(schemaName, table.logicalName);
  const names = [...columns].sort().join();
  if (existing.some((key) => [...key.columns].sort().join() === names)) throw keyColumnsTaken();
  if (existing.length >= KEYS_MAX) throw invalidKeyOperation(`a table has at most ${KEYS_MAX} keys`);
  if (columns.length === 0 || columns.length > COLUMNS_MAX) {
    throw invalidKeyOperation(`a key has 1 to ${COLUMNS_MAX} attributes`);
  }
  if (new Set(columns).size < columns.length) throw invalidKeyOperation('an attribute is named twice');
  let bytes = 0;
  for (const name of columns) {
    const column = table.columns.get(name);
    if (!column || !KEY_KINDS.has(column.kind)) {
      throw invalidKeyOperation(`the attribute ${name} cannot be part of a key of ${table.logicalName}`);
    }
    if (!column.validForCreate || !column.validForUpdate) throw keyColumnNotWritable(column);
    bytes += column.kind === 'text' ? 2 * (column.maxLength ?? 0) : 16;
  }
  if (bytes > BYTES_MAX) throw invalidKeyOperation(`the attributes of a key have at most ${BYTES_MAX} bytes`);
}

function keyOf(row: StoredRow): AlternateKey {
  const columns: unknown = JSON.parse(String(row['columns']));
  return {
    id: String(row['id']),
    table: String(row['tablename']),
    logicalName: String(row['logicalname']),
    schemaName: String(row['schemaname']),
    displayName: String(row['displayname']),
    columns: Array.isArray(columns) ? columns.map(String) : [],
    status: statusOf(String(row['status'])),
    jobId: String(row['jobid']),
  };
}

const statusOf = (text: string): KeyStatus =>
  text === 'Active' || text === 'Failed' || text === 'InProgress' ? text : 'Pending';

/** The key's definition in the Web API's form. */
export function keyDefinition(key: AlternateKey): Definition {
  const label = { Label: key.displayName, LanguageCode: 1033, IsManaged: false };
  return {
    MetadataId: key.id,
    SchemaName: key.schemaName,
    LogicalName: key.logicalName,
    DisplayName: { LocalizedLabels: [label], UserLocalizedLabel: label },
    EntityLogicalName: key.table,
    KeyAttributes: key.columns,
    EntityKeyIndexStatus: key.status,
    AsyncJob: { Id: key.jobId, LogicalName: 'asyncoperation', Name: null },
    IsCustomizable: { Value: true, CanBeChanged: true, ManagedPropertyLogicalName: 'iscustomizable' },
    IsManaged: false,
    IsSecondaryKey: false,
    IsExportKey: false,
    IsSynchronous: false,
    IntroducedVersion: '1.0.0.0',
  };
}
