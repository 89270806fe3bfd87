import { openDefinitions } from '../activations/definitions.ts';
import type { Storage } from '../storage/storage.ts';
import type { ConnectionUse } from './needs.ts';

/** What the stored activations do with a connection. Throws StorageError. */
export async function activationUses(
  storage: Storage,
  connection: string,
  signal?: AbortSignal,
): Promise<ConnectionUse[]> {
  const stored = await openDefinitions(storage).list(signal);
  return stored
    .map(({ definition }) => definition)
    .filter((definition) => definition.connection === connection)
    .map(({ name: activation, table, mode, mapping, key }) => ({
      activation,
      table,
      mode,
      columns: Object.keys(mapping),
      keyColumns: key.kind === 'alternateKey' ? key.columns : [],
    }));
}
