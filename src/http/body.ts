import type { HttpRequest } from '@azure/functions';
import { parseExactJson } from '../shared/exact-json.ts';
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

export interface JsonBodyOptions {
  /** The body's bytes, where they have been begun with. */
  readonly body?: AsyncIterable<Uint8Array>;
  /** Most bytes, 1 MB unless told otherwise. */
  readonly limit?: number | undefined;
  /** No body at all reads as undefined. */
  readonly optional?: boolean;
}

/**
 * The whole body as JSON, numbers that a double does not hold as ExactNumber. Throws RequestError `bodyEmpty`,
 * `bodyNotJson`, `bodyTooDeep`, `bodyTooLarge` or `invalidCharacter`.
 */
export async function jsonBody(
  request: HttpRequest,
  { limit = LARGEST_JSON_BYTES, optional = false, body = bodyChunks(request, limit) }: JsonBodyOptions = {},
): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > limit) throw tooLarge(limit);
    chunks.push(chunk);
  }
  if (size === 0 && optional) return undefined;
  if (size === 0) throw new RequestError(400, 'bodyEmpty', 'The request has no body.', { hint: 'Send JSON.' });
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch (cause) {
    throw notJson(cause);
  }
  assertDepth(text);
  let value: unknown;
  try {
    value = parseExactJson(text);
  } catch (cause) {
    throw notJson(cause);
  }
  if (SURROGATE_ESCAPE.test(text)) assertWellFormed(value, []);
  return value;
}

const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;

/** Half a character, which only an escape can write in UTF-8, has no place in a URL nor in Dataverse. */
function assertWellFormed(value: unknown, path: readonly string[]): void {
  if (typeof value === 'string' && !value.isWellFormed()) {
    const message = 'The text holds half of a character (a lone surrogate).';
    throw new RequestError(400, 'invalidCharacter', message, {
      errors: [{ path: path.join('.').toWellFormed().slice(0, 200), code: 'invalidCharacter', message }],
    });
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [name, inner] of Object.entries(value)) {
    assertWellFormed(name, [...path, name]);
    assertWellFormed(inner, [...path, name]);
  }
}

const notJson = (cause: unknown): RequestError =>
  new RequestError(400, 'bodyNotJson', 'The body is not JSON in UTF-8.', {
    cause,
    ...(cause instanceof SyntaxError && { hint: cause.message.slice(0, 200) }),
  });

/** Nothing that we take is nested like this; functions that walk a value would run out of stack. */
const DEEPEST = 100;

function assertDepth(text: string): void {
  const structure = /["[{\]}]/g;
  let depth = 0;
  for (let found = structure.exec(text); found; found = structure.exec(text)) {
    const [token] = found;
    if (token === '"') structure.lastIndex = endOfText(text, found.index);
    else depth += token === '[' || token === '{' ? 1 : -1;
    if (depth > DEEPEST) {
      throw new RequestError(400, 'bodyTooDeep', `The body is nested more than ${DEEPEST} levels deep.`);
    }
  }
}

/** Where a text in quotes ends. A loop, since an expression over a text of megabytes runs out of stack. */
function endOfText(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let slashes = 0;
    while (text[quote - 1 - slashes] === '\\') slashes += 1;
    if (slashes % 2 === 0) return quote + 1;
  }
  return text.length;
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
