import { createHash } from 'node:crypto';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { isLike } from './like.ts';
import type { Column, ColumnKind, Table } from './metadata.ts';

/** What a column holds in the database. Times are milliseconds UTC, booleans 0 and 1, guids lower-case text. */
export type StoredValue = string | number | null;

/** A row by its columns' names; a lookup with several targets has its table beside it under {@link typeColumn}. */
export type StoredRow = Readonly<Record<string, StoredValue>>;

/** SQLite's refusal of a second row with the same value in a unique index. */
export class UniqueViolation extends Error {
  readonly index: string;

  constructor(index: string, options: ErrorOptions) {
    super(`A row with the same value is in ${index}`, options);
    this.name = 'UniqueViolation';
    this.index = index;
  }
}

export interface Store {
  all(sql: string, parameters?: readonly StoredValue[]): StoredRow[];
  get(sql: string, parameters?: readonly StoredValue[]): StoredRow | undefined;
  /** Runs a write and answers how many rows it touched. Throws {@link UniqueViolation}. */
  run(sql: string, parameters?: readonly StoredValue[]): number;
  /** Commits what `work` wrote, or nothing of it when it throws. May be nested. */
  transaction<Result>(work: () => Result): Result;
  /**
   * The same, committed only when `work` and then `confirm` resolve; until then nothing else may use the store. May not be
   * nested.
   */
  confirmedTransaction<Result>(
    work: () => Result | Promise<Result>,
    confirm: () => Promise<void> | undefined,
  ): Promise<Result>;
  /** Makes the table on first use, and the columns that it lacks. */
  ensure(table: Table): void;
  /** Drops a table with all its rows. */
  dropTable(logicalName: string): void;
  /** Drops a column with its values and the indexes that it is in. */
  dropColumn(table: string, column: Column): void;
  /**
   * Makes an index on a column and the row's id on first use, for queries that look for its values or follow a lookup
   * backwards.
   */
  index(table: Table, column: Column): void;
  /** Logical names of the tables that were made. */
  tables(): ReadonlySet<string>;
  /** The next row version of the organization. */
  nextVersion(): number;
  close(): void;
}

const SQL_TYPES: Readonly<Record<Exclude<ColumnKind, 'unsupported'>, string>> = {
  text: 'TEXT',
  memo: 'TEXT',
  integer: 'INTEGER',
  bigint: 'INTEGER',
  decimal: 'REAL',
  double: 'REAL',
  money: 'REAL',
  boolean: 'INTEGER',
  datetime: 'INTEGER',
  dateonly: 'INTEGER',
  choice: 'INTEGER',
  state: 'INTEGER',
  status: 'INTEGER',
  choices: 'TEXT',
  lookup: 'TEXT',
  guid: 'TEXT',
  entityname: 'TEXT',
  managed: 'INTEGER',
};

const STATEMENTS_KEPT = 500;
const FIRST_VERSION = 1_000_000;

/**
 * The text as SQL Server's collation of Dataverse compares it: without regard to case and to blanks at the end.
 * Accents count here, other than in some of the service's collations.
 */
export const fold = (text: string): string => text.replace(/ +$/, '').toLowerCase();

/** A name from metadata as an SQL identifier. */
export const identifier = (name: string): string =>
  // Hardly ever there, and looked for in every name of every row that is written.
  name.includes('"') ? `"${name.replaceAll('"', '""')}"` : `"${name}"`;

/** The column that tells rows of an elastic table with the same id apart. */
export const PARTITION_COLUMN = 'partitionid';

/** Beside the columns of an elastic table: the row's ETag, without its quotes. */
export const ETAG_COLUMN = '__etag';

/** Beside the columns of an elastic table: when the row ceases to be, in milliseconds. */
export const EXPIRY_COLUMN = '__expires';

/** The column beside a lookup that may point to several tables. */
export const typeColumn = (lookup: string): string => `${lookup}__type`;

/** The index that {@link Store.index} makes on a column. */
const columnIndex = (table: string, column: string): string => `column_${table}_${column}`;

/** Whether the lookup's table is stored beside it. */
export const hasTypeColumn = (column: Column): boolean => column.kind === 'lookup' && column.targets.length !== 1;

