import { invalidArgument } from './errors.ts';
import type { Table } from './metadata.ts';
import type { Predicate } from './odata/ast.ts';
import { identifier } from './store.ts';
import type { Work } from './work.ts';

/**
 * What `RetrieveTotalRecordCount(EntityNames=['account'])` answers: the rows of whole tables. The service's numbers may be
 * a day old, these are of now. Throws WireError 400 and 403.
 */
export function totalRecordCount(work: Work, predicate: Predicate | undefined): Record<string, unknown> {
  const literal = predicate?.kind === 'named' ? predicate.values.get('EntityNames') : undefined;
  const names = literal?.kind === 'json' && Array.isArray(literal.value) ? literal.value : undefined;
  if (!names) throw invalidArgument("The parameter 'EntityNames' is not a list of table names.");
  const tables = names.map((name): Table => {
    const table = typeof name === 'string' ? work.env.catalog.table(name) : undefined;
    if (!table) throw invalidArgument(`There is no table with the name ${String(name)}.`);
    work.env.guard.require(work.caller, table, 'Read');
    return table;
  });
  const counts = tables.map((table) => {
    work.env.store.ensure(table);
    return Number(work.env.store.get(`SELECT count(*) AS n FROM ${identifier(table.logicalName)}`)?.['n'] ?? 0);
  });
  return {
    EntityRecordCountCollection: {
      Count: tables.length,
      IsReadOnly: false,
      Keys: tables.map(({ logicalName }) => logicalName),
      Values: counts,
    },
  };
}
