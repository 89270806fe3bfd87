import { describe, expect, test } from 'vitest';
import { parseApply } from '../../../../../src/local/dataverse/odata/apply.ts';
import { ODataNotEmulatedError, ODataSyntaxError } from '../../../../../src/local/dataverse/odata/errors.ts';

const path = (...segments: string[]) => expect.objectContaining({ kind: 'path', segments });

describe('$apply', () => {
  test('is groups, values, or both', () => {
    expect(parseApply('groupby((statuscode, primarycontactid/fullname))')).toEqual({
      groups: [path('statuscode'), path('primarycontactid', 'fullname')],
      aggregates: [],
    });
    expect(parseApply('aggregate($count as n,revenue with average as mean)')).toEqual({
      groups: [],
      aggregates: [
        { method: 'count', alias: 'n' },
        { method: 'average', path: path('revenue'), alias: 'mean' },
      ],
    });
    expect(parseApply('groupby((a),aggregate(b with max as c))')).toMatchObject({
      groups: [path('a')],
      aggregates: [{ method: 'max', alias: 'c' }],
    });
  });

  test('takes filters before them, whose values may be aliases', () => {
    const aliases = new Map([['@p', "'x'"]]);
    expect(parseApply('filter(name eq @p)/groupby((name))', aliases).filter).toMatchObject({
      kind: 'comparison',
      right: { literal: { kind: 'string', value: 'x' } },
    });
    expect(parseApply('filter(a eq 1)/filter(b eq 2)/aggregate($count as n)').filter).toMatchObject({ kind: 'and' });
  });

  test.each([
    '',
    '(',
    'groupby',
    'groupby()',
    'groupby((a)',
    'groupby((a),)',
    'aggregate(a)',
    'aggregate(a with sum)',
    'aggregate(a with sum as 1)',
    'aggregate($count as $n)',
    'filter()',
    'groupby((a)) x',
    '1',
    "'x'",
  ])('refuses %j', (text) => {
    expect(() => parseApply(text)).toThrow(ODataSyntaxError);
  });

  test.each([
    'filter(a eq 1)',
    'topcount(1,a)',
    'groupby((a),filter(a eq 1))',
    'groupby((a))/groupby((a))',
    'aggregate(a with concat as b)',
    'groupby(($count))',
  ])('names what of %j is not emulated', (text) => {
    expect(() => parseApply(text)).toThrow(ODataNotEmulatedError);
  });

  test('ends with an error however deep it is nested', () => {
    expect(() => parseApply('filter('.repeat(10_000))).toThrow(ODataSyntaxError);
    expect(() => parseApply(`filter(${'('.repeat(10_000)}`)).toThrow('Recursion depth exceeded');
  });
});
