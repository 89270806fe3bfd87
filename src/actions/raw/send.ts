import type { VerbatimClient, VerbatimRequest } from '../../dataverse/client.ts';
import { DataverseError } from '../../dataverse/errors.ts';
import { InputError } from '../../dataverse/input-error.ts';
import type { Metadata } from '../../dataverse/metadata.ts';
import type { TransportResponse } from '../../dataverse/transport.ts';
import { inVersion } from '../../dataverse/wire/principal.ts';
import type { Clock } from '../../shared/clock.ts';
import { BridgeError } from '../../shared/errors.ts';
import { parseExactJson } from '../../shared/exact-json.ts';
import type { NewId } from '../../shared/ids.ts';
import { parseAddress, type RawQuery, writeAddress } from './address.ts';
import { checkHeaders, toldHeaders } from './headers.ts';
import { type FormFile, writeForm } from './multipart.ts';
import { narrow } from './reach.ts';
import { nextTry, type RawRetry, type TryResult } from './retry.ts';

export interface RawRequest extends RawRetry {
  /** Below the Web API, with or without `/api/data/v9.x/`. */
  readonly path: string;
  readonly method: VerbatimRequest['method'];
  readonly query: RawQuery;
  readonly headers: Readonly<Record<string, string>>;
  /** The body: a text as it is, anything else as JSON. */
  readonly data?: unknown;
  readonly form: Readonly<Record<string, string>>;
  readonly files: readonly FormFile[];
  readonly responseType: 'json' | 'text' | 'binary';
  /** Longest wait for the answer of one try. */
  readonly timeoutMs?: number | undefined;
  readonly debug: boolean;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON; a text; or bytes in base64. Null where there is none. What is no JSON although it was asked for is a text. */
  readonly body: unknown;
  readonly debug?: RawFacts;
}

/** What was sent and answered. The token is no part of it. */
export interface RawFacts {
  readonly request: {
    readonly method: string;
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly bodyBytes: number;
  };
  readonly tries: readonly { readonly result: TryResult; readonly ms: number }[];
  readonly bodyBytes: number;
}

export interface RawContext {
  readonly client: VerbatimClient;
  readonly metadata: Metadata;
  /** The Web API's address. */
  readonly apiUrl: string;
  readonly allowedTables: ReadonlySet<string> | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  readonly newId: NewId;
  readonly signal?: AbortSignal | undefined;
  readonly clientRequestId?: string | undefined;
  readonly deadline: number;
  /** Most bytes of the answer's body; 50 MB unless told otherwise. */
  readonly largestAnswer?: number;
}

/** Dataverse did not answer a raw request in the time that its caller gave. */
export class RawTimeoutError extends BridgeError<'timeout'> {
  readonly status = 504;

  constructor(timeoutMs: number) {
    super('timeout', `Dataverse did not answer within ${timeoutMs} ms.`, {
      hint: 'Whether the request was carried out is not known; allow more time with timeoutMs.',
    });
  }
}

const LARGEST_ANSWER_BYTES = 50 * 1024 * 1024;

/**
 * Sends a request of the caller's own and resolves with what was answered, errors of the service included. Throws
 * InputError for a request that is not sent, RawTimeoutError, and DataverseError `network`, `limitExceeded`,
 * `answerTooLarge` and `tableNotAllowed`.
 */
export async function sendRaw(context: RawContext, request: RawRequest): Promise<RawAnswer> {
  const address = parseAddress(request.path, request.query);
  const headers = checkHeaders(request.headers);
  const given = bodyOf(request, headers, context.newId);
  const root = new URL(context.apiUrl);
  const { query, body } = context.allowedTables
    ? await narrowed({ ...context, root }, address, given)
    : { query: address.query, body: given };
  const below = writeAddress({ segments: address.segments, query });
  const path = address.version === undefined ? below : inVersion(address.version, below);
  const url = new URL(path, root);
  if (!url.href.startsWith(new URL('/api/data/', root).href)) {
    throw new InputError('path', 'pathInvalid', 'The path leads out of the Web API.');
  }
  const sent = {
    ...(request.responseType !== 'json' && { accept: '*/*' }),
    ...headers,
    ...(body && { 'content-type': headers['content-type'] ?? body.contentType }),
  };
  const tries: { result: TryResult; ms: number }[] = [];
  const answer = await tryUntilDone(
    context,
    request,
    { method: request.method, path, headers: sent, ...(body && { body: body.content }) },
    tries,
  );
  const facts = (): RawFacts => ({
    request: {
      method: request.method,
      url: url.href,
      headers: sent,
      bodyBytes: Buffer.byteLength(body?.content ?? ''),
    },
    tries,
    bodyBytes: answer.body.length,
  });
  return {
    status: answer.status,
    headers: toldHeaders(answer.headers),
    body: readBody(answer.body, request.responseType),
    ...(request.debug && { debug: facts() }),
  };
}

