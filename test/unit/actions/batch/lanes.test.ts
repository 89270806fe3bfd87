import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chainsOf, lanesOf, type Ordered } from '../../../../src/actions/batch/lanes.ts';

type Named = Ordered & { readonly name: string };
const entry = (
  name: string,
  key?: Record<string, unknown>,
  gets: Record<string, unknown> = {},
  table = 'account',
): Named => ({
  name,
  table,
  key,
  gets,
});
const names = (lanes: readonly (readonly Named[])[]): string[] =>
  lanes.map((lane) => lane.map(({ name }) => name).join('')).sort();

describe('lanes', () => {
  test('hold entries on one row in their order, and others apart', () => {
    const entries = [
      entry('a', { accountid: '1' }),
      entry('b', { accountid: '2' }),
      entry('c', { accountid: '1' }),
      entry('d', { accountid: '1' }, {}, 'contact'),
      entry('e'),
    ];
    expect(names(lanesOf(entries))).toEqual(['ac', 'b', 'd', 'e']);
  });

  test('take texts for the same that the service takes for the same', () => {
    expect(
      names(lanesOf([entry('a', { number: 'X' }), entry('b', { number: 'x ' }), entry('c', { number: 'y' })])),
    ).toEqual(['ab', 'c']);
  });

  test('join a row with what is addressed by the key that it gets', () => {
    const entries = [
      entry('a', undefined, { number: '1' }),
      entry('b', { number: '1' }),
      entry('c', { number: '2' }, { number: '3' }),
      entry('d', { number: '3' }),
      entry('e', { number: '4' }),
    ];
    expect(names(lanesOf(entries))).toEqual(['ab', 'cd', 'e']);
  });

  test('hold all entries of a table whose rows are addressed in several ways', () => {
    const entries = [
      entry('a', { accountid: '1' }),
      entry('b', { number: '1' }),
      entry('c', { accountid: '9' }),
      entry('d', { contactid: '1' }, {}, 'contact'),
    ];
    expect(names(lanesOf(entries))).toEqual(['abc', 'd']);
  });
});

describe('chains', () => {
  const limits = { entries: 3, bytes: 10 };
  const lane = (...indexes: number[]) => indexes.map((index) => ({ index, bytes: 1, looksUp: false }));
  const shown = (chains: { index: number }[][][]): number[][][] =>
    chains.map((chain) => chain.map((batch) => batch.map(({ index }) => index)));

  test('fill batches with whole lanes, in the order of their entries', () => {
    expect(shown(chainsOf([lane(0, 3), lane(1), lane(2), lane(4)], limits))).toEqual([[[0, 1, 3]], [[2, 4]]]);
  });

  test('send the parts of a lane that is too long one after the other', () => {
    expect(shown(chainsOf([lane(0, 1, 2, 3), lane(4)], limits))).toEqual([[[0, 1, 2], [3]], [[4]]]);
  });

  test('put what looks its row up behind what comes before it', () => {
    const looking = [...lane(0), { index: 1, bytes: 1, looksUp: true }, ...lane(2)];
    expect(shown(chainsOf([looking], limits))).toEqual([[[0], [1, 2]]]);
  });

  test('hold every entry once, within the limits, and lanes in their order', () => {
    const entries = fc.array(
      fc.record({
        row: fc.constantFrom('1', '2', '3', '4'),
        bytes: fc.integer({ min: 1, max: 9 }),
        looksUp: fc.boolean(),
      }),
      { maxLength: 25 },
    );
    fc.assert(
      fc.property(entries, (given) => {
        const all = given.map(({ row, ...each }, index) => ({
          ...each,
          index,
          row,
          table: 't',
          key: { id: row },
          gets: {},
        }));
        const chains = chainsOf(lanesOf(all), limits);
        expect(
          chains
            .flat(2)
            .map(({ index }) => index)
            .sort((a, b) => a - b),
        ).toEqual(all.map(({ index }) => index));
        for (const batch of chains.flat()) {
          expect(batch.length).toBeLessThanOrEqual(limits.entries);
          if (batch.length > 1)
            expect(batch.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(limits.bytes);
        }
        for (const row of new Set(all.map((each) => each.row))) {
          const holding = chains.filter((chain) => chain.flat().some((each) => each.row === row));
          expect(holding).toHaveLength(1);
          const sent = holding.flat(2).filter((each) => each.row === row);
          expect(sent.map(({ index }) => index)).toEqual(sent.map(({ index }) => index).sort((a, b) => a - b));
        }
      }),
      { numRuns: 200 },
    );
  });
});
