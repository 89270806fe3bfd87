import { statusDoesNotFit } from './errors.ts';
import type { Table } from './metadata.ts';
import { hasTypeColumn, type StoredRow, type StoredValue, typeColumn } from './store.ts';
import { factsOfTable } from './table-facts.ts';
import type { Work } from './work.ts';

type Values = Map<string, StoredValue>;

/**
 * What the platform fills in by itself where a registration leaves it out; the metadata calls these columns
 * SystemRequired. UNCONFIRMED which of them the service really insists on.
 */
const PLATFORM_DEFAULTS: Readonly<Record<string, Readonly<Record<string, StoredValue>>>> = {
  sdkmessageprocessingstep: {
    asyncautodelete: 0,
    canbebypassed: 1,
    iscustomizable: 1,
    ishidden: 0,
    supporteddeployment: 0,
    rank: 1,
    invocationsource: 0,
  },
  sdkmessageprocessingstepimage: { iscustomizable: 1 },
  serviceendpoint: { connectionmode: 1, iscustomizable: 1, path: '', solutionnamespace: '', userclaim: 1 },
};

/** Whole seconds, as the service keeps times. */
const nowOf = (work: Work): number => Math.floor(work.env.clock.now() / 1000) * 1000;

/** Adds to a new row what the service sets: id, owner, times, defaults and state. */
export function fillNewRow(work: Work, table: Table, values: Values): void {
  if (values.get(table.primaryId) == null) values.set(table.primaryId, work.env.newId());
  const fill = setter(table, values);
  for (const [name, value] of Object.entries(PLATFORM_DEFAULTS[table.logicalName] ?? {})) fill(name, value);
  for (const [name, value] of factsOfTable(table).defaults) fill(name, value);
  fillOwner(work, table, values);
  fillState(table, values, undefined);
  if (table.isActivity) fill('activitytypecode', table.logicalName);

  const now = nowOf(work);
  const overridden = values.get('overriddencreatedon') ?? null;
  if (overridden !== null) values.set('overriddencreatedon', now);
  fill('createdon', overridden ?? now);
  fill('createdby', work.caller.userId);
  fill('createdonbehalfby', work.caller.actor?.userId ?? null);
  fill('modifiedon', now);
  fill('modifiedby', work.caller.userId);
  fill('modifiedonbehalfby', work.caller.actor?.userId ?? null);
  fill('versionnumber', work.env.store.nextVersion());
}

/** Adds to a changed row what the service sets. `current` is the row as it is. */
export function fillChangedRow(work: Work, table: Table, values: Values, current: StoredRow): void {
  if (values.has('statecode') || values.has('statuscode')) fillState(table, values, current);
  if (values.has('ownerid')) fillOwner(work, table, values);
  const set = (name: string, value: StoredValue) => {
    if (table.columns.has(name)) values.set(name, value);
  };
  set('modifiedon', nowOf(work));
  set('modifiedby', work.caller.userId);
  set('modifiedonbehalfby', work.caller.actor?.userId ?? null);
  set('versionnumber', work.env.store.nextVersion());
}

const setter =
  (table: Table, values: Values) =>
  (name: string, value: StoredValue): void => {
    const column = table.columns.get(name);
    if (!column || column.kind === 'unsupported' || values.get(name) != null) return;
    values.set(name, value);
    const target = column.targets[0];
    if (hasTypeColumn(column) && target !== undefined) values.set(typeColumn(name), target);
  };

function fillOwner(work: Work, table: Table, values: Values): void {
  const set = (name: string, value: StoredValue) => {
    if (table.columns.has(name)) values.set(name, value);
  };
  if (table.columns.get('ownerid')?.kind === 'lookup') {
    const owner = values.get('ownerid') ?? work.caller.userId;
    const team = values.get(typeColumn('ownerid')) === 'team';
    values.set('ownerid', owner);
    values.set(typeColumn('ownerid'), team ? 'team' : 'systemuser');
    set('owninguser', team ? null : owner);
    set('owningteam', team ? owner : null);
    set('owningbusinessunit', businessUnitOf(work, team ? 'team' : 'systemuser', owner));
  }
  if (table.columns.get('organizationid')?.kind === 'lookup') set('organizationid', work.env.organization.id);
}

function businessUnitOf({ env, caller }: Work, table: 'systemuser' | 'team', id: StoredValue): StoredValue {
  if (id === caller.userId) return caller.businessUnitId;
  const owner = env.store.get(`SELECT businessunitid FROM ${table} WHERE ${table}id = ?`, [id]);
  return owner?.['businessunitid'] ?? caller.businessUnitId;
}

