import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const check = fileURLToPath(new URL('../../../src/local/node-runtime/require-node.cjs', import.meta.url));

/** Runs a program on a Node that says it is of this version. */
const runOn = (version: string) =>
  spawnSync(
    process.execPath,
    [
      '--eval',
      `Object.defineProperty(process.versions, 'node', { value: '${version}' }); require('${check}'); console.log('ran')`,
    ],
    {
      encoding: 'utf8',
    },
  );

describe('a command', () => {
  test.each(['18.20.4', '20.20.2', '22.18.0'])('stops with one sentence on Node %s', (version) => {
    const { status, stdout, stderr } = runOn(version);
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toContain('needs Node.js 22.19 or newer');
  });

  test.each(['22.19.0', '24.21.0', '26.0.0'])('runs on Node %s', (version) => {
    expect(runOn(version)).toMatchObject({ status: 0, stdout: 'ran\n', stderr: '' });
  });

  test('runs on the Node that the lock file brings, where there is one', () => {
    expect(Number(process.versions.node.split('.')[0])).toBeGreaterThanOrEqual(22);
  });
});
