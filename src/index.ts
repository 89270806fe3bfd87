import { app } from '@azure/functions';
import { healthRoutes } from './functions/health.ts';
import { registerRoutes } from './http/routes.ts';
import { systemClock } from './shared/clock.ts';

app.setup({ enableHttpStream: true });

// In Azure an app that fails before its first registration just looks empty; after one, the failure is reported.
registerRoutes(healthRoutes, { clock: systemClock, assertSettings: () => {} });

const [{ createServices }, { registerFunctions, registerHooks }] = await Promise.all([
  import('./functions/services.ts'),
  import('./functions/register.ts'),
]);
const services = createServices(process.env);
registerFunctions(services);
registerHooks(services);
