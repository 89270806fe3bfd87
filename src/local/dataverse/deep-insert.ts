import { methodNotAllowed, nestedTooDeeply, notEmulated } from './errors.ts';
import type { JsonObject } from './json-object.ts';
import { link, lookupBehind, tableBehind } from './links.ts';
import type { Navigation, Table } from './metadata.ts';
import { arrayIn, logicalNameIn, type RowChange, readRow, setLookup } from './payload.ts';
import { createRow, deleteRow, requireRight } from './records.ts';
import { readStored, rowOfUrl } from './references.ts';
import { identifier } from './store.ts';
import type { RowReference, Work } from './work.ts';

/** How deeply Microsoft.OData lets rows be nested. */
const DEPTH_MAX = 100;

/**
 * Creates a row with the rows that its body holds below navigation properties (deep insert), and links those that it
 * names; answers its id. Throws WireError; to be called inside a transaction.
 */
export function insertRow(work: Work, table: Table, json: unknown): string {
  return insert(work, table, json, 0);
}

/** Creates a row in a collection of another one, as a POST to the collection does. */
export function insertBelow(work: Work, parent: RowReference, name: string, json: unknown): string {
  return below(work, parent, name, json, 0);
}

/**
 * Puts the parties of an activity in the place of those that it has; only parties can be replaced so.
 * Throws WireError.
 */
export function replaceParties(work: Work, activity: RowReference, name: string, body: JsonObject): void {
  const parties = tableBehind(work, activity.table, name);
  if (parties.logicalName !== 'activityparty') throw methodNotAllowed('PUT on a collection of related rows');
  requireRight(work, activity.table, 'Write', readStored(work, activity.table, activity.id) ?? {});
  work.env.store.ensure(parties);
  const column = identifier(lookupBehind(work, activity.table, name).logicalName);
  const before = work.env.store.all(
    `SELECT ${identifier(parties.primaryId)} AS id FROM ${identifier(parties.logicalName)} WHERE ${column} = ?`,
    [activity.id],
  );
  for (const { id } of before) deleteRow(work, parties, String(id));
  for (const party of arrayIn(activity.table, body['value'])) insertBelow(work, activity, name, party);
}

function insert(
  work: Work,
  table: Table,
  json: unknown,
  depth: number,
  complete?: (change: RowChange) => void,
): string {
  if (depth > DEPTH_MAX) throw nestedTooDeeply(table.entitySetName, DEPTH_MAX);
  const change = readRow(work, table, json, 'create', 'nested');
  for (const { navigation, row } of change.parents) {
    const target = tableOf(work, navigation, row);
    const id = insert(work, target, row, depth + 1);
    setLookup(change, navigation, { table: target.logicalName, id });
  }
  complete?.(change);
  const made: RowReference = { table, id: createRow(work, table, change) };
  for (const { name, rows } of change.children) for (const row of rows) below(work, made, name, row, depth + 1);
  for (const { name, urls } of change.links) for (const url of urls) link(work, made, name, rowOfUrl(work, url));
  return made.id;
}

function below(work: Work, parent: RowReference, name: string, json: unknown, depth: number): string {
  const table = tableBehind(work, parent.table, name);
  if (parent.table.associations.has(name)) {
    const id = insert(work, table, json, depth);
    link(work, parent, name, { table, id });
    return id;
  }
  const column = lookupBehind(work, parent.table, name);
  const target = parent.table.logicalName;
  return insert(work, table, json, depth, (change) =>
    setLookup(change, { column, target }, { table: target, id: parent.id }),
  );
}

/** An owner may be of two tables; a row that is to be one says which. */
function tableOf(work: Work, { name, target }: Navigation, row: JsonObject): Table {
  const type = row['@odata.type'];
  const table = work.env.catalog.table(target ?? (typeof type === 'string' ? logicalNameIn(type) : ''));
  if (!table) throw notEmulated(`Deep insert (${name})`);
  return table;
}
