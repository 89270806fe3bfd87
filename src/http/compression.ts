import { pipeline, Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createGzip, gzip } from 'node:zlib';
import type { HttpResponseInit } from '@azure/functions';

/** A smaller body gains nothing. */
const WORTH_IT_BYTES = 1_400;

const TEXT = /^(text\/|application\/([\w.]+\+)?(json|x-ndjson|xml))/;

const gzipAsync = promisify(gzip);

/** The answer with its body in gzip, where the caller takes that and it is worth it. Nothing else compresses it. */
export async function compressed(
  answer: Omit<HttpResponseInit, 'headers'> & { readonly headers: Readonly<Record<string, string>> },
  acceptEncoding: string | null,
): Promise<HttpResponseInit> {
  const { body, headers } = answer;
  if (!TEXT.test(headers['content-type'] ?? '')) return answer;
  const varying = { ...answer, headers: { ...headers, vary: 'accept-encoding' } };
  if (!takesGzip(acceptEncoding)) return varying;
  const packed = { ...varying.headers, 'content-encoding': 'gzip' };
  if (body instanceof ReadableStream) {
    return { ...answer, headers: packed, body: gzipStream(body) };
  }
  if (typeof body !== 'string' || body.length < WORTH_IT_BYTES) return varying;
  return { ...answer, headers: packed, body: await gzipAsync(body) };
}

/** Whether `Accept-Encoding` names gzip, or anything, and does not rule it out by a weight of 0. */
export function takesGzip(acceptEncoding: string | null): boolean {
  const weights = new Map(
    (acceptEncoding ?? '').split(',').map((part) => {
      const [name = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
      const weight = parameters.find((text) => text.startsWith('q='))?.slice(2);
      return [name, weight === undefined ? 1 : Number(weight)] as const;
    }),
  );
  return (weights.get('gzip') ?? weights.get('*') ?? 0) > 0;
}

/** Whatever was made so far reaches the reader as soon as its source pauses: a row's outcome must not wait for the next. */
function gzipStream(source: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const packed = createGzip();
  // A failure of either side destroys the other; who reads `packed` hears of it there.
  pipeline(
    whilePausing(source, () => packed.flush()),
    packed,
    () => {},
  );
  return Readable.toWeb(packed);
}

async function* whilePausing(source: AsyncIterable<Uint8Array>, onPause: () => void): AsyncGenerator<Uint8Array> {
  const chunks = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = chunks.next();
      const pauses = await Promise.race([next.then(() => false), setImmediate(true)]);
      if (pauses) onPause();
      const { done, value } = await next;
      if (done) return;
      yield value;
    }
  } finally {
    await chunks.return?.();
  }
}