/** The SQL expression by which values of a column are compared. */
export function comparable(column: Column, qualified: string): string {
  return isText(column) ? `fold(${qualified})` : qualified;
}

/** Whether a column holds text that people write. */
export const isText = ({ kind }: Column): boolean => kind === 'text' || kind === 'memo' || kind === 'entityname';

/** Opens the database in a file, or `:memory:`. */
export function openStore(location: string): Store {
  const database = new DatabaseSync(location);
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;');
  // 64 MB of pages, and up to 1 GB of the file seen as memory: scans of large tables take half the time.
  database.exec('PRAGMA cache_size = -65536; PRAGMA mmap_size = 1073741824;');
  database.exec('CREATE TABLE IF NOT EXISTS "_sequence" ("version" INTEGER NOT NULL) STRICT;');
  database.function('fold', { deterministic: true }, (text) => (typeof text === 'string' ? fold(text) : text));
  database.function('like_text', { deterministic: true }, (text, pattern) =>
    typeof text === 'string' && typeof pattern === 'string' && isLike(text.toLowerCase(), pattern) ? 1 : 0,
  );

  const statements = new Map<string, StatementSync>();
  const prepare = (sql: string): StatementSync => {
    let statement = statements.get(sql);
    if (statement) statements.delete(sql);
    else statement = database.prepare(sql);
    statements.set(sql, statement);
    if (statements.size > STATEMENTS_KEPT) {
      for (const oldest of statements.keys()) {
        statements.delete(oldest);
        break;
      }
    }
    return statement;
  };

  let made = tablesIn(database);
  // A changed definition is another object, so that its new columns are added when it is first used.
  let ensured = new WeakSet<Table>();
  const indexes = new Set<string>();
  // Whether the transaction in progress changed tables, columns or indexes.
  let reshaped = false;
  const reshape = (sql: string): void => {
    database.exec(sql);
    reshaped = true;
  };
  const forgetSchema = (): void => {
    made = tablesIn(database);
    ensured = new WeakSet();
    indexes.clear();
  };
  let version = Number(database.prepare('SELECT "version" FROM "_sequence"').get()?.['version'] ?? FIRST_VERSION);
  let depth = 0;

  const store: Store = {
    all: (sql, parameters = []) => prepare(sql).all(...parameters) as StoredRow[],
    get: (sql, parameters = []) => prepare(sql).get(...parameters) as StoredRow | undefined,
    run(sql, parameters = []) {
      try {
        return Number(prepare(sql).run(...parameters).changes);
      } catch (error) {
        throw uniqueViolation(error) ?? error;
      }
    },
    transaction(work) {
      const { commit, undo } = begin();
      try {
        const result = work();
        commit();
        return result;
      } catch (error) {
        undo();
        throw error;
      }
    },
    async confirmedTransaction(work, confirm) {
      if (depth > 0) throw new Error('A confirmed transaction cannot be part of another one');
      const { commit, undo } = begin();
      try {
        const result = await work();
        await confirm();
        commit();
        return result;
      } catch (error) {
        undo();
        throw error;
      }
    },
    ensure(table) {
      if (ensured.has(table)) return;
      if (made.has(table.logicalName)) for (const sql of addColumns(database, table)) reshape(sql);
      else reshape(createTable(table));
      made.add(table.logicalName);
      ensured.add(table);
    },
    dropTable(logicalName) {
      reshape(`DROP TABLE IF EXISTS ${identifier(logicalName)}`);
      forgetSchema();
    },
    dropColumn(table, column) {
      if (!made.has(table)) return;
      const existing = columnsIn(database, table);
      for (const name of physicalColumns(column).keys()) {
        if (!existing.has(name)) continue;
        for (const index of indexesOf(database, table, name)) reshape(`DROP INDEX ${identifier(index)}`);
        reshape(`ALTER TABLE ${identifier(table)} DROP COLUMN ${identifier(name)}`);
      }
      forgetSchema();
    },
    index(table, column) {
      const name = columnIndex(table.logicalName, column.logicalName);
      if (indexes.has(name)) return;
      store.ensure(table);
      // With the id behind it rows come in the order of pages, so that a page of many equal values is not sorted.
      const values = `${comparable(column, identifier(column.logicalName))}, ${identifier(table.primaryId)}`;
      reshape(`CREATE INDEX IF NOT EXISTS ${identifier(name)} ON ${identifier(table.logicalName)} (${values})`);
      indexes.add(name);
    },
    tables: () => made,
    nextVersion: () => ++version,
    close() {
      statements.clear();
      database.close();
    },
  };
  const begin = (): { commit(): void; undo(): void } => {
    const level = depth;
    const before = version;
    if (level === 0) reshaped = false;
    database.exec(level === 0 ? 'BEGIN IMMEDIATE' : `SAVEPOINT "level${level}"`);
    depth = level + 1;
    return {
      commit() {
        if (level === 0 && version !== before) saveVersion();
        database.exec(level === 0 ? 'COMMIT' : `RELEASE "level${level}"`);
        depth = level;
      },
      undo() {
        depth = level;
        if (database.isTransaction) {
          database.exec(level === 0 ? 'ROLLBACK' : `ROLLBACK TO "level${level}"; RELEASE "level${level}"`);
        }
        // Tables, columns and indexes that were made inside are gone again.
        if (reshaped) forgetSchema();
      },
    };
  };
  const saveVersion = () => {
    if (store.run('UPDATE "_sequence" SET "version" = ?', [version]) === 0) {
      store.run('INSERT INTO "_sequence" VALUES (?)', [version]);
    }
  };
  return store;
}

