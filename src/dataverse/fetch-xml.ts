import { SaxesParser } from 'saxes';
import { InputError } from './input-error.ts';
import { LONGEST_FETCH } from './wire/fetch.ts';

/** An element of a FetchXML query; text stands only where values are listed. */
export interface FetchElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly (FetchElement | string)[];
}

/** A FetchXML query that has been understood. */
export interface FetchQuery {
  readonly root: FetchElement;
  /** The table whose rows it reads. */
  readonly table: string;
  /** Every table that it reads, also those that it only passes through, by the names that stand in it. */
  readonly tables: readonly string[];
}

/** Elements of FetchXML, and what may stand in each ("FetchXML reference"). What is not here is refused, not passed on. */
const CHILDREN: Readonly<Record<string, readonly string[]>> = {
  fetch: ['entity'],
  entity: ['attribute', 'all-attributes', 'no-attrs', 'order', 'link-entity', 'filter'],
  'link-entity': ['attribute', 'all-attributes', 'no-attrs', 'order', 'link-entity', 'filter'],
  filter: ['condition', 'filter', 'link-entity'],
  condition: ['value'],
  attribute: [],
  'all-attributes': [],
  'no-attrs': [],
  order: [],
  value: [],
};

/** FetchXML allows 15 links, so that nothing sensible is nested deeper. */
const DEEPEST = 40;

const invalid = (message: string, hint?: string): InputError => new InputError('xml', 'xmlInvalid', message, { hint });

/**
 * Reads a FetchXML query. Strict: well-formed XML without document type, processing instructions and entities of its
 * own, known elements in their places, one entity. Throws InputError `xmlInvalid` for `xml`.
 */
export function parseFetchXml(text: string): FetchQuery {
  if (text.length > LONGEST_FETCH) throw invalid(`The query is longer than ${LONGEST_FETCH} characters.`);
  const root = parseXml(text, invalid);
  if (root.name !== 'fetch') throw invalid(`The outermost element is '${shown(root.name)}', not 'fetch'.`);
  assertPlaces(root);
  const elements = [...elementsIn(root)];
  const [entity, second] = elements.filter(({ name }) => name === 'entity');
  if (!entity || second) throw invalid('A query has one entity.');
  const linked = elements.filter(({ name }) => name === 'link-entity');
  const tables = [entity, ...linked].map(tableOf);
  assertNamesKnown(elements, [entity, ...linked]);
  return { root, table: tableOf(entity), tables: [...new Set(tables)] };
}

const shown = (text: string): string => text.slice(0, 60);

const LOGICAL_NAME = /^[A-Za-z][A-Za-z0-9_]{0,127}$/;

function tableOf({ name, attributes }: FetchElement): string {
  const table = attributes.get('name') ?? '';
  if (!LOGICAL_NAME.test(table)) throw invalid(`An element '${name}' does not name its table.`);
  return table;
}

function assertPlaces({ name, children }: FetchElement): void {
  for (const child of children) {
    if (typeof child === 'string') {
      if (name !== 'value' && child.trim() !== '') throw invalid(`There is text in an element '${name}'.`);
    } else if (!CHILDREN[name]?.includes(child.name)) {
      throw invalid(`An element '${shown(child.name)}' cannot stand in '${name}'.`);
    } else assertPlaces(child);
  }
}

/** Conditions may test columns of what is linked, by its alias or its table; other tables are out of reach. */
function assertNamesKnown(elements: readonly FetchElement[], entities: readonly FetchElement[]): void {
  const names = new Set(entities.flatMap(({ attributes }) => [attributes.get('name'), attributes.get('alias')]));
  for (const { attributes } of elements) {
    const named = attributes.get('entityname');
    if (named !== undefined && !names.has(named))
      throw invalid(`A condition names '${shown(named)}', which is not linked.`);
  }
}

function* elementsIn(element: FetchElement): Generator<FetchElement> {
  yield element;
  for (const child of element.children) if (typeof child !== 'string') yield* elementsIn(child);
}

type Refusal = (message: string) => Error;

