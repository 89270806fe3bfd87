/** What goes wrong on purpose: the first fault that matches a request answers it. */
export interface Fault {
  /** The beginning of a path, or a pattern that the path must match. */
  path: string | RegExp;
  method?: string;
  /** How many requests it answers; all of them when left out. */
  times?: number;
  /** An answer, or undefined after some delay to let the request go on. */
  answer: (request: Request) => Promise<Response | undefined> | Response | undefined;
}

/** The faults that an emulator has been put under. */
export class Faults {
  #faults: (Fault & { left: number })[] = [];

  /** Adds a fault; the returned function takes it away again. */
  add(fault: Fault): () => void {
    const entry = { ...fault, left: fault.times ?? Number.POSITIVE_INFINITY };
    this.#faults.push(entry);
    return () => {
      this.#faults = this.#faults.filter((other) => other !== entry);
    };
  }

  clear(): void {
    this.#faults = [];
  }

  /** The answer of the first fault that matches, or undefined when the request shall be served as usual. */
  async answer(request: Request): Promise<Response | undefined> {
    const path = new URL(request.url).pathname;
    const fault = this.#faults.find(
      (each) =>
        each.left > 0 &&
        (each.method === undefined || each.method === request.method) &&
        (typeof each.path === 'string' ? path.startsWith(each.path) : each.path.test(path)),
    );
    if (!fault) return undefined;
    fault.left -= 1;
    return fault.answer(request);
  }
}
