import { inQuarter, spanOf, startOfDay, withinSpan } from './date-spans.ts';
import { badQuery, notEmulated } from './errors.ts';
import { fiscalSpan, fiscalValues } from './fetchxml/fiscal.ts';
import { hierarchyCondition } from './hierarchy.ts';
import type { Column, Table } from './metadata.ts';
import type { Operand, PropertyPath } from './odata/ast.ts';
import { folded } from './references.ts';
import { anyOf, type ColumnInQuery, type Sql } from './sql.ts';
import type { StoredValue } from './store.ts';
import { readValue } from './values.ts';
import type { Work } from './work.ts';

type Arguments = ReadonlyMap<string, Operand>;

/** The query that a condition is part of. */
interface Query {
  readonly work: Work;
  readonly table: Table;
  /** Finds the column at the end of a path. Throws WireError 400, 403 and 501. */
  column(path: PropertyPath): ColumnInQuery;
  /** Told of a column that a condition restricts to few rows. */
  expectFew(column: ColumnInQuery): void;
}

/** A condition `Microsoft.Dynamics.CRM.<name>(PropertyName='…', …)`. Throws WireError 400 and 501. */
export function conditionFunction(query: Query, name: string, given: Arguments): Sql {
  const column = query.column({
    kind: 'path',
    position: 0,
    segments: columnPath(query, textOf(given, 'PropertyName')),
  });
  const list = LISTS.get(name);
  if (name === 'In') query.expectFew(column);
  if (list) return list(column, valuesOf(column, given));
  return (
    userCondition(query.work, column, name) ??
    hierarchyCondition(query.work, column, name, () => valuesOf(column, given)[0] ?? null) ??
    dateCondition(query.work, column, name, given)
  );
}

/** A lookup may be named by its logical name here, and a column behind a lookup by its path. */
function columnPath(query: Query, name: string): string[] {
  const segments = name.split('/');
  const column = segments.length === 1 ? query.table.columns.get(name) : undefined;
  return column ? [column.property] : segments;
}

const LISTS: ReadonlyMap<string, (column: ColumnInQuery, values: readonly StoredValue[]) => Sql> = new Map<
  string,
  (column: ColumnInQuery, values: readonly StoredValue[]) => Sql
>([
  ['In', (column, values) => ({ text: `${column.compared} IN (${marks(values)})`, values })],
  ['NotIn', (column, values) => ({ text: `${column.compared} NOT IN (${marks(values)})`, values })],
  ['Between', (column, values) => ({ text: `${column.compared} BETWEEN ? AND ?`, values: pair(values) })],
  ['NotBetween', (column, values) => ({ text: `${column.compared} NOT BETWEEN ? AND ?`, values: pair(values) })],
  ['ContainValues', (column, values) => containing(column, values)],
  [
    'DoesNotContainValues',
    (column, values) => {
      const { text, values: parameters } = containing(column, values);
      return { text: `(${column.qualified} IS NULL OR NOT ${text})`, values: parameters };
    },
  ],
]);

const marks = (values: readonly unknown[]): string => values.map(() => '?').join(', ');

function pair(values: readonly StoredValue[]): readonly StoredValue[] {
  if (values.length !== 2) throw badQuery('Between takes two values.');
  return values;
}

function containing({ column, qualified }: ColumnInQuery, values: readonly StoredValue[]): Sql {
  if (column.kind !== 'choices') throw badQuery(`'${column.property}' is not a multi-select choice column.`);
  return anyOf(values.map((value) => ({ text: `instr(',' || ${qualified} || ',', ?) > 0`, values: [`,${value},`] })));
}

const TEAMS = '(SELECT teamid FROM teammembership WHERE systemuserid = ?)';

/** The language that the emulator's organization and its users have. */
const ENGLISH = 1033;

/** Conditions on the one who asks; undefined for other names. */
export function userCondition(work: Work, { qualified }: ColumnInQuery, name: string): Sql | undefined {
  const { userId, businessUnitId } = work.caller;
  switch (name) {
    case 'EqualUserId':
      return { text: `${qualified} = ?`, values: [userId] };
    case 'NotEqualUserId':
      return { text: `${qualified} IS NOT ?`, values: [userId] };
    case 'EqualBusinessId':
      return { text: `${qualified} = ?`, values: [businessUnitId] };
    case 'NotEqualBusinessId':
      return { text: `${qualified} IS NOT ?`, values: [businessUnitId] };
    case 'EqualUserTeams':
      return { text: `${qualified} IN ${TEAMS}`, values: [userId] };
    case 'EqualUserOrUserTeams':
      return { text: `(${qualified} = ? OR ${qualified} IN ${TEAMS})`, values: [userId, userId] };
    case 'EqualUserLanguage':
      return { text: `${qualified} = ?`, values: [ENGLISH] };
    default:
      return undefined;
  }
}

