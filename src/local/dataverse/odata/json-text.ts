import { ODataSyntaxError, tooDeep } from './errors.ts';

const MAX_DEPTH = 50;
const BARE = /-?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|true|false|null/y;
const BLANKS = /\s*/y;

/**
 * Reads the array or object that begins at `start`, as the service reads parameter values: JSON whose strings and names
 * may also stand in single quotes. Answers the value and where it ends.
 */
export function readJson(text: string, start: number): { value: unknown; end: number } {
  const reader = new JsonReader(text, start);
  return { value: reader.value(0), end: reader.position };
}

class JsonReader {
  readonly text: string;
  position: number;

  constructor(text: string, position: number) {
    this.text = text;
    this.position = position;
  }

  value(depth: number): unknown {
    if (depth > MAX_DEPTH) throw tooDeep();
    this.skipBlanks();
    const character = this.text[this.position];
    if (character === '[') return this.array(depth);
    if (character === '{') return this.object(depth);
    if (character === '"' || character === "'") return this.string(character);
    BARE.lastIndex = this.position;
    const bare = BARE.exec(this.text);
    if (!bare) throw this.invalid();
    this.position += bare[0].length;
    return JSON.parse(bare[0]);
  }

  private array(depth: number): unknown[] {
    const items: unknown[] = [];
    this.elements(']', 'Array', () => items.push(this.value(depth + 1)));
    return items;
  }

  private object(depth: number): Record<string, unknown> {
    const members: [string, unknown][] = [];
    this.elements('}', 'Object', () => {
      const quote = this.text[this.position];
      if (quote !== '"' && quote !== "'") throw this.invalid();
      const name = this.string(quote);
      this.skipBlanks();
      if (this.text[this.position] !== ':') throw this.invalid();
      this.position += 1;
      members.push([name, this.value(depth + 1)]);
    });
    return Object.fromEntries(members);
  }

  private elements(close: string, scope: 'Array' | 'Object', read: () => void): void {
    this.position += 1;
    this.skipBlanks();
    if (this.text[this.position] === close) {
      this.position += 1;
      return;
    }
    for (;;) {
      this.skipBlanks();
      read();
      this.skipBlanks();
      const next = this.text[this.position];
      if (next === undefined) throw new ODataSyntaxError('Found an unbalanced bracket expression.', '0x0');
      this.position += 1;
      if (next === close) return;
      if (next !== ',') {
        throw new ODataSyntaxError(
          `Invalid JSON. A comma character ',' was expected in scope '${scope}'. Every two elements in an array and properties of an object must be separated by commas.`,
          '0x0',
        );
      }
    }
  }

  private string(quote: string): string {
    const from = this.position + 1;
    let end = from;
    while (end < this.text.length && this.text[end] !== quote) end += this.text[end] === '\\' ? 2 : 1;
    if (end >= this.text.length) throw this.invalid();
    this.position = end + 1;
    const inner = this.text.slice(from, end);
    // JSON knows no \' and no bare " inside; each alternative eats its own backslash, so that \\' keeps its meaning.
    const json =
      quote === '"'
        ? inner
        : inner.replace(/\\'|\\.|"/gs, (part) => (part === "\\'" ? "'" : part === '"' ? '\\"' : part));
    try {
      return String(JSON.parse(`"${json}"`));
    } catch {
      throw this.invalid();
    }
  }

  private skipBlanks(): void {
    BLANKS.lastIndex = this.position;
    this.position += BLANKS.exec(this.text)?.[0].length ?? 0;
  }

  private invalid(): ODataSyntaxError {
    return new ODataSyntaxError(
      `Invalid JSON. An unexpected value was found at position ${this.position} in '${this.text}'.`,
      '0x0',
    );
  }
}
