import type { Columns, ColumnValue, EventMessage, RowEvent, RowState } from './events/row-event.ts';
import type { Column, Table } from './metadata.ts';
import { readStored, targetOf } from './references.ts';
import type { StoredRow } from './store.ts';
import { eventValue, formatValue } from './values.ts';
import type { Work } from './work.ts';

/** Raises the event of a new row; `sent` are the columns of the request. */
export function raiseCreate(work: Work, table: Table, id: string, sent: ReadonlySet<string>): void {
  if (!listens(work, 'Create', table)) return;
  const after = readStored(work, table, id) ?? {};
  const all = columnsOf(table, after);
  work.events.push({
    ...facts(work, 'Create', table, id),
    columns: pick(all, (name) => sent.has(name)),
    derived: pick(all, (name) => !sent.has(name)),
    after: stateOf(table, after),
  });
}

/** Raises the event of a changed row; `sent` are the columns of the request. */
export function raiseUpdate(work: Work, table: Table, id: string, sent: ReadonlySet<string>, before: StoredRow): void {
  if (!listens(work, 'Update', table)) return;
  const after = readStored(work, table, id) ?? {};
  const derived = ['modifiedon', 'modifiedby'].filter((name) => table.columns.has(name));
  work.events.push({
    ...facts(work, 'Update', table, id),
    columns: named(table, after, sent),
    derived: named(table, after, derived),
    before: stateOf(table, before),
    after: stateOf(table, after),
  });
}

/** Raises the event of a deleted row. */
export function raiseDelete(work: Work, table: Table, id: string, before: StoredRow): void {
  if (!listens(work, 'Delete', table)) return;
  work.events.push({ ...facts(work, 'Delete', table, id), columns: {}, before: stateOf(table, before) });
}

const listens = (work: Work, message: EventMessage, table: Table): boolean =>
  work.env.steps.listening(message, table.logicalName).length > 0;

function facts(work: Work, message: EventMessage, table: Table, id: string): Omit<RowEvent, 'columns'> {
  const { caller } = work;
  const initiator = caller.actor ?? caller;
  return {
    message,
    table: table.logicalName,
    id,
    primaryIdColumn: table.primaryId,
    ...(table.primaryName === undefined ? {} : { primaryNameColumn: table.primaryName }),
    userId: caller.userId,
    initiatingUserId: initiator.userId,
    businessUnitId: caller.businessUnitId,
    ...(caller.objectId === undefined ? {} : { userObjectId: caller.objectId }),
    ...(initiator.objectId === undefined ? {} : { initiatingUserObjectId: initiator.objectId }),
    correlationId: work.correlationId,
    requestId: work.requestId,
    operationTime: work.env.clock.now(),
    depth: 1,
    ...(work.tag === undefined ? {} : { sharedVariables: { tag: work.tag } }),
  };
}

function columnsOf(table: Table, row: StoredRow): Columns {
  const found: Record<string, ColumnValue> = {};
  for (const column of table.columns.values()) {
    const value = row[column.logicalName];
    if (value === null || value === undefined || isHidden(column)) continue;
    found[column.logicalName] = eventValue(column, value, targetOf(column, row));
  }
  return found;
}

/** The named columns, those that were cleared included. */
function named(table: Table, row: StoredRow, names: Iterable<string>): Columns {
  const found: Record<string, ColumnValue> = {};
  for (const name of names) {
    const column = table.columns.get(name);
    if (column && !isHidden(column)) found[name] = eventValue(column, row[name], targetOf(column, row));
  }
  return found;
}

function stateOf(table: Table, row: StoredRow): RowState {
  const formatted: Record<string, string> = {};
  for (const column of table.columns.values()) {
    const text = formatValue(column, row[column.logicalName]);
    if (text !== undefined) formatted[column.logicalName] = text;
  }
  return { columns: columnsOf(table, row), formatted };
}

/** Write-only columns, such as a webhook's secret, leave the database for nobody. */
const isHidden = (column: Column): boolean => !column.validForRead || column.kind === 'unsupported';

const pick = (columns: Columns, test: (name: string) => boolean): Columns =>
  Object.fromEntries(Object.entries(columns).filter(([name]) => test(name)));
