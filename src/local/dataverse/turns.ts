/** Runs work when all that was given before has ended, so that a transaction can stay open while a step is waited for. */
export type Turn = <Result>(work: () => Result | Promise<Result>) => Promise<Result>;

export function createTurns(): Turn {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work);
    last = result.catch(() => undefined);
    return result;
  };
}
