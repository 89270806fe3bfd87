import { badQuery, notEmulated } from './errors.ts';
import type { ColumnInQuery, Sql } from './sql.ts';
import { identifier, type StoredValue } from './store.ts';
import type { Work } from './work.ts';

/** The service follows a hierarchy over so many levels. */
const LEVELS_MAX = 100;

/**
 * `Above`, `AboveOrEqual`, `Under`, `UnderOrEqual` and `NotUnder` of the row with the given id, in the one relationship of
 * the table that is marked as its hierarchy; undefined for other names. Throws WireError 400 where the table has none.
 */
export function hierarchyCondition(
  work: Work,
  { table, column, qualified }: ColumnInQuery,
  name: string,
  idOf: () => StoredValue,
): Sql | undefined {
  const found = /^(Above|Under)(OrEqual)?$|^(NotUnder)$/.exec(name);
  if (!found) return undefined;
  const parent = table.columns.get(table.hierarchyColumn ?? '');
  if (parent === undefined) throw badQuery(`The table ${table.logicalName} has no hierarchical relationship.`);
  if (column.logicalName !== table.primaryId) throw notEmulated(`${name} on another column than ${table.primaryId}`);
  work.env.store.index(table, parent);

  const [own, up, from] = [table.primaryId, parent.logicalName, table.logicalName].map(identifier);
  const step =
    found[1] === 'Above'
      ? `SELECT row.${up}, level + 1 FROM line JOIN ${from} AS row ON row.${own} = line.id`
      : `SELECT row.${own}, level + 1 FROM line JOIN ${from} AS row ON row.${up} = line.id`;
  // UNION and the limit also end lines that lead back to themselves.
  const line =
    `(WITH RECURSIVE line(id, level) AS (SELECT ?, 0 UNION ${step} WHERE level < ${LEVELS_MAX}) ` +
    `SELECT id FROM line WHERE level > 0)`;
  const id = idOf();
  if (found[3]) return { text: `${qualified} NOT IN ${line}`, values: [id] };
  if (found[2]) return { text: `(${qualified} = ? OR ${qualified} IN ${line})`, values: [id, id] };
  return { text: `${qualified} IN ${line}`, values: [id] };
}
