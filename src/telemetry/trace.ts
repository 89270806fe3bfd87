import { AsyncLocalStorage } from 'node:async_hooks';

/** The W3C trace context of an invocation, as the Functions host gives it. */
export interface TraceContext {
  readonly traceParent: string;
}

const current = new AsyncLocalStorage<TraceContext>();

/** Runs the work of one invocation; what is observed in it belongs to its trace. */
export const inTrace = <T>(trace: TraceContext, work: () => T): T => current.run(trace, work);

export const currentTrace = (): TraceContext | undefined => current.getStore();

/** The same values, made within the trace of whoever calls this: an answer's stream is read after its handler returned. */
export function keepingTrace<T>(source: AsyncIterable<T>): AsyncIterable<T> {
  const within = AsyncLocalStorage.snapshot();
  return {
    [Symbol.asyncIterator](): AsyncIterator<T> {
      const iterator = source[Symbol.asyncIterator]();
      return {
        next: () => within(() => iterator.next()),
        async return() {
          await within(() => iterator.return?.());
          return { done: true, value: undefined };
        },
      };
    },
  };
}
