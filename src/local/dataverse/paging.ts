import { invalidArgument } from './errors.ts';
import type { StoredValue } from './store.ts';

/** Where a page ended: its number and the values of the sort columns, the primary id last, in its last row. */
export interface PageEnd {
  readonly page: number;
  readonly values: readonly StoredValue[];
}

/** Something that rows are sorted by, as the cookie names it. */
export interface CookieColumn {
  readonly name: string;
  readonly kind: 'number' | 'text' | 'guid';
}

/** The same with its values in the first and the last row of a page. */
export interface CookieBounds extends CookieColumn {
  readonly first: StoredValue;
  readonly last: StoredValue;
}

/**
 * Writes the `$skiptoken` that asks for the page after `page`, percent-encoded for a URL, in the service's form. Tokens of
 * queries with a nested `$expand` also tell how many rows the page had.
 */
export function writeSkipToken(page: number, columns: readonly CookieBounds[], countOfRecords?: number): string {
  const members = columns.map(
    ({ name, kind, first, last }) => `<${name}${bound('last', kind, last)}${bound('first', kind, first)} />`,
  );
  const count = countOfRecords === undefined ? '' : ` countOfRecords="${countOfRecords}"`;
  const inner = `<cookie page="${page}"${count}>${members.join('')}</cookie>`;
  const token = `<cookie pagenumber="${page + 1}" pagingcookie="${percentEncoded(inner)}" istracking="False" />`;
  return token.replace(/[^A-Za-z0-9=/_.~-]/g, (character) => encodeURIComponent(character));
}

/** Reads a decoded `$skiptoken`. Throws WireError 400 for anything that {@link writeSkipToken} did not write for the order. */
export function readSkipToken(token: string, columns: readonly CookieColumn[]): PageEnd {
  const outer = /^<cookie pagenumber="(\d{1,9})" pagingcookie="([^"]*)" istracking="False" \/>$/.exec(token);
  const inner = decoded(outer?.[2]);
  const found = /^<cookie page="(\d{1,9})"(?: countOfRecords="\d{1,9}")?>(.*)<\/cookie>$/s.exec(inner ?? '');
  let rest = found?.[2] ?? '';
  const values = columns.map(({ name, kind }) => {
    const member = MEMBER.exec(rest);
    if (member?.[1] !== name) throw malformed();
    rest = rest.slice(member[0].length);
    return cookieValue(member[2], kind);
  });
  if (!found || rest !== '' || Number(outer?.[1]) !== Number(found[1]) + 1) throw malformed();
  return { page: Number(found[1]), values };
}

const MEMBER = /^<([\w./]+) last(?:null="1"|="([^"]*)") first(?:null="1"|="[^"]*") \/>/;
const GUID = /^\{[0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12}\}$/;

const malformed = () => invalidArgument('Malformed XML in the Paging Cookie');

function bound(side: 'first' | 'last', kind: CookieColumn['kind'], value: StoredValue): string {
  if (value === null) return ` ${side}null="1"`;
  return ` ${side}="${kind === 'guid' ? `{${String(value).toUpperCase()}}` : escaped(String(value))}"`;
}

function cookieValue(text: string | undefined, kind: CookieColumn['kind']): StoredValue {
  if (text === undefined) return null;
  if (kind === 'text') return unescaped(text);
  if (kind === 'guid') {
    if (!GUID.test(text)) throw malformed();
    return text.slice(1, -1).toLowerCase();
  }
  const value = Number(text);
  if (text.trim() === '' || Number.isNaN(value)) throw malformed();
  return value;
}

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[character] ?? '&quot;');

const unescaped = (text: string): string =>
  text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&');

/** Percent-encoding with lower-case digits, as the service's cookies have it; half a surrogate pair cannot be encoded. */
export const percentEncoded = (text: string): string =>
  encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd'))
    .replace(/[()'!*]/g, (character) => `%${character.charCodeAt(0).toString(16)}`)
    .replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());

function decoded(text: string | undefined): string | undefined {
  try {
    return decodeURIComponent(text ?? '');
  } catch {
    return undefined;
  }
}
