import type { Preferences } from './preferences.ts';

/** An answer before it is written to a socket or into a `$batch` part. */
export interface Reply {
  readonly status: number;
  /** The reason phrase where it is not that of HTTP. */
  readonly reason?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

export const JSON_TYPE = 'application/json; odata.metadata=minimal';

export const noContent = (headers: Readonly<Record<string, string>> = {}): Reply => ({ status: 204, headers });

export const jsonReply = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Reply => ({
  status,
  headers: { 'Content-Type': JSON_TYPE, ...headers },
  body: JSON.stringify(body),
});

/** `/$count` and `/$value` answer text; the count begins with a byte order mark. */
export const textReply = (text: string, byteOrderMark: boolean): Reply => ({
  status: 200,
  headers: { 'Content-Type': 'text/plain' },
  body: byteOrderMark ? `\uFEFF${text}` : text,
});

/** `Preference-Applied` with everything that was applied. */
export function appliedPreferences(
  preferences: Preferences,
  applied: { representation?: boolean; pageSize?: boolean },
) {
  const parts: string[] = [];
  if (applied.representation) parts.push('return=representation');
  if (applied.pageSize && preferences.maxPageSize !== undefined) {
    parts.push(`odata.maxpagesize=${preferences.maxPageSize}`);
  }
  if (preferences.annotations !== undefined) parts.push(`odata.include-annotations="${preferences.annotations}"`);
  return parts.length === 0 ? {} : { 'Preference-Applied': parts.join(',') };
}
