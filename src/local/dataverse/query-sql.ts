import { type RelatedCollection, relatedCollection } from './collections.ts';
import {
  badQuery,
  incompatibleTypes,
  notEmulated,
  tooManyConditions,
  tooManyLinks,
  unknownProperty,
} from './errors.ts';
import type { Column, Table } from './metadata.ts';
import type { ComparisonOperator, FilterExpression, Literal, Operand, PropertyPath } from './odata/ast.ts';
import { conditionFunction } from './query-functions.ts';
import { reach } from './reach.ts';
import { folded, literalFor } from './references.ts';
import { allOf, anyOf, type ColumnInQuery, type Sql } from './sql.ts';
import { comparable, fold, hasTypeColumn, identifier, isText, typeColumn } from './store.ts';
import { edmType } from './values.ts';
import type { Work } from './work.ts';

/** A table with what its paths have joined to it: the query's own, or that of a lambda variable. */
interface Scope {
  readonly table: Table;
  readonly alias: string;
  readonly joins: Sql[];
  /** By the path that leads there, `t0/primarycontactid`. */
  readonly joined: Map<string, Joined>;
}

interface Joined {
  readonly table: Table;
  readonly alias: string;
  /** The lookup that leads here, and the table that has it. */
  readonly lookup: { readonly table: Table; readonly alias: string; readonly column: Column };
}

/** The service's limits of conditions and of joined tables in a query. */
const CONDITIONS_MAX = 500;
const LINKS_MAX = 15;

/** Columns of which one value is likely to be that of few rows. */
const SELECTIVE_KINDS: ReadonlySet<Column['kind']> = new Set(['text', 'lookup', 'guid', 'integer', 'bigint']);

const SQL_OPERATORS: Readonly<Record<ComparisonOperator, string>> = {
  eq: '=',
  ne: 'IS NOT',
  gt: '>',
  ge: '>=',
  lt: '<',
  le: '<=',
};

const MIRRORED: Readonly<Record<ComparisonOperator, ComparisonOperator>> = {
  eq: 'eq',
  ne: 'ne',
  gt: 'lt',
  ge: 'le',
  lt: 'gt',
  le: 'ge',
};

/**
 * Turns a query over one table into SQL: `t0` is the table, lookup paths become joins of the rows that the caller may
 * see, lambdas become sub-queries. Values are only ever parameters; names come from metadata.
 */
export class QueryBuilder {
  readonly work: Work;
  readonly table: Table;
  readonly #root: Scope;
  readonly #variables = new Map<string, Scope>();
  #tables = 1;
  #links = 0;
  #conditions = 0;

  constructor(work: Work, table: Table) {
    this.work = work;
    this.table = table;
    this.#root = { table, alias: 't0', joins: [], joined: new Map() };
    work.env.store.ensure(table);
  }

