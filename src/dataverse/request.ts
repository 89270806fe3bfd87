import type { Readable } from 'node:stream';

export interface TokenOptions {
  /** Asks for a new one, whatever is there. */
  readonly renew?: boolean;
  /** The token that Dataverse has refused: another one is wanted, and this one again if there is none to be had. */
  readonly rejected?: string;
  /** The claims that a new one must have, as JSON. */
  readonly claims?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Gives the bearer token of the connection's application user. */
export type TokenSource = (options?: TokenOptions) => string | Promise<string>;

export interface DataverseRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** Below the Web API's root, already encoded: `accounts?$select=name`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** The caller's own id of what this request belongs to; the service logs it. A new one is made if it is left out. */
  readonly clientRequestId?: string | undefined;
  /** Most bytes of the answer's body; 128 MB unless told otherwise. */
  readonly largestAnswer?: number | undefined;
  /** Whether sending it twice does no harm. GET always is. */
  readonly repeatable?: boolean;
  /** Aborts waits and the request itself. */
  readonly signal?: AbortSignal | undefined;
  /** Aborts waits before a try; a try that is under way is taken to its end. */
  readonly waitSignal?: AbortSignal | undefined;
  /**
   * Whether this is one of many requests of a bulk write: then it takes its place among the concurrent calls, and what
   * fails, but for service protection limits and an expired token, is left to the caller, who knows the rows.
   */
  readonly bulk?: boolean | undefined;
  /** Milliseconds since 1970 after which neither a wait nor an answer may end; a longer wait gives up at once. */
  readonly deadline?: number | undefined;
  /** Counts what this request cost. */
  readonly meter?: CallMeter | undefined;
  /** Takes up how many milliseconds the last try took, without the waits before it. */
  readonly timing?: { ms: number } | undefined;
}

export interface DataverseResponse {
  readonly status: number;
  /** A header by its lower-case name. */
  header(name: string): string | undefined;
  readonly text: string;
  /** The body as JSON, with all digits of its numbers. Throws DataverseError `notDataverse` if it is none. */
  json(): unknown;
}

/** An answer whose body is still to be read, or to be destroyed. */
export interface DataverseStream {
  readonly status: number;
  /** A header by its lower-case name. */
  header(name: string): string | undefined;
  /** Fails when the body breaks off, grows larger than allowed, or when time is over. */
  readonly body: Readable;
}

/** What a piece of work cost: requests sent, and time lost to service protection limits. */
export interface CallMeter {
  calls: number;
  throttled: { count: number; waitedMs: number };
}

export const newMeter = (): CallMeter => ({ calls: 0, throttled: { count: 0, waitedMs: 0 } });
