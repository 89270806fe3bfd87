type Token =
  | { kind: 'any' }
  | { kind: 'one' }
  | { kind: 'character'; value: string }
  | { kind: 'set'; negated: boolean; ranges: readonly (readonly [from: string, to: string])[] };

let lastPattern: string | undefined;
let lastTokens: readonly Token[] = [];

/**
 * SQL Server's LIKE: `%` any text, `_` one character, `[a-c]` and `[^a]` one of a set or none of it. Both texts are
 * compared as they are, so fold them first. Takes at most (length of text × length of pattern) steps.
 */
export function isLike(text: string, pattern: string): boolean {
  if (pattern !== lastPattern) {
    lastTokens = tokensOf(pattern);
    lastPattern = pattern;
  }
  const tokens = lastTokens;
  let at = 0;
  let token = 0;
  // Where to go on when what follows the last % does not fit: only that one has to be tried again.
  let retryToken = -1;
  let retryAt = 0;
  while (at < text.length) {
    const expected = tokens[token];
    if (expected?.kind === 'any') {
      retryToken = token + 1;
      retryAt = at;
      token = retryToken;
    } else if (expected && fits(expected, text[at] ?? '')) {
      at += 1;
      token += 1;
    } else if (retryToken >= 0) {
      retryAt += 1;
      at = retryAt;
      token = retryToken;
    } else return false;
  }
  while (tokens[token]?.kind === 'any') token += 1;
  return token === tokens.length;
}

function fits(token: Token, character: string): boolean {
  if (token.kind === 'character') return token.value === character;
  if (token.kind !== 'set') return true;
  return token.ranges.some(([from, to]) => character >= from && character <= to) !== token.negated;
}

function tokensOf(pattern: string): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern[at] ?? '';
    const close = character === '[' ? pattern.indexOf(']', at + 2) : -1;
    if (character === '%') tokens.push({ kind: 'any' });
    else if (character === '_') tokens.push({ kind: 'one' });
    else if (close > 0) {
      tokens.push(setOf(pattern.slice(at + 1, close)));
      at = close;
    } else tokens.push({ kind: 'character', value: character });
  }
  return tokens;
}

function setOf(inside: string): Token {
  const negated = inside.startsWith('^');
  const members = negated ? inside.slice(1) : inside;
  const ranges: (readonly [string, string])[] = [];
  for (let at = 0; at < members.length; at += 1) {
    const from = members[at] ?? '';
    const to = members[at + 1] === '-' ? members[at + 2] : undefined;
    ranges.push([from, to ?? from]);
    if (to !== undefined) at += 2;
  }
  return { kind: 'set', negated, ranges };
}
