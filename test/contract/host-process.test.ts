import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { z } from 'zod';
import { startTestIdentity } from '../support/identity.ts';
import { freshStorage } from '../support/storage.ts';

const MAIN = new URL('../../src/local/host/main.ts', import.meta.url).pathname;
const app = (name: string): string => new URL(`../fixtures/host-apps/${name}`, import.meta.url).pathname;
const readySchema = z.object({
  kind: z.literal('ready'),
  url: z.url(),
  functions: z.array(z.looseObject({ name: z.string() })),
});

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'host-process-'));
  writeFileSync(join(folder, 'host.json'), '{ "version": "2.0" }');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// These apps use no storage.
const environment = {
  ...process.env,
  NODE_OPTIONS: '',
  BRIDGE_LOCAL_PORT: '0',
  BRIDGE_LOCAL_FUNCTION_KEY: 'the-function-key',
  BRIDGE_LOCAL_MASTER_KEY: 'the-master-key',
  AzureWebJobsStorage__blobServiceUri: 'https://localhost:1/account',
  AzureWebJobsStorage__queueServiceUri: 'https://localhost:1/account',
};

/** Runs an app in a process of its own, which ends with the test. */
function run(entry: string, env: NodeJS.ProcessEnv = environment) {
  const child = fork(MAIN, [entry], { cwd: folder, env, execArgv: [], silent: true });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const exit = once(child, 'exit');
  const first = Promise.race([once(child, 'message'), exit]);
  return { child, output: outputOf(child), exit, ready: async () => readySchema.parse((await first)[0]) };
}

function outputOf(child: ChildProcess): () => string {
  let text = '';
  const add = (chunk: Buffer) => {
    text += chunk;
  };
  child.stdout?.on('data', add);
  child.stderr?.on('data', add);
  return () => text;
}

const shows = (output: () => string, text: string | RegExp) => expect.poll(output).toMatch(text);

describe('the host as a program', () => {
  test('runs the appStart hooks, says that it is ready, and serves', async () => {
    const host = run(app('life-app.mjs'));
    const { url, functions } = await host.ready();
    expect(functions.map(({ name }) => name)).toEqual(['slow', 'release', 'late', 'reject']);
    await shows(host.output, `ready ${url}`);
    expect(host.output()).toContain('appStart hook ran');
    expect((await fetch(`${url}/api/release`)).status).toBe(200);
  });

  test.each(['SIGTERM', 'SIGINT', 'shutdown'] as const)(
    'finishes its calls, runs the appTerminate hooks and exits 0 on %s',
    async (how) => {
      const host = run(app('life-app.mjs'));
      const { url } = await host.ready();
      const slow = fetch(`${url}/api/slow`);
      await shows(host.output, 'slow call runs');
      await fetch(`${url}/api/release`);
      if (how === 'shutdown') host.child.send('shutdown');
      else host.child.kill(how);
      expect(await (await slow).text()).toBe('done');
      expect(await host.exit).toEqual([0, null]);
      expect(host.output()).toMatch(/Executed 'Functions.slow' \(Succeeded.*appTerminate hook ran/s);
    },
  );

  test('goes when its parent was killed', async () => {
    const script = `
      const child = require('node:child_process').fork(process.argv[1], [process.argv[2]], { execArgv: [] });
      child.on('message', (message) => console.log('url=' + message.url));`;
    const parent = spawn(process.execPath, ['-e', script, MAIN, app('life-app.mjs')], {
      cwd: folder,
      env: environment,
    });
    const output = outputOf(parent);
    await shows(output, /url=\S+/);
    const url = /url=(\S+)/.exec(output())?.[1] ?? '';
    expect((await fetch(`${url}/api/nowhere`)).status).toBe(404);
    parent.kill('SIGKILL');
    await expect
      .poll(() =>
        fetch(`${url}/api/nowhere`).then(
          () => 'up',
          () => 'gone',
        ),
      )
      .toBe('gone');
  });

  test('ends when a rejection is caught by nobody, with every running call', async () => {
    const host = run(app('life-app.mjs'));
    const { url } = await host.ready();
    await fetch(`${url}/api/reject`).catch(() => {});
    expect(await host.exit).toEqual([1, null]);
    await shows(host.output, 'nobody caught this');
  });

  test('reaches storage by managed identity', async () => {
    const identity = await startTestIdentity();
    onTestFinished(() => identity.close());
    const storage = freshStorage();
    const host = run(app('storage-app.mjs'), {
      ...environment,
      AzureWebJobsStorage__blobServiceUri: storage.blobServiceUri,
      AzureWebJobsStorage__queueServiceUri: storage.queueServiceUri,
      AzureWebJobsStorage__clientId: identity.company.userAssigned.clientId,
      IDENTITY_ENDPOINT: identity.managedIdentity.endpoint,
      IDENTITY_HEADER: identity.managedIdentity.header,
    });
    const { url } = await host.ready();
    expect((await fetch(`${url}/api/send/one`, { method: 'POST', body: '{"n":1}' })).status).toBe(202);
    await shows(host.output, /Executed 'Functions.work' \(Succeeded/);
    expect(host.output()).not.toContain('[Error]');
  });

  test('names every setting that is missing', async () => {
    const { BRIDGE_LOCAL_MASTER_KEY, AzureWebJobsStorage__blobServiceUri, ...env } = environment;
    const host = run(app('life-app.mjs'), env);
    expect(await host.exit).toEqual([1, null]);
    await shows(host.output, /BRIDGE_LOCAL_MASTER_KEY: .*AzureWebJobsStorage__blobServiceUri: /);
  });
});

describe('an app', () => {
  test('that fails before its first registration just has no functions, and only the log says why', async () => {
    const host = run(app('fails-early-app.mjs'));
    const { functions } = await host.ready();
    expect(functions).toEqual([]);
    await shows(
      host.output,
      /Worker was unable to load entry point ".*fails-early-app.mjs": Cannot find module.*missing-file/,
    );
    expect(host.output()).toMatch(/in Azure this app just looks empty.*No job functions found/s);
  });

  test.each([
    ['fails-late-app.mjs', /Worker was unable to load entry point ".*": after the first registration/],
    ['start-hook-fails-app.mjs', /An appStart hook failed: not today/],
    ['log-hook-app.mjs', /Log hooks require Azure Functions Host v4.34 or higher/],
  ])('(%s) that fails at start later than that is not run', async (name, message) => {
    const host = run(app(name));
    expect(await host.exit).toEqual([1, null]);
    await shows(host.output, message);
  });

  test('whose package.json has no type may not await at top level', async () => {
    const host = run(app('no-type/app.js'));
    expect((await host.ready()).functions).toEqual([]);
    await shows(host.output, /unable to load entry point .*require\(\)/);
  });

  test('may be a pattern of several files, modules of either kind', async () => {
    const host = run(app('several/*'));
    const { functions } = await host.ready();
    expect(functions.map(({ name }) => name).sort()).toEqual(['one', 'two']);
  });

  test('cannot register a function once it has started', async () => {
    const host = run(app('life-app.mjs'));
    const { url } = await host.ready();
    expect((await fetch(`${url}/api/late`)).status).toBe(500);
    await shows(host.output, 'A function can only be registered during app startup.');
  });
});
