import type { FilterExpression, Literal, Predicate } from './ast.ts';

/** A literal as OData text, not percent-encoded. */
export function formatLiteral(literal: Literal): string {
  throw new Error(String(literal));
}

/** The key with its parentheses, string values percent-encoded: `(accountid)`, `(accountnumber='A%2F1')`. */
export function formatKey(key: Predicate): string {
  throw new Error(String(key));
}

/** A filter as text that parses to the same tree. */
export function formatFilter(filter: FilterExpression): string {
  throw new Error(String(filter));
}
