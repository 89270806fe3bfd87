import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Pool } from 'undici';

/** A request as it went to the service. */
export interface WireRequest {
  readonly method: string;
  /** `/api/data/v9.2/accounts?$select=name` */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

/** The part of undici's request that its channel `undici:request:create` tells (its docs, DiagnosticsChannel). */
interface CreatedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly string[];
  readonly body: Uint8Array | string | null;
}

/** Carries out `work` and tells the one request that it sent. Throws when it sent none, or several. */
export async function requestOf(work: () => Promise<unknown>): Promise<WireRequest> {
  const seen: CreatedRequest[] = [];
  const see = (message: unknown): void => void seen.push((message as { request: CreatedRequest }).request);
  subscribe('undici:request:create', see);
  try {
    await work();
  } finally {
    unsubscribe('undici:request:create', see);
  }
  const [only, another] = seen;
  if (!only || another) throw new Error(`There were ${seen.length} requests instead of one.`);
  const { method, path, headers, body } = only;
  const pairs = headers.flatMap((name, at) => (at % 2 === 0 ? [[name, headers[at + 1] ?? '']] : []));
  return {
    method,
    path,
    headers: Object.fromEntries(pairs),
    body: body === null ? null : Buffer.from(body).toString(),
  };
}

/** Sends the request with nothing but undici, and reads its answer: JSON becomes values, all else a text. */
export async function sendBare(pool: Pool, { method, path, headers, body }: WireRequest): Promise<unknown> {
  const answer = await pool.request({ method: method as 'GET', path, headers, body });
  const text = await answer.body.text();
  if (answer.statusCode >= 300) throw new Error(`${method} ${path} answered ${answer.statusCode}: ${text}`);
  return String(answer.headers['content-type']).startsWith('application/json') ? JSON.parse(text) : text;
}
