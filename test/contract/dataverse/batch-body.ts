import type { Call } from './environment.ts';

export const CRLF = '\r\n';

export interface Part {
  method: string;
  url: string;
  body?: unknown;
  headers?: Record<string, string>;
  contentId?: string;
}

/** A part of a `$batch` body. */
export function operation(part: Part): string {
  return [
    'Content-Type: application/http',
    'Content-Transfer-Encoding: binary',
    ...(part.contentId === undefined ? [] : [`Content-ID: ${part.contentId}`]),
    '',
    `${part.method} ${part.url} HTTP/1.1`,
    ...(part.body === undefined ? [] : ['Content-Type: application/json; type=entry']),
    ...Object.entries(part.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
    '',
    part.body === undefined ? '' : JSON.stringify(part.body),
  ].join(CRLF);
}

/** Several operations that hold together. */
export function changeSet(parts: Part[]): string {
  const lines = parts.map((part) => `--changeset_1${CRLF}${operation(part)}`);
  return [`Content-Type: multipart/mixed; boundary="changeset_1"`, '', ...lines, '--changeset_1--', ''].join(CRLF);
}

/** Sends parts as one `$batch`. */
export const post = (call: Call, parts: string[], headers: Record<string, string> = {}) =>
  call('POST', '$batch', [...parts.map((part) => `--batch_1${CRLF}${part}`), '--batch_1--', ''].join(CRLF), {
    'Content-Type': 'multipart/mixed; boundary="batch_1"',
    ...headers,
  });

/** The statuses of the parts of an answer. */
export const statuses = (text: string) => [...text.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map((found) => Number(found[1]));
