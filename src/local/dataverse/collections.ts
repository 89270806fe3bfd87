import { notEmulated } from './errors.ts';
import { intersectOf } from './links.ts';
import type { Column, Table } from './metadata.ts';
import type { Sql } from './sql.ts';
import { hasTypeColumn, identifier, typeColumn } from './store.ts';
import type { Work } from './work.ts';

/** The rows that a collection-valued navigation property leads to. */
export interface RelatedCollection {
  readonly table: Table;
  /** Their lookup that points back; undefined in many-to-many relationships. */
  readonly lookup: Column | undefined;
  /** The condition that the row known to SQL as `alias` belongs to the row with this id. */
  belongs(alias: string, ownerId: Sql): Sql;
}

/** Finds what a collection of a table holds. Throws WireError 501 where that is not emulated. */
export function relatedCollection(work: Work, table: Table, name: string): RelatedCollection {
  const { catalog, store } = work.env;
  const association = table.associations.get(name);
  const toMany = table.collectionTargets.get(name);
  const other = catalog.table(association?.otherTable ?? toMany?.table ?? '');
  if (!other) throw notEmulated(`Retrieving through ${name}`);
  store.ensure(other);
  if (association) {
    const intersect = intersectOf(work, association);
    for (const side of [association.ownColumn, association.otherColumn]) {
      const column = intersect.columns.get(side);
      if (column) store.index(intersect, column);
    }
    const [pairs, own, others] = [association.intersect, association.ownColumn, association.otherColumn].map(
      identifier,
    );
    return {
      table: other,
      lookup: undefined,
      belongs: (alias, { text, values }) => ({
        text: `${alias}.${identifier(other.primaryId)} IN (SELECT ${others} FROM ${pairs} WHERE ${own} = ${text})`,
        values,
      }),
    };
  }
  const lookup = other.columns.get(toMany?.column ?? '');
  if (lookup?.kind !== 'lookup') throw notEmulated(`Retrieving through ${name}`);
  store.index(other, lookup);
  const own = identifier(lookup.logicalName);
  const type = hasTypeColumn(lookup) ? identifier(typeColumn(lookup.logicalName)) : undefined;
  return {
    table: other,
    lookup,
    belongs: (alias, { text, values }) =>
      type === undefined
        ? { text: `${alias}.${own} = ${text}`, values }
        : { text: `${alias}.${own} = ${text} AND ${alias}.${type} = ?`, values: [...values, table.logicalName] },
  };
}
