import { badQuery, notEmulated } from './errors.ts';
import type { Definition } from './metadata.ts';
import type { ExpandItem, FilterExpression, Literal, Operand, PropertyPath } from './odata/ast.ts';
import { isJsonObject } from './payload.ts';
import { jsonReply, type Reply } from './reply.ts';
import type { Operation } from './request.ts';
import type { Work } from './work.ts';

/** What `$select`, `$filter` and `$expand` of a request for definitions ask for. */
interface DefinitionOptions {
  select?: readonly string[];
  filter?: FilterExpression;
  expand?: readonly ExpandItem[];
}

/** Collections that a definition holds; they are answered only when they are expanded. */
const EXPANDABLE = new Set([
  'Attributes',
  'Keys',
  'ManyToOneRelationships',
  'OneToManyRelationships',
  'ManyToManyRelationships',
  'OptionSet',
  'GlobalOptionSet',
]);

/** A list of definitions; there is no paging. `context` is what stands behind `$metadata#`. */
export function definitionsReply(
  work: Work,
  { options }: Operation,
  context: string,
  definitions: readonly Definition[],
): Reply {
  if (options.top !== undefined || options.orderby || options.count) {
    throw notEmulated('$top, $orderby or $count of definitions');
  }
  const value = definitions.filter((one) => isWanted(one, options.filter)).map((one) => project(one, options));
  return jsonReply(200, { '@odata.context': `${work.root}$metadata#${context}${selection(options)}`, value });
}

export function oneDefinitionReply(work: Work, { options }: Operation, context: string, definition: Definition): Reply {
  return jsonReply(200, {
    '@odata.context': `${work.root}$metadata#${context}${selection(options)}/$entity`,
    ...project(definition, options),
  });
}

const selection = ({ select }: DefinitionOptions): string => (select ? `(${select.join(',')})` : '');

const isWanted = (definition: Definition, filter: FilterExpression | undefined): boolean =>
  !filter || holds(definition, filter);

function project(definition: Definition, { select, expand = [] }: DefinitionOptions): Definition {
  const result: Record<string, unknown> = {};
  const type = definition['@odata.type'];
  if (typeof type === 'string') result['@odata.type'] = type;
  const names = select ?? Object.keys(definition).filter((name) => !EXPANDABLE.has(name));
  for (const name of names) {
    if (EXPANDABLE.has(name)) throw badQuery(`The navigation property '${name}' has to be expanded.`);
    if (!/^@/.test(name)) result[name] = definition[name] ?? null;
  }
  result['MetadataId'] = definition['MetadataId'];
  for (const item of expand) {
    if (!EXPANDABLE.has(item.navigation)) throw badQuery(`Could not find a property named '${item.navigation}'.`);
    result[item.navigation] = expandedValue(definition[item.navigation], item);
  }
  return result;
}

function expandedValue(value: unknown, item: ExpandItem): unknown {
  if (Array.isArray(value)) {
    const definitions = value.filter(isJsonObject).filter((one) => isWanted(one, item.filter));
    return definitions.map((one) => project(one, item));
  }
  return isJsonObject(value) ? project(value, item) : null;
}

function holds(definition: Definition, filter: FilterExpression): boolean {
  switch (filter.kind) {
    case 'and':
      return filter.operands.every((operand) => holds(definition, operand));
    case 'or':
      return filter.operands.some((operand) => holds(definition, operand));
    case 'not':
      return !holds(definition, filter.operand);
    case 'truth':
      return operandValue(definition, filter.operand) === true;
    case 'comparison':
      return compare(filter.operator, operandValue(definition, filter.left), operandValue(definition, filter.right));
    case 'text':
    case 'function':
    case 'lambda':
      throw notEmulated('A function in a filter of definitions');
  }
}

function compare(operator: string, left: unknown, right: unknown): boolean {
  if (operator === 'eq') return left === right;
  if (operator === 'ne') return left !== right;
  if (typeof left !== 'number' || typeof right !== 'number') return false;
  if (operator === 'gt') return left > right;
  if (operator === 'ge') return left >= right;
  return operator === 'lt' ? left < right : left <= right;
}

const operandValue = (definition: Definition, operand: Operand): unknown =>
  operand.kind === 'path' ? read(definition, operand) : plain(operand.literal);

function read(definition: Definition, path: PropertyPath): unknown {
  let value: unknown = definition;
  for (const segment of path.segments) value = isJsonObject(value) ? value[segment] : undefined;
  return value ?? null;
}

function plain(literal: Literal): unknown {
  switch (literal.kind) {
    case 'null':
      return null;
    case 'integer':
      return Number(literal.value);
    default:
      return literal.value;
  }
}
