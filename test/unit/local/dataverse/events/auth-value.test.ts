import { describe, expect, test } from 'vitest';
import { AuthValueError, parseAuthValue } from '../../../../../src/local/dataverse/events/auth-value.ts';

describe('authvalue', () => {
  test('a webhook key stands bare', () => {
    expect(parseAuthValue(4, '<not & xml>')).toEqual({ kind: 'key', value: '<not & xml>' });
  });

  test('headers and query pairs stand in settings, in the order given', () => {
    const xml = `<?xml version="1.0"?>\n<settings>\n  <setting name="x-key" value="a&amp;b&quot;&#65;" />\n<setting value='2' name='x-two'></setting></settings> `;
    const pairs = [
      ['x-key', 'a&b"A'],
      ['x-two', '2'],
    ];
    expect(parseAuthValue(5, xml)).toEqual({ kind: 'header', pairs });
    expect(parseAuthValue(6, xml)).toEqual({ kind: 'query', pairs });
    expect(parseAuthValue(6, '<settings />')).toEqual({ kind: 'query', pairs: [] });
  });

  test.each([
    [3, '<settings/>'],
    [5, 'top-secret'],
    [5, '<settings><setting name="top-secret" /></settings>'],
    [5, '<settings><other>top-secret</other></settings>'],
    [5, '<settings><setting name="a b" value="top-secret"/></settings>'],
    [5, '<settings><setting name="a" value="top-secret&#10;x: y"/></settings>'],
    [6, '<!DOCTYPE settings [<!ENTITY e "top-secret">]><settings><setting name="a" value="&e;"/></settings>'],
    [6, '<settings><setting name="a" value="&top-secret;"/></settings>'],
    [6, `<settings>${'<setting '.repeat(100_000)}top-secret`],
  ])('authtype %i refuses %.70s and keeps the value to itself', (type, value) => {
    const read = () => parseAuthValue(type, value);
    expect(read).toThrow(AuthValueError);
    expect(read).not.toThrow(/top-secret/);
  });
});
