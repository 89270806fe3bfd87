import type { Aggregate, Aggregation, FilterExpression, PropertyPath } from './ast.ts';
import { ODataNotEmulatedError } from './errors.ts';
import { type Aliases, readCondition, readPath } from './filter.ts';
import { Lexer } from './lexer.ts';

const METHODS: ReadonlyMap<string, Aggregate['method']> = new Map([
  ['sum', 'sum'],
  ['average', 'average'],
  ['min', 'min'],
  ['max', 'max'],
  ['countdistinct', 'countdistinct'],
]);

/**
 * Parses the decoded text of `$apply`: any number of `filter(…)/`, then `groupby((…))`, `groupby((…),aggregate(…))` or
 * `aggregate(…)`. Throws ODataSyntaxError, and ODataNotEmulatedError for other transformations and orders of them.
 */
export function parseApply(text: string, aliases: Aliases = new Map()): Aggregation {
  const lexer = new Lexer(text);
  const filters: FilterExpression[] = [];
  for (;;) {
    const transformation = lexer.take();
    if (transformation.kind !== 'name') throw lexer.unexpected();
    expect(lexer, '(');
    const name = transformation.text;
    if (name === 'filter') {
      filters.push(readCondition(lexer, aliases));
      expect(lexer, ')');
      if (!lexer.takeIf('/')) throw new ODataNotEmulatedError('$apply without groupby and aggregate');
      continue;
    }
    if (name !== 'groupby' && name !== 'aggregate') throw new ODataNotEmulatedError(`${name} in $apply`);
    const last = name === 'groupby' ? readGroupBy(lexer, aliases) : { groups: [], aggregates: readAggregates(lexer) };
    if (lexer.at('/')) throw new ODataNotEmulatedError(`A transformation behind ${name} in $apply`);
    if (!lexer.atEnd()) throw lexer.unexpected();
    const [first, ...more] = filters;
    if (!first) return last;
    return { ...last, filter: more.length === 0 ? first : { kind: 'and', operands: filters } };
  }
}

/** What follows `groupby(`. */
function readGroupBy(lexer: Lexer, aliases: Aliases): Aggregation {
  expect(lexer, '(');
  const groups: PropertyPath[] = [];
  do groups.push(readPath(lexer, aliases));
  while (lexer.takeIf(','));
  expect(lexer, ')');
  let aggregates: readonly Aggregate[] = [];
  if (lexer.takeIf(',')) {
    const transformation = lexer.take();
    if (transformation.kind !== 'name') throw lexer.unexpected();
    if (transformation.text !== 'aggregate')
      throw new ODataNotEmulatedError(`${transformation.text} in groupby of $apply`);
    expect(lexer, '(');
    aggregates = readAggregates(lexer);
  }
  expect(lexer, ')');
  return { groups, aggregates };
}

/** What follows `aggregate(`. */
function readAggregates(lexer: Lexer): Aggregate[] {
  const aggregates: Aggregate[] = [];
  do aggregates.push(readAggregate(lexer));
  while (lexer.takeIf(','));
  expect(lexer, ')');
  return aggregates;
}

function readAggregate(lexer: Lexer): Aggregate {
  if (lexer.takeIf('$count')) return { method: 'count', alias: readAlias(lexer) };
  const path = readPath(lexer, new Map());
  expect(lexer, 'with');
  const { text } = lexer.take();
  const method = METHODS.get(text);
  if (!method) throw new ODataNotEmulatedError(`The method ${text} in $apply`);
  return { method, path, alias: readAlias(lexer) };
}

function readAlias(lexer: Lexer): string {
  expect(lexer, 'as');
  const alias = lexer.take();
  if (alias.kind !== 'name' || !/^[\p{L}_][\p{L}\p{N}_]*$/u.test(alias.text)) throw lexer.unexpected();
  return alias.text;
}

function expect(lexer: Lexer, text: string): void {
  if (!lexer.takeIf(text)) throw lexer.unexpected();
}
