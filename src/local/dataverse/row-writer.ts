import type { JsonObject } from './json-object.ts';
import type { Table } from './metadata.ts';
import { cookieBounds, selectRows, sortColumns, storedColumns } from './page-sql.ts';
import { writeSkipToken } from './paging.ts';
import type { Preferences } from './preferences.ts';
import type { Expand, Projection } from './projection.ts';
import { QueryBuilder } from './query-sql.ts';
import { etagOf, targetOf } from './references.ts';
import { type ColumnWriter, createColumnWriter } from './rows.ts';
import { allOf } from './sql.ts';
import { identifier, type StoredRow } from './store.ts';
import type { Work } from './work.ts';

/** Writes rows with what is expanded below them in the JSON form of the service. */
export interface RowWriter {
  /** One row, as the whole answer. */
  one(row: StoredRow, projection: Projection, context: string): JsonObject;
  /** The rows of a set. */
  many(rows: readonly StoredRow[], projection: Projection): JsonObject[];
}

/** The SQL columns that a {@link RowWriter} needs. */
export const columnsFor = ({ table, columns, expands }: Projection): string[] =>
  storedColumns(table, [
    ...columns,
    ...expands.flatMap((expand) => (expand.kind === 'collection' ? [] : [expand.navigation.column])),
  ]);

/** Makes a writer; one per answer. */
export function createRowWriter(work: Work, preferences: Preferences): RowWriter {
  const columns = createColumnWriter(work, preferences);
  const pageSize = Math.min(preferences.maxPageSize ?? work.env.pageSizeMax, work.env.pageSizeMax);
  const answer = (form: Answer['form'], { nested }: Projection): Answer => ({ work, columns, pageSize, form, nested });
  return {
    one(row, projection, context) {
      const [json] = writeRows(answer('one', projection), [row], projection, true);
      return { '@odata.context': context, ...json };
    },
    many: (rows, projection) => writeRows(answer('many', projection), rows, projection, true),
  };
}

/** What holds for all rows of an answer, those below others included. */
interface Answer {
  readonly work: Work;
  readonly columns: ColumnWriter;
  /** Of collections below a nested `$expand`. */
  readonly pageSize: number;
  readonly form: 'one' | 'many';
  readonly nested: boolean;
}

function writeRows(
  answer: Answer,
  rows: readonly StoredRow[],
  projection: Projection,
  etags: boolean,
): Record<string, unknown>[] {
  const written = rows.map((row) => {
    const json: Record<string, unknown> = etags ? { '@odata.etag': etagOf(row) } : {};
    answer.columns(json, projection.table, projection.columns, row);
    return json;
  });
  for (const expand of projection.expands) {
    if (expand.kind === 'reference') addReferences(answer, expand, rows, written);
    else if (expand.kind === 'lookup') addLookups(answer, expand, rows, written);
    else addCollections(answer, expand, projection.table, rows, written);
  }
  return written;
}

function addReferences(
  { work }: Answer,
  { navigation }: Extract<Expand, { kind: 'reference' }>,
  rows: readonly StoredRow[],
  written: readonly Record<string, unknown>[],
): void {
  for (const [index, json] of written.entries()) {
    const row = rows[index] ?? {};
    const target = tableBehind(work, navigation, row);
    const url = target && `${work.root}${target.entitySetName}(${row[navigation.column.logicalName]})`;
    json[navigation.name] = url === undefined ? null : { '@odata.id': url };
  }
}

function addLookups(
  answer: Answer,
  { navigation, of }: Extract<Expand, { kind: 'lookup' }>,
  rows: readonly StoredRow[],
  written: readonly Record<string, unknown>[],
): void {
  const { work } = answer;
  const idsByTable = new Map<Table, Set<string>>();
  for (const row of rows) {
    const target = tableBehind(work, navigation, row);
    const id = row[navigation.column.logicalName];
    if (target && typeof id === 'string') idsByTable.set(target, (idsByTable.get(target) ?? new Set()).add(id));
  }
  const found = new Map<string, unknown>();
  for (const [table, ids] of idsByTable) {
    const projection = of(table);
    const builder = new QueryBuilder(work, table);
    const primaryId = identifier(table.primaryId);
    const named = { text: `t0.${primaryId} IN (SELECT value FROM json_each(?))`, values: [JSON.stringify([...ids])] };
    const related = selectRows(builder, {
      sort: [],
      where: allOf([named, builder.visible(table, 't0')]),
      after: undefined,
      limit: ids.size,
      columns: columnsFor(projection),
    });
    // Documentation, "Join tables using OData": only below one row do rows behind lookups carry an ETag.
    const json = writeRows(answer, related, projection, answer.form === 'one');
    // A navigation property that leads to several tables tells which one it is.
    const type =
      navigation.target === undefined ? { '@odata.type': `#Microsoft.Dynamics.CRM.${table.logicalName}` } : {};
    for (const [index, row] of related.entries()) found.set(String(row[table.primaryId]), { ...type, ...json[index] });
  }
  for (const [index, json] of written.entries()) {
    json[navigation.name] = found.get(String(rows[index]?.[navigation.column.logicalName])) ?? null;
  }
}

function addCollections(
  answer: Answer,
  expand: Extract<Expand, { kind: 'collection' }>,
  owner: Table,
  rows: readonly StoredRow[],
  written: readonly Record<string, unknown>[],
): void {
  const { work, nested, form, pageSize } = answer;
  const { related, item, projection } = expand;
  const builder = new QueryBuilder(work, related.table);
  const sort = sortColumns(builder, item.orderby);
  const wanted = allOf([
    ...(item.filter ? [builder.condition(item.filter)] : []),
    builder.visible(related.table, 't0'),
  ]);
  const most = nested ? pageSize : Math.min(item.top ?? work.env.pageSizeMax, work.env.pageSizeMax);
  const columns = columnsFor(projection);
  const groups = rows.map((row) => {
    const ownerId = { text: '?', values: [row[owner.primaryId] ?? null] };
    const where = allOf([related.belongs('t0', ownerId), wanted]);
    return selectRows(builder, { sort, where, after: undefined, limit: most, columns });
  });
  const json = writeRows(answer, groups.flat(), projection, form === 'one' || !nested);
  let from = 0;
  for (const [index, group] of groups.entries()) {
    const target = written[index] ?? {};
    target[expand.name] = json.slice(from, from + group.length);
    from += group.length;
    const link = `${work.root}${owner.entitySetName}(${rows[index]?.[owner.primaryId]})/${expand.name}`;
    const token = writeSkipToken(1, cookieBounds(sort, group), group.length);
    const options = [...item.text.map(encodedOption), ...(nested ? [`$skiptoken=${token}`] : [])];
    // With a nested $expand the link leads to the next page, otherwise to the whole collection.
    if (nested ? group.length < most : form === 'one') continue;
    target[`${expand.name}@odata.nextLink`] = options.length === 0 ? link : `${link}?${options.join('&')}`;
  }
}

/** The table of the row that a lookup points to, when the navigation property leads there. */
function tableBehind(
  work: Work,
  { column, target }: Extract<Expand, { kind: 'lookup' }>['navigation'],
  row: StoredRow,
): Table | undefined {
  const type = row[column.logicalName] === null ? undefined : targetOf(column, row);
  return type === undefined || (target ?? type) !== type ? undefined : work.env.catalog.table(type);
}

const encodedOption = (option: string): string =>
  option.replace(/\p{Surrogate}/gu, '\ufffd').replace(/[^A-Za-z0-9$=,()/':;@._~!*-]+/g, encodeURIComponent);
