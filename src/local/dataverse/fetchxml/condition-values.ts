import { isGuid } from '../../../shared/ids.ts';
import { notEmulated } from '../errors.ts';
import type { Column } from '../metadata.ts';
import type { ColumnInQuery } from '../sql.ts';
import { fold, type StoredValue } from '../store.ts';
import { badCondition } from './errors.ts';

/** A value of a condition as the column is compared. Throws WireError 400 when the text is none for the column. */
export function conditionValue({ table, column }: ColumnInQuery, text: string): StoredValue {
  const value = convert(column, text.trim(), text);
  if (value !== undefined) return value;
  throw badCondition(
    `${table.logicalName}.${column.logicalName}`,
    `expected argument(s) of type '${TYPES[column.kind] ?? 'System.String'}' but received 'System.String'.`,
  );
}

const TYPES: Readonly<Partial<Record<Column['kind'], string>>> = {
  integer: 'System.Int32',
  choice: 'System.Int32',
  state: 'System.Int32',
  status: 'System.Int32',
  choices: 'System.Int32',
  bigint: 'System.Int64',
  decimal: 'System.Decimal',
  money: 'System.Decimal',
  double: 'System.Double',
  boolean: 'System.Boolean',
  managed: 'System.Boolean',
  datetime: 'System.DateTime',
  dateonly: 'System.DateTime',
  guid: 'System.Guid',
  lookup: 'System.Guid',
};

function convert(column: Column, text: string, written: string): StoredValue | undefined {
  switch (column.kind) {
    case 'text':
    case 'memo':
    case 'entityname':
      return fold(written);
    case 'integer':
    case 'bigint':
      return wholeNumber(text);
    case 'choice':
    case 'state':
    case 'status':
      return wholeNumber(text) ?? optionOf(column, text);
    case 'choices':
      return choicesOf(text);
    case 'decimal':
    case 'money':
    case 'double':
      return text === '' || !Number.isFinite(Number(text)) ? undefined : Number(text);
    case 'boolean':
    case 'managed':
      return FLAGS.get(text.toLowerCase());
    case 'datetime':
    case 'dateonly':
      return timeOf(text);
    case 'guid':
    case 'lookup':
      return guidOf(text);
    case 'unsupported':
      throw notEmulated(`A condition on ${column.logicalName}`);
  }
}

const FLAGS: ReadonlyMap<string, number> = new Map([
  ['1', 1],
  ['true', 1],
  ['0', 0],
  ['false', 0],
]);

const wholeNumber = (text: string): number | undefined => (/^[+-]?\d{1,18}$/.test(text) ? Number(text) : undefined);

/** Official samples name a state by its label (`statecode eq Won`). */
function optionOf({ options }: Column, label: string): number | undefined {
  for (const option of options.values()) if (option.label.toLowerCase() === label.toLowerCase()) return option.value;
  return undefined;
}

/** In the form in which choices are stored. */
function choicesOf(text: string): string | undefined {
  const values = text.split(',').map((one) => wholeNumber(one.trim()));
  if (values.includes(undefined)) return undefined;
  return values.sort((a = 0, b = 0) => a - b).join(',');
}

function guidOf(text: string): string | undefined {
  const bare = text.replace(/^\{(.*)\}$/, '$1');
  return isGuid(bare) ? bare.toLowerCase() : undefined;
}

const ISO = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?(?:Z|([+-])(\d\d):?(\d\d))?)?$/i;
const AMERICAN = /^(\d{1,2})\/(\d{1,2})\/(\d{4})(?: (\d{1,2}):(\d\d)(?::(\d\d))?(?: ?([AP]M))?)?$/i;

/** Milliseconds UTC of a time; one without an offset is in the user's time zone, which is UTC for application users. */
export function timeOf(text: string): number | undefined {
  const iso = ISO.exec(text);
  if (iso) {
    const [, year, month, day, hour, minute, second, sign, hours, minutes] = iso;
    const offset = (Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * (sign === '-' ? -1 : 1);
    const ms = utc(year, month, day, hour, minute, second);
    return ms === undefined ? undefined : ms - offset * 60_000;
  }
  const american = AMERICAN.exec(text);
  if (!american) return undefined;
  const [, month, day, year, hour, minute, second, half] = american;
  const afternoon = half === undefined ? 0 : half.toUpperCase() === 'PM' ? 12 : 0;
  const hours = half === undefined ? Number(hour ?? 0) : (Number(hour) % 12) + afternoon;
  return utc(year, month, day, String(hours), minute, second);
}

function utc(...parts: readonly (string | undefined)[]): number | undefined {
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = parts.map((part) => Number(part ?? 0));
  const ms = Date.UTC(year, month - 1, day, hour, minute, second);
  const date = new Date(ms);
  const same =
    date.getUTCMonth() === month - 1 &&
    date.getUTCDate() === day &&
    date.getUTCHours() === hour &&
    date.getUTCMinutes() === minute;
  return same ? ms : undefined;
}
