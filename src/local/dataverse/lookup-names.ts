import type { ColumnInQuery } from './sql.ts';
import { hasTypeColumn, identifier, typeColumn } from './store.ts';
import type { Work } from './work.ts';

/** The primary name of the row that a lookup points to, as SQL; undefined where none of its tables has one. */
export function nameBehind(
  { env }: Work,
  { column, alias, qualified }: Pick<ColumnInQuery, 'column' | 'alias' | 'qualified'>,
): string | undefined {
  const names = column.targets.flatMap((target) => {
    const table = env.catalog.table(target);
    const name = table?.columns.get(table.primaryName ?? '');
    if (!table || !name || name.kind === 'unsupported') return [];
    env.store.ensure(table);
    const [from, id, text] = [table.logicalName, table.primaryId, name.logicalName].map(identifier);
    return [{ table: table.logicalName, text: `(SELECT ${text} FROM ${from} WHERE ${id} = ${qualified})` }];
  });
  if (!hasTypeColumn(column)) return names[0]?.text;
  if (names.length === 0) return undefined;
  const type = `${alias}.${identifier(typeColumn(column.logicalName))}`;
  // Logical names hold letters, digits and underscores only; doubling quotes costs nothing.
  const cases = names.map(({ table, text }) => `WHEN '${table.replaceAll("'", "''")}' THEN ${text}`);
  return `CASE ${type} ${cases.join(' ')} END`;
}
