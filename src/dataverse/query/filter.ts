import { queryFunction } from '../wire/query.ts';
import type { Tokens } from './tokens.ts';

/** A column, or one behind lookups: `primarycontactid/fullname`. */
export interface Path {
  readonly kind: 'path';
  readonly segments: readonly string[];
  readonly position: number;
}
export type Operand = Path | { readonly kind: 'literal'; readonly text: string };

/** A condition of OData, as far as Dataverse knows them. */
export type Condition =
  | { readonly kind: 'and' | 'or'; readonly operands: readonly Condition[] }
  | { readonly kind: 'not'; readonly operand: Condition }
  | { readonly kind: 'comparison'; readonly operator: string; readonly left: Operand; readonly right: Operand }
  | { readonly kind: 'text'; readonly name: string; readonly operands: readonly [Operand, Operand] }
  /** A function of Dataverse: `In(PropertyName='name',PropertyValues=["a"])`. */
  | {
      readonly kind: 'function';
      readonly name: string;
      readonly arguments: readonly Argument[];
      readonly position: number;
    }
  | {
      readonly kind: 'lambda';
      readonly quantifier: string;
      readonly collection: Path;
      readonly body: { readonly variable: string; readonly condition: Condition } | undefined;
    }
  | { readonly kind: 'truth'; readonly operand: Operand };

export interface Argument {
  readonly name: string;
  readonly value: string;
  readonly isList: boolean;
}

const COMPARISONS: ReadonlySet<string> = new Set(['eq', 'ne', 'gt', 'ge', 'lt', 'le']);
const TEXT_FUNCTIONS: ReadonlySet<string> = new Set(['contains', 'startswith', 'endswith']);
const QUANTIFIERS: ReadonlySet<string> = new Set(['any', 'all']);
/** Brackets, `not` and lambdas inside one another. */
const DEEPEST = 50;

/** Reads one condition; what follows it is left. Throws InputError where it is none. */
export function readCondition(tokens: Tokens, depth = 0): Condition {
  if (depth > DEEPEST) throw tokens.fault(`It is nested more than ${DEEPEST} levels deep.`);
  return chain(tokens, 'or', () => chain(tokens, 'and', () => readUnary(tokens, depth)));
}

/** Reads a column, or a path to one. */
export function readPath(tokens: Tokens): Path {
  const { position } = tokens.next;
  const segments: string[] = [];
  do segments.push(tokens.name('a column').text);
  while (tokens.takeIf('/'));
  return { kind: 'path', segments, position };
}

function chain(tokens: Tokens, operator: 'and' | 'or', read: () => Condition): Condition {
  const operands = [read()];
  while (tokens.takeIf(operator)) operands.push(read());
  const [only] = operands;
  return only && operands.length === 1 ? only : { kind: operator, operands };
}

function readUnary(tokens: Tokens, depth: number): Condition {
  if (depth > DEEPEST) throw tokens.fault(`It is nested more than ${DEEPEST} levels deep.`);
  if (tokens.takeIf('not')) return { kind: 'not', operand: readUnary(tokens, depth + 1) };
  if (tokens.takeIf('(')) {
    const inner = readCondition(tokens, depth + 1);
    tokens.expect(')');
    return inner;
  }
  if (tokens.next.kind === 'literal') return readComparison(tokens, readOperand(tokens));
  const path = readPath(tokens);
  return tokens.takeIf('(') ? readCall(tokens, path, depth) : readComparison(tokens, path);
}

function readComparison(tokens: Tokens, left: Operand): Condition {
  const { kind, text } = tokens.next;
  if (kind !== 'name' || !COMPARISONS.has(text)) return { kind: 'truth', operand: left };
  tokens.take();
  return { kind: 'comparison', operator: text, left, right: readOperand(tokens) };
}

function readOperand(tokens: Tokens): Operand {
  if (tokens.next.kind === 'literal') return { kind: 'literal', text: tokens.take().text };
  if (tokens.next.kind === 'name') return readPath(tokens);
  throw tokens.unexpected('a column or a value');
}

/** What stands before an opening bracket, which has been taken, is a function or a collection's `any` or `all`. */
function readCall(tokens: Tokens, path: Path, depth: number): Condition {
  const name = path.segments.at(-1) ?? '';
  const collection = { ...path, segments: path.segments.slice(0, -1) };
  if (collection.segments.length > 0) {
    if (QUANTIFIERS.has(name)) return readLambda(tokens, name, collection, depth);
    throw tokens.fault(`'${name}' at position ${path.position} is no function of a collection.`, 'Use any or all.');
  }
  if (TEXT_FUNCTIONS.has(name)) {
    const target = readOperand(tokens);
    tokens.expect(',');
    const search = readOperand(tokens);
    tokens.expect(')');
    return { kind: 'text', name, operands: [target, search] };
  }
  const known = queryFunction(name);
  if (known === undefined) {
    throw tokens.fault(
      `There is no function '${name.slice(0, 100)}', which stands at position ${path.position}.`,
      'Dataverse knows contains, startswith, endswith, and query functions such as In or LastXDays.',
    );
  }
  return { kind: 'function', name: known, arguments: readArguments(tokens), position: path.position };
}

function readLambda(tokens: Tokens, quantifier: string, collection: Path, depth: number): Condition {
  if (quantifier === 'any' && tokens.takeIf(')')) return { kind: 'lambda', quantifier, collection, body: undefined };
  const variable = tokens.name('the name of a row').text;
  tokens.expect(':');
  const condition = readCondition(tokens, depth + 1);
  tokens.expect(')');
  return { kind: 'lambda', quantifier, collection, body: { variable, condition } };
}

function readArguments(tokens: Tokens): Argument[] {
  const found: Argument[] = [];
  do {
    const { text: name, position } = tokens.name('the name of an argument');
    if (found.some((each) => each.name === name))
      throw tokens.fault(`'${name}' is given twice at position ${position}.`);
    tokens.expect('=');
    if (tokens.next.kind !== 'literal' && tokens.next.kind !== 'list') throw tokens.unexpected('a value');
    const { text, kind } = tokens.take();
    found.push({ name, value: text, isList: kind === 'list' });
  } while (tokens.takeIf(','));
  tokens.expect(')');
  return found;
}
