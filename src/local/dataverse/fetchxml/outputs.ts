import type { Column, Table } from '../metadata.ts';
import type { Preferences } from '../preferences.ts';
import type { ColumnWriter } from '../rows.ts';
import { hasTypeColumn, identifier, type StoredRow, typeColumn } from '../store.ts';
import type { Attribute } from './ast.ts';
import { namedColumn } from './columns.ts';
import { aliasTaken, unknownColumn } from './errors.ts';
import type { BoundSource, FetchQuery } from './fetch-query.ts';

export const ATTRIBUTE_NAME = 'OData.Community.Display.V1.AttributeName';

/** A column of the result. */
export interface Output {
  readonly table: Table;
  readonly column: Column;
  /** Of the table's joined row, in SQL. */
  readonly alias: string;
  /** The property when it is not the column's own. */
  readonly as: string | undefined;
}

/**
 * The columns of a query without aggregates: those of the entity under their own names, all others under an alias. An
 * amount comes with its currency, a street with its address, and unless rows are distinct each has its key.
 */
export function outputsOf({ sources }: FetchQuery, distinct: boolean): Output[] {
  const plain = new Map<string, Output>();
  const named = new Map<string, Output>();
  const add = (source: BoundSource, column: Column, alias: string | undefined) => {
    const { table } = source;
    const as = alias ?? propertyOf(source, column);
    const output: Output = { table, column, alias: source.alias, as };
    if (as === undefined) plain.set(column.logicalName, output);
    else if (alias !== undefined && named.has(as)) throw aliasTaken(as);
    else named.set(as, output);
  };
  for (const source of sources) {
    for (const { column, alias } of selected(source)) add(source, column, alias);
    if (source.type !== undefined || distinct) continue;
    for (const name of companions(source.table, [...plain.keys()])) {
      const column = source.table.columns.get(name);
      if (column && !plain.has(name)) add(source, column, undefined);
    }
  }
  return [...plain.values(), ...named.values()];
}

/** What the service adds by itself. */
function companions(table: Table, names: readonly string[]): string[] {
  const found = new Set<string>();
  for (const name of names) {
    if (table.columns.get(name)?.kind === 'money') found.add('transactioncurrencyid');
    if (/^address\d_line1$/.test(name)) found.add(name.replace('line1', 'composite'));
  }
  return [...found, table.primaryId];
}

function selected({ table, element, type }: BoundSource): { column: Column; alias: string | undefined }[] {
  const { attributes, allAttributes, noAttributes } = element;
  // Documentation, "Select columns": an entity without attributes has all of them; a link-entity has none.
  const all = allAttributes || (type === undefined && attributes.length === 0 && !noAttributes);
  const columns = all ? [...table.columns.values()].filter(({ validForRead }) => validForRead) : [];
  return [
    ...columns.map((column) => ({ column, alias: undefined })),
    ...attributes.flatMap((attribute) => attributeColumn(table, attribute)),
  ].filter(({ column }) => column.kind !== 'unsupported');
}

function attributeColumn(table: Table, { name, alias }: Attribute): { column: Column; alias: string | undefined }[] {
  const column = table.columns.get(name);
  if (column?.validForRead) return [{ column, alias }];
  // The Web API's model knows no `<lookup>name`: the text is the lookup's formatted value.
  if (column || !namedColumn(table, name)) throw unknownColumn(table.logicalName, name);
  return [];
}

function propertyOf({ type, name }: BoundSource, column: Column): string | undefined {
  if (type === undefined) return undefined;
  // Documentation, "Related table property/attribute names are inconsistent".
  return type === 'matchfirstrowusingcrossapply'
    ? String(column.raw['SchemaName'] ?? column.logicalName)
    : `${name}.${column.logicalName}`;
}

/** What is selected for the output with this number. */
export function selectedAs({ column, alias }: Output, index: number): string[] {
  const type = hasTypeColumn(column)
    ? [`${alias}.${identifier(typeColumn(column.logicalName))} AS "type${index}"`]
    : [];
  return [`${alias}.${identifier(column.logicalName)} AS "column${index}"`, ...type];
}

/** Writes the outputs of a selected row; those without a value are left out. */
export function writeOutputs(
  write: ColumnWriter,
  preferences: Preferences,
  outputs: readonly Output[],
  row: StoredRow,
  json: Record<string, unknown>,
): void {
  for (const [index, { table, column, as }] of outputs.entries()) {
    const value = row[`column${index}`] ?? null;
    if (value === null) continue;
    const stored: StoredRow = {
      [column.logicalName]: value,
      [typeColumn(column.logicalName)]: row[`type${index}`] ?? null,
    };
    if (as !== undefined && preferences.wantsAnnotation(ATTRIBUTE_NAME)) {
      json[`${as}@${ATTRIBUTE_NAME}`] = column.logicalName;
    }
    write(json, table, [as === undefined ? column : { ...column, property: as }], stored);
  }
}

/** What `@odata.context` has in parentheses: the first row's properties, the other columns, then lookups once more. */
export function contextOf(outputs: readonly Output[], first: StoredRow | undefined): string {
  const names: string[] = [];
  const isPresent = ({ as }: Output, index: number) => as === undefined && (first?.[`column${index}`] ?? null) !== null;
  for (const [index, output] of outputs.entries()) {
    if (!isPresent(output, index)) continue;
    const { kind, property, logicalName } = output.column;
    names.push(property, ...(kind === 'lookup' ? [logicalName] : []));
  }
  const own = outputs.filter(({ alias }) => alias === 't0').map(({ column }) => column);
  names.push(...own.map(({ logicalName }) => logicalName));
  const lookups = own.filter(({ kind }) => kind === 'lookup').map(({ logicalName }) => `${logicalName}()`);
  const all = [...new Set([...names, ...lookups])];
  return all.length === 0 ? '' : `(${all.join(',')})`;
}
