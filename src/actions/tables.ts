import { DataverseError } from '../dataverse/errors.ts';
import type { RequestLimits } from '../dataverse/find-row.ts';
import { DETAILS_LISTED, type Schema } from '../dataverse/schema.ts';
import { type Definition, memberOf, readDefinition } from '../dataverse/schema-form.ts';

/** What a list of tables may be narrowed to. */
export interface TablesQuery {
  /** Names or labels, without regard to case, `*` for any part; empty for all tables. */
  readonly names: readonly string[];
  /** Custom tables are listed although no name fits them; otherwise only where a name does. */
  readonly includeCustom: boolean;
  /** Tables that are not parts of others only (`IsChildEntity` is false); wins over everything else. */
  readonly topLevelOnly: boolean;
  readonly details: boolean;
  /** Members of TABLE_MEMBERS to tell; left out, all. */
  readonly select?: readonly string[] | undefined;
  /** Names or labels of tables that are to be marked. */
  readonly defaultSelected?: readonly string[] | undefined;
  readonly pageSize: number;
  /** Logical name of the last table of the page before. */
  readonly after?: string | undefined;
}

export interface TablesPage {
  readonly value: readonly Definition[];
  /** Logical name of the last table, where more follow. */
  readonly last?: string;
}

/** Members that each table of a list has without details. */
const MEMBERS = [
  'logicalName',
  'schemaName',
  'entitySetName',
  'displayName',
  'isCustom',
  'primaryId',
  'primaryName',
  'metadataId',
];

/** Members that a table of a list can have. */
export const TABLE_MEMBERS: readonly string[] = [...new Set([...MEMBERS, ...DETAILS_LISTED.map(memberOf)])];

/**
 * Tables in the order of their logical names, a page at a time. The pages are ours, since the service does not page
 * definitions.
 */
export async function listTables(schema: Schema, query: TablesQuery, signal?: AbortSignal): Promise<TablesPage> {
  const isNamed = matcher(query.names);
  const isMarked = query.defaultSelected && matcher(query.defaultSelected);
  const members = query.select ?? (query.details ? TABLE_MEMBERS : MEMBERS);
  const details = members.some((member) => !MEMBERS.includes(member));
  const found = (await schema.tables(details, signal))
    .filter((table) => isWanted(table, query, isNamed))
    .map((table) => ({ table, name: String(table['LogicalName']) }))
    .filter(({ name }) => query.after === undefined || name > query.after)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const page = found.slice(0, query.pageSize);
  const last = found.length > page.length ? page.at(-1)?.name : undefined;
  return {
    value: page.map(({ table }) => ({
      ...entryOf(table, members),
      ...(isMarked && { defaultSelected: isMarked(table) }),
    })),
    ...(last !== undefined && { last }),
  };
}

function isWanted(table: Definition, query: TablesQuery, isNamed: (table: Definition) => boolean): boolean {
  const custom = table['IsCustomEntity'] === true;
  if (query.topLevelOnly && table['IsChildEntity'] === true) return false;
  if (query.names.length === 0) return query.includeCustom || !custom;
  return isNamed(table) || (query.includeCustom && custom);
}

function entryOf(table: Definition, members: readonly string[]): Definition {
  const definition = readDefinition(table);
  return Object.fromEntries(members.map((member) => [member, definition[member] ?? null]));
}

const NAMES = ['logicalName', 'schemaName', 'entitySetName', 'displayName', 'displayCollectionName'];

/** Whether one of a table's names or labels is among those given. */
function matcher(names: readonly string[]): (table: Definition) => boolean {
  const exact = new Set(names.map((name) => name.toLowerCase()));
  const patterns = [...exact].filter((name) => name.includes('*')).map((name) => name.split('*'));
  return (table) => {
    const definition = readDefinition(table);
    return NAMES.some((member) => {
      const name = String(definition[member] ?? '').toLowerCase();
      return exact.has(name) || patterns.some((parts) => fits(name, parts));
    });
  };
}

/** Whether a text has these parts in this order, from its start to its end, with anything between them. */
function fits(text: string, [first = '', ...parts]: readonly string[]): boolean {
  const last = parts.pop() ?? '';
  if (!text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= text.length - last.length;
}

/**
 * A table's whole definition. Its logical name is enough to find it; otherwise its entity set name or MetadataId has to
 * be given. Throws DataverseError `tableUnknown`.
 */
export async function describeTable(
  schema: Schema,
  name: string,
  { lookupLogicalNames, ...call }: RequestLimits & { readonly lookupLogicalNames: boolean },
): Promise<Definition> {
  const table = await schema.table(name, call);
  if (!lookupLogicalNames && table['LogicalName'] === name && table['EntitySetName'] !== name) {
    throw new DataverseError(
      'tableUnknown',
      `There is no entity set '${name}' in this environment.`,
      {},
      {
        hint: 'Logical names are not looked up with lookupLogicalNames=false.',
      },
    );
  }
  return readDefinition(table, { languages: true });
}
