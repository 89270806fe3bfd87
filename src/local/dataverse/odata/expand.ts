import type { ExpandItem, OrderItem, RowOptions } from './ast.ts';
import { emptyOption, invalidTerm, ODataNotEmulatedError, ODataSyntaxError, tooDeep } from './errors.ts';
import { type Aliases, parseFilter, readPath } from './filter.ts';
import { Lexer } from './lexer.ts';

/** `$expand` in `$expand`; each level scans its text once, so that the limit also bounds the time. */
const MAX_DEPTH = 20;
const SELECT_TERM = /^(?:\*|[\p{L}_@][\p{L}\p{N}_.@]*(?:\/[\p{L}_][\p{L}\p{N}_.]*)*(?:\.\*)?)$/u;
const EXPAND_ITEM = /^([\p{L}_*][\p{L}\p{N}_]*)(\/[^()\s]*)?\s*(?:\((.*)\))?$/su;
const DELIMITERS = /[,;()']/g;
const INT32_MAX = 2_147_483_647;

/** Parses the decoded text of `$select`; a trailing comma is let through, as by the service. */
export function parseSelect(text: string): string[] {
  const terms = text.split(',').map((term) => term.trim());
  if (terms.at(-1) === '') terms.pop();
  for (const term of terms) if (!SELECT_TERM.test(term)) throw invalidTerm(term);
  return terms;
}

export function parseOrderby(text: string, aliases: Aliases): OrderItem[] {
  const lexer = new Lexer(text);
  const items: OrderItem[] = [];
  do {
    const path = readPath(lexer, aliases);
    const descending = lexer.takeIf('desc');
    if (!descending) lexer.takeIf('asc');
    items.push({ path, direction: descending ? 'desc' : 'asc' });
  } while (lexer.takeIf(','));
  if (!lexer.atEnd()) throw lexer.unexpected();
  return items;
}

export function parseTop(text: string): number {
  const top = Number(text);
  if (!/^\d+$/.test(text) || top > INT32_MAX) {
    throw new ODataSyntaxError(
      `Invalid value '${text}' for $top query option found. The $top query option requires a non-negative integer value.`,
      '0x0',
    );
  }
  if (top === 0) throw new ODataSyntaxError('Invalid value for $top query option.', '0x0');
  return top;
}

/** Parses the decoded text of `$expand`. Aliases are not replaced in it: the service documents that it does not. */
export function parseExpand(text: string, depth = 0): ExpandItem[] {
  if (depth > MAX_DEPTH) throw tooDeep();
  return splitOutside(text, ',').map((item) => parseItem(item.trim(), depth));
}

/** The option of `RowOptions` that `name` (with `$`) stands for, parsed; undefined for any other name. */
export function parseRowOption(name: string, text: string, aliases: Aliases, depth = 0): RowOptions | undefined {
  switch (name) {
    case '$select':
      return text === '' ? {} : { select: parseSelect(text) };
    case '$expand':
      return text === '' ? {} : { expand: parseExpand(text, depth) };
    case '$filter':
      return { filter: parseFilter(notEmpty(name, text), aliases) };
    case '$orderby':
      return { orderby: parseOrderby(notEmpty(name, text), aliases) };
    case '$top':
      return { top: parseTop(notEmpty(name, text)) };
    default:
      return undefined;
  }
}

function parseItem(text: string, depth: number): ExpandItem {
  const [, navigation, tail, inner] = EXPAND_ITEM.exec(text) ?? [];
  if (!navigation) throw invalidTerm(text);
  if (tail && tail !== '/$ref') throw new ODataNotEmulatedError(`${navigation}${tail} in $expand`);
  return { navigation, ref: tail !== undefined, ...parseOptions(navigation, inner, depth) };
}

function parseOptions(
  navigation: string,
  text: string | undefined,
  depth: number,
): RowOptions & { text: readonly string[]; unknown: readonly string[] } {
  if (text === undefined) return { text: [], unknown: [] };
  if (text.trim() === '') {
    throw new ODataSyntaxError(
      `Missing expand option on navigation property '${navigation}'. If a parenthesis expression follows an expanded navigation property, then at least one expand option must be provided.`,
      '0x0',
    );
  }
  const options: RowOptions = {};
  const texts: string[] = [];
  const unknown: string[] = [];
  for (const option of splitOutside(text, ';')) {
    const equals = option.indexOf('=');
    const name = option.slice(0, equals < 0 ? undefined : equals).trim();
    if (name === '') continue;
    if (!name.startsWith('$') || equals < 0) throw invalidTerm(option.trim());
    const value = option.slice(equals + 1).trim();
    const parsed = parseRowOption(name, value, new Map(), depth + 1);
    texts.push(`${name}=${value}`);
    if (parsed) Object.assign(options, parsed);
    else unknown.push(name);
  }
  return { ...options, text: texts, unknown };
}

const notEmpty = (name: string, text: string): string => {
  if (text.trim() === '') throw emptyOption(name);
  return text;
};

/** Splits at a delimiter that stands outside brackets and quotes. */
function splitOutside(text: string, delimiter: ',' | ';'): string[] {
  const parts: string[] = [];
  let from = 0;
  let brackets = 0;
  let quoted = false;
  for (const { 0: character, index } of text.matchAll(DELIMITERS)) {
    if (character === "'") quoted = !quoted;
    else if (quoted) continue;
    else if (character === '(') brackets += 1;
    else if (character === ')') brackets -= 1;
    else if (character === delimiter && brackets === 0) {
      parts.push(text.slice(from, index));
      from = index + 1;
    }
  }
  if (brackets > 0) throw new ODataSyntaxError('Found an unbalanced bracket expression.', '0x0');
  parts.push(text.slice(from));
  return parts;
}
