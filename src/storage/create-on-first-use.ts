import { isConflict, isMissing, StorageError } from './errors.ts';

/** Runs an operation; where its container, queue or table is missing, makes that and runs the operation once more. */
export type WithHome = <T>(operation: () => Promise<T>) => Promise<T>;

/**
 * In Azure the containers, queues and tables are there before the app is, and its identity may lack the right to make
 * more: hence the operation comes first and the making only after a 404. Concurrent callers share one making.
 */
export function createOnFirstUse(create: () => Promise<unknown>): WithHome {
  let creating: Promise<unknown> | undefined;
  const createOnce = (): Promise<unknown> => {
    creating ??= create()
      .catch((error: unknown) => {
        if (!isConflict(error)) throw error;
      })
      .finally(() => {
        creating = undefined;
      });
    return creating;
  };
  return async (operation) => {
    try {
      return await operation();
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    await createOnce();
    try {
      return await operation();
    } catch (error) {
      if (!isMissing(error)) throw error;
      throw new StorageError('unavailable', 'It was made just now and is still not there.', { cause: error });
    }
  };
}

/** Makes a value once, on first use. */
export function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** A signal as an SDK option; the SDKs' types do not take `undefined`. */
export const abortable = (signal: AbortSignal | undefined): { abortSignal?: AbortSignal } =>
  signal ? { abortSignal: signal } : {};
