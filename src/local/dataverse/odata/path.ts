import type { PathSegment } from './ast.ts';

/**
 * Parses a percent-encoded path below `/api/data/vX.Y/`, such as `accounts(accountnumber='A%2F1')/primarycontactid/$ref`.
 * `aliases` are those of {@link parseQuery}. Throws ODataSyntaxError.
 */
export function parsePath(rawPath: string, aliases?: ReadonlyMap<string, string>): PathSegment[] {
  throw new Error(`${rawPath}${aliases}`);
}

/** The part of a URL (absolute, from the host, or relative, with or without leading slashes) that {@link parsePath} takes, and its query. */
export function splitUrl(url: string): { path: string; query: string; version?: string } {
  throw new Error(url);
}
