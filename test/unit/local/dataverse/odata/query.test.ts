import { describe, expect, test } from 'vitest';
import { ODataNotEmulatedError, ODataSyntaxError } from '../../../../../src/local/dataverse/odata/errors.ts';
import { parseQuery } from '../../../../../src/local/dataverse/odata/query.ts';

describe('query options', () => {
  test('names may be percent-encoded, a plus is a blank and %2B a plus', () => {
    expect(parseQuery('%24select=name,&%24filter=name+eq+%27a%2Bb%27&tag=x+y')).toMatchObject({
      select: ['name'],
      filter: { right: { literal: { value: 'a+b' } } },
      tag: 'x y',
    });
  });

  test('rows are sorted by columns and aliases of columns, upwards unless said otherwise', () => {
    const { orderby, aliases } = parseQuery('$orderby=@p4 asc, revenue desc,primarycontactid/fullname&@p4=jobtitle');
    expect(orderby?.map(({ path, direction }) => [path.segments.join('/'), direction])).toEqual([
      ['jobtitle', 'asc'],
      ['revenue', 'desc'],
      ['primarycontactid/fullname', 'asc'],
    ]);
    expect(aliases.get('@p4')).toBe('jobtitle');
  });

  test('texts that others read are handed on as they are', () => {
    expect(
      parseQuery(
        'fetchXml=%3Cfetch%20top%3D%223%22%2F%3E&$skiptoken=%3Ccookie%20a=%22%253c%22/%3E&partitionId=P-1&$deltatoken=1%212',
      ),
    ).toMatchObject({
      fetchXml: '<fetch top="3"/>',
      skiptoken: '<cookie a="%3c"/>',
      partitionId: 'P-1',
      deltatoken: '1!2',
    });
  });

  test('names are case-sensitive, and what is not known is told', () => {
    expect(parseQuery('$Select=name&$skip=2&custom=1').unknown).toEqual([
      { name: '$Select', value: 'name' },
      { name: '$skip', value: '2' },
      { name: 'custom', value: '1' },
    ]);
  });

  test('nothing asked is nothing found', () => {
    expect(parseQuery('')).toEqual({ aliases: new Map(), unknown: [] });
  });

  test.each([
    [
      '$top=1,0',
      "Invalid value '1,0' for $top query option found. The $top query option requires a non-negative integer value.",
    ],
    [
      '$top=-2',
      "Invalid value '-2' for $top query option found. The $top query option requires a non-negative integer value.",
    ],
    ['$top=0', 'Invalid value for $top query option.'],
    ['$top=', "The value for OData query '$top' cannot be empty."],
    ['$filter=', "The value for OData query '$filter' cannot be empty."],
    [
      '$filter=a eq 1&$filter=b eq 2',
      "Query option '$filter' was specified more than once, but it must be specified at most once.",
    ],
    ['$count=maybe', "Invalid value 'maybe' for $count query option found. Valid values are 'true, false'."],
    ['$select=a;b', "Term 'a;b' is not valid in a $select or $expand expression."],
    ['$expand=Account_Leads)', "Term 'Account_Leads)' is not valid in a $select or $expand expression."],
    ['$expand=Account_Leads(,contacts()', 'Found an unbalanced bracket expression.'],
    [
      '$expand=Account_Leads()',
      "Missing expand option on navigation property 'Account_Leads'. If a parenthesis expression follows an expanded navigation property, then at least one expand option must be provided.",
    ],
  ])('%s is answered as by the service', (query, message) => {
    expect(() => parseQuery(query)).toThrow(new ODataSyntaxError(message, '0x0'));
  });
});

describe('$expand', () => {
  test('options nest, may hold blanks, and their delimiters count outside quotes only', () => {
    expect(
      parseQuery(
        "$expand=primarycontactid($select%20=%20a,%20b;$expand=owner($select=x)),Tasks($filter=n eq 'a;b),(';$orderby=n desc;$top=5)",
      ).expand,
    ).toMatchObject([
      {
        navigation: 'primarycontactid',
        ref: false,
        select: ['a', 'b'],
        expand: [{ navigation: 'owner', select: ['x'] }],
      },
      {
        navigation: 'Tasks',
        filter: { right: { literal: { value: 'a;b),(' } } },
        orderby: [{ direction: 'desc' }],
        top: 5,
      },
    ]);
  });

  test('references and options that the service refuses are told', () => {
    expect(parseQuery('$expand=primarycontactid/$ref,Tasks($skip=1;$levels=2)').expand).toEqual([
      { navigation: 'primarycontactid', ref: true, text: [], unknown: [] },
      { navigation: 'Tasks', ref: false, text: ['$skip=1', '$levels=2'], unknown: ['$skip', '$levels'] },
    ]);
    expect(() => parseQuery('$expand=Tasks/$count')).toThrow(ODataNotEmulatedError);
  });

  test('nesting has an end', () => {
    expect(() => parseQuery(`$expand=${'a($expand='.repeat(1000)}b${')'.repeat(1000)}`)).toThrow(
      'Recursion depth exceeded',
    );
    expect(() => parseQuery(`$expand=${'('.repeat(100_000)}`)).toThrow(ODataSyntaxError);
  });
});