function dateCondition(work: Work, found: ColumnInQuery, name: string, given: Arguments): Sql {
  const { column } = found;
  const now = work.env.clock.now();
  // FetchXML writes `in-fiscal-year` what OData writes `InFiscalYear`.
  const operator = name.replace(/(?!^)[A-Z]/g, '-$&').toLowerCase();
  const fiscal = fiscalValues.get(operator);
  const ofPeriod = operator === 'in-fiscal-period';
  const span =
    fiscal === undefined
      ? spanOf(name === 'NotOn' ? 'On' : name, now, { count: () => countOf(given), day: () => dayOf(given) })
      : fiscalSpan(operator, now, fiscalArguments(given, fiscal));
  if (!span && !ofPeriod) throw notEmulated(`The query function ${name}`);
  if (column.kind !== 'datetime' && column.kind !== 'dateonly') {
    throw badQuery(`'${column.property}' is not a date column.`);
  }
  if (!span) return inQuarter(found, countOf(given));
  const within = withinSpan(found, span);
  return name === 'NotOn' ? { ...within, text: `NOT ${within.text}` } : within;
}

/** Fiscal periods and years, of at most four digits. */
function fiscalArguments(given: Arguments, count: number): number[] {
  const names = ['PropertyValue1', 'PropertyValue2'].slice(0, count);
  const values = (count === 1 ? ['PropertyValue'] : names).map((name) => countOf(given, name));
  if (values.some((value) => value > 9999)) throw badQuery('A fiscal period or year has at most four digits.');
  return count === 0 ? [] : values;
}

function textOf(given: Arguments, name: string): string {
  const operand = given.get(name);
  if (operand?.kind === 'path') return operand.segments.join('/');
  if (operand?.kind === 'literal' && operand.literal.kind === 'string') return operand.literal.value;
  throw badQuery(`The parameter '${name}' is missing.`);
}

function countOf(given: Arguments, name = 'PropertyValue'): number {
  const value = plain(given.get(name));
  const count = Number(value);
  if (value === null || !Number.isInteger(count) || count < 1) throw badQuery(`The parameter '${name}' is not valid.`);
  return count;
}

function dayOf(given: Arguments): number {
  const value = plain(given.get('PropertyValue'));
  const ms = typeof value === 'number' ? value : Date.parse(String(value));
  if (Number.isNaN(ms)) throw badQuery("The parameter 'PropertyValue' is not a date.");
  return startOfDay(ms);
}

function valuesOf({ table, column }: ColumnInQuery, given: Arguments): StoredValue[] {
  const values =
    listOf(given.get('PropertyValues')) ??
    (given.has('PropertyValue1')
      ? [plain(given.get('PropertyValue1')), plain(given.get('PropertyValue2'))]
      : [plain(given.get('PropertyValue'))]);
  return values.map((value) => functionValue(value, column, table));
}

/** The values of these functions are texts whatever the column's type is. */
function functionValue(value: unknown, column: Column, table: Table): StoredValue {
  const text = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;
  if (typeof text !== 'string') throw badQuery('The values of a query function are texts.');
  return folded(column, readValue(table, queryColumn(column), jsonOf(column, text)));
}

/** Any value may be looked for, also one that could not be written. */
const queryColumn = (column: Column): Column => ({
  ...column,
  kind: column.kind === 'choices' ? 'choice' : column.kind,
  maxLength: undefined,
  minValue: undefined,
  maxValue: undefined,
  precision: undefined,
  options: new Map(),
});

function jsonOf(column: Column, text: string): unknown {
  switch (column.kind) {
    case 'boolean':
    case 'managed':
      return text === 'true' || text === '1';
    case 'decimal':
    case 'money':
    case 'double':
      return text.trim() === '' ? text : Number(text);
    default:
      return text;
  }
}

function listOf(operand: Operand | undefined): unknown[] | undefined {
  if (operand?.kind !== 'literal' || operand.literal.kind !== 'json') return undefined;
  return Array.isArray(operand.literal.value) ? operand.literal.value : undefined;
}

/** An operand's value as JSON would hold it; dates in milliseconds. */
function plain(operand: Operand | undefined): string | number | boolean | null {
  if (operand?.kind !== 'literal') return null;
  const { literal } = operand;
  switch (literal.kind) {
    case 'null':
    case 'json':
    case 'enum':
      return null;
    case 'integer':
      return Number(literal.value);
    default:
      return literal.value;
  }
}
