import type { Connections } from '../connections/connections.ts';
import { writeRows } from '../dataverse/bulk/write-rows.ts';
import type { Clock } from '../shared/clock.ts';
import type { NewId } from '../shared/ids.ts';
import type { OpenTarget } from './target.ts';

/** Targets behind the app's named connections. Opening one throws SettingsError when there is no such connection. */
export function dataverseTarget(connections: Connections, newId: NewId, clock: Clock): OpenTarget {
  return async (name) => {
    const { client, apiPath, metadata, pace, support, assertWritable } = connections.get(name);
    return {
      table: (table, needs, signal) => metadata.table(table, needs, signal),
      writeRows(request, rows) {
        assertWritable();
        return writeRows({ ...request, client, apiPath, pace, support, newId, clock }, rows);
      },
    };
  };
}