/** Reads one XML element and all within it. Comments are dropped. Throws what `refusal` makes of a fault. */
function parseXml(text: string, refusal: Refusal): FetchElement {
  interface Open {
    readonly name: string;
    readonly attributes: ReadonlyMap<string, string>;
    readonly children: (FetchElement | string)[];
  }
  const document: Open = { name: '', attributes: new Map(), children: [] };
  const open = [document];
  const parser = new SaxesParser({ position: true });
  const refuse = (message: string): never => {
    throw refusal(`${message} (line ${parser.line}, column ${parser.column})`);
  };
  const addText = (part: string): void => {
    open.at(-1)?.children.push(part);
  };
  parser.on('error', ({ message }) => refuse(`It is no well-formed XML: ${message.replace(/^\d+:\d+: /, '')}`));
  parser.on('doctype', () => refuse('A document type is not taken.'));
  parser.on('processinginstruction', () => refuse('A processing instruction is not taken.'));
  parser.on('text', addText);
  parser.on('cdata', addText);
  parser.on('opentag', ({ name, attributes }) => {
    if (open.length > DEEPEST) refuse(`It is nested more than ${DEEPEST} levels deep.`);
    const element: Open = { name, attributes: new Map(Object.entries(attributes)), children: [] };
    open.at(-1)?.children.push(element);
    open.push(element);
  });
  parser.on('closetag', () => {
    open.pop();
  });
  parser.write(text).close();
  const [root] = document.children.filter((child) => typeof child !== 'string');
  if (!root) throw refusal('It holds no element.');
  return root;
}

const escapeText = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('\r', '&#13;');

/** In an attribute line ends and tabs would be read as blanks. */
const escapeAttribute = (text: string): string =>
  escapeText(text).replaceAll('"', '&quot;').replaceAll('\n', '&#10;').replaceAll('\t', '&#9;');

/** An element as XML. */
export function writeXml({ name, attributes, children }: FetchElement): string {
  const written = [...attributes].map(([attribute, value]) => ` ${attribute}="${escapeAttribute(value)}"`).join('');
  if (children.length === 0) return `<${name}${written} />`;
  const inner = children.map((child) => (typeof child === 'string' ? escapeText(child) : writeXml(child))).join('');
  return `<${name}${written}>${inner}</${name}>`;
}

/** Which page of a query is wanted. What is left out stays as the query has it. */
export interface FetchPage {
  readonly page?: number | undefined;
  readonly pageSize?: number | undefined;
  readonly cookie?: FetchCookie | undefined;
}

/**
 * The query with its page set. A cookie without a page number stands for the page behind its own. Throws InputError
 * where the query asks for its first rows only (`top`), which excludes pages.
 */
export function withPage(query: FetchElement, { page, pageSize, cookie }: FetchPage): FetchElement {
  if (page === undefined && pageSize === undefined && cookie === undefined) return query;
  if (query.attributes.has('top')) {
    throw new InputError('xml', 'topWithPaging', 'A query with top has no pages.', {
      hint: 'Leave out top, or page, pageSize and cookie.',
    });
  }
  const attributes = new Map(query.attributes);
  const number = page ?? (cookie && cookie.page + 1);
  if (pageSize !== undefined) attributes.set('count', String(pageSize));
  if (number !== undefined) attributes.set('page', String(number));
  if (number !== undefined) attributes.delete('paging-cookie');
  if (cookie) attributes.set('paging-cookie', cookie.text);
  return { ...query, attributes };
}

/** The number of the page that a query asks for. */
export const pageOf = ({ attributes }: FetchElement): number => {
  const page = Number(attributes.get('page') ?? 1);
  return Number.isSafeInteger(page) && page > 0 ? page : 1;
};

/** What the service needs to find the next page. */
export interface FetchCookie {
  /** `<cookie page="1"><accountid last="{…}" first="{…}" /></cookie>` */
  readonly text: string;
  /** The page that has been read. */
  readonly page: number;
}

const cookieInvalid = (message: string): InputError =>
  new InputError('cookie', 'cookieInvalid', `The cookie is none of Dataverse's: ${message}`, {
    hint: 'Give the cookie of the page before as it was.',
  });

/**
 * Reads a cookie in any of the forms in which it goes about: plain, percent-encoded once or twice, or as the
 * annotation that holds it percent-encoded twice ("Page results using FetchXML"). Throws InputError `cookieInvalid`.
 */
export function readCookie(text: string): FetchCookie {
  const plain = decoded(text);
  const element = parseXml(plain, cookieInvalid);
  if (element.name !== 'cookie') throw cookieInvalid(`it is an element '${shown(element.name)}'.`);
  const inner = element.attributes.get('pagingcookie');
  if (inner !== undefined) return readCookie(inner);
  const page = Number(element.attributes.get('page'));
  if (!Number.isSafeInteger(page) || page < 1) throw cookieInvalid('it has no page.');
  return { text: plain, page };
}

function decoded(text: string): string {
  let plain = text.trim();
  for (let round = 0; round < 2 && !plain.startsWith('<'); round += 1) {
    try {
      plain = decodeURIComponent(plain).trim();
    } catch {
      throw cookieInvalid('its percent-encoding is broken.');
    }
  }
  return plain;
}
