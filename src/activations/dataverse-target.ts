import type { Connections } from '../connections/connections.ts';
import { writeRows } from '../dataverse/bulk/write-rows.ts';
import type { NewId } from '../shared/ids.ts';
import type { OpenTarget } from './target.ts';

/** Targets behind the app's named connections. Opening one throws SettingsError when there is no such connection. */
export function dataverseTarget(connections: Connections, newId: NewId): OpenTarget {
  return async (name) => {
    const { client, apiPath, metadata, assertWritable } = connections.get(name);
    return {
      table: (table, needs, signal) => metadata.table(table, needs, signal),
      writeRows({ table, strategy, mode, meter, signal }, rows) {
        assertWritable();
        return writeRows({ client, apiPath, table, strategy, mode, newId, meter, signal }, rows);
      },
    };
  };
}
