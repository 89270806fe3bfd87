import * as z from 'zod';
import type { RowError } from './bulk/outcomes.ts';
import type { DataverseClient } from './client.ts';
import { DataverseError } from './errors.ts';
import { findRowId, type RequestLimits } from './find-row.ts';
import { InputError } from './input-error.ts';
import type { Metadata } from './metadata.ts';
import { addressOf, addressPath } from './row-address.ts';
import { RowReference } from './row-reference.ts';
import { type Column, isLookup, type Table } from './table.ts';

/** Where rows that lookups point at are looked for. */
export interface LookupSource {
  readonly metadata: Metadata;
  readonly client: DataverseClient;
}

type InputRow = Readonly<Record<string, unknown>>;

const byKey = z.looseObject({
  table: z.string().optional(),
  key: z.union([z.string(), z.record(z.string(), z.unknown())]),
});

/**
 * The row with each lookup that names its row by key (`{ table, key: { column: value } }`) changed to one that
 * `toWireRow` takes, or the first that cannot be: the key must be an active alternate key of a table that the lookup
 * leads to. A row without such lookups is given back as it is, and costs nothing.
 */
export async function resolveLookups(
  source: LookupSource,
  table: Table,
  row: InputRow,
  limits: RequestLimits,
): Promise<{ readonly row: InputRow; readonly error?: never } | { readonly error: RowError; readonly row?: never }> {
  let resolved: Record<string, unknown> | undefined;
  for (const [name, value] of Object.entries(row)) {
    const column = table.columns.get(name);
    const named = column && isLookup(column) ? byKey.safeParse(value).data : undefined;
    if (!column || !named || named['id'] !== undefined) continue;
    const found = await resolve(source, column, named, limits);
    if (isError(found)) return { error: found };
    if (found === undefined) continue;
    resolved ??= { ...row };
    resolved[name] = found;
  }
  return { row: resolved ?? row };
}

const isError = (found: unknown): found is RowError => typeof found === 'object' && found !== null && 'code' in found;

/** What stands for the row that a key names; undefined where the lookup leads to no such table, which is told later. */
async function resolve(
  { metadata, client }: LookupSource,
  column: Column,
  { table, key }: z.infer<typeof byKey>,
  limits: RequestLimits,
): Promise<RowReference | { table: string; id: string } | RowError | undefined> {
  const [only, another] = column.targets?.keys() ?? [];
  const target = table ?? (another === undefined ? only : undefined);
  if (target === undefined || !column.targets?.has(target)) return undefined;
  try {
    const address = await addressOf(metadata, target, key, { path: column.logicalName, signal: limits.signal });
    const path = addressPath(address);
    if (path !== undefined) return new RowReference(target, path);
    const id = await findRowId(client, address, limits);
    if (id !== undefined) return { table: target, id };
    return {
      code: 'lookupRowUnknown',
      column: column.logicalName,
      message: `There is no row of '${target}' with the key that '${column.logicalName}' names.`,
    };
  } catch (error) {
    const isCallers = error instanceof InputError || (error instanceof DataverseError && error.code === 'tableUnknown');
    if (!isCallers) throw error;
    const { code, message, hint } = error;
    return { code, column: column.logicalName, message, ...(hint !== undefined && { hint }) };
  }
}
