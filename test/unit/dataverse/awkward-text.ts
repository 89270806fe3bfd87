import fc from 'fast-check';

/** Texts full of what means something in OData, in URLs and in headers. */
export const awkwardText = fc.string({
  unit: fc.constantFrom(
    "'",
    "''",
    '"',
    '%',
    '%27',
    '&',
    '#',
    '?',
    '/',
    '\\',
    '+',
    ' ',
    '\r\n',
    '(',
    ')',
    ',',
    ';',
    '=',
    '$',
    '@',
    'é',
    '漢',
    '😀',
    'a',
    'Z',
    '0',
  ),
  maxLength: 12,
});
