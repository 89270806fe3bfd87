import { createHash } from 'node:crypto';
import type { Catalog } from './metadata.ts';
import { identifier, type Store, type StoredRow } from './store.ts';

const COUNTERS: ReadonlySet<string> = new Set(['_sequence', '_definition_version']);

/**
 * Everything the database holds: the rows of every table that has any, in the order of their ids, with their versions.
 * Columns that nobody may read, such as the secret of a webhook, are their SHA-256. The counters of versions are left
 * out: as in SQL Server, work that is undone uses numbers up.
 */
export function dumpRows(store: Store, catalog: Catalog): Record<string, StoredRow[]> {
  const dump: Record<string, StoredRow[]> = {};
  for (const name of [...store.tables()].filter((one) => !COUNTERS.has(one)).sort()) {
    const table = catalog.table(name);
    const hidden = [...(table?.columns.values() ?? [])].filter((column) => !column.validForRead);
    const rows = store.all(
      `SELECT * FROM ${identifier(name)} ORDER BY ${table ? identifier(table.primaryId) : 'rowid'}`,
    );
    if (rows.length === 0) continue;
    dump[name] = rows.map((row) => {
      const shown = { ...row };
      for (const { logicalName } of hidden) {
        const value = shown[logicalName];
        if (typeof value === 'string') shown[logicalName] = createHash('sha256').update(value).digest('hex');
      }
      return shown;
    });
  }
  return dump;
}