  /** `FROM …` with all joins that the conditions and columns so far need. */
  from(): Sql {
    return source(this.#root);
  }

  /** A filter as a condition, which is not true (false or null) for rows that do not fit. Throws WireError 400, 403 and 501. */
  condition(filter: FilterExpression): Sql {
    if (filter.kind !== 'and' && filter.kind !== 'or' && filter.kind !== 'not') this.#conditions += 1;
    if (this.#conditions > CONDITIONS_MAX) throw tooManyConditions();
    switch (filter.kind) {
      case 'and':
        return allOf(filter.operands.map((operand) => this.condition(operand)));
      case 'or':
        return anyOf(filter.operands.map((operand) => this.condition(operand)));
      case 'not': {
        const { text, values } = this.condition(filter.operand);
        return { text: `NOT ifnull(${text}, 0)`, values };
      }
      case 'comparison':
        return this.#comparison(filter.operator, filter.left, filter.right);
      case 'text':
        return this.#text(filter);
      case 'truth':
        return this.#truth(filter.operand);
      case 'function':
        return conditionFunction(this, filter.name, filter.arguments);
      case 'lambda':
        return this.#lambda(filter);
    }
  }

  /** Finds the column at the end of a path, joining what lies between. Throws WireError 400, 403 and 501. */
  column(path: PropertyPath): ColumnInQuery {
    const { scope, segments } = this.#scoped(path);
    let { table, alias } = scope;
    for (const segment of segments.slice(0, -1)) ({ table, alias } = this.#join(scope, table, alias, segment));
    const name = segments.at(-1) ?? '';
    const column = table.properties.get(name) ?? table.navigations.get(name)?.column;
    if (!column?.validForRead) throw unknownProperty(table.logicalName, name);
    if (column.kind === 'unsupported') throw notEmulated(`A query on the column ${name}`);
    const qualified = `${alias}.${identifier(column.logicalName)}`;
    return { table, column, alias, qualified, compared: comparable(column, qualified) };
  }

  /** The table that a path begins at: that of its lambda variable, or the query's own. */
  #scoped({ segments }: PropertyPath): { scope: Scope; segments: readonly string[] } {
    const scope = this.#variables.get(segments[0] ?? '');
    return scope ? { scope, segments: segments.slice(1) } : { scope: this.#root, segments };
  }

  #join(scope: Scope, table: Table, alias: string, name: string): Joined {
    const path = `${alias}/${name}`;
    const known = scope.joined.get(path);
    if (known) return known;
    const navigation = table.navigations.get(name);
    if (!navigation) throw unknownProperty(table.logicalName, name);
    const { column, target } = navigation;
    if (target === undefined) throw notEmulated(`A path through ${name}, which leads to several tables,`);
    const other = this.work.env.catalog.table(target);
    if (!other) throw notEmulated(`The table ${target}`);

    const joined = this.#link();
    const lookup = `${alias}.${identifier(column.logicalName)}`;
    const on: Sql[] = [{ text: `${joined}.${identifier(other.primaryId)} = ${lookup}`, values: [] }];
    if (hasTypeColumn(column)) {
      on.push({ text: `${alias}.${identifier(typeColumn(column.logicalName))} = ?`, values: [other.logicalName] });
    }
    const { text, values } = allOf([...on, this.visible(other, joined)]);
    scope.joins.push({ text: `LEFT JOIN ${identifier(other.logicalName)} AS ${joined} ON ${text}`, values });
    const found = { table: other, alias: joined, lookup: { table, alias, column } };
    scope.joined.set(path, found);
    return found;
  }

  /** The rows of a table that the caller may read. Throws WireError 403 when it may read none. */
  visible(table: Table, alias: string): Sql {
    const { env, caller } = this.work;
    const depth = env.guard.require(caller, table, 'Read');
    env.store.ensure(table);
    const condition = reach(caller, table, depth, alias);
    return condition ? { ...condition, text: `(${condition.text})` } : allOf([]);
  }

  #link(): string {
    this.#links += 1;
    if (this.#links > LINKS_MAX) throw tooManyLinks();
    return `t${this.#tables++}`;
  }

  #comparison(operator: ComparisonOperator, left: Operand, right: Operand): Sql {
    if (left.kind === 'literal' && right.kind === 'path') return this.#comparison(MIRRORED[operator], right, left);
    if (left.kind === 'literal') throw badQuery('A comparison needs a column on one side.');
    const found = this.column(left);
    const { column, compared } = found;
    if (right.kind === 'path') return this.#ofColumns(operator, found, this.column(right));
    const literal = literalFor(column, right.literal);
    if (literal === undefined) throw incompatibleTypes(edmType(column), literalType(right.literal), operator);
    const value = folded(column, literal);
    if (value === null) {
      if (operator === 'eq' || operator === 'ge' || operator === 'le')
        return { text: `${compared} IS NULL`, values: [] };
      return { text: operator === 'ne' ? `${compared} IS NOT NULL` : '0', values: [] };
    }
    if (operator === 'eq') this.expectFew(found);
    const condition = `${compared} ${SQL_OPERATORS[operator]} ?`;
    return { text: operator === 'ne' ? condition : this.#ofJoinedRow(found, condition), values: [value] };
  }

  /** Makes the indexes for a condition that few rows are likely to fulfil, those to get there over lookups included. */
  expectFew({ table, alias, column }: ColumnInQuery): void {
    if (!SELECTIVE_KINDS.has(column.kind)) return;
    this.index({ table, column });
    for (let at = this.#joinOf(alias); at; at = this.#joinOf(at.lookup.alias)) {
      this.index(at.lookup);
    }
  }

  /** Makes an index on a column unless there is one. */
  index({ table, column }: Pick<ColumnInQuery, 'table' | 'column'>): void {
    const { keys, store } = this.work.env;
    const indexed = keys
      .of(table.logicalName)
      .some(({ status, columns }) => status === 'Active' && columns[0] === column.logicalName);
    if (column.logicalName !== table.primaryId && !indexed) store.index(table, column);
  }

  #joinOf(alias: string): Joined | undefined {
    for (const { joined } of [this.#root, ...this.#variables.values()]) {
      for (const found of joined.values()) if (found.alias === alias) return found;
    }
    return undefined;
  }

  /**
   * A condition that is false without a row behind the lookup says so: SQLite then may begin with the rows behind it,
   * which it cannot see by itself through `fold`.
   */
  #ofJoinedRow({ table, alias }: ColumnInQuery, condition: string): string {
    if (!this.#joinOf(alias)) return condition;
    return `(${alias}.${identifier(table.primaryId)} IS NOT NULL AND ${condition})`;
  }

  /** The service compares columns of one row only, and of one type. */
  #ofColumns(operator: ComparisonOperator, left: ColumnInQuery, right: ColumnInQuery): Sql {
    const [one, other] = [edmType(left.column), edmType(right.column)];
    if (one !== other) throw incompatibleTypes(one, other, operator);
    if (left.alias !== right.alias) throw badQuery('Only columns of the same table can be compared.');
    return { text: `${left.compared} ${SQL_OPERATORS[operator]} ${right.compared}`, values: [] };
  }

  #text(filter: Extract<FilterExpression, { kind: 'text' }>): Sql {
    const { target, search } = filter;
    if (target.kind !== 'path' || search.kind !== 'literal') throw notEmulated(`${filter.function} on these operands`);
    const found = this.column(target);
    const { column, compared, qualified } = found;
    if (search.literal.kind === 'null') return { text: '0', values: [] };
    if (!isText(column) || search.literal.kind !== 'string') {
      throw badQuery(
        `No function signature for the function with name '${filter.function}' matches the specified arguments.`,
      );
    }
    const wanted = search.literal.value.toLowerCase();
    const before = filter.function === 'startswith' ? '' : '%';
    const after = filter.function === 'endswith' ? '' : '%';
    const like = { text: `like_text(${qualified}, ?)`, values: [`${before}${wanted}${after}`] };
    const prefix =
      filter.function === 'startswith' && column.kind === 'text' ? fold(/^[^%_[]*/.exec(wanted)?.[0] ?? '') : '';
    if (prefix === '') return like;
    // Says no more than the pattern, but in a form that an index can be used for.
    this.expectFew(found);
    const range = this.#ofJoinedRow(found, `${compared} >= ? AND ${compared} < ?`);
    return allOf([{ text: range, values: [prefix, `${prefix}\u{10ffff}`] }, like]);
  }

  #truth(operand: Operand): Sql {
    if (operand.kind === 'literal') {
      if (operand.literal.kind !== 'boolean') throw badQuery('A condition must be true or false.');
      return { text: operand.literal.value ? '1' : '0', values: [] };
    }
    const { column, qualified } = this.column(operand);
    if (column.kind !== 'boolean') throw badQuery(`The column '${column.property}' alone is no condition.`);
    return { text: `${qualified} = 1`, values: [] };
  }

