import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { client } from './environment.ts';

const MAIN = new URL('../../../src/local/dataverse/main.ts', import.meta.url).pathname;

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dataverse-emulator-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function run(options: readonly string[]) {
  const child: ChildProcess = spawn(process.execPath, [MAIN, ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  onTestFinished(async () => {
    if (child.exitCode === null) child.kill('SIGKILL');
    await ended;
  });
  const errors: string[] = [];
  child.stderr?.on('data', (chunk) => errors.push(String(chunk)));
  return { child, ended, errors };
}

/** Starts the emulator and waits until it is ready. */
async function start(...options: string[]) {
  const { child, ended, errors } = run(['--port', '0', ...options]);
  const told = new Map<string, string>();
  let apiUrl: string | undefined;
  if (!child.stdout) throw new Error('The output is not piped');
  for await (const line of createInterface(child.stdout)) {
    apiUrl = /^ready (http:\/\/127\.0\.0\.1:\d+\/api\/data\/v9\.2\/)$/.exec(line)?.[1];
    if (apiUrl !== undefined) break;
    const [name = '', value = ''] = line.split(/: (.*)/s, 2);
    told.set(name, value);
  }
  if (apiUrl === undefined) throw new Error(errors.join(''));
  const stop = async (signal: NodeJS.Signals): Promise<number | null> => {
    child.kill(signal);
    return ended;
  };
  return { apiUrl, told, stop, errors };
}

/** Posts a form over TLS that only the given authority vouches for. */
const postForm = (url: string, ca: string, form: Record<string, string>): Promise<{ access_token?: string }> =>
  new Promise((resolve, reject) => {
    const body = new URLSearchParams(form).toString();
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const sent = request(url, { method: 'POST', ca, headers }, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')));
    });
    sent.once('error', reject).end(body);
  });

test('serves whoever has a token of the Entra beside it, and finds its rows again at the next start', async () => {
  const folder = temporaryFolder();
  const modelFile = join(folder, 'model.json');
  writeFileSync(modelFile, JSON.stringify({ dopHint: 17 }));
  const first = await start('--auth', 'entra', '--data', join(folder, 'data'));
  expect((await client(first.apiUrl)('GET', 'WhoAmI')).status).toBe(401);
  const answer = await postForm(
    first.told.get('token endpoint') ?? '',
    readFileSync(first.told.get('certificate authority to trust (NODE_EXTRA_CA_CERTS)') ?? '', 'utf8'),
    {
      grant_type: 'client_credentials',
      client_id: first.told.get('client id') ?? '',
      client_secret: first.told.get('client secret') ?? '',
      scope: first.told.get('scope') ?? '',
    },
  );
  const call = client(first.apiUrl, answer.access_token);
  expect((await call('GET', 'WhoAmI')).status).toBe(200);
  expect((await call('POST', 'accounts', { name: 'kept' })).status).toBe(204);
  expect(await first.stop('SIGTERM')).toBe(0);

  const second = await start('--data', join(folder, 'data'), '--model', modelFile);
  const rows = await client(second.apiUrl)('GET', 'accounts?$select=name');
  expect(rows.json.value).toMatchObject([{ name: 'kept' }]);
  expect(rows.headers.get('x-ms-dop-hint')).toBe('17');
  expect(await second.stop('SIGINT')).toBe(0);
  expect([...first.errors, ...second.errors]).toEqual([]);
});

test('says what is wrong with its options, and ends with 1', async () => {
  const { ended, errors } = run(['--port', '70000']);
  expect(await ended).toBe(1);
  expect(errors.join('')).toBe(
    '--port must be a number from 0 to 65535. ' +
      'npm run emulator -- [--port 8080] [--auth none|entra] [--model FILE] [--data FOLDER]\n',
  );
});
