import { describe, expect, test } from 'vitest';
import type { RowOutcome } from '../../../../src/dataverse/bulk/outcomes.ts';
import { createWindow, type Place } from '../../../../src/dataverse/bulk/window.ts';

const settle = (place: Place, index: number): void => {
  place.outcome = { index, key: {}, outcome: 'created' };
};
const indices = (outcomes: readonly RowOutcome[]): number[] => outcomes.map(({ index }) => index);

describe('the window of a write', () => {
  test.each(['input', 'completion'] as const)('gives each outcome once in the order of %s, at its end too', (order) => {
    const window = createWindow(order);
    const places = Array.from({ length: 4 }, (): Place => ({ outcome: undefined }));
    for (const place of places) window.add(place);
    for (const at of [0, 2, 3]) {
      const place = places[at] as Place;
      settle(place, at);
      window.settled(place);
    }
    const before = indices(window.take());
    expect([...before, ...indices(window.takeAll())]).toEqual([0, 2, 3]);
    expect(window.takeAll()).toEqual([]);
  });
});
