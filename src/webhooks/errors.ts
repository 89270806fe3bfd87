import { BridgeError } from '../shared/errors.ts';

/** The HTTP status of each refusal. Dataverse posts once more after 502, 503 and 504 and after nothing else. */
const STATUS = {
  endpointUnknown: 404,
  secretWrong: 401,
  secretUnavailable: 503,
  bodyTooLarge: 413,
  bodyNotJson: 400,
  notQueued: 503,
  pageUnknown: 400,
  messageUnreadable: 500,
} as const;

export type WebhookErrorCode = keyof typeof STATUS;

/** A webhook request, a queued event or a query of the feed that cannot be served. */
export class WebhookError extends BridgeError<WebhookErrorCode> {
  readonly status: number;

  constructor(code: WebhookErrorCode, message: string, options: ErrorOptions & { hint?: string } = {}) {
    super(code, message, options);
    this.status = STATUS[code];
  }
}
