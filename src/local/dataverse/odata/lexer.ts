import type { Literal } from './ast.ts';
import { ODataSyntaxError, syntaxErrorAt } from './errors.ts';
import { readJson } from './json-text.ts';
import { namedLiteral, parseBareLiteral } from './literal.ts';

export type Token =
  | { kind: 'literal'; literal: Literal; text: string; position: number }
  /** A name, dotted when qualified. */
  | { kind: 'name'; text: string; position: number }
  /** `@p1`, with the `@`. */
  | { kind: 'alias'; text: string; position: number }
  | { kind: 'symbol'; text: '(' | ')' | ',' | '/' | ':' | '=' | '*'; position: number }
  | { kind: 'end'; text: ''; position: number };

const BLANKS = /\s*/y;
const NAME =
  /[\p{L}\p{Nl}_$][\p{L}\p{Nl}\p{Nd}\p{Mn}\p{Mc}\p{Pc}\p{Cf}$]*(?:\.[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Nd}\p{Mn}\p{Mc}\p{Pc}\p{Cf}]*)*/uy;
const ALIAS = /@[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Nd}\p{Mn}\p{Mc}\p{Pc}\p{Cf}]*/uy;
const GUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\w-])/iy;
const BARE = /[-\d][\w.:+-]*/y;
const SYMBOL = /[(),/:=*]/y;

/** Splits an expression into tokens, one token ahead. Takes time linear in the length of the text. */
export class Lexer {
  readonly text: string;
  private position = 0;
  private token: Token;

  constructor(text: string) {
    this.text = text;
    this.token = this.read();
  }

  /** The next token, which stays. */
  get next(): Token {
    return this.token;
  }

  /** Takes the next token. */
  take(): Token {
    const token = this.token;
    if (token.kind !== 'end') this.token = this.read();
    return token;
  }

  atEnd(): boolean {
    return this.token.kind === 'end';
  }

  /** True for the symbol or the name (an operator) in front. */
  at(text: string): boolean {
    return (this.token.kind === 'symbol' || this.token.kind === 'name') && this.token.text === text;
  }

  /** Takes the symbol or name if it is in front. */
  takeIf(text: string): boolean {
    const found = this.at(text);
    if (found) this.take();
    return found;
  }

  /** The error for a token in front that must not stand there; the service tells where the token ends. */
  unexpected(): ODataSyntaxError {
    return syntaxErrorAt(this.position, this.text);
  }

  private read(): Token {
    this.position += this.match(BLANKS)?.length ?? 0;
    const position = this.position;
    const character = this.text[position];
    if (character === undefined) return { kind: 'end', text: '', position };
    if (character === "'") return this.string(position);
    if (character === '[' || character === '{') return this.json(position);
    const symbol = this.match(SYMBOL);
    if (symbol) return this.advance({ kind: 'symbol', text: symbol as '(', position }, symbol);
    const alias = this.match(ALIAS);
    if (alias) return this.advance({ kind: 'alias', text: alias, position }, alias);
    return this.bare(position) ?? this.name(position);
  }

  private bare(position: number): Token | undefined {
    const source = this.match(GUID) ?? this.match(BARE);
    if (source === undefined) return undefined;
    const literal = parseBareLiteral(source);
    if (!literal) throw syntaxErrorAt(position, this.text);
    return this.advance({ kind: 'literal', literal, text: source, position }, source);
  }

  private name(position: number): Token {
    const name = this.match(NAME);
    if (name === undefined) {
      throw new ODataSyntaxError(
        `Syntax error: character '${String.fromCodePoint(this.text.codePointAt(position) ?? 0)}' is not valid at position ${position} in '${this.text}'.`,
      );
    }
    this.position += name.length;
    if (this.text[this.position] === "'") return this.enumeration(name, position);
    const literal = namedLiteral(name);
    if (literal) return { kind: 'literal', literal, text: name, position };
    return { kind: 'name', text: name, position };
  }

  private string(position: number): Token {
    const value = this.quoted('string literal');
    return {
      kind: 'literal',
      literal: { kind: 'string', value },
      text: this.text.slice(position, this.position),
      position,
    };
  }

  private enumeration(type: string, position: number): Token {
    const value = this.quoted('literal');
    if (!type.includes('.')) throw syntaxErrorAt(position, this.text);
    return {
      kind: 'literal',
      literal: { kind: 'enum', type, value },
      text: this.text.slice(position, this.position),
      position,
    };
  }

  /** Reads from a quote to its end, in which a quote is written twice. */
  private quoted(what: 'string literal' | 'literal'): string {
    const parts: string[] = [];
    do {
      const from = this.position + 1;
      const end = this.text.indexOf("'", from);
      if (end < 0) {
        throw new ODataSyntaxError(
          `There is an unterminated ${what} at position ${this.text.length} in '${this.text}'.`,
        );
      }
      parts.push(this.text.slice(from, end));
      this.position = end + 1;
    } while (this.text[this.position] === "'");
    return parts.join("'");
  }

  private json(position: number): Token {
    const { value, end } = readJson(this.text, position);
    this.position = end;
    return { kind: 'literal', literal: { kind: 'json', value }, text: this.text.slice(position, end), position };
  }

  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.position;
    return pattern.exec(this.text)?.[0];
  }

  private advance(token: Token, text: string): Token {
    this.position += text.length;
    return token;
  }
}
