import { configDefaults, defineConfig } from 'vitest/config';
import { IntegrationFirst } from './test/support/integration-first.ts';

/**
 * Files whose process has to be theirs alone: those that start the app or a host, whose settings are the process's
 * environment; those with a managed identity, of which the Azure SDK keeps the first that it meets; the suite of
 * dynamics-web-api, which has state of its own.
 */
const OWN_PROCESS = [
  'test/integration/**/*.test.ts',
  'test/contract/{app,health,suite,telemetry}/**/*.test.ts',
  'test/contract/{connections,host-*,identity,key-vault,secret-set,setup-user}.test.ts',
  'test/unit/infra/certificate.test.ts',
];

/** Files that use the same app, see `support/shared-app.ts`. */
const ONE_APP = 'test/contract/one-app/**/*.test.ts';

export default defineConfig({
  test: {
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default', './test/support/closing-line.ts'],
    pool: 'forks',
    // Most of a contract test is waiting for the other side: two workers more than the smallest machine has cores.
    maxWorkers: 4,
    sequence: { sequencer: IntegrationFirst },
    // For what hangs. Nothing waits this long by itself, but a busy machine can take ten times as long as an idle one.
    testTimeout: 90_000,
    hookTimeout: 90_000,
    expect: { poll: { timeout: 30_000 } },
    projects: [
      { extends: true, test: { name: 'own process', include: OWN_PROCESS } },
      { extends: true, test: { name: 'one app', include: [ONE_APP], isolate: false } },
      {
        extends: true,
        test: {
          // One after the other in few processes, which spares most of their start.
          name: 'shared process',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...OWN_PROCESS, ONE_APP],
          isolate: false,
        },
      },
    ],
  },
});
