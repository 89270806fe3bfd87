import { quarterOf } from '../date-spans.ts';
import { aggregateLimitExceeded } from '../errors.ts';
import type { Column } from '../metadata.ts';
import type { Preferences } from '../preferences.ts';
import type { ColumnWriter } from '../rows.ts';
import type { ColumnInQuery } from '../sql.ts';
import { hasTypeColumn, identifier, type StoredRow, type StoredValue, typeColumn } from '../store.ts';
import { aggregatedValue, formatValue } from '../values.ts';
import type { Attribute, DatePart, Fetch, Order } from './ast.ts';
import { columnIn } from './columns.ts';
import {
  aliasMissing,
  aliasTaken,
  aliasUnknown,
  badCondition,
  invalidAggregate,
  neitherGroupNorAggregate,
} from './errors.ts';
import type { BoundSource, FetchQuery } from './fetch-query.ts';
import { orderBy, termOf } from './order.ts';
import { ATTRIBUTE_NAME } from './outputs.ts';

const FORMATTED = 'OData.Community.Display.V1.FormattedValue';

/** A property of an aggregate's rows. */
interface Member {
  readonly alias: string;
  readonly attribute: Attribute;
  readonly found: ColumnInQuery;
  /** The value's SQL expression, over the rows of a group. */
  readonly value: string;
  /** By what rows are grouped; undefined for what is computed of a group. */
  readonly group: string | undefined;
}

/** An aggregate query, ready to be read. */
export interface Aggregation {
  readonly members: readonly Member[];
  /** Selects a page; `LIMIT` and `OFFSET` follow. */
  readonly select: string;
}

/** Documentation, "Aggregate data using FetchXml". Throws WireError 400. */
export function aggregationOf(query: FetchQuery, fetch: Fetch): Aggregation {
  const members = query.sources.flatMap((source) =>
    source.element.attributes.map((attribute) => memberOf(query, source, attribute)),
  );
  if (members.length === 0)
    throw invalidAggregate('An aggregate query needs at least one attribute with an aggregate.');
  const names = members.map(({ alias }) => alias);
  const twin = names.find((name, index) => names.indexOf(name) !== index);
  if (twin !== undefined) throw aliasTaken(twin);

  const columns = members.flatMap(({ value, group, found: { column, alias } }, index) => {
    const type = group !== undefined && hasTypeColumn(column);
    const typed = type ? [`min(${alias}.${identifier(typeColumn(column.logicalName))}) AS "type${index}"`] : [];
    return [`${value} AS "column${index}"`, ...typed];
  });
  const groups = members.flatMap(({ group }) => (group === undefined ? [] : [group]));
  const orders = query.sources.flatMap(({ element }) => element.orders);
  const order = [
    ...orders.map((one) => orderTerm(query, members, one, fetch.rawOrder)),
    ...groups.map((compared) => ({ compared, descending: false })),
  ];
  const by = groups.length === 0 ? '' : ` GROUP BY ${groups.join(', ')}${orderBy(order)}`;
  return { members, select: `SELECT ${columns.join(', ')} ${query.from.text} WHERE ${query.where.text}${by}` };
}

/** Throws WireError 400 when the query reads more rows than an aggregation may. */
export function limitAggregation({ work, from, where }: FetchQuery, limit: number | undefined): void {
  const most = Math.min(limit ?? work.env.aggregateMax, work.env.aggregateMax);
  const counted = work.env.store.get(`SELECT count(*) AS n FROM (SELECT 1 ${from.text} WHERE ${where.text} LIMIT ?)`, [
    ...from.values,
    ...where.values,
    most + 1,
  ]);
  if (Number(counted?.['n'] ?? 0) > most) throw aggregateLimitExceeded();
}

function memberOf({ work }: FetchQuery, source: BoundSource, attribute: Attribute): Member {
  const { alias, name, groupBy, aggregate } = attribute;
  if (alias === undefined) throw aliasMissing(name);
  if (groupBy === (aggregate !== undefined)) throw neitherGroupNorAggregate(name);
  const found = columnIn(work, source, name);
  if (!groupBy) return { alias, attribute, found, value: computed(found, attribute), group: undefined };
  if (attribute.dateGrouping === undefined) {
    // Of texts that compare equal the first stands for the group.
    return { alias, attribute, found, value: `min(${found.qualified})`, group: found.compared };
  }
  if (!DATES.has(found.column.kind)) throw badCondition(name, 'dategrouping needs a date column.');
  const part = DATE_PARTS[attribute.dateGrouping](found.qualified);
  return { alias, attribute, found, value: `min(${part})`, group: part };
}

