import type { Column, Table } from './metadata.ts';

/** What every write needs to know of a table's columns. */
export interface TableFacts {
  /** Of choices and booleans, by logical name. */
  readonly defaults: readonly (readonly [name: string, value: number])[];
  /** Amounts in the base currency. */
  readonly baseAmounts: readonly Column[];
  /** SystemRequired columns that a request can write. */
  readonly required: readonly string[];
}

const known = new WeakMap<Table, TableFacts>();

/** Found once for a table: it may have hundreds of columns, and there are thousands of rows in a request. */
export function factsOfTable(table: Table): TableFacts {
  let facts = known.get(table);
  if (!facts) {
    facts = findFacts([...table.columns.values()]);
    known.set(table, facts);
  }
  return facts;
}

function findFacts(columns: readonly Column[]): TableFacts {
  return {
    defaults: columns.flatMap(({ kind, validForCreate, defaultValue, logicalName }) =>
      (kind === 'choice' || kind === 'boolean') && validForCreate && defaultValue !== undefined
        ? [[logicalName, defaultValue] as const]
        : [],
    ),
    baseAmounts: columns.filter(({ calculationOf }) => calculationOf !== undefined),
    required: columns
      .filter(
        ({ systemRequired, validForCreate, kind }) =>
          systemRequired && validForCreate && kind !== 'unsupported' && kind !== 'managed',
      )
      .map(({ logicalName }) => logicalName),
  };
}
