import type { FilterExpression, QueryOptions } from './ast.ts';

/** Parses what stands after the `?`, percent-encoded. Throws ODataSyntaxError and ODataNotEmulatedError. */
export function parseQuery(rawQuery: string): QueryOptions {
  throw new Error(rawQuery);
}

/** Parses the decoded text of `$filter`. Throws ODataSyntaxError and ODataNotEmulatedError. */
export function parseFilter(text: string, aliases?: ReadonlyMap<string, string>): FilterExpression {
  throw new Error(`${text}${aliases}`);
}
