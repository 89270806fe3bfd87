import type { Definition } from '../metadata.ts';
import type { Store } from '../store.ts';

/** What can be defined. A column belongs to a table, the others to the organization (their `table` is empty). */
export type CustomKind = 'table' | 'column' | 'relationship' | 'choice';

export interface Customization {
  readonly kind: CustomKind;
  readonly table: string;
  /** The logical name; of relationships the schema name in lower case. */
  readonly name: string;
  /** In the Web API's form; undefined when something that the emulator brings along was deleted. */
  readonly definition: Definition | undefined;
}

/** Definitions that were made, changed or deleted since the database began, in the order in which they were first made. */
export interface Customizations {
  all(kind: CustomKind): readonly Customization[];
  save(kind: CustomKind, table: string, name: string, definition: Definition | undefined): void;
  /** Forgets what was said about a definition, so that what the emulator brings along holds again. */
  forget(kind: CustomKind, table: string, name: string): void;
  /** Another one after every change; what was undone does not come back. */
  version(): string;
  /** Must be called when a transaction is undone; answers whether anything was read that is wrong now. */
  changed(): boolean;
}

const INITIAL_VERSION = 1_000_000;

/** Opens the customizations in the database. */
export function openCustomizations(store: Store): Customizations {
  store.run(
    'CREATE TABLE IF NOT EXISTS "_definition" (kind TEXT, tablename TEXT, name TEXT, json TEXT, ' +
      'PRIMARY KEY (kind, tablename, name)) STRICT',
  );
  store.run('CREATE TABLE IF NOT EXISTS "_definition_version" (version INTEGER NOT NULL) STRICT');
  let known: Map<string, Customization> | undefined;
  const stored = (): number =>
    Number(store.get('SELECT version FROM "_definition_version"')?.['version'] ?? INITIAL_VERSION);
  let version = stored();

  const keyOf = (kind: CustomKind, table: string, name: string): string => `${kind} ${table} ${name}`;
  const load = (): Map<string, Customization> => {
    known ??= new Map(
      store.all('SELECT * FROM "_definition" ORDER BY rowid').map((row) => {
        const [kind, table, name] = [String(row['kind']) as CustomKind, String(row['tablename']), String(row['name'])];
        const definition = row['json'] == null ? undefined : JSON.parse(String(row['json']));
        return [keyOf(kind, table, name), { kind, table, name, definition }];
      }),
    );
    return known;
  };
  const touch = (): void => {
    version = store.nextVersion();
    store.run('DELETE FROM "_definition_version"');
    store.run('INSERT INTO "_definition_version" VALUES (?)', [version]);
  };
  return {
    all: (kind) => [...load().values()].filter((one) => one.kind === kind),
    save(kind, table, name, definition) {
      load().set(keyOf(kind, table, name), { kind, table, name, definition });
      store.run(
        'INSERT INTO "_definition" VALUES (?, ?, ?, ?) ON CONFLICT (kind, tablename, name) DO UPDATE SET json = excluded.json',
        [kind, table, name, definition ? JSON.stringify(definition) : null],
      );
      touch();
    },
    forget(kind, table, name) {
      load().delete(keyOf(kind, table, name));
      store.run('DELETE FROM "_definition" WHERE kind = ? AND tablename = ? AND name = ?', [kind, table, name]);
      touch();
    },
    version: () => String(version),
    changed() {
      const now = stored();
      if (now === version) return false;
      version = now;
      known = undefined;
      return true;
    },
  };
}
