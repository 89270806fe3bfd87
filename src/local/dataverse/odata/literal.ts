import type { Literal } from './ast.ts';

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const INTEGER = /^-?\d+[Ll]?$/;
const DECIMAL = /^-?\d+\.\d+[Mm]?$|^-?\d+[Mm]$/;
const DOUBLE = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[FfDd]?$/;
const DATE = /^(\d{4})-(\d{2})-(\d{2})$/;
const DATE_TIME = /^(\d{4}-\d{2}-\d{2})T(\d{2}):(\d{2})(?::(\d{2})(\.\d{1,12})?)?(Z|[+-]\d{2}:\d{2})$/i;
const INT64 = { min: -(2n ** 63n), max: 2n ** 63n - 1n };

/** Reads an unquoted literal other than a name; undefined when it is none. */
export function parseBareLiteral(text: string): Literal | undefined {
  if (GUID.test(text)) return { kind: 'guid', value: text.toLowerCase() };
  if (DATE.test(text)) return isCalendarDate(text) ? { kind: 'date', value: text } : undefined;
  if (DATE_TIME.test(text)) return parseDateTime(text);
  return parseNumber(text);
}

/** `null`, `true`, `false`, `INF`, `NaN`: case-sensitive names that are literals. */
export function namedLiteral(name: string): Literal | undefined {
  switch (name) {
    case 'null':
      return { kind: 'null' };
    case 'true':
      return { kind: 'boolean', value: true };
    case 'false':
      return { kind: 'boolean', value: false };
    case 'INF':
      return { kind: 'double', value: Number.POSITIVE_INFINITY };
    case 'NaN':
      return { kind: 'double', value: Number.NaN };
    default:
      return undefined;
  }
}

function parseNumber(text: string): Literal | undefined {
  if (text === '-INF') return { kind: 'double', value: Number.NEGATIVE_INFINITY };
  if (INTEGER.test(text)) {
    const value = BigInt(text.replace(/[Ll]$/, ''));
    if (value >= INT64.min && value <= INT64.max) return { kind: 'integer', value };
    return text.match(/[Ll]$/) ? undefined : { kind: 'decimal', value: Number(text), text };
  }
  if (DECIMAL.test(text)) {
    const digits = text.replace(/[Mm]$/, '');
    return { kind: 'decimal', value: Number(digits), text: digits };
  }
  if (DOUBLE.test(text)) return { kind: 'double', value: Number(text.replace(/[FfDd]$/, '')) };
  return undefined;
}

// A time without seconds is completed and one without an offset refused, as Microsoft.OData.Core does.
function parseDateTime(text: string): Literal | undefined {
  const match = DATE_TIME.exec(text);
  if (!match) return undefined;
  const [, date = '', hour, minute, second = '00', fraction = '', offset = 'Z'] = match;
  if (!isCalendarDate(date)) return undefined;
  const value = Date.parse(`${date}T${hour}:${minute}:${second}${fraction.slice(0, 4)}${offset.toUpperCase()}`);
  return Number.isNaN(value) ? undefined : { kind: 'dateTimeOffset', value };
}

function isCalendarDate(text: string): boolean {
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}
