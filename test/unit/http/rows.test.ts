import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RequestError } from '../../../src/http/problem.ts';
import { BodyBrokenError, type InputRow, readRows } from '../../../src/http/rows.ts';

/** The bytes in pieces that end where `cuts` say; after the last one the failure, if there is one. */
async function* pieces(bytes: Uint8Array, cuts: readonly number[], failure?: Error): AsyncGenerator<Uint8Array> {
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  for (const end of [...ends, bytes.length]) {
    yield bytes.subarray(from, end);
    from = end;
  }
  if (failure) throw failure;
}

/** Rows as `[values]` or `[code]`; a body that breaks ends with the error. */
async function read(type: string, bytes: Uint8Array | string, cuts: readonly number[] = [], failure?: Error) {
  const rows: InputRow[] = [];
  const input = await readRows(type, pieces(Buffer.from(bytes), cuts, failure));
  try {
    for await (const row of input.rows) rows.push(row);
    return { columns: input.columns, rows, broken: undefined };
  } catch (error) {
    if (!(error instanceof BodyBrokenError)) throw error;
    return { columns: input.columns, rows, broken: { code: error.code, index: error.index } };
  }
}

const everyCut = (bytes: Uint8Array): number[] => Array.from({ length: bytes.length }, (_, at) => at);

const csvField = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const cell = fc
  .string({ unit: 'grapheme', maxLength: 8 })
  .filter((text) => !/[\r\n\u2028\u2029]/.test(text) || text.length > 0);
const table = fc.array(fc.tuple(cell, cell, cell), { maxLength: 6 });
const cuts = fc.array(fc.nat(400), { maxLength: 8 });
const mark = fc.constantFrom('', '\ufeff');
const names = ['a', 'b', 'c'] as const;

const asObject = (cells: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.map((name, at) => [name, cells[at] ?? '']));
const withoutEmpty = (values: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ''));
const plain = (rows: readonly InputRow[]) => rows.map(({ index, values, error }) => [index, error ?? { ...values }]);

describe('the rows of a body are the same wherever the network cuts it', () => {
  test('CSV', async () => {
    await fc.assert(
      fc.asyncProperty(table, cuts, mark, fc.constantFrom('\n', '\r\n'), async (cells, at, bom, end) => {
        const text = [names, ...cells].map((row) => row.map(csvField).join(',')).join(end);
        const { rows, columns, broken } = await read('text/csv; charset=UTF-8', bom + text, at);
        expect(columns).toEqual(names);
        expect(broken).toBeUndefined();
        expect(plain(rows)).toEqual(cells.map((row, index) => [index, withoutEmpty(asObject(row))]));
      }),
      { numRuns: 150 },
    );
  });

  test('NDJSON', async () => {
    await fc.assert(
      fc.asyncProperty(table, cuts, mark, fc.constantFrom('\n', '\r\n', '\n\n'), async (cells, at, bom, end) => {
        const text = cells.map((row) => JSON.stringify(asObject(row))).join(end);
        fc.pre(text !== '');
        const { rows, broken } = await read('application/x-ndjson', bom + text, at);
        expect(broken).toBeUndefined();
        expect(plain(rows)).toEqual(cells.map((row, index) => [index, asObject(row)]));
      }),
      { numRuns: 150 },
    );
  });

  test('JSON', async () => {
    await fc.assert(
      fc.asyncProperty(table, cuts, mark, fc.constantFrom(0, 2), async (cells, at, bom, indent) => {
        const text = JSON.stringify(cells.map(asObject), null, indent);
        const { rows, broken } = await read('application/json', bom + text, at);
        expect(broken).toBeUndefined();
        expect(plain(rows)).toEqual(cells.map((row, index) => [index, asObject(row)]));
      }),
      { numRuns: 150 },
    );
  });

  test.each([
    ['text/csv', '\ufeff"a",b\r\n"x ""y"", z",ü€😀\r\n,\r\n"\ufeff",2\r\n'],
    ['application/x-ndjson', '\ufeff{"a":"ü€😀"}\r\n\r\n{"b":[1]}\n'],
    ['application/json', '\ufeff [ {"a":"ü€😀 \\n"} , {"b":[1,{"c":2}]} ]\n'],
  ])('%s, cut after every byte', async (type, text) => {
    const bytes = Buffer.from(text);
    expect(plain((await read(type, bytes, everyCut(bytes))).rows)).toEqual(plain((await read(type, bytes)).rows));
  });
});

