/** How many rows a call of one kind may have. */
export interface CallSize {
  /** At this moment, for calls that take `rowMs` for each row besides `callMs`. */
  rows(cost: { readonly call: number; readonly row: number }): number;
  /** After a call with so many rows went through. */
  grew(rows: number): void;
  /** After a call with so many rows was too large or took too long. */
  shrank(rows: number): void;
}

export interface CallSizeOptions {
  readonly first: number;
  readonly most: number;
  /** Milliseconds that a call should take. */
  readonly targetMs: number;
}

/**
 * Starts small, grows by leaps while calls go through, and aims at a time per call. After a call that was too large it
 * starts over from half of that and grows slowly.
 */
export function createCallSize({ first, most, targetMs }: CallSizeOptions): CallSize {
  let allowed = Math.min(first, most);
  let growth = 4;
  return {
    rows: ({ call, row }) => Math.max(1, Math.min(allowed, Math.floor((targetMs - call) / row))),
    grew(rows) {
      if (rows >= allowed / 2) allowed = Math.min(most, Math.ceil(allowed * growth));
    },
    shrank(rows) {
      allowed = Math.max(1, Math.min(allowed, Math.floor(rows / 2)));
      growth = 1.1;
    },
  };
}