  #lambda({ quantifier, collection, body }: Extract<FilterExpression, { kind: 'lambda' }>): Sql {
    const { scope: owner, segments } = this.#scoped(collection);
    const [name = ''] = segments;
    if (segments.length !== 1) throw badQuery(`A collection below a lookup cannot be filtered: ${segments.join('/')}`);
    if (!owner.table.collections.has(name)) throw unknownProperty(owner.table.logicalName, name);
    const related: RelatedCollection = relatedCollection(this.work, owner.table, name);
    const scope: Scope = { table: related.table, alias: this.#link(), joins: [], joined: new Map() };

    const ownerId = { text: `${owner.alias}.${identifier(owner.table.primaryId)}`, values: [] };
    const belongs = related.belongs(scope.alias, ownerId);
    const visible = this.visible(related.table, scope.alias);
    const wanted = body ? this.#below(body.variable, scope, () => this.condition(body.predicate)) : allOf([]);
    const condition = quantifier === 'any' ? wanted : { ...wanted, text: `NOT ifnull(${wanted.text}, 0)` };
    // All rows fit when there is none that does not.
    const { text, values } = allOf([belongs, visible, condition]);
    const from = source(scope);
    return {
      text: `${quantifier === 'any' ? '' : 'NOT '}EXISTS (SELECT 1 ${from.text} WHERE ${text})`,
      values: [...from.values, ...values],
    };
  }

  #below<Result>(variable: string, scope: Scope, work: () => Result): Result {
    const hidden = this.#variables.get(variable);
    this.#variables.set(variable, scope);
    const result = work();
    if (hidden) this.#variables.set(variable, hidden);
    else this.#variables.delete(variable);
    return result;
  }
}

function source({ table, alias, joins }: Scope): Sql {
  return {
    text: [`FROM ${identifier(table.logicalName)} AS ${alias}`, ...joins.map(({ text }) => text)].join(' '),
    values: joins.flatMap(({ values }) => values),
  };
}

const LITERAL_TYPES: Readonly<Partial<Record<Literal['kind'], string>>> = {
  string: 'Edm.String',
  guid: 'Edm.Guid',
  boolean: 'Edm.Boolean',
  integer: 'Edm.Int32',
  decimal: 'Edm.Decimal',
  double: 'Edm.Double',
  date: 'Edm.Date',
  dateTimeOffset: 'Edm.DateTimeOffset',
};

const literalType = (literal: Literal): string =>
  literal.kind === 'enum' ? literal.type : (LITERAL_TYPES[literal.kind] ?? 'Edm.Untyped');
