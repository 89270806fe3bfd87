import type { ServerResponse } from 'node:http';
import type { Clock } from '../../shared/clock.ts';
import { send, writeHead } from './http.ts';
import type { Reply } from './reply.ts';

/** What becomes of an answer on its way. */
export type Sending =
  /** It breaks off after so many bytes, or parts of a multipart body; cleanly, as if it ended there, or with a reset. */
  | {
      readonly kind: 'cut';
      readonly after: { bytes: number } | { parts: number } | 'half';
      readonly end: 'clean' | 'reset';
    }
  /** Its body comes in pieces with pauses. */
  | { readonly kind: 'trickle'; readonly pieces: number; readonly pauseMs: number };

/** Sends a reply in a way that no client likes. */
export async function sendBadly(
  response: ServerResponse,
  reply: Reply,
  common: Readonly<Record<string, string>>,
  sending: Sending,
  options: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  if (sending.kind === 'trickle') return trickle(response, reply, common, sending, options);
  const body = Buffer.from(reply.body ?? '');
  const kept = body.subarray(0, cutOff(body, reply, sending.after));
  if (sending.end === 'clean') {
    send(response, reply.body === undefined ? reply : { ...reply, body: kept }, common);
    return;
  }
  if (body.length === 0) {
    // Nothing but the head is there to be cut off.
    await written((done) => response.socket?.write(`HTTP/1.1 ${reply.status} `, done));
  } else {
    writeHead(response, reply, common, body.length);
    response.flushHeaders();
    if (kept.length > 0) await written((done) => response.write(kept, done));
  }
  response.socket?.destroy();
}

async function trickle(
  response: ServerResponse,
  reply: Reply,
  common: Readonly<Record<string, string>>,
  { pieces, pauseMs }: Extract<Sending, { kind: 'trickle' }>,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  const body = Buffer.from(reply.body ?? '');
  const size = Math.max(1, Math.ceil(body.length / pieces));
  writeHead(response, reply, common, reply.body === undefined ? undefined : body.length);
  response.flushHeaders();
  for (let at = 0; at < body.length && !response.destroyed; at += size) {
    await clock.sleep(pauseMs, signal);
    response.write(body.subarray(at, at + size));
  }
  response.end();
}

const written = (write: (done: () => void) => void): Promise<void> => new Promise((resolve) => write(() => resolve()));

function cutOff(body: Buffer, reply: Reply, after: Extract<Sending, { kind: 'cut' }>['after']): number {
  if (after === 'half') return Math.floor(body.length / 2);
  return 'bytes' in after ? after.bytes : endOfPart(body, reply, after.parts);
}

/** Where the part after `parts` of them begins; the end of a body that is not multipart. */
function endOfPart(body: Buffer, reply: Reply, parts: number): number {
  const boundary = /boundary=([^\s;]+)/.exec(reply.headers['Content-Type'] ?? '')?.[1];
  if (boundary === undefined) return body.length;
  let at = body.indexOf(`--${boundary}`);
  for (let seen = 0; seen < parts && at >= 0; seen += 1) at = body.indexOf(`--${boundary}`, at + 1);
  return at < 0 ? body.length : at;
}
