import { invalidArgument, WireError } from '../errors.ts';
import { percentEncoded } from '../paging.ts';
import type { StoredRow, StoredValue } from '../store.ts';
import type { SortTerm } from './order.ts';
import { escapeXml, parseXml, type XmlElement } from './xml.ts';

/** Where the page before ended, each value as its term is compared. */
export interface CookieEnd {
  readonly page: number;
  readonly values: readonly StoredValue[];
}

/**
 * The value of `@Microsoft.Dynamics.CRM.fetchxmlpagingcookie`: outside the number of the next page, inside, encoded
 * twice, the page that was read with its first and last row. Without terms it names the page only.
 */
export function pagingAnnotation(page: number, terms: readonly SortTerm[], rows: readonly StoredRow[]): string {
  const next = `<cookie pagenumber="${page + 1}"`;
  if (terms.length === 0) return `${next} istracking="False" />`;
  const members = terms.map(
    (term, index) =>
      `<${term.name}${bound('last', term, rows.at(-1), index)}${bound('first', term, rows[0], index)} />`,
  );
  const inner = `<cookie page="${page}">${members.join('')}</cookie>`;
  return `${next} pagingcookie="${percentEncoded(percentEncoded(inner))}" istracking="False" />`;
}

function bound(side: 'first' | 'last', { write }: SortTerm, row: StoredRow | undefined, index: number): string {
  const value = row?.[`sort${index}`] ?? null;
  return value === null ? ` ${side}null="1"` : ` ${side}="${escapeXml(write(value))}"`;
}

/** Reads the decoded `paging-cookie`. Throws WireError 400 for one that was not made for this order. */
export function readCookie(text: string, terms: readonly SortTerm[]): CookieEnd {
  const cookie = cookieElement(text);
  const page = cookie.attributes.get('page') ?? '';
  if (cookie.name !== 'cookie' || !/^\d{1,9}$/.test(page) || cookie.children.length !== terms.length) throw malformed();
  return { page: Number(page), values: terms.map((term, index) => endOf(term, cookie.children[index])) };
}

function cookieElement(text: string): XmlElement {
  try {
    return parseXml(text);
  } catch (error) {
    throw error instanceof WireError ? malformed() : error;
  }
}

function endOf({ name, read }: SortTerm, element: XmlElement | undefined): StoredValue {
  if (element?.name !== name) throw malformed();
  if (element.attributes.get('lastnull') === '1') return null;
  const value = read(element.attributes.get('last') ?? '');
  if (value === undefined || !element.attributes.has('last')) throw malformed();
  return value;
}

const malformed = () => invalidArgument('Malformed XML in the Paging Cookie');
