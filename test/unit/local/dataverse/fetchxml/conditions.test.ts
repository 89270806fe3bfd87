import { describe, expect, test } from 'vitest';
import { openCatalog } from '../../../../../src/local/dataverse/catalog.ts';
import { conditionValue, timeOf } from '../../../../../src/local/dataverse/fetchxml/condition-values.ts';
import { conditionSql } from '../../../../../src/local/dataverse/fetchxml/conditions.ts';
import { fiscalSpan } from '../../../../../src/local/dataverse/fetchxml/fiscal.ts';
import type { ColumnInQuery } from '../../../../../src/local/dataverse/sql.ts';
import type { Work } from '../../../../../src/local/dataverse/work.ts';

const account = openCatalog().table('account');

function columnOf(name: string, change: { kind?: 'choices' } = {}): ColumnInQuery {
  const column = account?.columns.get(name);
  if (!account || !column) throw new Error(name);
  const qualified = `t0."${name}"`;
  return { table: account, column: { ...column, ...change }, alias: 't0', qualified, compared: qualified };
}

describe('values of conditions', () => {
  test.each([
    ['name', 'Söhne  ', 'söhne'],
    ['numberofemployees', ' 12 ', 12],
    ['statecode', 'INACTIVE', 1],
    ['revenue', '1e3', 1000],
    ['donotemail', 'True', 1],
    ['accountid', '{49B0BE2E-D01C-ED11-B83E-000D3A572421}', '49b0be2e-d01c-ed11-b83e-000d3a572421'],
    ['createdon', '2026-11-21', Date.UTC(2026, 10, 21)],
  ])('of %s: %s', (name, text, value) => {
    expect(conditionValue(columnOf(name), text)).toBe(value);
  });

  test.each([
    ['numberofemployees', '1.5'],
    ['numberofemployees', ''],
    ['statecode', 'Happy'],
    ['revenue', 'Infinity'],
    ['donotemail', 'perhaps'],
    ['accountid', 'x'],
    ['createdon', 'yesterday'],
  ])('of %s are never %s', (name, text) => {
    expect(() => conditionValue(columnOf(name), text)).toThrow(expect.objectContaining({ serviceCode: '0x80041106' }));
  });

  test.each([
    ['2026-11-21T10:20:30Z', '2026-11-21T10:20:30.000Z'],
    ['2026-11-21 10:20', '2026-11-21T10:20:00.000Z'],
    ['2026-11-21T10:20:30.5+05:30', '2026-11-21T04:50:30.000Z'],
    ['2026-11-21T10:20:30-0100', '2026-11-21T11:20:30.000Z'],
    ['2/8/2022', '2022-02-08T00:00:00.000Z'],
    ['12/31/2022 12:05 AM', '2022-12-31T00:05:00.000Z'],
    ['12/31/2022 1:05:09 pm', '2022-12-31T13:05:09.000Z'],
  ])('take %s for a time', (text, time) => {
    expect(new Date(timeOf(text) ?? Number.NaN).toISOString()).toBe(time);
  });

  test.each(['2026-13-01', '2026-02-29', '2026-01-01T25:00', '31/12/2022', '2026', ''])('take %j for none', (text) => {
    expect(timeOf(text)).toBeUndefined();
  });
});

test('fiscal years begin on 1 January and have four periods', () => {
  const now = Date.parse('2026-11-21T10:00:00Z');
  const spanOf = (operator: string, ...values: number[]) =>
    fiscalSpan(operator, now, values)?.map((ms) => (ms === null ? null : new Date(ms).toISOString().slice(0, 10)));
  expect(spanOf('this-fiscal-year')).toEqual(['2026-01-01', '2027-01-01']);
  expect(spanOf('last-fiscal-year')).toEqual(['2025-01-01', '2026-01-01']);
  expect(spanOf('next-x-fiscal-years', 3)).toEqual(['2027-01-01', '2030-01-01']);
  expect(spanOf('last-x-fiscal-years', 2)).toEqual(['2024-01-01', '2026-01-01']);
  expect(spanOf('in-fiscal-year', 2013)).toEqual(['2013-01-01', '2014-01-01']);
  expect(spanOf('this-fiscal-period')).toEqual(['2026-10-01', '2027-01-01']);
  expect(spanOf('last-fiscal-period')).toEqual(['2026-07-01', '2026-10-01']);
  expect(spanOf('next-fiscal-period')).toEqual(['2027-01-01', '2027-04-01']);
  expect(spanOf('last-x-fiscal-periods', 5)).toEqual(['2025-07-01', '2026-10-01']);
  expect(spanOf('next-x-fiscal-periods', 1)).toEqual(['2027-01-01', '2027-04-01']);
  expect(spanOf('in-fiscal-period-and-year', 3, 2013)).toEqual(['2013-07-01', '2013-10-01']);
  expect(spanOf('in-or-after-fiscal-period-and-year', 4, 2013)).toEqual(['2013-10-01', null]);
  expect(spanOf('in-or-before-fiscal-period-and-year', 4, 2013)).toEqual([null, '2014-01-01']);
  expect(spanOf('last-month')).toBeUndefined();
});

test('multi-select choices hold a value or do not', () => {
  const condition = (operator: string) => ({
    kind: 'condition' as const,
    attribute: 'industrycode',
    operator,
    entityName: undefined,
    values: ['1', '7'],
    otherColumn: undefined,
  });
  // Nothing of a request is looked at for these operators.
  const work = {} as Work;
  const column = columnOf('industrycode', { kind: 'choices' });
  const one = `instr(',' || t0."industrycode" || ',', ?) > 0`;
  expect(conditionSql(work, column, condition('contain-values'))).toEqual({
    text: `(${one} OR ${one})`,
    values: [',1,', ',7,'],
  });
  expect(conditionSql(work, column, condition('not-contain-values')).text).toBe(`NOT ifnull((${one} OR ${one}), 0)`);
});
