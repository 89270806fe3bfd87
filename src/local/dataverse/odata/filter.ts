import type { ComparisonOperator, FilterExpression, LiteralOperand, Operand, PropertyPath } from './ast.ts';
import { ODataNotEmulatedError, ODataSyntaxError, tooDeep } from './errors.ts';
import { Lexer } from './lexer.ts';

/** Decoded texts of parameter aliases by their names with the `@`. */
export type Aliases = ReadonlyMap<string, string>;

/** Brackets, `not`, lambdas and aliases that may stand inside one another; Microsoft.OData.Core also has a limit. */
const MAX_DEPTH = 200;
const COMPARISONS: ReadonlySet<string> = new Set<ComparisonOperator>(['eq', 'ne', 'gt', 'ge', 'lt', 'le']);
const OTHER_OPERATORS: ReadonlySet<string> = new Set(['in', 'has', 'add', 'sub', 'mul', 'div', 'divby', 'mod']);
const TEXT_FUNCTIONS: ReadonlySet<string> = new Set(['contains', 'startswith', 'endswith']);
const OTHER_FUNCTIONS: ReadonlySet<string> = new Set(
  'length indexof substring tolower toupper trim concat year month day hour minute second fractionalseconds date time totaloffsetminutes now mindatetime maxdatetime totalseconds round floor ceiling cast isof geo.distance geo.length geo.intersects'.split(
    ' ',
  ),
);
const DATAVERSE_FUNCTION = /^(?:Microsoft\.Dynamics\.CRM|mscrm)\.(\w+)$/;
const EDM_TYPES: Readonly<Record<string, string>> = {
  string: 'Edm.String',
  guid: 'Edm.Guid',
  integer: 'Edm.Int32',
  decimal: 'Edm.Decimal',
  double: 'Edm.Double',
  date: 'Edm.Date',
  dateTimeOffset: 'Edm.DateTimeOffset',
};

/** Parses the decoded text of `$filter`. Throws ODataSyntaxError and ODataNotEmulatedError. */
export function parseFilter(text: string, aliases: Aliases = new Map()): FilterExpression {
  const parser = new FilterParser(new Lexer(text), aliases, 0);
  const filter = parser.condition();
  parser.end();
  return filter;
}

/** Reads a condition at the front of a lexer. */
export const readCondition = (lexer: Lexer, aliases: Aliases): FilterExpression =>
  new FilterParser(lexer, aliases, 0).condition();

/** Reads a column path or the alias of one at the front of a lexer: what `$orderby` sorts by. */
export function readPath(lexer: Lexer, aliases: Aliases): PropertyPath {
  const operand = new FilterParser(lexer, aliases, 0).operand();
  if (operand.kind !== 'path') throw lexer.unexpected();
  return operand;
}

class FilterParser {
  private readonly lexer: Lexer;
  private readonly aliases: Aliases;
  private depth: number;

  constructor(lexer: Lexer, aliases: Aliases, depth: number) {
    this.lexer = lexer;
    this.aliases = aliases;
    this.depth = depth;
  }

  end(): void {
    if (!this.lexer.atEnd()) throw this.lexer.unexpected();
  }

  condition(): FilterExpression {
    return this.chain('or', () => this.chain('and', () => this.comparison()));
  }

  operand(): Operand {
    const token = this.lexer.next;
    if (token.kind === 'literal') return this.literal();
    if (token.kind === 'alias') return this.alias(token.text, token.position);
    if (token.kind === 'name') return this.path().path;
    throw this.expressionExpected();
  }

  private chain(operator: 'and' | 'or', read: () => FilterExpression): FilterExpression {
    const first = read();
    if (!this.lexer.at(operator)) return first;
    const operands = [first];
    while (this.lexer.takeIf(operator)) operands.push(read());
    return { kind: operator, operands };
  }

  private comparison(): FilterExpression {
    const left = this.unary();
    const { next } = this.lexer;
    if (next.kind !== 'name') return left;
    if (OTHER_OPERATORS.has(next.text)) throw new ODataNotEmulatedError(`The operator ${next.text} in $filter`);
    if (!COMPARISONS.has(next.text)) return left;
    if (left.kind === 'not' && left.operand.kind === 'truth')
      return this.comparisonOfNot(left.operand.operand, left.position);
    if (left.kind !== 'truth') throw new ODataNotEmulatedError('A comparison of conditions in $filter');
    return this.compared(left.operand, left.position);
  }

  private compared(left: Operand, position: number): FilterExpression & { kind: 'comparison' } {
    const operator = this.lexer.take().text as ComparisonOperator;
    const right = this.lexer.takeIf('(') ? this.bracketedOperand() : this.operand();
    return { kind: 'comparison', operator, left, right, position };
  }

  // `not` binds closer than `eq`, so that the service refuses `not name eq 'x'`; between booleans it makes no difference.
  private comparisonOfNot(operand: Operand, position: number): FilterExpression {
    const compared = this.compared(operand, operand.position);
    const type = compared.right.kind === 'literal' ? EDM_TYPES[compared.right.literal.kind] : undefined;
    if (type) {
      throw new ODataSyntaxError(
        `A unary operator with an incompatible type was detected. Found operand type '${type}' for operator kind 'Not'.`,
      );
    }
    return { kind: 'not', operand: compared, position };
  }

