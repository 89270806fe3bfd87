/** What is known of a name: whether somebody uses it, who waits for it, and the id that it led to last. */
export interface Turn<T> {
  busy: boolean;
  waiting: T[] | undefined;
  id: string | undefined;
}

/** Names that are remembered beyond those in use, which never are forgotten. */
const REMEMBERED = 16_384;

/** Lets those of one name pass one at a time, in the order in which they came, and remembers where the name led. */
export class Turns<T> {
  #names = new Map<string, Turn<T>>();
  #room = REMEMBERED;

  of(name: string): Turn<T> {
    let turn = this.#names.get(name);
    if (!turn) {
      if (this.#names.size >= this.#room) this.#forget();
      turn = { busy: false, waiting: undefined, id: undefined };
      this.#names.set(name, turn);
    }
    return turn;
  }

  /** Whether the item may pass; otherwise it waits until `leave` gives it. */
  enter(turn: Turn<T>, item: T): boolean {
    if (!turn.busy) {
      turn.busy = true;
      return true;
    }
    // Most names are met once, so none gets a queue before it needs one.
    turn.waiting ??= [];
    turn.waiting.push(item);
    return false;
  }

  /** Lets the next one pass, and gives it. */
  leave(turn: Turn<T>): T | undefined {
    const next = turn.waiting?.shift();
    turn.busy = next !== undefined;
    return next;
  }

  /** Begins anew with what is in use: to drop the oldest one by one costs more with each that has gone before. */
  #forget(): void {
    const kept = new Map<string, Turn<T>>();
    for (const [name, turn] of this.#names) if (turn.busy) kept.set(name, turn);
    this.#names = kept;
    this.#room = kept.size + REMEMBERED;
  }
}
