import type { TableShape } from '../table.ts';
import { lookupColumn } from '../wire/annotations.ts';
import { FUNCTION_COLUMN } from '../wire/query.ts';
import type { Condition, Operand, Path } from './filter.ts';
import type { Names } from './names.ts';
import { listValues, stringValue } from './tokens.ts';

/** Where a condition stands: the table of its rows, and rows that a lambda has named. */
export interface Scope {
  readonly table: TableShape;
  readonly variables?: ReadonlyMap<string, TableShape>;
}

/** A condition as the Web API takes it, not yet percent-encoded: every name in it has been looked up. */
export async function conditionText(condition: Condition, scope: Scope, names: Names): Promise<string> {
  switch (condition.kind) {
    case 'and':
    case 'or': {
      const parts: string[] = [];
      for (const operand of condition.operands) {
        const text = await conditionText(operand, scope, names);
        parts.push(operand.kind === 'and' || operand.kind === 'or' ? `(${text})` : text);
      }
      return parts.join(` ${condition.kind} `);
    }
    case 'not': {
      return `not (${await conditionText(condition.operand, scope, names)})`;
    }
    case 'comparison': {
      const left = await operandText(condition.left, scope, names);
      return `${left} ${condition.operator} ${await operandText(condition.right, scope, names)}`;
    }
    case 'text': {
      const [target, search] = condition.operands;
      return `${condition.name}(${await operandText(target, scope, names)},${await operandText(search, scope, names)})`;
    }
    case 'function':
      return functionText(condition, scope, names);
    case 'lambda':
      return lambdaText(condition, scope, names);
    case 'truth':
      return operandText(condition.operand, scope, names);
  }
}

async function operandText(operand: Operand, scope: Scope, names: Names): Promise<string> {
  return operand.kind === 'literal' ? operand.text : pathText(operand, scope, names);
}

/** A path to a column, as the Web API takes it. */
export async function pathText(path: Path, scope: Scope, names: Names): Promise<string> {
  const column = path.segments.at(-1) ?? '';
  const { table, text } = await follow(path.segments.slice(0, -1), scope, names);
  return [...text, names.property(table, column)].join('/');
}

/** Follows lookups, from a row that a lambda has named or from the scope's own. */
async function follow(
  segments: readonly string[],
  { table, variables }: Scope,
  names: Names,
): Promise<{ table: TableShape; text: string[] }> {
  const named = variables?.get(segments[0] ?? '');
  const text: string[] = named ? [segments[0] ?? ''] : [];
  let at = named ?? table;
  for (const segment of named ? segments.slice(1) : segments) {
    const { property, target, collection } = await names.navigation(at, segment);
    if (collection) {
      throw names.fault(`'${segment}' leads to many rows.`, `Say which of them: ${segment}/any(x:x/… eq …), or all.`);
    }
    text.push(property);
    at = target;
  }
  return { table: at, text };
}

async function lambdaText(
  { quantifier, collection, body }: Extract<Condition, { kind: 'lambda' }>,
  scope: Scope,
  names: Names,
): Promise<string> {
  const { table, text } = await follow(collection.segments.slice(0, -1), scope, names);
  const own = collection.segments.at(-1) ?? '';
  const { property, target, collection: isCollection } = await names.navigation(table, own);
  if (!isCollection) {
    throw names.fault(`'${own}' leads to one row, so that there is no ${quantifier} of it.`);
  }
  const address = [...text, property, quantifier].join('/');
  if (!body) return `${address}()`;
  const variables = new Map(scope.variables).set(body.variable, target);
  // Names without the variable are columns of the outer row.
  const inner = await conditionText(body.condition, { table: scope.table, variables }, names);
  return `${address}(${body.variable}:${inner})`;
}

function functionText(
  { name, arguments: given }: Extract<Condition, { kind: 'function' }>,
  { table }: Scope,
  names: Names,
): string {
  const column = given.find((each) => each.name === FUNCTION_COLUMN);
  if (!column || column.isList || !column.value.startsWith("'")) {
    throw names.fault(`The function '${name}' needs ${FUNCTION_COLUMN}='a column'.`);
  }
  const parts = given.map(({ name: argument, value, isList }) => {
    if (argument === FUNCTION_COLUMN) return `${argument}='${functionColumn(stringValue(value), table, names)}'`;
    return `${argument}=${isList ? JSON.stringify(listValues(value)) : value}`;
  });
  return `${name}(${parts.join(',')})`;
}

/** Query functions take a lookup by its logical name (Web API query function reference). */
function functionColumn(name: string, table: TableShape, names: Names): string {
  const property = names.property(table, name);
  return table.columns.has(name) ? name : (lookupColumn(property) ?? name);
}
