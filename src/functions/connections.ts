import { app } from '@azure/functions';
import { testConnection } from '../health/connection-test.ts';
import { json, type Route } from '../http/routes.ts';
import type { Services } from './services.ts';

export function connectionRoutes(services: Services): readonly Route[] {
  return [
    {
      name: 'testConnection',
      methods: ['POST'],
      route: 'connections/{connection}/test',
      access: 'use',
      async handler({ path, deadline, log }) {
        const { connections, clock } = services;
        const signal = AbortSignal.timeout(Math.max(1, deadline - clock.now()));
        return json(await testConnection(connections, path['connection'] ?? '', { clock, signal, log }));
      },
    },
  ];
}

const LONGEST_TEST_MS = 120_000;

/** Tests every connection each quarter of an hour; what fails stands in the log as an error with cause and next step. */
export function registerConnectionHealth(services: Services): void {
  app.timer('connectionHealth', {
    schedule: '0 */15 * * * *',
    handler: async (_timer, context) => {
      const { settings, connections, clock, log } = services;
      for (const name of [...settings.connections.keys(), ...settings.connectionFaults.keys()]) {
        const test = await testConnection(connections, name, {
          clock,
          log,
          signal: AbortSignal.timeout(LONGEST_TEST_MS),
        });
        const failed = test.stages.find((stage) => stage.status === 'failed');
        if (failed)
          context.error(`connection ${name} failed at ${failed.name}: ${failed.detail} ${failed.hint ?? ''}`.trim());
        else context.log(`connection ${name} passed`);
      }
    },
  });
}
