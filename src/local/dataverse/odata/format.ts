import { unreachable } from '../../../shared/errors.ts';
import type { FilterExpression, Literal, Operand, Predicate } from './ast.ts';

/** A literal as OData text, not percent-encoded. */
export function formatLiteral(literal: Literal): string {
  switch (literal.kind) {
    case 'null':
      return 'null';
    case 'string':
      return quote(literal.value);
    case 'enum':
      return `${literal.type}${quote(literal.value)}`;
    case 'guid':
    case 'date':
      return literal.value;
    case 'boolean':
    case 'integer':
      return String(literal.value);
    case 'decimal':
      // Without the suffix a whole number would come back as an integer.
      return literal.text.includes('.') ? literal.text : `${literal.text}M`;
    case 'double':
      return formatDouble(literal.value);
    case 'dateTimeOffset':
      return new Date(literal.value).toISOString().replace('.000Z', 'Z');
    case 'json':
      return JSON.stringify(literal.value);
    default:
      return unreachable(literal);
  }
}

/** A key with its brackets for a URL, percent-encoded: `(<guid>)`, `(accountnumber='A%2F1')`. */
export function formatKey(key: Predicate): string {
  if (key.kind === 'empty') return '()';
  if (key.kind === 'positional') return `(${encode(key.value)})`;
  const pairs = [...key.values].map(([name, value]) => `${name}=${encode(value)}`);
  return `(${pairs.join(',')})`;
}

/** Half a surrogate pair cannot be encoded; it becomes the replacement character, as in UTF-8 elsewhere. */
const encode = (literal: Literal): string =>
  encodeURIComponent(formatLiteral(literal).replace(/\p{Surrogate}/gu, '\ufffd'));

/** A filter as text, not percent-encoded, that parses to the same tree. */
export function formatFilter(filter: FilterExpression): string {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.operands.map(formatOperand).join(` ${filter.kind} `);
    case 'not':
      return `not ${formatOperand(filter.operand)}`;
    case 'comparison':
      return `${formatValue(filter.left)} ${filter.operator} ${formatValue(filter.right)}`;
    case 'text':
      return `${filter.function}(${formatValue(filter.target)},${formatValue(filter.search)})`;
    case 'lambda': {
      const body = filter.body ? `${filter.body.variable}:${formatFilter(filter.body.predicate)}` : '';
      return `${filter.collection.segments.join('/')}/${filter.quantifier}(${body})`;
    }
    case 'function': {
      const pairs = [...filter.arguments].map(([name, value]) => `${name}=${formatValue(value)}`);
      return `Microsoft.Dynamics.CRM.${filter.name}(${pairs.join(',')})`;
    }
    case 'truth':
      return formatValue(filter.operand);
    default:
      return unreachable(filter);
  }
}

/** In brackets, so that the tree and not the precedence decides. */
function formatOperand(filter: FilterExpression): string {
  const text = formatFilter(filter);
  return filter.kind === 'and' || filter.kind === 'or' || filter.kind === 'comparison' ? `(${text})` : text;
}

const formatValue = (operand: Operand): string =>
  operand.kind === 'path' ? operand.segments.join('/') : formatLiteral(operand.literal);

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;

function formatDouble(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'INF' : '-INF';
  return Object.is(value, -0) ? '-0.0E0' : value.toExponential().toUpperCase();
}