describe('a broken body', () => {
  test.each([
    ['text/csv', 'a,b\n1,2\n3,4\n"5"x,6\n7,8\n', 'malformedCsv'],
    ['text/csv', 'a,b\n1,2\n3,4\nx"5,6\n7,8\n', 'malformedCsv'],
    ['text/csv', `a,b\n1,2\n3,4\n${'x'.repeat(1_100_000)},6\n`, 'malformedCsv'],
    ['application/json', '[{"a":1},{"a":2},{"a":}]', 'malformedJson'],
    ['application/json', '[{"a":1},{"a":2}', 'malformedJson'],
    ['application/json', '[{"a":1},{"a":2}] more', 'malformedJson'],
    ['application/json', `[{"a":1},{"a":2},{"a":"${'x'.repeat(2_200_000)}"}]`, 'malformedJson'],
    ['application/x-ndjson', `{"a":1}\n{"a":2}\n{"a":"${'x'.repeat(1_100_000)}"}`, 'malformedJson'],
  ])('of %s gives the rows in front of the fault and tells its row', async (type, text, code) => {
    const thousands = Array.from({ length: Math.floor(text.length / 100_000) }, (_, at) => at * 100_000);
    const { rows, broken } = await read(type, text, [20, ...thousands]);
    expect(rows.map(({ index, error }) => [index, error])).toEqual([
      [0, undefined],
      [1, undefined],
    ]);
    expect(broken).toEqual({ code, index: 2 });
  });

  test.each([
    ['text/csv', 'a,b\n1,2\n3,4\n5,half of a field'],
    ['application/json', '[{"a":1},{"a":2},{"a":"half'],
    ['application/x-ndjson', '{"a":1}\n{"a":2}\n{"a":3}'],
  ])('of %s that is cut off gives its whole rows and no half one', async (type, text) => {
    const { rows, broken } = await read(type, text, [3], new Error('aborted'));
    expect(rows).toHaveLength(2);
    expect(broken).toEqual({ code: 'bodyCutOff', index: 2 });
  });

  test('that grows beyond the bound is told as such', async () => {
    const tooLarge = new RequestError(413, 'bodyTooLarge', 'too large');
    expect((await read('text/csv', 'a\n1\nand more', [], tooLarge)).broken).toEqual({ code: 'bodyTooLarge', index: 1 });
    await expect(read('text/csv', 'a', [], tooLarge)).rejects.toMatchObject({ status: 413, code: 'bodyTooLarge' });
  });

  test('of JSON with bytes that are not UTF-8 is not read as something else', async () => {
    const bytes = Buffer.from('[{"a":"M\xfcller"}]', 'latin1');
    await expect(read('application/json', bytes)).rejects.toMatchObject({ status: 400, code: 'malformedJson' });
  });

  test('never shows the body in what it says', async () => {
    const texts = [
      ['text/csv', 'a\n"top"secret\n'],
      ['application/json', '[{"a":1},topsecret]'],
    ] as const;
    for (const [type, text] of texts) {
      const input = await readRows(type, pieces(Buffer.from(text), []));
      const all = (async () => {
        for await (const _ of input.rows);
      })();
      await expect(all).rejects.toMatchObject({ message: expect.not.stringMatching(/secret|"s"|"t"/) });
    }
  });
});

describe('before the first row', () => {
  test.each([
    [null, 'x', 415],
    ['text/plain', 'x', 415],
    ['text/csv; charset=iso-8859-1', 'x', 415],
    ['text/csv', '', 400],
    ['text/csv', 'a,a\n', 400],
    ['text/csv', 'a,,b\n', 400],
    ['text/csv', '"a"x\n', 400],
    ['application/json', '{"a":1}', 400],
    ['application/json', '"a"', 400],
    ['application/json', '[', 400],
  ])('a fault of %s %j fails the request with %i', async (type, text, status) => {
    await expect(readRows(type, pieces(Buffer.from(text), []))).rejects.toMatchObject({ status });
  });

  test.each(['text/csv;charset="UTF-8"', 'TEXT/CSV', 'text/csv; header=present'])('%s is taken', async (type) => {
    expect((await read(type, 'a\n1')).rows).toHaveLength(1);
  });
});

test('names in a body reach no prototype', async () => {
  const { rows } = await read('application/x-ndjson', '{"__proto__":{"polluted":1},"constructor":2}');
  expect(Object.keys(rows[0]?.values ?? {})).toEqual(['__proto__', 'constructor']);
  expect(Object.getPrototypeOf(rows[0]?.values)).toBeNull();
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
});
