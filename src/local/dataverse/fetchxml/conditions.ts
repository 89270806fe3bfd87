import { inQuarter, type Span, spanOf, startOfDay, withinSpan } from '../date-spans.ts';
import { notEmulated } from '../errors.ts';
import { hierarchyCondition } from '../hierarchy.ts';
import { userCondition } from '../query-functions.ts';
import { anyOf, type ColumnInQuery, type Sql } from '../sql.ts';
import { isText } from '../store.ts';
import { edmType } from '../values.ts';
import type { Work } from '../work.ts';
import type { Condition } from './ast.ts';
import { conditionValue, timeOf } from './condition-values.ts';
import { badCondition, invalidOperator, notPositive, valueMissing } from './errors.ts';
import { fiscalSpan, fiscalValues } from './fiscal.ts';

/**
 * A condition on a column as SQL (documentation: "condition operator values"). Throws WireError 400, and 501 for
 * operators that are not emulated.
 */
export function conditionSql(work: Work, column: ColumnInQuery, condition: Condition): Sql {
  const { operator } = condition;
  const simple = SIMPLE.get(operator);
  if (simple) return simple(column, condition);
  if (NOT_EMULATED.has(operator)) throw notEmulated(`The condition operator ${operator}`);
  const name = NAMES.get(operator) ?? dateName(operator);
  const found =
    (name === undefined ? undefined : userCondition(work, column, name)) ??
    (name === undefined
      ? undefined
      : hierarchyCondition(work, column, name, () => conditionValue(column, only(condition)))) ??
    dateCondition(work, column, condition, name);
  if (found) return found;
  throw invalidOperator(operator);
}

/** The same for two columns (documentation: "Filter on column values in the same row"). */
export function comparisonSql(column: ColumnInQuery, { operator }: Condition, other: ColumnInQuery): Sql {
  const compare = COMPARISONS.get(operator);
  if (compare === undefined) throw invalidOperator(operator);
  if (edmType(column.column) !== edmType(other.column)) {
    throw badCondition(nameOf(column), 'columns of different types cannot be compared.');
  }
  return { text: `${column.compared} ${compare} ${other.compared}`, values: [] };
}

const nameOf = ({ table, column }: ColumnInQuery): string => `${table.logicalName}.${column.logicalName}`;

// "Not equal" also finds rows without a value (github.com/MarkMpn/Sql4Cds/issues/167).
const COMPARISONS: ReadonlyMap<string, string> = new Map([
  ['eq', '='],
  ['ne', 'IS NOT'],
  ['neq', 'IS NOT'],
  ['gt', '>'],
  ['ge', '>='],
  ['lt', '<'],
  ['le', '<='],
]);

/** Hierarchical security is no part of the emulator. */
const NOT_EMULATED: ReadonlySet<string> = new Set(['eq-useroruserhierarchy', 'eq-useroruserhierarchyandteams']);

/** Operators that the query functions of OData have under another name. */
const NAMES: ReadonlyMap<string, string> = new Map([
  ['eq-userid', 'EqualUserId'],
  ['ne-userid', 'NotEqualUserId'],
  ['eq-businessid', 'EqualBusinessId'],
  ['ne-businessid', 'NotEqualBusinessId'],
  ['eq-userteams', 'EqualUserTeams'],
  ['eq-useroruserteams', 'EqualUserOrUserTeams'],
  ['eq-userlanguage', 'EqualUserLanguage'],
  ['above', 'Above'],
  ['eq-or-above', 'AboveOrEqual'],
  ['under', 'Under'],
  ['eq-or-under', 'UnderOrEqual'],
  ['not-under', 'NotUnder'],
  ['last-seven-days', 'Last7Days'],
  ['next-seven-days', 'Next7Days'],
]);