const NUMBERS: ReadonlySet<Column['kind']> = new Set(['integer', 'bigint', 'decimal', 'double', 'money']);
const DATES: ReadonlySet<Column['kind']> = new Set(['datetime', 'dateonly']);

function computed({ column, qualified, compared }: ColumnInQuery, { aggregate, distinct, name }: Attribute): string {
  switch (aggregate) {
    case 'countcolumn':
      return distinct ? `count(DISTINCT ${compared})` : `count(${qualified})`;
    case 'sum':
    case 'avg':
      if (!NUMBERS.has(column.kind)) throw invalidAggregate(`${aggregate} cannot be used on the attribute ${name}.`);
      // The documentation's example shows 0 as the sum of no values. Whole numbers are added up as reals, which do not
      // overflow.
      return aggregate === 'sum' ? `total(${qualified})` : `avg(${qualified})`;
    case 'min':
    case 'max':
      if (!NUMBERS.has(column.kind) && !DATES.has(column.kind)) {
        throw invalidAggregate(`${aggregate} cannot be used on the attribute ${name}.`);
      }
      return `${aggregate}(${qualified})`;
    default:
      return 'count(*)';
  }
}

const part = (format: string) => (ms: string) => `CAST(strftime('${format}', ${ms} / 1000, 'unixepoch') AS INTEGER)`;

/** Weeks begin on Sunday, the first with 1 January, as the documentation's example shows. */
const DATE_PARTS: Readonly<Record<DatePart, (ms: string) => string>> = {
  day: part('%d'),
  month: part('%m'),
  year: part('%Y'),
  quarter: quarterOf,
  week: (ms) =>
    `((${part('%j')(ms)} - 1 + CAST(strftime('%w', ${ms} / 1000, 'unixepoch', 'start of year') AS INTEGER)) / 7 + 1)`,
};

function orderTerm(
  { work }: FetchQuery,
  members: readonly Member[],
  { alias, attribute, descending }: Order,
  rawOrder: boolean,
): { compared: string; descending: boolean } {
  const member = members.find((one) => (alias === undefined ? one.attribute.name === attribute : one.alias === alias));
  if (!member) throw aliasUnknown(alias ?? attribute ?? '');
  const plain = member.group !== undefined && member.attribute.dateGrouping === undefined;
  if (!plain) return { compared: member.value, descending };
  const { compared } = termOf(work, member.found, { descending, rawOrder, ofEntity: true });
  return { compared: `min(${compared})`, descending };
}

/** Writes a row of an aggregate query; a group of rows without a value has no property. */
export function writeAggregates(
  write: ColumnWriter,
  preferences: Preferences,
  { members }: Aggregation,
  row: StoredRow,
  json: Record<string, unknown>,
): void {
  for (const [index, { alias, attribute, found, group }] of members.entries()) {
    const value = row[`column${index}`] ?? null;
    if (value === null) continue;
    const { column, table } = found;
    if (preferences.wantsAnnotation(ATTRIBUTE_NAME)) json[`${alias}@${ATTRIBUTE_NAME}`] = column.logicalName;
    if (group !== undefined && attribute.dateGrouping === undefined) {
      const stored = { [column.logicalName]: value, [typeColumn(column.logicalName)]: row[`type${index}`] ?? null };
      write(json, table, [{ ...column, property: alias }], stored);
      continue;
    }
    const { shown, formatted } = computedValue(column, attribute, value);
    if (formatted !== undefined && preferences.wantsAnnotation(FORMATTED)) json[`${alias}@${FORMATTED}`] = formatted;
    json[alias] = shown;
  }
}

function computedValue(
  column: Column,
  { aggregate }: Attribute,
  value: StoredValue,
): { shown: unknown; formatted: string | undefined } {
  if (aggregate === undefined || aggregate === 'count' || aggregate === 'countcolumn') {
    return { shown: Number(value), formatted: Number(value).toLocaleString('en-US') };
  }
  // The documentation's example shows a whole number as the average of whole numbers.
  const whole = aggregate === 'avg' && (column.kind === 'integer' || column.kind === 'bigint');
  const stored = whole ? Math.trunc(Number(value)) : value;
  const method = aggregate === 'avg' ? 'average' : aggregate;
  return { shown: aggregatedValue(column, method, stored), formatted: formatValue(column, stored) };
}
