import { json, type Route } from '../http/routes.ts';

/** Liveness: touches no dependency, so that a restart loop never hides behind an outage elsewhere. */
export const healthRoutes: readonly Route[] = [
  {
    name: 'health',
    methods: ['GET'],
    route: 'health',
    access: 'anonymous',
    withoutSettings: true,
    handler: () => json({ status: 'ok' }),
  },
];
