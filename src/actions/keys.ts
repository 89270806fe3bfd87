import type { RequestLimits } from '../dataverse/find-row.ts';
import type { Schema, SchemaChange } from '../dataverse/schema.ts';
import { type Definition, readDefinition } from '../dataverse/schema-form.ts';
import { labelIn } from '../dataverse/wire/schema.ts';

/** An alternate key to be made. */
export interface NewKey {
  /** With the publisher's prefix: `new_AccountNumberKey`. */
  readonly schemaName: string;
  /** Left out, the schema name. */
  readonly displayName?: string | undefined;
  /** Logical names. */
  readonly columns: readonly string[];
}

const ENGLISH = 1033;

/** A table's alternate keys; only one whose `status` is `Active` addresses rows. */
export async function listKeys(schema: Schema, table: string, call: RequestLimits): Promise<readonly Definition[]> {
  return (await schema.keys(table, call)).map((key) => readDefinition(key));
}

/** Makes an alternate key. Its index is built in the background: it is `Pending` first and `Active` in the end. */
export async function createKey(
  schema: Schema,
  table: string,
  { schemaName, displayName = schemaName, columns }: NewKey,
  change: SchemaChange,
): Promise<Definition> {
  const body = { SchemaName: schemaName, DisplayName: labelIn(displayName, ENGLISH), KeyAttributes: columns };
  const metadataId = await schema.createKey(table, body, change);
  return metadataId === undefined
    ? { schemaName, columns }
    : readDefinition(await schema.key(table, metadataId, change));
}
