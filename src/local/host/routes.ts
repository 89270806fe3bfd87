/**
 * Route templates as ASP.NET Core reads them: literal segments (case-insensitive), `{name}`, `{name?}`, `{*rest}` and
 * parameters with a constraint. Anything else is refused, so that no route is matched otherwise than in Azure.
 */

interface Parameter {
  name: string;
  /** Accepts the whole segment; undefined = anything. */
  constraint: string | undefined;
  optional: boolean;
  catchAll: boolean;
}

type Segment = { literal: string } | { parameter: Parameter };

export interface RouteTemplate {
  readonly text: string;
  readonly segments: readonly Segment[];
}

/** Route values by parameter name; a parameter without a value is absent. */
export type RouteValues = Record<string, string>;

const fits = (text: string, limit: bigint): boolean =>
  /^-?\d{1,19}$/.test(text) && BigInt(text) >= -limit && BigInt(text) < limit;

// https://learn.microsoft.com/aspnet/core/fundamentals/routing#route-constraints
const CONSTRAINTS: Record<string, (value: string) => boolean> = {
  int: (value) => fits(value, 2n ** 31n),
  long: (value) => fits(value, 2n ** 63n),
  bool: (value) => /^(true|false)$/i.test(value),
  alpha: (value) => /^[a-z]*$/i.test(value),
  guid: (value) => /^(\{|\()?[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}(\}|\))?$|^[0-9a-f]{32}$/i.test(value),
};

const PARAMETER = /^\{(\*{0,2})([a-z_][a-z0-9_]*)(?::([^:?=]+))?(\?)?\}$/i;

/** Parses a template; throws an `Error` that says what is not understood. */
export function parseTemplate(text: string): RouteTemplate {
  if (/^[/~]/.test(text)) throw new Error(`the route '${text}' must not start with '/' or '~'`);
  const parts = text === '' ? [] : text.replace(/\/$/, '').split('/');
  const segments = parts.map((part) => parseSegment(part, text));
  const names = segments.flatMap((segment) => ('parameter' in segment ? [segment.parameter.name.toLowerCase()] : []));
  if (new Set(names).size < names.length) throw new Error(`the route '${text}' uses a parameter name twice`);
  for (const segment of segments.slice(0, -1)) {
    if ('parameter' in segment && (segment.parameter.optional || segment.parameter.catchAll)) {
      throw new Error(`in the route '${text}' {${segment.parameter.name}} must be the last segment`);
    }
  }
  return { text, segments };
}

function parseSegment(part: string, route: string): Segment {
  if (part === '') throw new Error(`the route '${route}' has an empty segment`);
  if (!/[{}?*]/.test(part)) return { literal: part };
  const match = PARAMETER.exec(part);
  const [, stars, name, constraint, optional] = match ?? [];
  if (!name || (stars && optional)) throw new Error(`the route segment '${part}' is not supported`);
  if (constraint !== undefined && !Object.hasOwn(CONSTRAINTS, constraint)) {
    throw new Error(`the route constraint '${constraint}' is not supported`);
  }
  return { parameter: { name, constraint, optional: optional !== undefined, catchAll: Boolean(stars) } };
}

/** The values of a path's segments, or undefined if the path does not match. */
export function matchTemplate(template: RouteTemplate, path: readonly string[]): RouteValues | undefined {
  const values: RouteValues = {};
  let position = 0;
  for (const segment of template.segments) {
    const value = path[position];
    position += 1;
    if ('literal' in segment) {
      if (value?.toLowerCase() !== segment.literal.toLowerCase()) return undefined;
      continue;
    }
    const { name, catchAll, optional, constraint } = segment.parameter;
    const text = catchAll ? path.slice(position - 1).join('/') : value;
    if (text === undefined || text === '') {
      if (!catchAll && !(optional && text === undefined)) return undefined;
    } else {
      if (constraint !== undefined && CONSTRAINTS[constraint]?.(text) !== true) return undefined;
      values[name] = text;
    }
    if (catchAll) return values;
  }
  return path.length > template.segments.length ? undefined : values;
}

/** Orders templates so that the first match is the one that ASP.NET Core takes: literals before parameters. */
export function byPrecedence(left: RouteTemplate, right: RouteTemplate): number {
  for (let index = 0; index < Math.max(left.segments.length, right.segments.length); index += 1) {
    const difference = precedence(left.segments[index]) - precedence(right.segments[index]);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** True if both templates match the same paths, apart from what a constraint excludes. */
export const sameShape = (left: RouteTemplate, right: RouteTemplate): boolean => shape(left) === shape(right);

const shape = (template: RouteTemplate): string =>
  template.segments
    .map((segment) =>
      'literal' in segment ? segment.literal.toLowerCase() : `{${segment.parameter.constraint}${precedence(segment)}}`,
    )
    .join('/');

/** As `RoutePrecedence.ComputeInbound` of ASP.NET Core. */
function precedence(segment: Segment | undefined): number {
  if (!segment) return 0;
  if ('literal' in segment) return 1;
  const { catchAll, constraint } = segment.parameter;
  return (catchAll ? 4 : 2) + (constraint === undefined ? 1 : 0);
}

/**
 * The decoded segments of a request's path. Azure decodes before it routes, so that `%2F` splits a segment.
 * Undefined if the percent-encoding is malformed.
 */
export function pathSegments(path: string): string[] | undefined {
  try {
    const segments = decodeURIComponent(path).replace(/^\//, '').replace(/\/$/, '').split('/');
    return segments.length === 1 && segments[0] === '' ? [] : segments;
  } catch {
    return undefined;
  }
}
