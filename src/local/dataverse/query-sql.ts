import { badQuery, notEmulated, tooManyConditions, unknownProperty } from './errors.ts';
import type { Column, Table } from './metadata.ts';
import type { ComparisonOperator, FilterExpression, Operand, PropertyPath } from './odata/ast.ts';
import { conditionFunction } from './query-functions.ts';
import { folded, literalValue } from './references.ts';
import { comparable, hasTypeColumn, identifier, type StoredValue, typeColumn } from './store.ts';
import type { Work } from './work.ts';

/** A condition with its values in the order of its question marks. */
export interface Sql {
  readonly text: string;
  readonly values: readonly StoredValue[];
}

/** A column in the query, by the name that SQL knows it under. */
export interface ColumnInQuery {
  readonly table: Table;
  readonly column: Column;
  /** `"t0"."name"` */
  readonly qualified: string;
  /** The same as it is compared. */
  readonly compared: string;
}

/** The service's limit of conditions in a query. */
const CONDITIONS_MAX = 500;

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
 * Turns a query over one table into SQL: `t0` is the table, lookup paths become joins. Values are only ever parameters;
 * names come from metadata.
 */
export class QueryBuilder {
  readonly work: Work;
  readonly table: Table;
  readonly #joins: string[] = [];
  readonly #aliases = new Map<string, string>();
  readonly #variables = new Map<string, { table: Table; alias: string }>();
  #tables = 1;
  #conditions = 0;

  constructor(work: Work, table: Table) {
    this.work = work;
    this.table = table;
    work.env.store.ensure(table);
  }

