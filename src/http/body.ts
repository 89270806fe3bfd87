import type { HttpRequest } from '@azure/functions';
import { RequestError } from './problem.ts';

/** The most that the platform passes on as a request's body. */
export const LARGEST_BODY_BYTES = 100 * 1024 * 1024;

const LARGEST_JSON_BYTES = 1024 * 1024;

const tooLarge = (limit: number): RequestError =>
  new RequestError(413, 'bodyTooLarge', `The body is larger than ${limit} bytes.`, {
    hint: 'Send it in parts, or start a run of an activation.',
  });

/**
 * The body as chunks of bytes, bounded. Throws RequestError `bodyTooLarge`, at once when the caller announces it, else
 * when the bound is passed.
 */
export async function* bodyChunks(request: HttpRequest, limit = LARGEST_BODY_BYTES): AsyncGenerator<Uint8Array> {
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw tooLarge(limit);
  if (!request.body) return;
  let size = 0;
  for await (const chunk of request.body) {
    const bytes = chunk as Uint8Array;
    size += bytes.byteLength;
    if (size > limit) throw tooLarge(limit);
    yield bytes;
  }
}

/** The whole body as JSON. Throws RequestError `bodyEmpty`, `bodyNotJson` or `bodyTooLarge`. */
export async function jsonBody(
  request: HttpRequest,
  body: AsyncIterable<Uint8Array> = bodyChunks(request, LARGEST_JSON_BYTES),
): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > LARGEST_JSON_BYTES) throw tooLarge(LARGEST_JSON_BYTES);
    chunks.push(chunk);
  }
  if (chunks.length === 0) throw new RequestError(400, 'bodyEmpty', 'The request has no body.', { hint: 'Send JSON.' });
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)));
  } catch (cause) {
    throw new RequestError(400, 'bodyNotJson', 'The body is not JSON in UTF-8.', { cause });
  }
}

/** Looks at a body's first character that is no blank; `body` gives all of it, from its start. */
export async function startsObject(
  chunks: AsyncIterable<Uint8Array>,
): Promise<{ isEmpty: boolean; isObject: boolean; body: AsyncIterable<Uint8Array> }> {
  const iterator = chunks[Symbol.asyncIterator]();
  const seen: Uint8Array[] = [];
  let first: number | undefined;
  while (first === undefined) {
    const next = await iterator.next();
    if (next.done) break;
    seen.push(next.value);
    first = next.value.find((byte) => byte > 0x20);
  }
  const body = (async function* () {
    yield* seen;
    yield* { [Symbol.asyncIterator]: () => iterator };
  })();
  return { isEmpty: first === undefined, isObject: first === 0x7b, body };
}
