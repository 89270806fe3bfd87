import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { packageApp } from '../../src/commands/package-app.ts';
import { report } from './result.ts';

const ROUNDS = 9;
const run = promisify(execFile);
const probe = fileURLToPath(new URL('./cold-start-probe.ts', import.meta.url));
const host = fileURLToPath(new URL('../../src/local/host/main.ts', import.meta.url));

const HELLO = `import { app } from '@azure/functions';
app.setup({ enableHttpStream: true });
app.http('health', { methods: ['GET'], route: 'health', authLevel: 'anonymous', handler: () => ({ jsonBody: { status: 'ok' } }) });
`;

/** The smallest app there is, bundled as ours is. */
async function packageHello(folder: string): Promise<void> {
  await build({
    stdin: { contents: HELLO, resolveDir: fileURLToPath(new URL('../../', import.meta.url)) },
    outfile: join(folder, 'main.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22',
    minify: true,
    banner: { js: "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url);" },
    external: ['@azure/functions-core'],
    logLevel: 'warning',
  });
  writeFileSync(join(folder, 'package.json'), '{"type":"module","main":"main.mjs"}\n');
  writeFileSync(join(folder, 'host.json'), '{"version":"2.0","extensions":{"http":{"routePrefix":"api"}}}\n');
}

async function importTime(folder: string): Promise<number> {
  const { stdout } = await run(process.execPath, [probe, join(folder, 'main.mjs')]);
  return Number(stdout.trim().split('\n').at(-1));
}

/** Milliseconds from the start of a process, the local host's part included, to its first answer. */
async function firstAnswer(folder: string): Promise<number> {
  const start = performance.now();
  const child = spawn(process.execPath, [host, join(folder, 'main.mjs')], {
    cwd: folder,
    env: {
      ...process.env,
      BRIDGE_LOCAL_PORT: '0',
      BRIDGE_LOCAL_FUNCTION_KEY: 'function-key',
      BRIDGE_LOCAL_MASTER_KEY: 'master-key',
      AzureWebJobsStorage__blobServiceUri: 'https://localhost:1/account',
      AzureWebJobsStorage__queueServiceUri: 'https://localhost:1/account',
    },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      if (!line.startsWith('ready ')) continue;
      const answer = await fetch(`${line.slice('ready '.length)}/api/health`);
      if (answer.status !== 200) throw new Error(`The app answered ${answer.status}.`);
      return performance.now() - start;
    }
    throw new Error('The app did not start.');
  } finally {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

/** Medians of both, taken in turns so that what else the machine does meets both. */
async function inTurns(measure: (folder: string) => Promise<number>): Promise<{ ours: number; hello: number }> {
  const ours: number[] = [];
  const hello: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    ours.push(await measure(app));
    hello.push(await measure(bare));
  }
  return { ours: median(ours), hello: median(hello) };
}

const megabytes = (folder: string, pattern: string): number =>
  globSync(pattern, { cwd: folder })
    .map((file) => statSync(join(folder, file)))
    .filter((entry) => entry.isFile())
    .reduce((sum, { size }) => sum + size, 0) / 1e6;

const folder = mkdtempSync(join(tmpdir(), 'dataverse-bridge-cold-'));
const app = join(folder, 'app');
const bare = join(folder, 'hello');
try {
  await packageApp(app);
  await packageHello(bare);
  const imported = await inTurns(importTime);
  const answered = await inTurns(firstAnswer);
  const name = 'bare hello';
  report({
    bench: 'cold start',
    lines: [
      { what: 'import of the app', unit: 'ms', ours: imported.ours, peer: { name, value: imported.hello } },
      { what: 'import minus the hello’s (goal 80)', unit: 'ms', ours: imported.ours - imported.hello },
      { what: 'process start to first answer', unit: 'ms', ours: answered.ours, peer: { name, value: answered.hello } },
      { what: 'JavaScript of the package', unit: 'MB', ours: megabytes(app, '**/*.mjs') },
      { what: 'the package, with DuckDB and source maps', unit: 'MB', ours: megabytes(app, '**') },
    ],
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
