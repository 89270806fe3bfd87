import { RequestError } from './problem.ts';

function invalid(name: string, message: string): RequestError {
  return new RequestError(400, 'queryInvalid', message, { errors: [{ path: name, code: 'queryInvalid', message }] });
}

/** A query value that must be one of a few. Throws RequestError `queryInvalid`, as all functions here do. */
export function oneOf<const T extends string>(
  query: URLSearchParams,
  name: string,
  values: readonly T[],
  fallback: T,
): T {
  const text = query.get(name);
  if (text === null) return fallback;
  const found = values.find((value) => value === text);
  if (found === undefined) throw invalid(name, `'${name}' must be ${values.join(', ')}.`);
  return found;
}

/** `pageSize`, a whole number from 1. */
export function pageSize(query: URLSearchParams, { fallback, largest }: { fallback: number; largest: number }): number {
  const text = query.get('pageSize');
  if (text === null) return fallback;
  const size = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (size < 1 || size > largest) throw invalid('pageSize', `'pageSize' must be a whole number from 1 to ${largest}.`);
  return size;
}

/** true or false. */
export const flag = (query: URLSearchParams, name: string): boolean =>
  oneOf(query, name, ['true', 'false'], 'false') === 'true';

/** A time in ISO 8601, as milliseconds since 1970. */
export function timeOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const time = /^\d{4}-\d{2}-\d{2}(T|$)/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) throw invalid(name, `'${name}' must be a time such as 2026-05-31T10:00:00Z.`);
  return time;
}
