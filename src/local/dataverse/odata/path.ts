import type { Literal, PathSegment, Predicate } from './ast.ts';
import { ODataSyntaxError } from './errors.ts';
import { Lexer } from './lexer.ts';
import { percentDecode } from './percent.ts';

const SYSTEM_SEGMENTS: ReadonlySet<string> = new Set([
  '$ref',
  '$count',
  '$value',
  '$metadata',
  '$batch',
  '$all',
  '$crossjoin',
  '$entity',
  '$links',
]);
const SEGMENT = /^([^()\s]*)\s*(?:\((.*)\))?$/s;
const NAME = /^[\p{L}_][\p{L}\p{N}_]*(?:\.[\p{L}_][\p{L}\p{N}_]*)*$/u;
const NAMESPACE = /^(?:Microsoft\.Dynamics\.CRM|mscrm)\./;
const QUOTE_OR_SLASH = /['/]|%27/g;
const URL_PARTS = /^(?:(https?:\/\/[^/?#]*))?([^?#]*)(?:\?([^#]*))?/i;
const SERVICE_ROOT = /^\/*api\/data\/(v\d+\.\d+)(?:\/+|$)/i;

/**
 * Parses a percent-encoded path below `/api/data/vX.Y/`, such as `accounts(accountnumber='A%2F1')/primarycontactid/$ref`.
 * `aliases` are those of parseQuery. Throws ODataSyntaxError.
 */
export function parsePath(rawPath: string, aliases: ReadonlyMap<string, string> = new Map()): PathSegment[] {
  return splitSegments(rawPath).map((raw, index) => parseSegment(percentDecode(raw).trim(), index, aliases));
}

/**
 * Takes a URL apart that is absolute, from the host (`/api/data/v9.2/accounts`), or relative to the service root (with
 * any number of leading slashes) into what {@link parsePath} and parseQuery take.
 */
export function splitUrl(url: string): { origin?: string; version?: string; path: string; query: string } {
  const [, origin, fullPath = '', query = ''] = URL_PARTS.exec(url) ?? [];
  const root = SERVICE_ROOT.exec(fullPath);
  const path = fullPath.slice(root?.[0].length ?? 0).replace(/^\/+/, '');
  return { ...(origin && { origin }), ...(root?.[1] && { version: root[1] }), path, query };
}

/** Splits at slashes that stand outside quotes; doubled and trailing slashes mean nothing. */
function splitSegments(rawPath: string): string[] {
  const segments: string[] = [];
  let from = 0;
  let quoted = false;
  for (const match of rawPath.matchAll(QUOTE_OR_SLASH)) {
    if (match[0] !== '/') quoted = !quoted;
    else if (!quoted) {
      segments.push(rawPath.slice(from, match.index));
      from = match.index + 1;
    }
  }
  segments.push(rawPath.slice(from));
  return segments.filter((segment) => segment !== '');
}

function parseSegment(text: string, index: number, aliases: ReadonlyMap<string, string>): PathSegment {
  if (text.startsWith('$')) {
    return index > 0 || SYSTEM_SEGMENTS.has(text)
      ? { kind: 'system', name: text }
      : { kind: 'contentId', id: text.slice(1) };
  }
  const [, fullName = '', inner] = SEGMENT.exec(text) ?? [];
  if (!NAME.test(fullName)) throw syntaxError();
  const name = fullName.replace(NAMESPACE, '');
  const segment = { kind: 'name', name, qualified: name !== fullName } as const;
  return inner === undefined ? segment : { ...segment, predicate: parsePredicate(inner, aliases) };
}

function parsePredicate(text: string, aliases: ReadonlyMap<string, string>): Predicate {
  const lexer = new Lexer(text);
  if (lexer.atEnd()) return { kind: 'empty' };
  if (lexer.next.kind !== 'name') {
    const value = readValue(lexer, aliases);
    if (!lexer.atEnd()) throw syntaxError();
    return { kind: 'positional', value };
  }
  const values = new Map<string, Literal>();
  do {
    const name = lexer.take();
    if (name.kind !== 'name' || values.has(name.text) || !lexer.takeIf('=')) throw syntaxError();
    values.set(name.text, readValue(lexer, aliases));
  } while (lexer.takeIf(','));
  if (!lexer.atEnd()) throw syntaxError();
  return { kind: 'named', values };
}

/** An alias without a value is null. */
function readValue(lexer: Lexer, aliases: ReadonlyMap<string, string>): Literal {
  const token = lexer.take();
  if (token.kind === 'literal') return token.literal;
  if (token.kind !== 'alias') throw syntaxError();
  const text = aliases.get(token.text);
  if (text === undefined) return { kind: 'null' };
  const value = new Lexer(text);
  const literal = value.take();
  if (literal.kind !== 'literal' || !value.atEnd()) throw syntaxError();
  return literal.literal;
}

const syntaxError = (): ODataSyntaxError => new ODataSyntaxError('Bad Request - Error in query syntax.');
