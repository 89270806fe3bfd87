import { InputError } from '../../dataverse/input-error.ts';
import { encode } from '../../dataverse/wire/literals.ts';

/** Where a raw request goes: below the Web API of the connection's own environment, nowhere else. */
export interface RawAddress {
  /** `v9.1`, where the path names a version. */
  readonly version: string | undefined;
  /** Segments of the path below the version, decoded. None is empty, leads upwards or holds a slash. */
  readonly segments: readonly string[];
  /** Query options by name, decoded. */
  readonly query: ReadonlyMap<string, string>;
}

/** Values of query options that stand besides those in the path. */
export type RawQuery = Readonly<Record<string, string | number | boolean>>;

const LONGEST = 32_768;

const refuse = (path: string, code: string, message: string, hint?: string): never => {
  throw new InputError(path, code, message, { hint });
};
const refusePath = (message: string): never =>
  refuse('path', 'pathInvalid', message, 'Give a path below the Web API, such as accounts?$select=name.');

/**
 * Reads a path with or without `/api/data/v9.x/`, and the query options in it and besides it. What could lead to
 * another host, another part of this one, or into a header is refused, in any encoding. Throws InputError.
 */
export function parseAddress(text: string, query: RawQuery = {}): RawAddress {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the very characters to be found
  if (/[\u0000-\u001f\u007f]/.test(text)) refusePath('The path holds a control character.');
  if (text.includes('\\')) refusePath('The path holds a backslash.');
  if (text.includes('#')) refusePath('The path holds a fragment.');
  const cut = text.indexOf('?');
  const path = (cut < 0 ? text : text.slice(0, cut)).replace(/^\//, '');
  refuseScheme(path);
  const [, version, below = path] = /^api\/data\/(v9\.[0-2])(?:\/(.*))?$/i.exec(path) ?? [];
  if (version === undefined && /^api(\/|$)/i.test(path)) refusePath('The path names no version that is served.');
  const own = version !== undefined && below === path ? '' : below;
  const segments = own === '' ? [] : own.replace(/\/$/, '').split('/').map(segment);
  refuseScheme(segments[0] ?? '');
  const address = {
    version: version?.toLowerCase(),
    segments,
    query: mergedQuery(cut < 0 ? '' : text.slice(cut + 1), query),
  };
  if (writeAddress(address).length > LONGEST)
    refuse('path', 'pathTooLong', `The path is longer than ${LONGEST} characters.`);
  return address;
}

function refuseScheme(path: string): void {
  if (/^[a-z][a-z0-9+.-]*:/i.test(path)) refusePath('The path names a scheme; the host is fixed.');
}

/** A part of the path, decoded once; what it would become with more decoding must not lead anywhere else either. */
function segment(encoded: string): string {
  if (encoded === '') refusePath('The path holds two slashes in a row.');
  const decoded = decodeOnce(encoded) ?? refusePath('The path’s percent-encoding is broken.');
  for (let text = decoded; ; ) {
    if (/^\s*\.\.?\s*$/.test(text)) refusePath('The path leads upwards.');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the very characters to be found
    if (/[/\\?#\u0000-\u001f\u007f]/.test(text)) {
      refusePath('The path holds an encoded slash, backslash, question mark, fragment or control character.');
    }
    const further = decodeOnce(text);
    if (further === undefined || further === text) return decoded;
    text = further;
  }
}

function decodeOnce(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

const OPTION = /^[$@]?[A-Za-z_][\w.-]{0,99}$/;

function mergedQuery(text: string, besides: RawQuery): ReadonlyMap<string, string> {
  const merged = new Map<string, string>();
  const add = (path: string, name: string, value: string): void => {
    if (!OPTION.test(name)) refuse(path, 'queryInvalid', `'${name.slice(0, 60)}' is no name of a query option.`);
    if (merged.has(name)) refuse(path, 'queryTwice', `The query option '${name}' is given twice.`);
    merged.set(name, value);
  };
  for (const pair of text.split('&').filter((each) => each !== '')) {
    const cut = pair.indexOf('=');
    const [name, value] = [cut < 0 ? pair : pair.slice(0, cut), cut < 0 ? '' : pair.slice(cut + 1)].map((part) =>
      decodeOnce(part.replaceAll('+', ' ')),
    );
    if (name === undefined || value === undefined) return refusePath('The query’s percent-encoding is broken.');
    add('path', name, value);
  }
  for (const [name, value] of Object.entries(besides)) add(`query.${name.slice(0, 60)}`, name, String(value));
  return merged;
}

/** Characters that a path may have as they are, besides those that are never encoded. */
const PLAIN: Readonly<Record<string, string>> = {
  '%24': '$',
  '%3D': '=',
  '%2C': ',',
  '%3A': ':',
  '%40': '@',
  '%3B': ';',
};

/** The address below the Web API's root of the connection, encoded. */
export function writeAddress({ segments, query }: Omit<RawAddress, 'version'>): string {
  const path = segments
    .map((each) => encodeURIComponent(each).replaceAll(/%(?:24|3D|2C|3A|40|3B)/g, (found) => PLAIN[found] ?? found))
    .join('/');
  const options = [...query].map(([name, value]) => `${name}=${encode(value)}`);
  return options.length > 0 ? `${path}?${options.join('&')}` : path;
}
