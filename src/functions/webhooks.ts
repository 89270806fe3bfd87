import { app } from '@azure/functions';
import { SettingsError } from '../config/settings.ts';
import { bodyChunks } from '../http/body.ts';
import { RequestError } from '../http/problem.ts';
import { oneOf, pageSize, timeOf } from '../http/query-values.ts';
import { json, type Route } from '../http/routes.ts';
import { EVENT_QUEUE } from '../webhooks/queued-event.ts';
import type { Services } from './services.ts';

/** Dataverse waits a minute for an answer; what takes longer would be posted again. */
const LONGEST_RECEIPT_MS = 50_000;

export function webhookRoutes(services: Services): readonly Route[] {
  return [
    {
      name: 'receiveWebhook',
      methods: ['POST'],
      route: 'webhooks/dataverse/{endpoint}',
      access: 'anonymous',
      async handler({ request, path, query }) {
        const name = path['endpoint'] ?? '';
        const faults = services.settings.webhookFaults.get(name);
        if (faults)
          throw new SettingsError(
            'settingsFault',
            `The settings of the webhook endpoint '${name}' have faults.`,
            faults,
          );
        const receipt = await services
          .webhookReceiver()
          .receive(
            name,
            { headers: request.headers, query, body: bodyChunks(request) },
            AbortSignal.timeout(LONGEST_RECEIPT_MS),
          );
        return json({ id: receipt.id, recognised: receipt.recognised }, { status: 202 });
      },
    },
    {
      name: 'webhookEvents',
      methods: ['GET'],
      route: 'webhooks/events',
      access: 'use',
      async handler({ query }) {
        const text = (name: string): string | undefined => query.get(name) ?? undefined;
        return json(
          await services.webhookEvents().list({
            table: text('table'),
            row: text('row'),
            message: text('message'),
            state: query.has('state') ? oneOf(query, 'state', ['received', 'unrecognised'], 'received') : undefined,
            from: timeOf(query, 'from'),
            to: timeOf(query, 'to'),
            page: text('page'),
            pageSize: pageSize(query, { fallback: 100, largest: 1000 }),
          }),
        );
      },
    },
    {
      name: 'webhookEvent',
      methods: ['GET'],
      route: 'webhooks/events/{id}',
      access: 'use',
      async handler({ path }) {
        const event = await services.webhookEvents().get(path['id'] ?? '');
        if (!event) throw new RequestError(404, 'eventUnknown', 'There is no such event.');
        return json(event);
      },
    },
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
