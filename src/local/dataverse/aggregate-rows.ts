import { aggregateLimitExceeded, badQuery, notEmulated, orderByAggregate } from './errors.ts';
import type { JsonObject } from './json-object.ts';
import type { Column } from './metadata.ts';
import type { Aggregate, Aggregation, OrderItem, PropertyPath } from './odata/ast.ts';
import { countRows } from './page-sql.ts';
import type { Preferences } from './preferences.ts';
import { QueryBuilder } from './query-sql.ts';
import { appliedPreferences, jsonReply, type Reply } from './reply.ts';
import type { RowQuery } from './row-query.ts';
import { createColumnWriter } from './rows.ts';
import { allOf, type ColumnInQuery } from './sql.ts';
import { hasTypeColumn, identifier, type StoredRow, type StoredValue, typeColumn } from './store.ts';
import { aggregatedValue, formatValue } from './values.ts';
import type { Work } from './work.ts';

const FORMATTED = 'OData.Community.Display.V1.FormattedValue';
const ATTRIBUTE_NAME = 'OData.Community.Display.V1.AttributeName';

interface Group extends ColumnInQuery {
  /** The property of the answer. */
  readonly property: string;
  readonly path: PropertyPath;
}

/** Answers `$apply` (documentation: "Aggregate data using OData"). Throws WireError 400, 403 and 501. */
export function aggregateRows(work: Work, query: RowQuery, aggregation: Aggregation): { reply: Reply; rows: number } {
  const { table, options, preferences, within } = query;
  for (const name of ['select', 'filter', 'expand', 'top', 'count', 'skiptoken'] as const) {
    if (options[name] !== undefined) throw notEmulated(`$${name} beside $apply`);
  }
  const builder = new QueryBuilder(work, table);
  const groups = aggregation.groups.map((path) => groupOf(builder, path));
  const values = aggregation.aggregates.map((aggregate) => ({ aggregate, ...computed(builder, aggregate) }));
  refuseTwins([...groups.map(({ property }) => property), ...values.map(({ aggregate }) => aggregate.alias)]);
  const order = orderOf(groups, options.orderby);
  const where = allOf([
    ...(aggregation.filter ? [builder.condition(aggregation.filter)] : []),
    ...(within ? [within] : []),
    builder.visible(table, 't0'),
  ]);
  if (countRows(builder, where, work.env.aggregateMax + 1) > work.env.aggregateMax) throw aggregateLimitExceeded();

  const from = builder.from();
  const columns = [...groups.flatMap(groupColumns), ...values.map(({ sql }, index) => `${sql} AS "value${index}"`)];
  const by = groups.length === 0 ? '' : ` GROUP BY ${groups.map(({ compared }) => compared).join(', ')}${order}`;
  const found = work.env.store.all(`SELECT ${columns.join(', ')} ${from.text} WHERE ${where.text}${by}`, [
    ...from.values,
    ...where.values,
  ]);

  const write = createColumnWriter(work, preferences);
  const value = found.map((row) => {
    const json: Record<string, unknown> = {};
    for (const [index, group] of groups.entries()) {
      const stored = storedGroup(group, row, index);
      // A group of rows without a value has no property.
      if (stored[group.column.logicalName] !== null) write(json, group.table, [named(group)], stored);
    }
    for (const [index, { aggregate, column }] of values.entries()) {
      writeAggregate(json, aggregate, column, row[`value${index}`] ?? null, preferences);
    }
    return json;
  });
  const body = { '@odata.context': `${work.root}$metadata#${table.entitySetName}`, value };
  return { reply: jsonReply(200, body, appliedPreferences(preferences, {})), rows: value.length };
}

function groupOf(builder: QueryBuilder, path: PropertyPath): Group {
  const found = builder.column(path);
  const { column, table } = found;
  if (column.kind === 'datetime' || column.kind === 'dateonly') {
    throw badQuery(`The column '${column.property}' holds dates, by which rows cannot be grouped.`);
  }
  if (path.segments.length > 2) throw notEmulated(`groupby over more than one lookup (${path.segments.join('/')})`);
  const property = path.segments.length === 1 ? column.property : `${table.logicalName}_${column.logicalName}`;
  return { ...found, property, path };
}

