import type { Clock } from '../../../shared/clock.ts';
import { messageOf } from '../../../shared/errors.ts';
import { buildExecutionContext } from './execution-context.ts';
import type { OrganizationFacts, RowEvent, WebhookAuth, WebhookEndpoint, WebhookStep } from './row-event.ts';

export interface WebhookRequest {
  url: string;
  headers: Readonly<Record<string, string>>;
  body: string;
  signal: AbortSignal;
}

/** Posts a request and answers its status; rejects when there is none. */
export type WebhookTransport = (request: WebhookRequest) => Promise<{ status: number }>;

/** What the headers of a webhook tell of the event. */
export interface EventFacts {
  organizationHost: string;
  table: string;
  message: string;
  correlationId: string;
}

export interface Delivery extends WebhookEndpoint {
  context: Readonly<Record<string, unknown>>;
  facts: EventFacts;
  transport: WebhookTransport;
  clock: Clock;
  signal?: AbortSignal;
}

export interface DeliveryResult {
  delivered: boolean;
  attempts: number;
  /** Of the last attempt; left out when there was no answer. */
  status?: number;
  error?: string;
}

/** How long the service waits for an answer. */
const WEBHOOK_TIMEOUT_MS = 60_000;
/** A larger payload is cut down and marked with `x-ms-dynamics-msg-size-exceeded`. */
const WEBHOOK_MAX_BYTES = 256 * 1024;
const REMOVED_WHEN_TOO_LARGE: ReadonlySet<string> = new Set([
  'ParentContext',
  'InputParameters',
  'PreEntityImages',
  'PostEntityImages',
]);
const REPEATED: ReadonlySet<number> = new Set([502, 503, 504]);
const MAX_ATTEMPTS = 2;

/** Tells a step of an event; `operationId` is the job's, for a synchronous step one of its own. */
export const deliverEvent = (
  { event, step, operationId }: { event: RowEvent; step: WebhookStep; operationId: string },
  {
    organization,
    transport,
    clock,
    signal,
  }: { organization: OrganizationFacts; transport: WebhookTransport; clock: Clock; signal: AbortSignal },
): Promise<DeliveryResult> =>
  deliverWebhook({
    ...step.endpoint,
    context: buildExecutionContext(event, step, organization, operationId),
    facts: {
      organizationHost: organization.host,
      table: event.table,
      message: event.message,
      correlationId: event.correlationId,
    },
    transport,
    clock,
    signal,
  });

/**
 * Posts one execution context as the service does: 60 s for an answer, one more attempt after 502, 503 or 504 and none
 * after anything else. Resolves whatever becomes of it; rejects only with the reason of `signal`.
 */
export async function deliverWebhook(delivery: Delivery): Promise<DeliveryResult> {
  const request = prepareRequest(delivery);
  for (let attempts = 1; ; attempts += 1) {
    const outcome = await post(request, delivery);
    delivery.signal?.throwIfAborted();
    if ('error' in outcome) return { delivered: false, attempts, error: outcome.error };
    const { status } = outcome;
    if (status >= 200 && status < 300) return { delivered: true, attempts, status };
    if (attempts === MAX_ATTEMPTS || !REPEATED.has(status)) {
      return { delivered: false, attempts, status, error: `The endpoint answered ${status}` };
    }
  }
}

/** The transport over the machine's network; redirects are answers and are not followed. */
export const fetchTransport: WebhookTransport = async ({ url, headers, body, signal }) => {
  const response = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'manual' });
  await response.body?.cancel();
  return { status: response.status };
};

function prepareRequest({ url, auth, context, facts }: Delivery): Omit<WebhookRequest, 'signal'> {
  const whole = JSON.stringify(context);
  const tooLarge = Buffer.byteLength(whole) > WEBHOOK_MAX_BYTES;
  const body = tooLarge
    ? JSON.stringify(Object.fromEntries(Object.entries(context).filter(([key]) => !REMOVED_WHEN_TOO_LARGE.has(key))))
    : whole;
  return {
    url: withQuery(url, auth),
    headers: {
      ...headersOf(auth),
      'content-type': 'application/json',
      'x-ms-dynamics-organization': facts.organizationHost,
      'x-ms-dynamics-entity-name': facts.table,
      'x-ms-dynamics-request-name': facts.message,
      'x-ms-correlation-request-id': facts.correlationId,
      ...(tooLarge && { 'x-ms-dynamics-msg-size-exceeded': 'true' }),
    },
    body,
  };
}

const headersOf = (auth: WebhookAuth): Record<string, string> =>
  auth.kind === 'header' ? Object.fromEntries(auth.pairs.map(([name, value]) => [name.toLowerCase(), value])) : {};

/** Appends to the URL as it was registered, so that its own query stays byte for byte. */
function withQuery(url: string, auth: WebhookAuth): string {
  const pairs = auth.kind === 'key' ? [['code', auth.value] as const] : auth.kind === 'query' ? auth.pairs : [];
  if (pairs.length === 0) return url;
  const query = pairs.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
  const [address = ''] = url.split('#');
  return `${address}${address.includes('?') ? '&' : '?'}${query}`;
}

async function post(
  request: Omit<WebhookRequest, 'signal'>,
  { transport, clock, signal }: Delivery,
): Promise<{ status: number } | { error: string }> {
  const ending = new AbortController();
  const ended = signal ? AbortSignal.any([ending.signal, signal]) : ending.signal;
  const timeout = clock.sleep(WEBHOOK_TIMEOUT_MS, ended).then(() => ({ error: 'The endpoint did not answer in 60 s' }));
  try {
    return await Promise.race([transport({ ...request, signal: ended }), timeout]);
  } catch (error) {
    return { error: reasonOf(error) };
  } finally {
    // Ends the loser of the race, whose rejection then means nothing.
    timeout.catch(() => undefined);
    ending.abort();
  }
}

/** The network's own reason, never the message of `fetch` itself: that may quote the URL, which may hold the key. */
function reasonOf(error: unknown): string {
  if (error instanceof TypeError) {
    return error.cause instanceof Error ? `No answer: ${messageOf(error.cause)}` : 'No answer';
  }
  return `No answer: ${messageOf(error)}`;
}
