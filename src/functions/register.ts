import { type Route, registerRoutes } from '../http/routes.ts';
import { activationRoutes, registerActivationWorkers } from './activations.ts';
import { connectionRoutes, registerConnectionHealth } from './connections.ts';
import { docsRoutes } from './docs.ts';
import { healthRoutes } from './health.ts';
import type { Services } from './services.ts';
import { tableRoutes } from './tables.ts';
import { registerWebhookWorker, webhookRoutes } from './webhooks.ts';

/** Every route of the app but `GET health`, which is registered before anything that could fail. */
export function appRoutes(services: Services): readonly Route[] {
  const routes: Route[] = [
    ...connectionRoutes(services),
    ...tableRoutes(services),
    ...activationRoutes(services),
    ...webhookRoutes(services),
    ...docsRoutes(services, () => [...healthRoutes, ...routes]),
  ];
  return routes;
}

export function registerFunctions(services: Services): void {
  registerRoutes(appRoutes(services), services);
  registerConnectionHealth(services);
  registerActivationWorkers(services);
  registerWebhookWorker(services);
  for (const fault of [
    ...services.settings.faults,
    ...[...services.settings.connectionFaults.values()].flat(),
    ...[...services.settings.webhookFaults.values()].flat(),
  ]) {
    services.log('setting fault', { ...fault });
  }
  for (const warning of [...services.settings.connectionWarnings.values()].flat()) {
    services.log('setting warning', { ...warning });
  }
}
