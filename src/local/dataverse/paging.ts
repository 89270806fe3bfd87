import { invalidArgument } from './errors.ts';
import type { StoredValue } from './store.ts';

/** Where a page ended: its number and the values of the sort columns, the primary id last, in its last row. */
export interface PageEnd {
  readonly page: number;
  readonly values: readonly StoredValue[];
}

/** A sort column as the cookie names it. */
export interface CookieColumn {
  readonly name: string;
  readonly first: StoredValue;
  readonly last: StoredValue;
}

/** Writes the `$skiptoken` that asks for the page after `page`, percent-encoded for a URL, in the service's form. */
export function writeSkipToken(page: number, columns: readonly CookieColumn[]): string {
  const members = columns.map(({ name, first, last }) => `<${name}${bound('last', last)}${bound('first', first)} />`);
  const inner = `<cookie page="${page}">${members.join('')}</cookie>`;
  const token = `<cookie pagenumber="${page + 1}" pagingcookie="${percentEncoded(inner)}" istracking="False" />`;
  return token.replace(/[^A-Za-z0-9=/_.~-]/g, (character) => encodeURIComponent(character));
}

/** Reads a decoded `$skiptoken`. Throws WireError 400 for anything that {@link writeSkipToken} did not write. */
export function readSkipToken(token: string, sortColumns: readonly { numeric: boolean }[]): PageEnd {
  const outer = /^<cookie pagenumber="(\d{1,9})" pagingcookie="([^"]*)" istracking="False" \/>$/.exec(token);
  const inner = decoded(outer?.[2]);
  const found = /^<cookie page="(\d{1,9})">(.*)<\/cookie>$/s.exec(inner ?? '');
  const values = [
    ...(found?.[2] ?? '').matchAll(/<[\w./]+ last(?:null="1"|="([^"]*)") first(?:null="1"|="[^"]*") \/>/g),
  ];
  if (!found || values.length !== sortColumns.length) throw invalidArgument('Malformed XML in the Paging Cookie');
  return {
    page: Number(found[1]),
    values: values.map((value, index) => cookieValue(value[1], sortColumns[index]?.numeric === true)),
  };
}

const GUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

function bound(name: 'first' | 'last', value: StoredValue): string {
  if (value === null) return ` ${name}null="1"`;
  const text = String(value);
  return ` ${name}="${GUID.test(text) ? `{${text.toUpperCase()}}` : escaped(text)}"`;
}

function cookieValue(text: string | undefined, numeric: boolean): StoredValue {
  if (text === undefined) return null;
  if (numeric) {
    const value = Number(text);
    if (Number.isNaN(value)) throw invalidArgument('Malformed XML in the Paging Cookie');
    return value;
  }
  return /^\{[0-9A-F-]{36}\}$/.test(text) ? text.slice(1, -1).toLowerCase() : unescaped(text);
}

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[character] ?? '&quot;');

const unescaped = (text: string): string =>
  text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&');

/** Percent-encoding with lower-case digits, as the service's cookies have it. */
const percentEncoded = (text: string): string =>
  encodeURIComponent(text)
    .replace(/[()'!*]/g, (character) => `%${character.charCodeAt(0).toString(16)}`)
    .replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());

function decoded(text: string | undefined): string | undefined {
  try {
    return decodeURIComponent(text ?? '');
  } catch {
    return undefined;
  }
}
