import { Readable } from 'node:stream';
import type { Pool } from 'undici';
import { DataverseError } from './errors.ts';

export interface TransportRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Buffer | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How long the whole exchange may take. Left out, only the waits for headers and between parts are bounded. */
  readonly timeoutMs?: number | undefined;
  /** Most bytes of the answer's body, as it is when it is unpacked; 128 MB unless told otherwise. */
  readonly largestAnswer?: number | undefined;
  /** Whether the body of a 2xx is left to be read. */
  readonly streamed?: boolean | undefined;
}

export interface TransportResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The body; empty where `stream` has it. */
  readonly body: Buffer;
  readonly stream?: Readable;
}

/**
 * Sends one request and reads the whole answer, or its headers only. Rejects only if there is no complete answer, and
 * with DataverseError `answerTooLarge`.
 */
export type Transport = (request: TransportRequest) => Promise<TransportResponse>;

/** An operation of Dataverse runs two minutes at most (SQL and plug-in time); a little more is for the way. */
const ANSWER_TIMEOUT_MS = 150_000;
const LARGEST_ANSWER_BYTES = 128 * 1024 * 1024;

/**
 * A pool of HTTP/1.1 connections to one environment. It keeps no cookies on purpose: without the affinity cookie
 * requests spread over the environment's web servers, whose service protection limits count separately.
 */
export function poolTransport(origin: string, connections: number): { transport: Transport; close(): Promise<void> } {
  let opened: Promise<Pool> | undefined;
  // Loaded with the first request: a start of the app does not wait for it.
  const open = async (): Promise<Pool> => {
    const { default: undici } = await import('undici');
    return new undici.Pool(origin, {
      connections,
      connect: { timeout: 10_000 },
      maxResponseSize: LARGEST_ANSWER_BYTES,
    });
  };
  return {
    async transport({ method, url, headers, body, signal, timeoutMs, largestAnswer, streamed = false }) {
      const timeout = Math.max(1, Math.min(timeoutMs ?? ANSWER_TIMEOUT_MS, ANSWER_TIMEOUT_MS));
      const inTime = timeoutMs === undefined ? signal : within(timeout, signal);
      opened ??= open();
      const pool = await opened;
      const response = await pool.request({
        method: method as 'GET',
        path: url.pathname + url.search,
        headers: { ...headers },
        body: body ?? null,
        headersTimeout: timeout,
        bodyTimeout: timeout,
        ...(inTime && { signal: inTime }),
      });
      const answer = { status: response.statusCode, headers: response.headers };
      const limited = bounded(response.body, largestAnswer);
      if (streamed && answer.status < 300) return { ...answer, body: Buffer.alloc(0), stream: Readable.from(limited) };
      return { ...answer, body: await wholeOf(limited) };
    },
    async close() {
      await (await opened)?.close();
    },
  };
}

/** One signal for the caller's will and the time that is left; it holds while the body is read too. */
function within(timeoutMs: number, signal: AbortSignal | undefined): AbortSignal {
  const timeout = AbortSignal.timeout(timeoutMs);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}

/** The same bytes, failing as soon as there are more than allowed; the pool itself ends an answer at its own bound. */
async function* bounded(body: Readable, largest = LARGEST_ANSWER_BYTES): AsyncGenerator<Buffer> {
  let size = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > largest) throw tooLarge(largest);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') {
      throw tooLarge(LARGEST_ANSWER_BYTES);
    }
    throw error;
  }
}

async function wholeOf(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return all.length === 1 && all[0] ? all[0] : Buffer.concat(all);
}

const tooLarge = (largest: number): DataverseError =>
  new DataverseError(
    'answerTooLarge',
    `The answer of Dataverse is larger than ${largest} bytes.`,
    {},
    { hint: 'Ask for fewer rows or columns at a time.' },
  );
