import type { RowOutcome } from './outcomes.ts';

/** A place in the output: an input row's, whose outcome comes sometime. */
export interface Place {
  outcome: RowOutcome | undefined;
}

/** The rows that were taken and not yet given back: what bounds the memory of a write. */
export interface Window {
  /** Rows that were taken and not yet given back. */
  readonly held: number;
  add(place: Place): void;
  /** To be called when a place that was added has got its outcome. */
  settled(place: Place): void;
  /** The outcomes that are due, in the window's order; each is given once. */
  take(): readonly RowOutcome[];
  /** All outcomes there are, whatever stands before them. Rows without one are dropped. */
  takeAll(): readonly RowOutcome[];
}

/** Gives outcomes back in the order of the input, or as they come. */
export function createWindow(order: 'input' | 'completion'): Window {
  return order === 'input' ? inputOrder() : completionOrder();
}

/** Places given back are cut off now and then: moving the others for each would cost more than it saves. */
const CUT_AFTER = 4096;

function inputOrder(): Window {
  let places: Place[] = [];
  let first = 0;
  const take = (): RowOutcome[] => {
    const due: RowOutcome[] = [];
    for (let outcome = places[first]?.outcome; outcome; outcome = places[first]?.outcome) {
      due.push(outcome);
      first += 1;
    }
    if (first >= CUT_AFTER) {
      places = places.slice(first);
      first = 0;
    }
    return due;
  };
  return {
    get held() {
      return places.length - first;
    },
    add: (place) => places.push(place),
    settled: () => undefined,
    take,
    takeAll() {
      const due = places.slice(first).flatMap(({ outcome }) => outcome ?? []);
      places = [];
      first = 0;
      return due;
    },
  };
}

function completionOrder(): Window {
  let due: RowOutcome[] = [];
  let open = 0;
  const take = (): RowOutcome[] => {
    const taken = due;
    due = [];
    return taken;
  };
  return {
    get held() {
      return open + due.length;
    },
    add(place) {
      if (place.outcome) due.push(place.outcome);
      else open += 1;
    },
    settled({ outcome }) {
      if (!outcome) return;
      open -= 1;
      due.push(outcome);
    },
    take,
    takeAll: take,
  };
}