/** The column under the name that the answer has for it. */
const named = ({ column, property }: Group): Column => ({ ...column, property });

/** Of texts that compare equal the first stands for the group. */
function groupColumns({ column, alias, qualified }: Group, index: number): string[] {
  const type = hasTypeColumn(column)
    ? [`min(${alias}.${identifier(typeColumn(column.logicalName))}) AS "type${index}"`]
    : [];
  return [`min(${qualified}) AS "group${index}"`, ...type];
}

const storedGroup = ({ column }: Group, row: StoredRow, index: number): StoredRow => ({
  [column.logicalName]: row[`group${index}`] ?? null,
  [typeColumn(column.logicalName)]: row[`type${index}`] ?? null,
});

const NUMBERS: ReadonlySet<Column['kind']> = new Set(['integer', 'bigint', 'decimal', 'double', 'money']);
const DATES: ReadonlySet<Column['kind']> = new Set(['datetime', 'dateonly']);

function computed(builder: QueryBuilder, aggregate: Aggregate): { sql: string; column: Column | undefined } {
  if (aggregate.method === 'count')
    return { sql: 'count(*)', column: builder.table.columns.get(builder.table.primaryId) };
  const { column, qualified, compared } = builder.column(aggregate.path);
  switch (aggregate.method) {
    case 'countdistinct':
      return { sql: `count(DISTINCT ${compared})`, column };
    case 'sum':
    case 'average':
      if (!NUMBERS.has(column.kind)) throw notAggregated(aggregate.method, column);
      // Documentation, "Aggregate data using FetchXml": the sum of no values is 0, their average nothing.
      return { sql: aggregate.method === 'sum' ? `ifnull(sum(${qualified}), 0)` : `avg(${qualified})`, column };
    case 'min':
    case 'max':
      if (!NUMBERS.has(column.kind) && !DATES.has(column.kind)) throw notAggregated(aggregate.method, column);
      return { sql: `${aggregate.method}(${qualified})`, column };
  }
}

const notAggregated = (method: string, column: Column) =>
  badQuery(`The method '${method}' cannot be used on the column '${column.property}'.`);

function refuseTwins(names: readonly string[]): void {
  const twin = names.find((name, index) => names.indexOf(name) !== index);
  if (twin !== undefined) throw badQuery(`The property '${twin}' is named more than once in $apply.`);
}

/** Groups come in the order of their values; only they can be sorted by. */
function orderOf(groups: readonly Group[], orderby: readonly OrderItem[] = []): string {
  const terms = orderby.map(({ path, direction }) => {
    const group = groups.find((one) => one.path.segments.join('/') === path.segments.join('/'));
    if (!group) throw orderByAggregate();
    return `${group.compared}${direction === 'desc' ? ' DESC' : ''}`;
  });
  const all = [...terms, ...groups.map(({ compared }) => compared)];
  return all.length === 0 ? '' : ` ORDER BY ${all.join(', ')}`;
}

function writeAggregate(
  json: Record<string, unknown>,
  { method, alias }: Aggregate,
  column: Column | undefined,
  value: StoredValue,
  preferences: Preferences,
): JsonObject {
  if (value === null || !column) return json;
  const counted = method === 'count' || method === 'countdistinct';
  // Documentation, "Aggregate data using FetchXml": the average of whole numbers is one.
  const whole = method === 'average' && (column.kind === 'integer' || column.kind === 'bigint');
  const stored = whole ? Math.trunc(Number(value)) : value;
  const formatted = counted ? Number(value).toLocaleString('en-US') : formatValue(column, stored);
  if (formatted !== undefined && preferences.wantsAnnotation(FORMATTED)) json[`${alias}@${FORMATTED}`] = formatted;
  if (preferences.wantsAnnotation(ATTRIBUTE_NAME)) json[`${alias}@${ATTRIBUTE_NAME}`] = column.logicalName;
  json[alias] = counted ? value : aggregatedValue(column, method, stored);
  return json;
}
