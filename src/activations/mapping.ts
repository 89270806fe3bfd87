import { createHash } from 'node:crypto';
import { type KeyStrategy, keyStrategy, matchStrategy } from '../dataverse/bulk/keys.ts';
import { DataverseError } from '../dataverse/errors.ts';
import type { Column, Table } from '../dataverse/table.ts';
import { unknownColumn } from '../dataverse/values.ts';
import type { ActivationDefinition, MappedColumn } from './definition.ts';
import { sqlName, sqlText } from './engine.ts';
import { ActivationError, type DefinitionFault } from './errors.ts';
import type { ModelColumn } from './model.ts';

/** A mapping that fits both the model and the table. */
export interface Mapping {
  readonly strategy: KeyStrategy;
  /** The mapped columns, in an order that does not depend on how the definition is written. */
  readonly columns: readonly { readonly name: string; readonly maxLength: number | undefined }[];
  /** SQL expressions over the model, one a column: its value as text. */
  readonly expressions: readonly string[];
  /**
   * The row's key as one text, the same for all keys that the service takes for the same, or NULL where a part is
   * empty. Expressions over the columns' aliases `c0`, `c1`, …
   */
  readonly keyText: string;
  /** The key's columns and values as a JSON object. */
  readonly keyJson: string;
  /** Digest of all that is sent for a row; of the way the values are made too, so that another mapping is a change. */
  readonly hash: string;
}

/**
 * Fits a definition to the model's columns and to the table. Throws ActivationError `mappingInvalid` with every fault
 * that there is: columns that the model or the table does not have, columns that cannot be written, a key that cannot
 * be used.
 */
export function fitMapping(definition: ActivationDefinition, model: readonly ModelColumn[], table: Table): Mapping {
  const faults: DefinitionFault[] = [];
  const byName = new Map(model.map((column) => [column.name.toLowerCase(), column]));
  const strategy = usableStrategy(definition, table, faults);
  const entries = Object.entries(definition.mapping).sort(([a], [b]) => (a < b ? -1 : 1));
  const columns: Mapping['columns'][number][] = [];
  const expressions: string[] = [];
  for (const [name, mapped] of entries) {
    const column = table.columns.get(name);
    const fault = column ? whyNotWritable(column, strategy, table) : { ...unknownColumn(table, name) };
    if (fault) faults.push({ path: `mapping.${name}`, ...fault });
    const from = columnOf(mapped);
    const found = from === undefined ? undefined : byName.get(from.toLowerCase());
    if (from !== undefined && !found) {
      const message = `The model has no column '${from}'; it has ${model.map((each) => each.name).join(', ')}.`;
      faults.push({ path: `mapping.${name}`, code: 'columnUnknown', message });
    }
    const cut = typeof mapped === 'object' && 'truncate' in mapped && mapped.truncate;
    const maxLength = cut ? column?.maxLength : undefined;
    columns.push({ name, maxLength });
    expressions.push(found ? cutTo(textOf(found), maxLength) : constantText(mapped));
  }
  if (faults.length > 0 || !strategy) throw invalidMapping(faults);
  const keyColumns = strategy.kind === 'id' ? [table.primaryId] : strategy.columns;
  const alias = (name: string): string => `c${columns.findIndex((column) => column.name === name)}`;
  return {
    strategy,
    columns,
    expressions,
    keyText: keyColumns.map((name) => lengthPrefixed(comparable(alias(name), table.columns.get(name)))).join(' || '),
    keyJson: `json_object(${keyColumns.map((name) => `${sqlText(name)}, ${alias(name)}`).join(', ')})::varchar`,
    hash: `md5(${[sqlText(fingerprint(definition, columns)), ...columns.map((_, n) => nullSafe(`c${n}`))].join(' || ')})`,
  };
}

/** What one environment's rows are remembered under; ids remembered for another table or key mean nothing here. */
export const snapshotScope = ({ connection, table, key }: ActivationDefinition): string =>
  createHash('sha256')
    .update(JSON.stringify([connection, table, key]))
    .digest('hex')
    .slice(0, 16);