  private unary(): FilterExpression {
    const { position } = this.lexer.next;
    if (!this.lexer.takeIf('not')) return this.primary();
    const operand = this.nested(() => this.unary());
    if (operand.kind === 'function') {
      throw new ODataSyntaxError('Not operator along with the Custom Named Condition operators is not allowed');
    }
    return { kind: 'not', operand, position };
  }

  private primary(): FilterExpression {
    if (this.lexer.takeIf('(')) {
      const inner = this.nested(() => this.condition());
      this.close();
      return inner;
    }
    const { next } = this.lexer;
    if (next.kind === 'name') return this.named();
    const operand = this.operand();
    return { kind: 'truth', operand, position: next.position };
  }

  /** A condition that begins with a name: a function, a lambda or a column. */
  private named(): FilterExpression {
    const { path, call } = this.path();
    if (!call) return { kind: 'truth', operand: path, position: path.position };
    if (path.segments.length === 1) return this.call(call, path.position);
    if (call !== 'any' && call !== 'all') throw new ODataNotEmulatedError(`The function ${call} in $filter`);
    return this.lambda(call, { ...path, segments: path.segments.slice(0, -1) });
  }

  /** Reads `a/b/c`; `call` is the last name if a bracket follows, which is taken. */
  private path(): { path: PropertyPath; call?: string } {
    const { position } = this.lexer.next;
    const segments: string[] = [];
    do {
      const token = this.lexer.next;
      if (token.kind !== 'name') throw this.lexer.unexpected();
      if (token.text.startsWith('$')) throw new ODataNotEmulatedError(`${token.text} in $filter`);
      this.lexer.take();
      segments.push(token.text);
    } while (this.lexer.takeIf('/'));
    const path: PropertyPath = { kind: 'path', segments, position };
    const last = segments.at(-1);
    return last !== undefined && this.lexer.takeIf('(') ? { path, call: last } : { path };
  }

  private call(name: string, position: number): FilterExpression {
    if (TEXT_FUNCTIONS.has(name)) return this.textFunction(name as 'contains', position);
    const dataverse = DATAVERSE_FUNCTION.exec(name)?.[1];
    if (dataverse) return { kind: 'function', name: dataverse, arguments: this.namedArguments(), position };
    if (OTHER_FUNCTIONS.has(name)) throw new ODataNotEmulatedError(`The function ${name} in $filter`);
    throw new ODataSyntaxError(
      `An unknown function with name '${name}' was found. This may also be a function import or a key lookup on a navigation property, which is not allowed.`,
    );
  }

  private textFunction(name: 'contains' | 'startswith' | 'endswith', position: number): FilterExpression {
    const target = this.operand();
    if (!this.lexer.takeIf(',')) throw this.lexer.unexpected();
    const search = this.operand();
    this.close();
    return { kind: 'text', function: name, target, search, position };
  }

  private namedArguments(): ReadonlyMap<string, Operand> {
    const values = new Map<string, Operand>();
    if (this.lexer.takeIf(')')) return values;
    do {
      const name = this.lexer.take();
      if (name.kind !== 'name' || values.has(name.text) || !this.lexer.takeIf('=')) throw this.lexer.unexpected();
      values.set(name.text, this.operand());
    } while (this.lexer.takeIf(','));
    this.close();
    return values;
  }

  private lambda(quantifier: 'any' | 'all', collection: PropertyPath): FilterExpression {
    const { position } = collection;
    if (quantifier === 'any' && this.lexer.takeIf(')')) return { kind: 'lambda', quantifier, collection, position };
    const variable = this.lexer.take();
    if (variable.kind !== 'name' || !this.lexer.takeIf(':')) throw this.lexer.unexpected();
    const predicate = this.nested(() => this.condition());
    this.close();
    return { kind: 'lambda', quantifier, collection, body: { variable: variable.text, predicate }, position };
  }

  private bracketedOperand(): Operand {
    const operand = this.nested(() => (this.lexer.takeIf('(') ? this.bracketedOperand() : this.operand()));
    this.close();
    return operand;
  }

  private literal(): LiteralOperand {
    const token = this.lexer.take();
    if (token.kind !== 'literal') throw this.lexer.unexpected();
    return { kind: 'literal', literal: token.literal, source: token.text, position: token.position };
  }

  private alias(name: string, position: number): Operand {
    this.lexer.take();
    const value = this.aliases.get(name);
    if (value === undefined) return { kind: 'literal', literal: { kind: 'null' }, source: name, position };
    return this.nested(() => {
      const parser = new FilterParser(new Lexer(value), this.aliases, this.depth);
      const operand = parser.operand();
      parser.end();
      return { ...operand, position };
    });
  }

  private close(): void {
    if (!this.lexer.takeIf(')')) throw this.lexer.unexpected();
  }

  private nested<T>(read: () => T): T {
    this.depth += 1;
    if (this.depth > MAX_DEPTH) throw tooDeep();
    const result = read();
    this.depth -= 1;
    return result;
  }

  private expressionExpected(): ODataSyntaxError {
    return new ODataSyntaxError(`Expression expected at position ${this.lexer.next.position} in '${this.lexer.text}'.`);
  }
}
