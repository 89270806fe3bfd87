/** Lets those of one name pass one at a time, in the order in which they came. */
export class Lanes<T> {
  readonly #waiting = new Map<string, T[] | undefined>();

  /** Whether the lane was free; otherwise the item waits until `leave` gives it. */
  enter(name: string, item: T): boolean {
    if (!this.#waiting.has(name)) {
      // Most lanes never see a second item, so none gets a queue before it does.
      this.#waiting.set(name, undefined);
      return true;
    }
    const queue = this.#waiting.get(name);
    if (queue) queue.push(item);
    else this.#waiting.set(name, [item]);
    return false;
  }

  /** Frees the lane for the next that waits, and gives it. */
  leave(name: string): T | undefined {
    const next = this.#waiting.get(name)?.shift();
    if (next === undefined) this.#waiting.delete(name);
    return next;
  }
}
