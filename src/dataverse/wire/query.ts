import { rowAnnotations } from './annotations.ts';
import { encode } from './literals.ts';

const NAMESPACE = 'Microsoft.Dynamics.CRM.';

/**
 * The Web API's name of a query function, given with its namespace or without; undefined for what cannot be one (Web
 * API query function reference: all of them are named in upper camel case, and apply to one column).
 */
export function queryFunction(name: string): string | undefined {
  const own = name.startsWith(NAMESPACE) ? name.slice(NAMESPACE.length) : name;
  return /^[A-Z][A-Za-z]{1,59}$/.test(own) ? NAMESPACE + own : undefined;
}

/** The argument that names a function's column. */
export const FUNCTION_COLUMN = 'PropertyName';

/** Parts of a query in OData text, not yet percent-encoded. */
export interface QueryParts {
  readonly select?: string | undefined;
  readonly filter?: string | undefined;
  readonly orderBy?: string | undefined;
  readonly expand?: string | undefined;
  readonly count?: boolean | undefined;
}

const options = ({ select, filter, orderBy, expand, count }: QueryParts): [string, string | undefined][] => [
  ['$select', select],
  ['$filter', filter],
  ['$orderby', orderBy],
  ['$expand', expand],
  ['$count', count ? 'true' : undefined],
];

/** An address with a query behind it; each part is percent-encoded, so that it ends where it should. */
export function queryPath(address: string, parts: QueryParts): string {
  const given = options(parts).flatMap(([name, text]) => (text === undefined ? [] : [`${name}=${encode(text)}`]));
  return given.length > 0 ? `${address}?${given.join('&')}` : address;
}

/** What stands in the brackets behind an expanded navigation property. */
export function expandOptions(parts: QueryParts & { readonly top?: number | undefined }): string {
  const top: [string, string | undefined] = ['$top', parts.top === undefined ? undefined : String(parts.top)];
  const given = [...options(parts), top].flatMap(([name, text]) => (text === undefined ? [] : [`${name}=${text}`]));
  return given.length > 0 ? `(${given.join(';')})` : '';
}

/** Headers of a request that reads rows. */
export const readHeaders = (formatted: boolean, pageSize?: number): Record<string, string> => ({
  prefer: [rowAnnotations(formatted), ...(pageSize === undefined ? [] : [`odata.maxpagesize=${pageSize}`])].join(','),
});