/** `last-x-days` is `LastXDays`, `olderthan-x-weeks` is `OlderThanXWeeks`. */
function dateName(operator: string): string | undefined {
  if (!/^(?:last|next|this|olderthan|on|today|yesterday|tomorrow)(?:-[a-z]+)*$/.test(operator)) return undefined;
  return operator
    .replace('olderthan', 'older-than')
    .split('-')
    .map((word) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`)
    .join('');
}

type Build = (column: ColumnInQuery, condition: Condition) => Sql;

const compared =
  (comparison: string): Build =>
  (column, condition) => ({
    text: `${column.compared} ${comparison} ?`,
    values: [conditionValue(column, only(condition))],
  });

const like =
  (before: string, after: string, wanted: 0 | 1): Build =>
  (column, condition) => {
    if (!isText(column.column)) throw badCondition(nameOf(column), `${condition.operator} needs a text column.`);
    const pattern = `${before}${only(condition).toLowerCase()}${after}`;
    // The function answers 0 for null, so that the negative operators also find rows without a value.
    return { text: `like_text(${column.qualified}, ?) = ${wanted}`, values: [pattern] };
  };

const list =
  (operator: 'IN' | 'NOT IN'): Build =>
  (column, condition) => {
    if (condition.values.length === 0) throw valueMissing(condition.operator);
    const values = condition.values.map((value) => conditionValue(column, value));
    return { text: `${column.compared} ${operator} (${values.map(() => '?').join(', ')})`, values };
  };

const range =
  (operator: 'BETWEEN' | 'NOT BETWEEN'): Build =>
  (column, condition) => {
    if (condition.values.length !== 2) throw badCondition(nameOf(column), `${condition.operator} takes two values.`);
    return {
      text: `${column.compared} ${operator} ? AND ?`,
      values: condition.values.map((value) => conditionValue(column, value)),
    };
  };

const containing: Build = (column, condition) => {
  if (column.column.kind !== 'choices') throw badCondition(nameOf(column), 'it is not a multi-select choice column.');
  if (condition.values.length === 0) throw valueMissing(condition.operator);
  return anyOf(
    condition.values.map((value) => ({
      text: `instr(',' || ${column.qualified} || ',', ?) > 0`,
      values: [`,${conditionValue(column, value)},`],
    })),
  );
};

const notContaining: Build = (column, condition) => {
  const { text, values } = containing(column, condition);
  return { text: `NOT ifnull(${text}, 0)`, values };
};

const SIMPLE: ReadonlyMap<string, Build> = new Map<string, Build>([
  ...[...COMPARISONS].map(([operator, comparison]): [string, Build] => [operator, compared(comparison)]),
  ['null', ({ qualified }) => ({ text: `${qualified} IS NULL`, values: [] })],
  ['not-null', ({ qualified }) => ({ text: `${qualified} IS NOT NULL`, values: [] })],
  ['like', like('', '', 1)],
  ['not-like', like('', '', 0)],
  ['begins-with', like('', '%', 1)],
  ['not-begin-with', like('', '%', 0)],
  ['ends-with', like('%', '', 1)],
  ['not-end-with', like('%', '', 0)],
  ['in', list('IN')],
  ['not-in', list('NOT IN')],
  ['between', range('BETWEEN')],
  ['not-between', range('NOT BETWEEN')],
  ['contain-values', containing],
  ['not-contain-values', notContaining],
]);

function only({ values, operator }: Condition): string {
  const [value] = values;
  if (value === undefined) throw valueMissing(operator);
  return value;
}

function dateCondition(
  work: Work,
  column: ColumnInQuery,
  condition: Condition,
  name: string | undefined,
): Sql | undefined {
  const { operator } = condition;
  const { kind } = column.column;
  const now = work.env.clock.now();
  const isQuarter = operator === 'in-fiscal-period';
  const span = isQuarter ? undefined : (fiscal(condition, now) ?? (name && spanOf(name, now, given(condition))));
  if (!span && !isQuarter) return undefined;
  if (kind !== 'datetime' && kind !== 'dateonly') throw badCondition(nameOf(column), 'it is not a date column.');
  // Documentation: not on columns of the behaviour DateOnly.
  if (kind === 'dateonly' && /-(?:hours|minutes)$/.test(operator)) {
    throw badCondition(nameOf(column), `${operator} cannot be used on a column without a time.`);
  }
  return span ? withinSpan(column, span) : inQuarter(column, numbers(condition, 1)[0] ?? 0);
}

function fiscal(condition: Condition, now: number): Span | undefined {
  const count = fiscalValues.get(condition.operator);
  return count === undefined ? undefined : fiscalSpan(condition.operator, now, numbers(condition, count));
}

function numbers(condition: Condition, count: number): number[] {
  const values = condition.values.slice(0, count).map((text) => {
    const value = Number(text);
    if (!/^\d{1,4}$/.test(text.trim()) || value === 0) throw notPositive(condition.operator, text);
    return value;
  });
  if (values.length < count) throw valueMissing(condition.operator);
  return values;
}

const given = (condition: Condition) => ({
  count(): number {
    const text = only(condition).trim();
    const count = Number(text);
    if (!/^\d{1,9}$/.test(text) || count === 0) throw notPositive(condition.operator, text);
    return count;
  },
  day(): number {
    const time = timeOf(only(condition).trim());
    if (time === undefined) {
      throw badCondition(
        condition.attribute,
        "expected argument(s) of type 'System.DateTime' but received 'System.String'.",
      );
    }
    return startOfDay(time);
  },
});
