import { defineConfig } from 'vitest/config';
import { IntegrationFirst } from './test/support/integration-first.ts';

export default defineConfig({
  test: {
    include: ['test/{unit,contract,integration}/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    reporters: ['default', './test/support/closing-line.ts'],
    pool: 'forks',
    // Most of a contract test is waiting for the other side: one worker more than the smallest machine has cores.
    maxWorkers: 3,
    sequence: { sequencer: IntegrationFirst },
    // For what hangs. Nothing waits this long by itself, but a busy machine can take ten times as long as an idle one.
    testTimeout: 90_000,
    hookTimeout: 90_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
