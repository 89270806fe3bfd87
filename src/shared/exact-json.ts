/**
 * A number with more digits than a double holds, as its text. `JSON.stringify` writes it digit by digit
 * (ECMAScript's JSON.rawJSON).
 */
export interface ExactNumber {
  readonly rawJSON: string;
}

/** JSON's functions for exact numbers, which the compiler's library does not know yet. */
interface ExactJson {
  rawJSON(text: string): ExactNumber;
  isRawJSON(value: unknown): value is ExactNumber;
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
}

const exact = JSON as unknown as ExactJson;

/** A double holds 15 significant digits of any number; only longer runs need a second look. */
const MANY_DIGITS = /[\d.]{16}/;

/** JSON.parse that loses no digit: a number that a double cannot hold becomes an ExactNumber. Throws SyntaxError. */
export function parseExactJson(text: string): unknown {
  if (!MANY_DIGITS.test(text)) return JSON.parse(text);
  return exact.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined ? exactNumber(source) : value,
  );
}

/** The number that a JSON number's text stands for: a double if that holds it, else the text itself. */
export function exactNumber(text: string): number | ExactNumber {
  const number = Number(text);
  if (!MANY_DIGITS.test(text)) return number;
  return Number.isFinite(number) && canonical(text) === canonical(String(number)) ? number : exact.rawJSON(text);
}

export const isExactNumber = (value: unknown): value is ExactNumber => exact.isRawJSON(value);

/** Digits and exponent, the same for all texts of one number. */
function canonical(text: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    text.match(/^(-?)(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?$/i) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  return significant === ''
    ? '0'
    : `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`;
}
