import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { AuthLevel } from './function-definitions.ts';

/** The host key, which opens functions, and the master key, which opens everything. */
export interface AccessKeys {
  readonly function: string;
  readonly master: string;
}

/** True if the request may pass: the header `x-functions-key` counts before the query's `code`, even when it is wrong. */
export function mayPass(level: AuthLevel, request: IncomingMessage, url: URL, keys: AccessKeys): boolean {
  if (level === 'anonymous') return true;
  const header = request.headers['x-functions-key'];
  const presented = typeof header === 'string' ? header : url.searchParams.get('code');
  if (presented === null) return false;
  const master = sameSecret(presented, keys.master);
  const functionKey = sameSecret(presented, keys.function);
  return master || (level === 'function' && functionKey);
}

/** Compares in a time that depends on neither value. */
function sameSecret(left: string, right: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(left), digest(right));
}
