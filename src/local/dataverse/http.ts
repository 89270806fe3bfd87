import type { IncomingMessage, ServerResponse } from 'node:http';
import { tooLarge } from './errors.ts';
import type { Reply } from './reply.ts';

/** By their names in lower case. */
export function headersOf(incoming: IncomingMessage): Map<string, string> {
  const headers = new Map<string, string>();
  for (const [name, value] of Object.entries(incoming.headersDistinct)) headers.set(name, value?.join(', ') ?? '');
  return headers;
}

/** Sends a reply with what every answer has in common. */
export function send(response: ServerResponse, reply: Reply, common: Readonly<Record<string, string>> = {}): void {
  const body = reply.body === undefined ? undefined : Buffer.from(reply.body);
  writeHead(response, reply, common, body?.length);
  response.end(body);
}

/** Writes what stands before the body, which has `length` bytes; undefined when there is none. */
export function writeHead(
  response: ServerResponse,
  reply: Reply,
  common: Readonly<Record<string, string>>,
  length: number | undefined,
): void {
  const lengthHeader = length === undefined ? {} : { 'Content-Length': String(length) };
  response.writeHead(reply.status, reply.reason, { ...common, ...reply.headers, ...lengthHeader });
}

/** The whole body. Throws WireError 413 once it is longer than `max`; the rest is read and dropped. */
export async function readBody(incoming: IncomingMessage, max: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming) {
    const piece: Buffer = chunk;
    length += piece.length;
    if (length <= max) chunks.push(piece);
    else chunks.length = 0;
  }
  if (length > max) throw tooLarge();
  return Buffer.concat(chunks);
}