function tablesIn(database: DatabaseSync): Set<string> {
  const rows = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  return new Set(rows.map((row) => String(row['name'])));
}

/** The columns that hold a column's values in the database, with their SQL types. */
export function physicalColumns(column: Column): Map<string, string> {
  const columns = new Map<string, string>();
  if (column.kind === 'unsupported') return columns;
  columns.set(column.logicalName, SQL_TYPES[column.kind]);
  if (hasTypeColumn(column)) columns.set(typeColumn(column.logicalName), 'TEXT');
  return columns;
}

function createTable(table: Table): string {
  const columns = [...table.columns.values()].flatMap((column) =>
    [...physicalColumns(column)].map(([name, type]) => `${identifier(name)} ${type}`),
  );
  if (table.isElastic) columns.push(`${identifier(ETAG_COLUMN)} TEXT`, `${identifier(EXPIRY_COLUMN)} INTEGER`);
  const key = table.isElastic ? [table.primaryId, PARTITION_COLUMN] : [table.primaryId];
  columns.push(`PRIMARY KEY (${key.map(identifier).join(', ')})`);
  return `CREATE TABLE IF NOT EXISTS ${identifier(table.logicalName)} (${columns.join(', ')}) STRICT`;
}

const columnsIn = (database: DatabaseSync, table: string): Set<string> =>
  new Set(
    database
      .prepare('SELECT name FROM pragma_table_info(?)')
      .all(table)
      .map((row) => String(row['name'])),
  );

/** The statements that add what an earlier definition of the table did not have. */
function addColumns(database: DatabaseSync, table: Table): string[] {
  const existing = columnsIn(database, table.logicalName);
  const added = [...table.columns.values()].flatMap((column) => [...physicalColumns(column)]);
  return added
    .filter(([name]) => !existing.has(name))
    .map(([name, type]) => `ALTER TABLE ${identifier(table.logicalName)} ADD COLUMN ${identifier(name)} ${type}`);
}

/** Those whose text names the column; indexes on expressions have no columns to ask for. */
const indexesOf = (database: DatabaseSync, table: string, column: string): string[] =>
  database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND instr(sql, ?) > 0")
    .all(table, identifier(column))
    .map((row) => String(row['name']));

function uniqueViolation(error: unknown): UniqueViolation | undefined {
  const text = error instanceof Error ? error.message : '';
  // "UNIQUE constraint failed: account.accountid" of a primary key, "… failed: index 'name'" of an index on expressions.
  const found = /^UNIQUE constraint failed: (?:index '(.+)'|(.+))$/.exec(text);
  return found ? new UniqueViolation(found[1] ?? found[2] ?? '', { cause: error }) : undefined;
}

/** The same text always gives the same id (in the form of a version 5 UUID). */
export function derivedGuid(text: string): string {
  const hash = createHash('sha1').update(`dataverse-emulator/${text}`).digest('hex');
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-5${hash.slice(13, 16)}-8${hash.slice(17, 20)}-${hash.slice(20, 32)}`;
}
