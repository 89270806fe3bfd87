import type { Catalog, Table } from './metadata.ts';
import {
  derivedGuid,
  hasTypeColumn,
  identifier,
  type Store,
  type StoredRow,
  type StoredValue,
  typeColumn,
} from './store.ts';

/** Who signs in where nobody has to. */
export const ADMINISTRATOR_ID = derivedGuid('user/administrator');

/** Writes a row of the platform's own unless one with its id is there. */
export type WriteRow = (table: string, values: StoredRow) => void;

export function rowWriter(store: Store, catalog: Catalog, now: number): WriteRow {
  return (name, values) => {
    const table = catalog.table(name);
    if (!table) throw new Error(`The metadata has no table ${name}`);
    store.ensure(table);
    const row = complete(store, table, values, now);
    store.run(
      `INSERT OR IGNORE INTO ${identifier(name)} (${[...row.keys()].map(identifier).join(', ')}) ` +
        `VALUES (${[...row.keys()].map(() => '?').join(', ')})`,
      [...row.values()],
    );
  };
}

function complete(store: Store, table: Table, values: StoredRow, now: number): Map<string, StoredValue> {
  const row = new Map<string, StoredValue>();
  const set = (name: string, value: StoredValue) => {
    const column = table.columns.get(name);
    if (!column || column.kind === 'unsupported') return;
    row.set(name, value);
    const target = column.targets[0];
    if (hasTypeColumn(column) && target !== undefined) row.set(typeColumn(name), target);
  };
  set('createdon', Math.floor(now / 1000) * 1000);
  set('modifiedon', Math.floor(now / 1000) * 1000);
  set('createdby', ADMINISTRATOR_ID);
  set('modifiedby', ADMINISTRATOR_ID);
  set('versionnumber', store.nextVersion());
  for (const [name, value] of Object.entries(values)) set(name, value);
  return row;
}
