import { createHash } from 'node:crypto';
import { globSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packageApp } from '../../src/commands/package-app.ts';
import { root, start } from './program.ts';

const TIMEOUT_MS = 120_000;
const folders: string[] = [];
let folder: string;

beforeAll(async () => {
  folder = await packaged();
}, TIMEOUT_MS);

afterAll(() => {
  for (const each of folders) rmSync(each, { recursive: true, force: true });
});

async function packaged(): Promise<string> {
  const made = mkdtempSync(join(tmpdir(), 'dataverse-bridge-package-'));
  folders.push(made);
  await packageApp(made);
  return made;
}

/** Each file of a folder with the hash of its bytes. */
const contents = (folder: string): Record<string, string> =>
  Object.fromEntries(
    globSync('**', { cwd: folder })
      .filter((file) => statSync(join(folder, file)).isFile())
      .sort()
      .map((file) => [
        file,
        createHash('sha256')
          .update(readFileSync(join(folder, file)))
          .digest('hex'),
      ]),
  );

test(
  'packaging the same sources twice gives the same bytes',
  async () => {
    expect(contents(await packaged())).toEqual(contents(folder));
  },
  TIMEOUT_MS,
);

test(
  'the packaged folder holds what runs, and nothing of the local cloud',
  async () => {
    const files = Object.keys(contents(folder));
    expect(files).toContain('host.json');
    expect(files).toContain('main.mjs');
    expect(files).toContain('node_modules/@duckdb/node-bindings-linux-x64/duckdb.node');
    const modules = files.filter(
      (file) => file.startsWith('node_modules/') && !file.startsWith('node_modules/@duckdb/node-bindings-linux-x64/'),
    );
    expect(modules).toEqual([]);
    const maps = files.filter((file) => file.endsWith('.map')).map((file) => readFileSync(join(folder, file), 'utf8'));
    expect(maps.filter((map) => /src\/(local|commands)\//.test(map))).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  'the packaged app loads and answers',
  async () => {
    const program = start(process.execPath, [join(root, 'src/local/host/main.ts'), join(folder, 'main.mjs')], {
      cwd: folder,
      env: {
        BRIDGE_LOCAL_PORT: '0',
        BRIDGE_LOCAL_FUNCTION_KEY: 'function-key',
        BRIDGE_LOCAL_MASTER_KEY: 'master-key',
        AzureWebJobsStorage__blobServiceUri: 'https://localhost:1/account',
        AzureWebJobsStorage__queueServiceUri: 'https://localhost:1/account',
      },
    });
    try {
      const url = (await program.line(/^ready /)).split(' ')[1];
      const health = await fetch(`${url}/api/health`);
      expect(await health.json()).toEqual({ status: 'ok' });
      // Everything else is loaded too, and says which settings are missing.
      const problem = await fetch(`${url}/api/activations`, { headers: { 'x-functions-key': 'function-key' } });
      expect(problem.status).toBe(503);
      expect(await problem.json()).toMatchObject({ code: 'settingsFault' });
    } finally {
      program.child.kill('SIGTERM');
      await program.ended;
    }
  },
  TIMEOUT_MS,
);
