import { notEmulated } from '../errors.ts';
import type { Table } from '../metadata.ts';
import { reach } from '../reach.ts';
import { allOf, anyOf, type ColumnInQuery, type Sql } from '../sql.ts';
import { identifier } from '../store.ts';
import type { Work } from '../work.ts';
import {
  type Condition,
  EXISTS_TYPES,
  type Fetch,
  type Filter,
  type Link,
  type LinkType,
  type Order,
  type Source,
} from './ast.ts';
import { columnIn } from './columns.ts';
import { comparisonSql, conditionSql } from './conditions.ts';
import { aliasTaken, aliasUnknown, badCondition, columnsOfSubquery, orderLinkMissing, unknownTable } from './errors.ts';

/** An entity or link-entity with its table. */
export interface BoundSource {
  readonly table: Table;
  /** In SQL: `t0`, `t1` … in the order of the links. */
  readonly alias: string;
  /** In FetchXML: what was given, or else the table's name and the link's number (`contact1`). */
  readonly name: string;
  readonly element: Source;
  /** Undefined for the entity. */
  readonly type: LinkType | undefined;
  readonly level: Level;
}

/** A query, or a sub-query inside one: sources are visible in their own and in those inside it. */
interface Level {
  readonly outer: Level | undefined;
}

/** What is being collected of one query or sub-query. */
interface Parts {
  readonly joins: Sql[];
  readonly where: Sql[];
}

/** A filter in progress: whose it is, and whether it turned out to name columns of other sources. */
interface Frame {
  readonly owner: BoundSource;
  namesOthers: boolean;
}

/**
 * Turns the joins and filters of a FetchXML query into SQL. Values are only ever parameters, names come from metadata, and
 * each table shows only the rows that the caller may read. Throws WireError 400, 403 and 501.
 */
export class FetchQuery {
  readonly work: Work;
  readonly root: BoundSource;
  /** The entity and the links whose columns rows hold, in their order. */
  readonly sources: readonly BoundSource[];
  readonly from: Sql;
  readonly where: Sql;
  readonly #bound = new Map<Link, BoundSource>();
  readonly #byName = new Map<string, BoundSource>();
  readonly #byTable = new Map<string, BoundSource[]>();
  readonly #frames: Frame[] = [];

  /** `within`: which rows of the entity, known as `t0`, are asked at all. */
  constructor(work: Work, table: Table, { entity }: Fetch, within?: Sql) {
    this.work = work;
    refuseElastic(table);
    const level: Level = { outer: undefined };
    this.root = { table, alias: 't0', name: table.logicalName, element: entity, type: undefined, level };
    const joined: BoundSource[] = [];
    this.#bindAll(this.root, joined);
    this.sources = [this.root, ...joined];
    const visible = this.#visible(this.root);
    const parts: Parts = { joins: [], where: [] };
    const own = this.#below(this.root, parts, false);
    this.from = sequence([{ text: `FROM ${identifier(table.logicalName)} AS t0`, values: [] }, ...parts.joins]);
    this.where = allOf([...(within ? [within] : []), visible, ...own, ...parts.where]);
  }

  /** The column of an order: of the link that it names, or else of the source that it stands in. */
  orderColumn(owner: BoundSource, { attribute = '', entityName }: Order): { column: ColumnInQuery; of: BoundSource } {
    let of = owner;
    if (entityName !== undefined) {
      const named = this.#named(entityName, this.root);
      if (!named || !this.sources.includes(named)) throw orderLinkMissing(entityName);
      of = named;
    }
    return { column: columnIn(this.work, of, attribute), of };
  }

