import type { HttpRequest } from '@azure/functions';
import { RequestError } from './problem.ts';

/** The most that the platform passes on as a request's body. */
export const LARGEST_BODY_BYTES = 100 * 1024 * 1024;

/**
 * The body as chunks of bytes, bounded. Throws RequestError `bodyTooLarge`, at once when the caller announces it, else
 * when the bound is passed.
 */
export async function* bodyChunks(request: HttpRequest, limit = LARGEST_BODY_BYTES): AsyncGenerator<Uint8Array> {
  const tooLarge = (): RequestError =>
    new RequestError(413, 'bodyTooLarge', `The body is larger than ${limit} bytes.`, {
      hint: 'Send it in parts, or start a run of an activation.',
    });
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw tooLarge();
  if (!request.body) return;
  let size = 0;
  for await (const chunk of request.body) {
    const bytes = chunk as Uint8Array;
    size += bytes.byteLength;
    if (size > limit) throw tooLarge();
    yield bytes;
  }
}

/** The whole body as JSON. Throws RequestError `bodyEmpty`, `bodyNotJson` or `bodyTooLarge`. */
export async function jsonBody(request: HttpRequest, limit = 1024 * 1024): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bodyChunks(request, limit)) chunks.push(chunk);
  if (chunks.length === 0) throw new RequestError(400, 'bodyEmpty', 'The request has no body.', { hint: 'Send JSON.' });
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)));
  } catch (cause) {
    throw new RequestError(400, 'bodyNotJson', 'The body is not JSON in UTF-8.', { cause });
  }
}