/** How a definition's rows are addressed. Throws DataverseError `keyUnknown`. */
export function strategyOf(key: ActivationDefinition['key'], table: Table): KeyStrategy {
  if (key.kind === 'match') return matchStrategy(table, key.columns);
  return keyStrategy(table, key.kind === 'id' ? [table.primaryId] : key.columns);
}

function usableStrategy(
  { key, mapping }: ActivationDefinition,
  table: Table,
  faults: DefinitionFault[],
): KeyStrategy | undefined {
  const columns = key.kind === 'id' ? [table.primaryId] : key.columns;
  if (key.kind === 'id' && !Object.hasOwn(mapping, table.primaryId)) {
    const message = `Rows are addressed by id, and '${table.primaryId}' is not mapped.`;
    faults.push({ path: 'mapping', code: 'keyNotMapped', message });
  }
  for (const name of columns) {
    if (!table.columns.get(name)?.targets) continue;
    const message = `The lookup column '${name}' cannot be part of the key in this version.`;
    faults.push({ path: 'key.columns', code: 'keyNotUsable', message });
  }
  try {
    return strategyOf(key, table);
  } catch (error) {
    if (!(error instanceof DataverseError) || error.code !== 'keyUnknown') throw error;
    const message = error.hint === undefined ? error.message : `${error.message} ${error.hint}`;
    faults.push({ path: 'key', code: error.code, message });
    return undefined;
  }
}

function whyNotWritable(
  column: Column,
  strategy: KeyStrategy | undefined,
  table: Table,
): { code: string; message: string } | undefined {
  if (column.validForCreate || column.validForUpdate) return undefined;
  if (strategy?.kind === 'id' && column.logicalName === table.primaryId) return undefined;
  return { code: 'columnReadOnly', message: `The column '${column.logicalName}' cannot be written.` };
}

function columnOf(mapped: MappedColumn): string | undefined {
  if (typeof mapped === 'string') return mapped;
  return 'from' in mapped ? mapped.from : undefined;
}

function constantText(mapped: MappedColumn): string {
  if (typeof mapped === 'string' || !('value' in mapped) || mapped.value === null) return 'null::varchar';
  return sqlText(String(mapped.value));
}

/** A model's value as text; a moment in the form that Dataverse takes. */
function textOf({ name, type }: ModelColumn): string {
  const column = `m.${sqlName(name)}`;
  const moment = '%Y-%m-%dT%H:%M:%S.%gZ';
  if (type === 'TIMESTAMP WITH TIME ZONE') return `strftime(timezone('UTC', ${column}), '${moment}')`;
  if (type.startsWith('TIMESTAMP')) return `strftime(${column}, '${moment}')`;
  return `${column}::varchar`;
}

const cutTo = (text: string, length: number | undefined): string =>
  length === undefined ? text : `left(${text}, ${length})`;

/**
 * The value in a form in which equal keys are equal texts: case and trailing blanks do not count (SQL Server's
 * collation), nor do the ways to write a number.
 */
function comparable(value: string, column: Column | undefined): string {
  const text = `nullif(lower(rtrim(${value})), '')`;
  const isNumber = ['Integer', 'BigInt', 'Decimal', 'Double', 'Money'].includes(column?.type ?? '');
  return isNumber ? `coalesce(try_cast(${value} as decimal(38, 10))::varchar, ${text})` : text;
}

const lengthPrefixed = (text: string): string => `(length(${text}) || ':' || ${text})`;
const nullSafe = (text: string): string => `coalesce(${lengthPrefixed(text)}, '-')`;

/** What the values alone do not say: which columns they go to and what an empty one does. */
const fingerprint = ({ nulls }: ActivationDefinition, columns: readonly { readonly name: string }[]): string =>
  JSON.stringify(['1', nulls, columns.map(({ name }) => name)]);

function invalidMapping(faults: readonly DefinitionFault[]): ActivationError {
  const count = faults.length === 1 ? 'one fault' : `${faults.length} faults`;
  return new ActivationError('mappingInvalid', `The definition does not fit the model and the table: ${count}.`, {
    faults,
    hint: faults.map(({ path, message }) => `${path}: ${message}`).join(' '),
  });
}
