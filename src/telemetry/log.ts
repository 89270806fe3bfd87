import { redact } from './redaction.ts';

/** Writes one line of log: a text, and its facts as JSON. Facts hold ids, counts and codes, never values of rows. */
export type Log = (message: string, facts?: Readonly<Record<string, unknown>>) => void;

export const logLine = (message: string, facts: Readonly<Record<string, unknown>> = {}): string =>
  redact(Object.keys(facts).length === 0 ? message : `${message} ${JSON.stringify(facts)}`);

/** For what happens outside of an invocation; the host collects a worker's console. */
export const consoleLog: Log = (message, facts) => {
  // biome-ignore lint/suspicious/noConsole: the one place that writes to it
  console.log(logLine(message, facts));
};
