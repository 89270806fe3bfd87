import { app } from '@azure/functions';
import * as z from 'zod';
import { SettingsError } from '../config/settings.ts';
import { bodyChunks } from '../http/body.ts';
import { RequestError } from '../http/problem.ts';
import { pageSize, pageToken, time } from '../http/query-values.ts';
import { json, type Route, route } from '../http/routes.ts';
import { EVENT_QUEUE } from '../webhooks/queued-event.ts';
import type { Services } from './services.ts';

/** Dataverse waits a minute for an answer; what takes longer would be posted again. */
const LONGEST_RECEIPT_MS = 50_000;

const recognised = z.string().nullable().describe('Null where the event is not recognised.');
const storedEvent = z.object({
  id: z.string(),
  endpoint: z.string(),
  table: recognised,
  row: recognised,
  message: recognised,
  state: z.enum(['received', 'unrecognised']),
  operationCreatedOn: recognised,
  receivedAt: z.string(),
  context: z.unknown().describe('What Dataverse sent, decoded; null where it is no longer kept.'),
});

export function webhookRoutes(services: Services): readonly Route[] {
  return [
    route({
      name: 'receiveWebhook',
      methods: ['POST'],
      route: 'webhooks/dataverse/{endpoint}',
      access: 'anonymous',
      tag: 'webhooks',
      summary: 'Receive what a Dataverse webhook sends.',
      description:
        'Verified by the secret of the endpoint, in the header or query value that its settings name (`x-bridge-key` by default). Answered once the event is durably queued.',
      requestHeaders: { 'x-bridge-key': 'The endpoint’s secret.' },
      bodyTypes: ['application/json'],
      answers: {
        202: {
          description: 'The event is queued.',
          schema: z.object({ id: z.string(), recognised: z.boolean() }),
        },
      },
      example: {
        path: { endpoint: 'main' },
        headers: { 'x-bridge-key': '{secret}' },
        body: {
          MessageName: 'Update',
          PrimaryEntityName: 'account',
          PrimaryEntityId: '6b9a1f0c-7e2a-4a4f-9c53-2f6d1f0f7a01',
          OperationId: '0d2c4e80-1c1f-4f0e-8a44-5b7f3a9a1e02',
          CorrelationId: '5c0f7a52-90f4-4a55-b3f2-7f0c2f8b4d03',
          OperationCreatedOn: '/Date(1795255200000+0000)/',
        },
        status: 202,
      },
      async handler({ request, path, search }) {
        const name = path['endpoint'] ?? '';
        const faults = services.settings.webhookFaults.get(name);
        if (faults)
          throw new SettingsError(
            'settingsFault',
            `The settings of the webhook endpoint '${name}' have faults.`,
            faults,
          );
        const startedAt = services.clock.now();
        const receipt = await services
          .webhookReceiver()
          .receive(
            name,
            { headers: request.headers, query: search, body: bodyChunks(request) },
            AbortSignal.timeout(LONGEST_RECEIPT_MS),
          );
        services.telemetry.span({
          name: 'webhook received',
          kind: 'internal',
          startedAt,
          endedAt: services.clock.now(),
          attributes: {
            'bridge.endpoint': name,
            'bridge.event': receipt.id,
            'dataverse.correlation_id': request.headers.get('x-ms-correlation-request-id') ?? undefined,
          },
        });
        services.telemetry.measure('webhookEvents', 1, {
          'bridge.endpoint': name,
          'bridge.recognised': receipt.recognised,
        });
        return json({ id: receipt.id, recognised: receipt.recognised }, { status: 202 });
      },
    }),
    route({
      name: 'webhookEvents',
      methods: ['GET'],
      route: 'webhooks/events',
      access: 'use',
      tag: 'webhooks',
      summary: 'List received events, newest first.',
      query: z.object({
        table: z.string().optional(),
        row: z.string().optional(),
        message: z.string().optional(),
        state: z.enum(['received', 'unrecognised']).optional(),
        from: time().optional(),
        to: time().optional(),
        page: pageToken().optional(),
        pageSize: pageSize({ fallback: 100, largest: 1000 }),
      }),
      answers: {
        200: {
          description: 'One page of events.',
          schema: z.object({ value: z.array(storedEvent), nextPage: z.string().optional() }),
        },
      },
      example: { query: { table: 'account', pageSize: '10' }, status: 200 },
      handler: async ({ query }) => json(await services.webhookEvents().list(query)),
    }),
    route({
      name: 'webhookEvent',
      methods: ['GET'],
      route: 'webhooks/events/{id}',
      access: 'use',
      tag: 'webhooks',
      summary: 'Get one event with its whole context.',
      query: z.object({}),
      answers: { 200: { description: 'The event.', schema: storedEvent } },
      example: { path: { id: '{event}' }, status: 200 },
      async handler({ path }) {
        const event = await services.webhookEvents().get(path['id'] ?? '');
        if (!event) throw new RequestError(404, 'eventUnknown', 'There is no such event.');
        return json(event);
      },
    }),
  ];
}

/** Stores what the receiver has queued. Identity comes from the message's body, never from `triggerMetadata`. */
export function registerWebhookWorker(services: Services): void {
  app.storageQueue('webhookEventWorker', {
    queueName: EVENT_QUEUE,
    connection: 'AzureWebJobsStorage',
    handler: async (message, context) => {
      const result = await services.webhookEvents().record(message);
      context.debug(`webhook event ${result}`);
    },
  });
}