  #bindAll(parent: BoundSource, joined: BoundSource[]): void {
    for (const link of parent.element.links) {
      const inside = isExists(link.type);
      const source = this.#bind(link, inside ? { outer: parent.level } : parent.level);
      if (!inside) joined.push(source);
      this.#bindAll(source, inside ? [] : joined);
    }
    for (const filter of parent.element.filters) this.#bindFilter(filter, parent);
  }

  #bindFilter(filter: Filter, parent: BoundSource): void {
    for (const item of filter.items) {
      if (item.kind === 'filter') this.#bindFilter(item, parent);
      else if (item.kind === 'link') this.#bindAll(this.#bind(item, { outer: parent.level }), []);
    }
  }

  #bind(link: Link, level: Level): BoundSource {
    const table = this.work.env.catalog.table(link.name);
    if (!table) throw unknownTable(link.name);
    refuseElastic(table);
    const name = link.alias ?? `${link.name}${link.ordinal}`;
    const source: BoundSource = { table, alias: `t${link.ordinal}`, name, element: link, type: link.type, level };
    if (level.outer && (link.attributes.length > 0 || link.allAttributes || link.orders.length > 0)) {
      throw columnsOfSubquery(link.type);
    }
    if (this.#byName.has(name)) throw aliasTaken(name);
    this.#byName.set(name, source);
    this.#byTable.set(link.name, [...(this.#byTable.get(link.name) ?? []), source]);
    this.#bound.set(link, source);
    return source;
  }

  /**
   * Adds the joins below a source to `parts`; answers the conditions that hold for the source itself. Below an `optional`
   * source everything is joined like an outer link, and the source asks for what its inner links must find: SQLite would
   * read all columns of tables that are joined in parentheses.
   */
  #below(source: BoundSource, parts: Parts, optional: boolean): Sql[] {
    const own: Sql[] = [];
    for (const link of source.element.links) {
      if (isExists(link.type)) own.push(this.#exists(link, source, 'matching'));
      else parts.joins.push(this.#join(link, source, parts, optional));
      if (optional && link.type !== 'outer' && !isExists(link.type)) own.push(this.#exists(link, source, 'joined'));
    }
    for (const filter of source.element.filters) {
      const { sql, namesOthers } = this.#framed(source, () => this.#filter(filter, source));
      // Documentation, "Filters on link-entity": what names another source is looked at after the join.
      (namesOthers ? parts.where : own).push(sql);
    }
    return own;
  }

  #join(link: Link, parent: BoundSource, parts: Parts, optional: boolean): Sql {
    const source = this.#boundTo(link);
    const join = optional || link.type === 'outer' ? 'LEFT JOIN' : 'JOIN';
    if (link.type === 'matchfirstrowusingcrossapply') return this.#crossApply(link, source, parent, join);
    const visible = this.#visible(source);
    const inside: Parts = { joins: [], where: parts.where };
    const own = this.#below(source, inside, join === 'LEFT JOIN');
    const on = allOf([this.#match(link, source, parent), visible, ...own]);
    const table = `${identifier(source.table.logicalName)} AS ${source.alias}`;
    return sequence([{ text: `${join} ${table} ON ${on.text}`, values: on.values }, ...inside.joins]);
  }

  /** Documentation, "Use matchfirstrowusingcrossapply link type": one of the matching rows, and none without one. */
  #crossApply(link: Link, source: BoundSource, parent: BoundSource, join: 'JOIN' | 'LEFT JOIN'): Sql {
    if (link.links.length > 0) throw notEmulated(`A link-entity inside one of the type ${link.type}`);
    const candidate: BoundSource = { ...source, alias: `${source.alias}c` };
    const { sql, namesOthers } = this.#framed(candidate, () =>
      allOf(link.filters.map((filter) => this.#filter(filter, candidate))),
    );
    if (namesOthers) throw notEmulated(`A condition on another table inside a link-entity of the type ${link.type}`);
    const where = allOf([this.#match(link, candidate, parent), this.#visible(candidate), sql]);
    const [table, id] = [source.table.logicalName, source.table.primaryId].map(identifier);
    const first =
      `SELECT ${candidate.alias}.${id} FROM ${table} AS ${candidate.alias} WHERE ${where.text} ` +
      `ORDER BY ${candidate.alias}.${id} LIMIT 1`;
    return { text: `${join} ${table} AS ${source.alias} ON ${source.alias}.${id} = (${first})`, values: where.values };
  }

  /**
   * Whether there are rows of a link: `any` at all, those `matching` its filters and inner links, or those that are
   * `joined` before filters that name other sources are looked at.
   */
  #exists(link: Link, parent: BoundSource, rows: 'any' | 'matching' | 'joined'): Sql {
    const source = this.#boundTo(link);
    const parts: Parts = { joins: [], where: [] };
    const own = rows === 'any' ? [] : this.#below(source, parts, false);
    const later = rows === 'joined' ? [] : parts.where;
    const from = sequence([
      { text: `FROM ${identifier(source.table.logicalName)} AS ${source.alias}`, values: [] },
      ...parts.joins,
    ]);
    const where = allOf([this.#match(link, source, parent), this.#visible(source), ...own, ...later]);
    return {
      text: `EXISTS (SELECT 1 ${from.text} WHERE ${where.text})`,
      values: [...from.values, ...where.values],
    };
  }

  /** Documentation, "Filter on values in related records"; `not all` means `any` there. */
  #filterLink(link: Link, parent: BoundSource): Sql {
    const matching = this.#exists(link, parent, 'matching');
    const none = { ...matching, text: `NOT ${matching.text}` };
    if (link.type === 'not any') return none;
    return link.type === 'all' ? allOf([this.#exists(link, parent, 'any'), none]) : matching;
  }

  #match(link: Link, source: BoundSource, parent: BoundSource): Sql {
    const from = columnIn(this.work, source, link.from ?? source.table.primaryId);
    if (link.to === undefined) throw notEmulated('A link-entity without the attribute to');
    const to = columnIn(this.work, parent, link.to);
    for (const { column, table } of [from, to]) {
      if (column.kind !== 'choices') continue;
      throw badCondition(`${table.logicalName}.${column.logicalName}`, 'tables cannot be joined by such a column.');
    }
    const { column, table } = from;
    const few = column.kind === 'lookup' || column.kind === 'guid' || column.kind === 'text';
    if (few && column.logicalName !== table.primaryId && table.columns.get(column.logicalName) === column) {
      this.work.env.store.index(table, column);
    }
    return { text: `${from.compared} = ${to.compared}`, values: [] };
  }

  /** The rows that the caller may read; its privilege is asked for even where they turn out not to matter. */
  #visible({ table, alias }: BoundSource): Sql {
    const { env, caller } = this.work;
    const depth = env.guard.require(caller, table, 'Read');
    env.store.ensure(table);
    const condition = reach(caller, table, depth, alias);
    return condition ? { ...condition, text: `(${condition.text})` } : allOf([]);
  }

  #filter({ type, items }: Filter, owner: BoundSource): Sql {
    const parts = items.map((item) => {
      if (item.kind === 'filter') return this.#filter(item, owner);
      return item.kind === 'link' ? this.#filterLink(item, owner) : this.#condition(item, owner);
    });
    // A filter without conditions asks for nothing, whatever its type.
    return type === 'and' || parts.length === 0 ? allOf(parts) : anyOf(parts);
  }

  #condition(condition: Condition, owner: BoundSource): Sql {
    const source = condition.entityName === undefined ? owner : this.#visibleAs(condition.entityName, owner);
    this.#note(source);
    const column = columnIn(this.work, source, condition.attribute);
    if (condition.otherColumn === undefined) return conditionSql(this.work, column, condition);
    const dot = condition.otherColumn.indexOf('.');
    const other = dot < 0 ? source : this.#visibleAs(condition.otherColumn.slice(0, dot), owner);
    this.#note(other);
    return comparisonSql(column, condition, columnIn(this.work, other, condition.otherColumn.slice(dot + 1)));
  }

  #visibleAs(name: string, owner: BoundSource): BoundSource {
    const found = this.#named(name, owner);
    if (!found) throw aliasUnknown(name);
    return found;
  }

  /** The source that a name means where `owner` stands: an alias, a linked table, or the entity's own. */
  #named(name: string, owner: BoundSource): BoundSource | undefined {
    const alias = this.#byName.get(name);
    const candidates = [...(alias ? [alias] : []), ...(this.#byTable.get(name) ?? [])];
    if (name === this.root.name) candidates.push(this.root);
    return candidates.find(({ level }) => isWithin(owner.level, level));
  }

  #framed<Result>(owner: BoundSource, build: () => Result): { sql: Result; namesOthers: boolean } {
    const frame: Frame = { owner, namesOthers: false };
    this.#frames.push(frame);
    const sql = build();
    this.#frames.pop();
    return { sql, namesOthers: frame.namesOthers };
  }

  /** Marks the filters in progress that a source does not belong to. */
  #note(source: BoundSource): void {
    for (const frame of this.#frames) {
      const inside = source.level !== frame.owner.level && isWithin(source.level, frame.owner.level);
      if (source.alias !== frame.owner.alias && !inside) frame.namesOthers = true;
    }
  }

  #boundTo(link: Link): BoundSource {
    const source = this.#bound.get(link);
    if (!source) throw new Error(`The link ${link.name} was not bound`);
    return source;
  }
}

/** Elastic tables have other keys, pages and limits. */
function refuseElastic({ isElastic, logicalName }: Table): void {
  if (isElastic) throw notEmulated(`FetchXML over the elastic table ${logicalName}`);
}

const isExists = (type: LinkType): boolean => EXISTS_TYPES.some((one) => one === type);

function isWithin(level: Level, around: Level): boolean {
  for (let at: Level | undefined = level; at; at = at.outer) if (at === around) return true;
  return false;
}

const sequence = (parts: readonly Sql[]): Sql => ({
  text: parts.map(({ text }) => text).join(' '),
  values: parts.flatMap(({ values }) => values),
});