  /** `FROM …` with all joins that the conditions so far need. */
  from(): string {
    return [`FROM ${identifier(this.table.logicalName)} AS t0`, ...this.#joins].join(' ');
  }

  /** A filter as a condition. Throws WireError 400 and 501. */
  condition(filter: FilterExpression): Sql {
    if (filter.kind !== 'and' && filter.kind !== 'or' && filter.kind !== 'not') this.#conditions += 1;
    if (this.#conditions > CONDITIONS_MAX) throw tooManyConditions();
    switch (filter.kind) {
      case 'and':
      case 'or': {
        const parts = filter.operands.map((operand) => this.condition(operand));
        const glue = filter.kind === 'and' ? ' AND ' : ' OR ';
        return { text: `(${parts.map(({ text }) => text).join(glue)})`, values: parts.flatMap(({ values }) => values) };
      }
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

  /** Finds the column at the end of a path, joining what lies between. Throws WireError 400 when there is none. */
  column(path: PropertyPath): ColumnInQuery {
    const variable = this.#variables.get(path.segments[0] ?? '');
    let { table, alias } = variable ?? { table: this.table, alias: 't0' };
    const segments = variable ? path.segments.slice(1) : path.segments;
    for (const segment of segments.slice(0, -1)) ({ table, alias } = this.#join(table, alias, segment));
    const name = segments.at(-1) ?? '';
    const column = table.properties.get(name) ?? table.navigations.get(name)?.column;
    if (!column?.validForRead) throw unknownProperty(table.logicalName, name);
    if (column.kind === 'unsupported') throw notEmulated(`A query on the column ${name}`);
    const qualified = `${alias}.${identifier(column.logicalName)}`;
    return { table, column, qualified, compared: comparable(column, qualified) };
  }

  #join(table: Table, alias: string, name: string): { table: Table; alias: string } {
    const navigation = table.navigations.get(name);
    if (!navigation) throw unknownProperty(table.logicalName, name);
    const { column, target } = navigation;
    if (target === undefined) throw notEmulated(`A path through ${name}, which leads to several tables,`);
    const other = this.work.env.catalog.table(target);
    if (!other) throw notEmulated(`The table ${target}`);
    const known = this.#aliases.get(`${alias}/${name}`);
    if (known !== undefined) return { table: other, alias: known };

    this.work.env.guard.require(this.work.caller, other, 'Read');
    this.work.env.store.ensure(other);
    const joined = `t${this.#tables++}`;
    this.#aliases.set(`${alias}/${name}`, joined);
    const typed = hasTypeColumn(column)
      ? ` AND ${alias}.${identifier(typeColumn(column.logicalName))} = '${other.logicalName}'`
      : '';
    this.#joins.push(
      `LEFT JOIN ${identifier(other.logicalName)} AS ${joined} ON ${joined}.${identifier(other.primaryId)} = ` +
        `${alias}.${identifier(column.logicalName)}${typed}`,
    );
    return { table: other, alias: joined };
  }

  #comparison(operator: ComparisonOperator, left: Operand, right: Operand): Sql {
    if (left.kind === 'literal' && right.kind === 'path') return this.#comparison(MIRRORED[operator], right, left);
    if (left.kind === 'literal') throw badQuery('A comparison needs a column on one side.');
    const { column, compared } = this.column(left);
    if (right.kind === 'path') {
      const other = this.column(right);
      return { text: `${compared} ${SQL_OPERATORS[operator]} ${other.compared}`, values: [] };
    }
    const value = folded(column, literalValue(column, right.literal));
    if (value === null) {
      if (operator === 'eq' || operator === 'ge' || operator === 'le')
        return { text: `${compared} IS NULL`, values: [] };
      return { text: operator === 'ne' ? `${compared} IS NOT NULL` : '0', values: [] };
    }
    return { text: `${compared} ${SQL_OPERATORS[operator]} ?`, values: [value] };
  }

  #text(filter: Extract<FilterExpression, { kind: 'text' }>): Sql {
    const { target, search } = filter;
    if (target.kind !== 'path' || search.kind !== 'literal') throw notEmulated(`${filter.function} on these operands`);
    const { column, qualified } = this.column(target);
    const isText = column.kind === 'text' || column.kind === 'memo' || column.kind === 'entityname';
    if (search.literal.kind === 'null') return { text: '0', values: [] };
    if (!isText || search.literal.kind !== 'string') {
      throw badQuery(
        `No function signature for the function with name '${filter.function}' matches the specified arguments.`,
      );
    }
    const before = filter.function === 'startswith' ? '' : '%';
    const after = filter.function === 'endswith' ? '' : '%';
    const pattern = `${before}${search.literal.value.toLowerCase()}${after}`;
    return { text: `like_text(${qualified}, ?)`, values: [pattern] };
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
    const variable = this.#variables.get(collection.segments[0] ?? '');
    const owner = variable ?? { table: this.table, alias: 't0' };
    const path = variable ? collection.segments.slice(1) : collection.segments;
    const name = path[0] ?? '';
    if (path.length !== 1) throw badQuery(`A collection below a lookup cannot be filtered: ${path.join('/')}`);
    if (!owner.table.collections.has(name)) throw unknownProperty(owner.table.logicalName, name);
    const related = owner.table.collectionTargets.get(name);
    const other = related && this.work.env.catalog.table(related.table);
    if (!related || !other?.columns.has(related.column)) throw notEmulated(`The collection ${name}`);
    this.work.env.guard.require(this.work.caller, other, 'Read');
    this.work.env.store.ensure(other);

    const alias = `t${this.#tables++}`;
    const condition = body ? this.#below(body.variable, other, alias, () => this.condition(body.predicate)) : undefined;
    const inner = condition?.text ?? '1';
    const wanted = quantifier === 'any' ? inner : `NOT ifnull(${inner}, 0)`;
    const text =
      `${quantifier === 'any' ? '' : 'NOT '}EXISTS (SELECT 1 FROM ${identifier(other.logicalName)} AS ${alias} ` +
      `WHERE ${alias}.${identifier(related.column)} = ${owner.alias}.${identifier(owner.table.primaryId)} AND (${wanted}))`;
    return { text, values: condition?.values ?? [] };
  }

  #below<Result>(variable: string, table: Table, alias: string, work: () => Result): Result {
    const hidden = this.#variables.get(variable);
    this.#variables.set(variable, { table, alias });
    // Lookups below the variable would need joins inside the sub-query.
    const joins = this.#joins.length;
    try {
      const result = work();
      if (this.#joins.length > joins) throw notEmulated('A lookup path inside a lambda');
      return result;
    } finally {
      if (hidden) this.#variables.set(variable, hidden);
      else this.#variables.delete(variable);
    }
  }
}
