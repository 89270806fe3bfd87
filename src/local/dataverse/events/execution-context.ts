import type { OrganizationFacts, RowEvent, WebhookStep } from './row-event.ts';

/** The RemoteExecutionContext that an asynchronous step in stage 40 posts, its keys in wire order. */
export function buildExecutionContext(
  event: RowEvent & { operationId: string },
  step: Pick<WebhookStep, 'id' | 'images'>,
  organization: OrganizationFacts,
): Record<string, unknown> {
  throw new Error(`${event}${step}${organization}`);
}
