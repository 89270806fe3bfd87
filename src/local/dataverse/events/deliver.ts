import type { Clock } from '../../../shared/clock.ts';
import type { WebhookEndpoint } from './row-event.ts';

export interface WebhookRequest {
  url: string;
  headers: Readonly<Record<string, string>>;
  body: string;
  signal: AbortSignal;
}

/** Posts a request and answers its status; rejects when there is none. */
export type WebhookTransport = (request: WebhookRequest) => Promise<{ status: number }>;

export interface Delivery extends WebhookEndpoint {
  context: Record<string, unknown>;
  organizationHost: string;
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

/** Posts one execution context. Resolves whatever becomes of it. */
export function deliverWebhook(delivery: Delivery): Promise<DeliveryResult> {
  throw new Error(`${delivery}`);
}

/** The transport over the machine's network; redirects are answers and are not followed. */
export const fetchTransport: WebhookTransport = async ({ url, headers, body, signal }) => {
  const response = await fetch(url, { method: 'POST', headers, body, signal, redirect: 'manual' });
  await response.body?.cancel();
  return { status: response.status };
};