/** A state without a status takes the state's default status; a status alone must fit the state that the row has. */
function fillState(table: Table, values: Values, current: StoredRow | undefined): void {
  const stateColumn = table.columns.get('statecode');
  const statusColumn = table.columns.get('statuscode');
  if (stateColumn?.kind !== 'state') return;
  const first = stateColumn.options.keys().next().value;
  const initial = stateColumn.defaultValue ?? first ?? 0;
  const state = Number(values.get('statecode') ?? current?.['statecode'] ?? initial);
  values.set('statecode', state);
  if (statusColumn?.kind !== 'status') return;
  const statuses = [...statusColumn.options.values()];
  const given = values.get('statuscode');
  if (given == null) {
    const fallback = statuses.find((one) => one.state === state)?.value;
    values.set('statuscode', stateColumn.options.get(state)?.defaultStatus ?? fallback ?? null);
    return;
  }
  const belongsTo = statusColumn.options.get(Number(given))?.state;
  if (belongsTo !== undefined && belongsTo !== state) throw statusDoesNotFit(Number(given), state, table.logicalName);
}

/**
 * The columns that the service computes from others: full names, composed addresses, amounts in the base currency, the
 * mirrors of a contact's customer. `values` is what is written, `current` the row before.
 */
export function computeColumns(work: Work, table: Table, values: Values, current: StoredRow = {}): void {
  const read = (name: string): StoredValue => (values.has(name) ? values.get(name) : current[name]) ?? null;
  computeName(table, values, read, '', 'fullname');
  computeName(table, values, read, 'yomi', 'yomifullname');
  for (const prefix of ['address1', 'address2', 'address3']) computeAddress(table, values, read, prefix);
  computeMoney(work, table, values, read);
  if (table.logicalName === 'contact' && values.has('parentcustomerid')) {
    const type = read(typeColumn('parentcustomerid'));
    values.set('accountid', type === 'account' ? read('parentcustomerid') : null);
    values.set('parentcontactid', type === 'contact' ? read('parentcustomerid') : null);
  }
  if (table.logicalName === 'serviceendpoint' && table.columns.has('isauthvalueset')) {
    values.set('isauthvalueset', read('authvalue') === null ? 0 : 1);
  }
}

type Read = (name: string) => StoredValue;

function computeName(table: Table, values: Values, read: Read, prefix: string, target: string): void {
  const [first, last] = [`${prefix}firstname`, `${prefix}lastname`];
  if (!table.columns.has(target) || !table.columns.has(first)) return;
  if (!values.has(first) && !values.has(last)) return;
  values.set(target, [read(first), read(last)].filter((part) => part !== null).join(' ') || null);
}

const ADDRESS_PARTS = ['line1', 'line2', 'line3', 'city', 'stateorprovince', 'postalcode', 'country'];

function computeAddress(table: Table, values: Values, read: Read, prefix: string): void {
  const target = `${prefix}_composite`;
  if (!table.columns.has(target) || !ADDRESS_PARTS.some((part) => values.has(`${prefix}_${part}`))) return;
  const part = (name: string) => read(`${prefix}_${name}`);
  const region = [part('stateorprovince'), part('postalcode')].filter((one) => one !== null).join(' ');
  const town = [part('city'), region].filter((one) => one !== null && one !== '').join(', ');
  const lines = [part('line1'), part('line2'), part('line3'), town, part('country')];
  values.set(target, lines.filter((line) => line !== null && line !== '').join('\r\n') || null);
}

function computeMoney(work: Work, table: Table, values: Values, read: Read): void {
  if (!table.columns.has('transactioncurrencyid')) return;
  const bases = factsOfTable(table).baseAmounts;
  const written = bases.filter(({ calculationOf }) => values.has(calculationOf ?? ''));
  if (written.length === 0 && !values.has('transactioncurrencyid')) return;
  const amounts = written.some(({ calculationOf }) => read(calculationOf ?? '') !== null);
  if (amounts && read('transactioncurrencyid') === null) {
    values.set('transactioncurrencyid', work.env.organization.baseCurrencyId);
  }
  const currency = read('transactioncurrencyid');
  const rate =
    currency === null
      ? undefined
      : work.env.store.get('SELECT exchangerate FROM transactioncurrency WHERE transactioncurrencyid = ?', [currency]);
  const exchange = Number(rate?.['exchangerate'] ?? 1) || 1;
  if (table.columns.has('exchangerate')) values.set('exchangerate', currency === null ? null : exchange);
  for (const base of values.has('transactioncurrencyid') ? bases : written) {
    const amount = read(base.calculationOf ?? '');
    values.set(base.logicalName, amount === null ? null : Math.round((Number(amount) / exchange) * 1e4) / 1e4);
  }
}
