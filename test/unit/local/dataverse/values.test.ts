import { describe, expect, test } from 'vitest';
import { openCatalog } from '../../../../src/local/dataverse/catalog.ts';
import type { Column, Table } from '../../../../src/local/dataverse/metadata.ts';
import { formatValue, readValue, writeValue } from '../../../../src/local/dataverse/values.ts';

const catalog = openCatalog();
const account = catalog.table('account') as Table;
const name = account.columns.get('name') as Column;
const revenue = account.columns.get('revenue') as Column;
const choices: Column = {
  ...(account.columns.get('industrycode') as Column),
  kind: 'choices',
  options: new Map([1, 2, 9].map((value) => [value, { value, label: `label ${value}` }])),
};

describe('reading', () => {
  test('rounds half away from zero at the column’s precision', () => {
    const double: Column = { ...revenue, kind: 'double', precision: 2, minValue: -100, maxValue: 1e9 };
    const cases: [number | string, number][] = [
      [1.005, 1.01],
      [-1.005, -1.01],
      [1.004, 1],
      [1e8, 1e8],
      ['2.345', 2.35],
      [1e-9, 0],
      [-1e-9, -0],
    ];
    for (const [given, stored] of cases) expect(readValue(account, double, given)).toBe(stored);
  });

  test('counts the length of texts in UTF-16 units', () => {
    const short: Column = { ...name, maxLength: 3 };
    expect(readValue(account, short, 'abc')).toBe('abc');
    expect(() => readValue(account, short, '😀😀')).toThrow("exceeded the maximum allowed length of '3'");
  });

  test('takes tabs and line ends, and no other control characters', () => {
    expect(readValue(account, name, 'a\t\r\nb')).toBe('a\t\r\nb');
    for (const bad of ['\u0000', '\u001f', '\ufffe', 'x\u000b']) {
      expect(() => readValue(account, name, bad)).toThrow('Invalid character');
    }
  });

  test('sorts multi-select choices and refuses unknown and too many ones', () => {
    expect(readValue(account, choices, '9, 1')).toBe('1,9');
    expect(readValue(account, choices, '')).toBeNull();
    expect(() => readValue(account, choices, '1,3')).toThrow('The value 3');
    expect(() => readValue(account, choices, '1;2')).toThrow("expected type 'Edm.String'");
    const many: Column = { ...choices, options: new Map() };
    const text = Array.from({ length: 151 }, (_, value) => value).join(',');
    expect(() => readValue(account, many, text)).toThrow('Too many selections');
  });

  test('takes half a surrogate pair for no character, and whole ones for what they are', () => {
    expect(readValue(account, name, 'a😀b')).toBe('a😀b');
    for (const bad of ['\ud83d', 'a\ude00b']) expect(() => readValue(account, name, bad)).toThrow('Invalid character');
  });

  test('takes times with an offset, on days that there are, down to the second', () => {
    const time: Column = { ...name, kind: 'datetime' };
    const day: Column = { ...name, kind: 'dateonly' };
    expect(readValue(account, time, '2024-02-29T23:59:59.999+01:00')).toBe(Date.UTC(2024, 1, 29, 22, 59, 59));
    expect(readValue(account, time, '2024-02-29T10:00Z')).toBe(Date.UTC(2024, 1, 29, 10));
    expect(readValue(account, day, '2024-02-29')).toBe(Date.UTC(2024, 1, 29));
    for (const bad of ['2023-02-29T10:00:00Z', '2024-01-01T24:00:00Z', '2024-01-01T10:00:00', '2024-01-01', 1, {}]) {
      expect(() => readValue(account, time, bad)).toThrow();
    }
    for (const bad of ['2023-02-29', '2024-02-29T00:00:00Z', '24-02-29']) {
      expect(() => readValue(account, day, bad)).toThrow();
    }
  });

  test('takes numbers as text for integers and choices, for doubles, and for nothing else', () => {
    const of = (kind: Column['kind']): Column => ({
      ...revenue,
      kind,
      options: new Map(),
      minValue: -1e9,
      maxValue: 1e9,
    });
    for (const kind of ['integer', 'bigint', 'choice', 'status'] as const) {
      expect(readValue(account, of(kind), ' 100000002 ')).toBe(100_000_002);
    }
    expect(readValue(account, of('double'), '1.5e1')).toBe(15);
    for (const kind of ['decimal', 'money', 'boolean'] as const) {
      expect(() => readValue(account, of(kind), '1')).toThrow();
    }
    for (const bad of ['', ' ', '0x10', '1e400', '1,5', 'Infinity']) {
      expect(() => readValue(account, of('double'), bad)).toThrow();
      expect(() => readValue(account, of('integer'), bad)).toThrow();
    }
  });

  test('takes null for every kind', () => {
    for (const column of account.columns.values()) expect(readValue(account, column, null)).toBeNull();
  });
});

describe('writing', () => {
  test('gives amounts four digits and choices as numbers', () => {
    expect(JSON.stringify(writeValue(revenue, 5_000_000))).toBe('5000000.0000');
    expect(JSON.stringify(writeValue({ ...revenue, kind: 'decimal', precision: 2 }, 1.5))).toBe('1.5000000000');
    expect(writeValue({ ...name, kind: 'choices' }, '1,9')).toBe('1,9');
    expect(writeValue(name, undefined)).toBeNull();
  });

  test('formats values as people read them', () => {
    expect(formatValue(choices, '1,9')).toBe('label 1; label 9');
    expect(formatValue(revenue, 1234.5)).toBe('$1,234.50');
    expect(formatValue(account.columns.get('createdon') as Column, Date.UTC(2026, 10, 21, 15, 4))).toBe(
      '11/21/2026 3:04 PM',
    );
    expect(formatValue(account.columns.get('numberofemployees') as Column, 12_345)).toBe('12,345');
    expect(formatValue(name, 'x')).toBeUndefined();
  });
});
