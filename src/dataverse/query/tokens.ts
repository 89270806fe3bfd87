import { InputError } from '../input-error.ts';

/**
 * One piece of OData text. `text` of a string literal is as it was written, quotes and all; a name may have dots in it
 * or a `$` before it.
 */
export interface Token {
  readonly kind: 'name' | 'literal' | 'list' | 'symbol' | 'end';
  readonly text: string;
  /** Characters from the start of the text. */
  readonly position: number;
}

const GUID = '[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}';
const TIME = '\\d{4}-\\d{2}-\\d{2}(?:[Tt]\\d{2}:\\d{2}(?::\\d{2}(?:\\.\\d{1,12})?)?(?:[Zz]|[+-]\\d{2}:\\d{2}))?';
const NUMBER = '-?\\d+(?:\\.\\d+)?(?:[eE][+-]?\\d{1,3})?';
const STRING = "'(?:[^']|'')*'";
const ELEMENT = `"(?:[^"\\\\]|\\\\.)*"|${STRING}|${NUMBER}`;

/** A literal is one only if no letter or digit follows it at once. */
const PIECE = new RegExp(
  [
    `(?<list>\\[\\s*(?:(?:${ELEMENT})\\s*(?:,\\s*(?:${ELEMENT})\\s*)*)?\\])`,
    `(?<literal>${STRING}|(?:${GUID}|${TIME}|${NUMBER})(?![\\w.]))`,
    '(?<name>\\$?[A-Za-z_][A-Za-z0-9_]*(?:\\.[A-Za-z_][A-Za-z0-9_]*)*)',
    '(?<symbol>[(),/:=;])',
  ].join('|'),
  'y',
);
const BLANKS = /[ \t\r\n]*/y;
const WORDS: ReadonlySet<string> = new Set(['null', 'true', 'false']);

/** Takes OData text apart, one token ahead. Every fault is an InputError `<path>Invalid` that says where. */
export class Tokens {
  next: Token;
  private readonly text: string;
  private readonly path: string;
  private at = 0;

  /** `path` is the name that the caller knows the text by. */
  constructor(text: string, path: string) {
    this.text = text;
    this.path = path;
    if (/\p{Surrogate}/u.test(text)) throw this.fault('The text holds half of a character.');
    this.next = this.read();
  }

  take(): Token {
    const token = this.next;
    if (token.kind !== 'end') this.next = this.read();
    return token;
  }

  /** Takes the next token if it is this name or symbol. */
  takeIf(text: string): boolean {
    const fits = (this.next.kind === 'symbol' || this.next.kind === 'name') && this.next.text === text;
    if (fits) this.take();
    return fits;
  }

  expect(symbol: string): void {
    if (!this.takeIf(symbol)) throw this.unexpected(`'${symbol}'`);
  }

  name(what: string): Token {
    if (this.next.kind !== 'name') throw this.unexpected(what);
    return this.take();
  }

  end(): void {
    if (this.next.kind !== 'end') throw this.unexpected('the end');
  }

  unexpected(wanted: string): InputError {
    const { kind, text, position } = this.next;
    const found = kind === 'end' ? 'the end' : `'${text.slice(0, 40)}'`;
    return this.fault(`There is ${found} at position ${position} where ${wanted} should be.`);
  }

  fault(message: string, hint?: string): InputError {
    return new InputError(this.path, `${this.path}Invalid`, message, { hint });
  }

  private read(): Token {
    BLANKS.lastIndex = this.at;
    BLANKS.exec(this.text);
    const position = BLANKS.lastIndex;
    if (position >= this.text.length) return { kind: 'end', text: '', position };
    PIECE.lastIndex = position;
    const groups = PIECE.exec(this.text)?.groups;
    if (!groups) throw this.unreadable(position);
    this.at = PIECE.lastIndex;
    if (groups['list'] !== undefined) return { kind: 'list', text: groups['list'], position };
    if (groups['literal'] !== undefined) return { kind: 'literal', text: groups['literal'], position };
    if (groups['symbol'] !== undefined) return { kind: 'symbol', text: groups['symbol'], position };
    const text = groups['name'] ?? '';
    return { kind: WORDS.has(text) ? 'literal' : 'name', text, position };
  }

  private unreadable(position: number): InputError {
    const character = this.text.slice(position, position + 1);
    if (character === "'")
      return this.fault(`The text that begins at position ${position} does not end.`, 'Double quotes within it.');
    if (character === '@')
      return this.fault(`There is a parameter at position ${position}.`, 'Write the value in its place.');
    return this.fault(`'${this.text.slice(position, position + 20)}' at position ${position} is not understood.`);
  }
}

/** The values of a list, as texts. */
export function listValues(text: string): string[] {
  const elements = text.match(new RegExp(ELEMENT, 'g')) ?? [];
  return elements.map((element) => {
    if (element.startsWith('"')) return String(JSON.parse(element));
    return element.startsWith("'") ? stringValue(element) : element;
  });
}

/** What a string literal says. */
export const stringValue = (literal: string): string => literal.slice(1, -1).replaceAll("''", "'");
