import type * as z from 'zod';
import { nearest } from '../shared/nearest.ts';
import { type ProblemDetail, RequestError } from './problem.ts';

/** Values that the platform itself reads from the query. */
const PLATFORM_VALUES = ['code', 'clientId'];

/**
 * Reads a URL's query by its schema. A name that the schema lacks is refused, for a misspelt `filter` would otherwise
 * answer with every row; names of the route's own parameters are passed over, since Azure mixes the two up.
 * Throws RequestError `queryInvalid`.
 */
export function parseQuery<Shape extends z.ZodObject>(
  schema: Shape,
  search: URLSearchParams,
  parameters: readonly string[],
): z.output<Shape> {
  const known = Object.keys(schema.shape);
  const values: Record<string, string> = Object.create(null);
  const faults: ProblemDetail[] = [];
  for (const [name, value] of search) {
    if (!known.includes(name)) {
      if (PLATFORM_VALUES.includes(name)) continue;
      if (parameters.some((parameter) => parameter.toLowerCase() === name.toLowerCase())) continue;
      faults.push({ path: name.slice(0, 100), code: 'queryUnknown', message: unknownName(name, known) });
    } else if (name in values) {
      faults.push({ path: name, code: 'queryTwice', message: `'${name}' is given twice.` });
    }
    values[name] = value;
  }
  const parsed = schema.safeParse(Object.fromEntries(Object.entries(values).filter(([name]) => known.includes(name))));
  if (!parsed.success) faults.push(...parsed.error.issues.map((issue) => toDetail(issue, 'queryInvalid')));
  if (parsed.success && faults.length === 0) return parsed.data;
  throw refusal('queryInvalid', 'query', faults);
}

function unknownName(name: string, known: readonly string[]): string {
  const near = nearest(name.replace(/^\$/, ''), known);
  const hint = near.length > 0 ? ` Did you mean ${near.join(' or ')}?` : '';
  return `There is no query value '${name.slice(0, 100)}' here.${hint}`;
}

/** Reads a JSON value by its schema. Throws RequestError `bodyInvalid` that names every member at fault. */
export function parseBody<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw refusal(
    'bodyInvalid',
    'body',
    parsed.error.issues.flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => ({
            path: pathOf([...issue.path, key]),
            code: 'memberUnknown',
            message: `There is no member '${key.slice(0, 100)}' here.`,
          }))
        : [toDetail(issue, 'bodyInvalid')],
    ),
  );
}

const toDetail = (issue: z.core.$ZodIssue, code: string): ProblemDetail => ({
  path: pathOf(issue.path),
  code,
  message: issue.message.slice(0, 500),
});

const pathOf = (path: readonly PropertyKey[]): string => path.map(String).join('.').slice(0, 200);

const MOST_FAULTS = 50;

function refusal(code: string, where: 'query' | 'body', faults: readonly ProblemDetail[]): RequestError {
  const [first] = faults;
  const at = first === undefined || first.path === '' ? '' : `${first.path}: `;
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : '';
  return new RequestError(400, code, `The ${where} is not as it should be: ${at}${first?.message ?? ''}${more}`, {
    errors: faults.slice(0, MOST_FAULTS),
  });
}
