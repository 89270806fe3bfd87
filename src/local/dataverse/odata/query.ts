import { parseApply } from './apply.ts';
import type { QueryOptions } from './ast.ts';
import { emptyOption, ODataSyntaxError } from './errors.ts';
import { parseRowOption } from './expand.ts';
import { decodeQueryText } from './percent.ts';

/** Options whose decoded text is handed on as it is. */
const TEXT_OPTIONS = {
  $skiptoken: 'skiptoken',
  $deltatoken: 'deltatoken',
  $id: 'id',
  fetchXml: 'fetchXml',
  savedQuery: 'savedQuery',
  userQuery: 'userQuery',
  tag: 'tag',
  partitionId: 'partitionId',
  // As dynamics-web-api writes it.
  partitionid: 'partitionId',
} as const satisfies Record<string, keyof QueryOptions>;

/** Parses what stands after the `?`, percent-encoded. Throws ODataSyntaxError and ODataNotEmulatedError. */
export function parseQuery(rawQuery: string): QueryOptions {
  const options = splitOptions(rawQuery);
  const aliases = new Map([...options].filter(([name]) => name.startsWith('@')));
  const unknown: { name: string; value: string }[] = [];
  const query: QueryOptions = { aliases, unknown };
  for (const [name, value] of options) {
    if (aliases.has(name)) continue;
    const parsed = parseOption(name, value, aliases);
    if (parsed) Object.assign(query, parsed);
    else unknown.push({ name, value });
  }
  return query;
}

function parseOption(
  name: string,
  value: string,
  aliases: ReadonlyMap<string, string>,
): Partial<QueryOptions> | undefined {
  if (isTextOption(name)) return { [TEXT_OPTIONS[name]]: value };
  if (name === '$count') return { count: parseCount(value.trim()) };
  if (name === '$apply') {
    if (value.trim() === '') throw emptyOption(name);
    return { apply: parseApply(value.trim(), aliases) };
  }
  return parseRowOption(name, value.trim(), aliases);
}

const isTextOption = (name: string): name is keyof typeof TEXT_OPTIONS => Object.hasOwn(TEXT_OPTIONS, name);

function parseCount(text: string): boolean {
  if (text === '') throw emptyOption('$count');
  const value = text.toLowerCase();
  if (value !== 'true' && value !== 'false') {
    throw new ODataSyntaxError(
      `Invalid value '${text}' for $count query option found. Valid values are 'true, false'.`,
      '0x0',
    );
  }
  return value === 'true';
}

/** Decoded names and values in their order. */
function splitOptions(rawQuery: string): Map<string, string> {
  const options = new Map<string, string>();
  for (const part of rawQuery.split('&')) {
    const equals = part.indexOf('=');
    const name = decodeQueryText(equals < 0 ? part : part.slice(0, equals)).trim();
    if (name === '') continue;
    const value = equals < 0 ? '' : decodeQueryText(part.slice(equals + 1));
    if (options.has(name) && /^[$@]/.test(name)) {
      throw new ODataSyntaxError(
        `Query option '${name}' was specified more than once, but it must be specified at most once.`,
        '0x0',
      );
    }
    options.set(name, value);
  }
  return options;
}
