import { isGuid } from '../../../shared/ids.ts';
import { invalidArgument } from '../errors.ts';
import type { QueryOptions } from '../odata/ast.ts';
import { requireRight } from '../records.ts';
import { existingRow, readStored } from '../references.ts';
import type { Work } from '../work.ts';
import { unknownTable } from './errors.ts';

/** The FetchXML that a request carries or names by its view; undefined when it does neither. Throws WireError. */
export function fetchXmlOf(work: Work, { fetchXml, savedQuery, userQuery }: QueryOptions): string | undefined {
  if (fetchXml !== undefined) return fetchXml;
  if (savedQuery !== undefined) return storedFetchXml(work, 'savedquery', savedQuery);
  return userQuery === undefined ? undefined : storedFetchXml(work, 'userquery', userQuery);
}

function storedFetchXml(work: Work, tableName: 'savedquery' | 'userquery', written: string): string {
  const table = work.env.catalog.table(tableName);
  if (!table) throw unknownTable(tableName);
  const id = written.trim().replace(/^\{(.*)\}$/, '$1');
  if (!isGuid(id)) throw invalidArgument(`The id '${written}' of a ${tableName} is not a GUID.`);
  const row = readStored(work, table, existingRow(work.env, table, { kind: 'id', id: id.toLowerCase() })) ?? {};
  requireRight(work, table, 'Read', row);
  const text = row['fetchxml'];
  if (typeof text !== 'string') throw invalidArgument(`The ${tableName} with Id = ${id} holds no FetchXml.`);
  return text;
}
