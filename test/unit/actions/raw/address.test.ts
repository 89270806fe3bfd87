import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAddress, writeAddress } from '../../../../src/actions/raw/address.ts';

const written = (path: string, query = {}): string => writeAddress(parseAddress(path, query));

describe('the address of a raw request', () => {
  test.each([
    ['accounts', 'accounts'],
    ['/accounts', 'accounts'],
    ['accounts/', 'accounts'],
    ['/api/data/v9.2/accounts?$select=name', 'accounts?$select=name'],
    ['/API/data/V9.2/', ''],
    ['', ''],
    ["accounts(accountnumber='O''Brien & co')", "accounts(accountnumber='O''Brien%20%26%20co')"],
    ['accounts(00000000-0000-0000-0000-000000000001)/primarycontactid/$ref', undefined],
    [
      "systemusers(1)/Microsoft.Dynamics.CRM.RetrievePrincipalAccess(Target=@t)?@t={'@odata.id':'contacts(1)'}",
      'systemusers(1)/Microsoft.Dynamics.CRM.RetrievePrincipalAccess(Target=@t)?@t=%7B%27%40odata.id%27%3A%27contacts(1)%27%7D',
    ],
    ['accounts?%24filter=name+eq+%27a%2Bb%27', 'accounts?$filter=name%20eq%20%27a%2Bb%27'],
  ])('is taken below the Web API: %s', (path, expected) => {
    expect(written(path)).toBe(expected ?? path);
  });

  test('keeps the version that it names', () => {
    expect(parseAddress('/api/data/v9.1/WhoAmI').version).toBe('v9.1');
    expect(parseAddress('WhoAmI').version).toBeUndefined();
  });

  test('gets the query options that stand besides', () => {
    expect(written('accounts?$select=name', { $top: 3, $count: true })).toBe(
      'accounts?$select=name&$top=3&$count=true',
    );
  });

  test.each([
    'https://evil.example/accounts',
    '//evil.example/accounts',
    '/\\evil.example',
    'http:accounts',
    'javascript:1',
    '../accounts',
    'accounts/../../x',
    'accounts/./x',
    'accounts/%2e%2e/x',
    'accounts/%252e%252e/x',
    'accounts/%25252e%25252e%25252fx',
    'accounts/.%2e',
    'accounts%2f..%2fx',
    'accounts%5cx',
    'accounts\\x',
    'accounts//x',
    'accounts%00',
    'accounts\r\nx: y',
    'accounts%0d%0ax:y',
    'accounts#x',
    'accounts%23x',
    'accounts%3fx',
    'accounts%',
    'accounts?a=%zz',
    '/api/data/v8.2/accounts',
    '/api/search',
    '/api/data/v9.2x/accounts',
    `accounts?$filter=${'x'.repeat(33_000)}`,
    'accounts?a=1&a=2',
    'accounts?=x',
    'accounts?a%0d%0ab=1',
  ])('is refused where it could lead elsewhere (%#)', (path) => {
    expect(() => parseAddress(path)).toThrow(expect.objectContaining({ name: 'InputError', status: 400 }));
  });

  test('is refused for query options that are given twice or have no name', () => {
    expect(() => parseAddress('accounts?$top=1', { $top: 2 })).toThrow(expect.objectContaining({ code: 'queryTwice' }));
    expect(() => parseAddress('accounts', { 'a b': 2 })).toThrow(expect.objectContaining({ code: 'queryInvalid' }));
  });

  test('never leaves the Web API, whatever it is', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '..',
        '.',
        '/',
        '\\',
        '%2e',
        '%2f',
        '%5c',
        '%25',
        '//',
        ':',
        '@',
        '?',
        '#',
        '&',
        '=',
        '$',
        'accounts',
        'api',
        'data',
        'v9.2',
        '\r\n',
        ' ',
        '\t',
      ),
      fc.string({ maxLength: 3 }),
    );
    const root = 'https://org.example/api/data/v9.2/';
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        let path: string;
        try {
          path = written(pieces.join(''));
        } catch (error) {
          expect(error).toMatchObject({ name: 'InputError' });
          return;
        }
        const url = new URL(root + path);
        expect(url.href.startsWith(root)).toBe(true);
        expect(url.hash).toBe('');
        // Written once more it is the same: nothing in it is read in two ways.
        expect(written(path)).toBe(path);
      }),
      { numRuns: 300, examples: [[['A', '%2e', ':']], [['/', 'api', '/', 'data', '/', 'v9.2', '/', 'A', ':']]] },
    );
  });

  test('carries every value of a query option unchanged', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 20 }), (value) => {
        const path = written('accounts', { $filter: value });
        expect(new URL(`https://org.example/${path}`).searchParams.get('$filter')).toBe(value);
        expect(parseAddress(path).query.get('$filter')).toBe(value);
      }),
      { numRuns: 100 },
    );
  });
});
