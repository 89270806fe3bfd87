import { app } from '@azure/functions';
import { type Route, registerRoutes } from '../http/routes.ts';
import { inTrace } from '../telemetry/trace.ts';
import { activationRoutes, registerActivationWorkers } from './activations.ts';
import { batchRoutes } from './batch.ts';
import { connectionRoutes, registerConnectionHealth } from './connections.ts';
import { definitionRoutes } from './definitions.ts';
import { docsRoutes } from './docs.ts';
import { fetchXmlRoutes } from './fetchxml.ts';
import { healthRoutes } from './health.ts';
import { queryRoutes } from './queries.ts';
import { rawRoutes } from './raw.ts';
import { rowRoutes } from './rows.ts';
import type { Services } from './services.ts';
import { tableRoutes } from './tables.ts';
import { registerWebhookWorker, webhookRoutes } from './webhooks.ts';

/** Every route of the app but `GET health`, which is registered before anything that could fail. */
export function appRoutes(services: Services): readonly Route[] {
  const routes: Route[] = [
    ...connectionRoutes(services),
    ...tableRoutes(services),
    ...rowRoutes(services),
    ...queryRoutes(services),
    ...batchRoutes(services),
    ...definitionRoutes(services),
    ...fetchXmlRoutes(services),
    ...rawRoutes(services),
    ...activationRoutes(services),
    ...webhookRoutes(services),
    ...docsRoutes(services, () => [...healthRoutes, ...routes]),
  ];
  return routes;
}

/**
 * What is observed in an invocation belongs to the trace that the host gives it. The exporter is loaded once the first
 * invocation is over, so that a cold start does not wait for it, and sends what is left before the worker ends. What this
 * instance holds of the pace that it shares with others is theirs at its end.
 */
export function registerHooks({ connections, telemetry, settings }: Services): void {
  app.hook.appTerminate(() => connections.close());
  if (!settings.telemetry) return;
  app.hook.preInvocation((context) => {
    const { traceContext } = context.invocationContext;
    const { functionHandler } = context;
    if (!traceContext?.traceParent) return;
    const trace = { traceParent: traceContext.traceParent };
    context.functionHandler = (...inputs) => inTrace(trace, () => functionHandler(...inputs));
  });
  app.hook.postInvocation(() => void setImmediate(() => telemetry.load()));
  app.hook.appTerminate(() => telemetry.close());
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