interface Body {
  readonly contentType: string;
  readonly content: string | Buffer;
  /** What it says, where it is JSON. */
  readonly value?: unknown;
}

const JSON_TYPE = 'application/json; charset=utf-8';

function bodyOf(
  { method, data, form, files }: RawRequest,
  headers: Readonly<Record<string, string>>,
  newId: NewId,
): Body | undefined {
  const isForm = Object.keys(form).length > 0 || files.length > 0;
  if (data === undefined && !isForm) return undefined;
  if (method === 'GET') throw new InputError('data', 'bodyNotTaken', 'A GET has no body.');
  if (isForm) {
    if (data !== undefined) throw new InputError('data', 'bodyTwice', 'There is a body besides the form.');
    if (headers['content-type'] !== undefined) {
      throw new InputError('headers.content-type', 'headerReserved', 'A form brings its own type.');
    }
    const { contentType, body } = writeForm(form, files, newId);
    return { contentType, content: body };
  }
  if (typeof data !== 'string') return { contentType: JSON_TYPE, content: JSON.stringify(data), value: data };
  const isJson = /^application\/json\b/i.test(headers['content-type'] ?? JSON_TYPE);
  return { contentType: JSON_TYPE, content: data, ...(isJson && { value: jsonIn(data) }) };
}

function jsonIn(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch {
    return undefined;
  }
}

/** The request as a connection with `allowedTables` sends it: what was understood, written anew. */
async function narrowed(
  context: Parameters<typeof narrow>[0],
  address: Parameters<typeof narrow>[1],
  body: Body | undefined,
): Promise<{ query: ReadonlyMap<string, string>; body: Body | undefined }> {
  if (body && body.value === undefined) {
    throw new InputError('data', 'notUnderstood', 'The body is no JSON.', {
      hint: 'A connection with allowedTables sends JSON only.',
    });
  }
  const { query } = await narrow(context, address, body?.value);
  return { query, body: body && { ...body, content: JSON.stringify(body.value) } };
}

async function tryUntilDone(
  context: RawContext,
  request: RawRequest,
  message: VerbatimRequest,
  tries: { result: TryResult; ms: number }[],
): Promise<TransportResponse> {
  const { client, clock, random, signal, clientRequestId, deadline, largestAnswer = LARGEST_ANSWER_BYTES } = context;
  for (let attempt = 1; ; attempt += 1) {
    const startedAt = clock.now();
    const timeoutMs = Math.min(request.timeoutMs ?? Number.POSITIVE_INFINITY, deadline - startedAt);
    const tried = await answerOrFailure(() =>
      client.exchange({ ...message, clientRequestId, largestAnswer, signal, deadline: startedAt + timeoutMs }),
    );
    const ms = clock.now() - startedAt;
    const result: TryResult =
      tried instanceof DataverseError ? (isTimeout(tried) ? 'timeout' : 'network') : tried.status;
    tries.push({ result, ms });
    const delay = nextTry(request, attempt, result, random());
    if (delay === undefined || clock.now() + delay >= deadline) {
      if (!(tried instanceof DataverseError)) return tried;
      throw result === 'timeout' ? new RawTimeoutError(timeoutMs) : tried;
    }
    await clock.sleep(delay, signal);
  }
}

async function answerOrFailure(
  exchange: () => Promise<TransportResponse>,
): Promise<TransportResponse | DataverseError> {
  try {
    return await exchange();
  } catch (error) {
    if (error instanceof DataverseError && error.code === 'network') return error;
    throw error;
  }
}

/** Whether no answer came because time was up: what an AbortSignal.timeout throws, and undici's own time-outs. */
function isTimeout({ cause }: DataverseError): boolean {
  if (!(cause instanceof Error)) return false;
  return (
    cause.name === 'TimeoutError' || ('code' in cause && /^UND_ERR_(HEADERS|BODY)_TIMEOUT$/.test(String(cause.code)))
  );
}

function readBody(bytes: Buffer, type: RawRequest['responseType']): unknown {
  if (bytes.length === 0) return null;
  if (type === 'binary') return bytes.toString('base64');
  // Counts begin with a byte order mark, which the decoder takes away.
  const text = new TextDecoder().decode(bytes);
  if (type === 'text') return text;
  try {
    return parseExactJson(text);
  } catch {
    return text;
  }
}
