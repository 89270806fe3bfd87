import { configDefaults, defineConfig } from 'vitest/config';
import { IntegrationFirst } from './test/support/integration-first.ts';

const SHARED_CONTRACTS = 'test/contract/{dataverse,bulk-writer}/**/*.test.ts';
/** Files that keep nothing in their process: they may follow each other in one, which spares most of their start. */
const SHARING = ['test/unit/**/*.test.ts', SHARED_CONTRACTS];
/** One that starts the app, whose settings are the process's environment. */
const STARTS_APP = 'test/unit/infra/smoke.test.ts';

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
      {
        extends: true,
        test: {
          name: 'own process',
          include: ['test/{contract,integration}/**/*.test.ts', STARTS_APP],
          exclude: [...configDefaults.exclude, SHARED_CONTRACTS],
        },
      },
      {
        extends: true,
        test: {
          name: 'shared process',
          include: SHARING,
          exclude: [...configDefaults.exclude, STARTS_APP],
          isolate: false,
        },
      },
    ],
  },
});
