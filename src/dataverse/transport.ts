import { Pool } from 'undici';

export interface TransportRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Buffer | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for the answer's headers, and between parts of its body; a default otherwise. */
  readonly timeoutMs?: number | undefined;
}

export interface TransportResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** Sends one request and reads the whole answer. Rejects only if there is no complete answer. */
export type Transport = (request: TransportRequest) => Promise<TransportResponse>;

/** An operation of Dataverse runs two minutes at most (SQL and plug-in time); a little more is for the way. */
const ANSWER_TIMEOUT_MS = 150_000;
const LONGEST_BODY_BYTES = 128 * 1024 * 1024;

/**
 * A pool of HTTP/1.1 connections to one environment. It keeps no cookies on purpose: without the affinity cookie
 * requests spread over the environment's web servers, whose service protection limits count separately.
 */
export function poolTransport(origin: string, connections: number): { transport: Transport; close(): Promise<void> } {
  const pool = new Pool(origin, {
    connections,
    connect: { timeout: 10_000 },
    maxResponseSize: LONGEST_BODY_BYTES,
  });
  return {
    async transport({ method, url, headers, body, signal, timeoutMs = ANSWER_TIMEOUT_MS }) {
      const timeout = Math.max(1, Math.min(timeoutMs, ANSWER_TIMEOUT_MS));
      const response = await pool.request({
        method: method as 'GET',
        path: url.pathname + url.search,
        headers: { ...headers },
        body: body ?? null,
        headersTimeout: timeout,
        bodyTimeout: timeout,
        ...(signal && { signal }),
      });
      return {
        status: response.statusCode,
        headers: response.headers,
        body: Buffer.from(await response.body.arrayBuffer()),
      };
    },
    close: () => pool.close(),
  };
}
