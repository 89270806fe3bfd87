import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { serviceModelSchema } from '../../../src/local/dataverse/service-model.ts';
import { openStorage } from '../../../src/storage/storage.ts';
import { KEYS, linesOf, startApp, type TestApp } from '../../support/app.ts';
import { storageCredential } from '../../support/storage.ts';

const HINT = 3;
const RETRY_AFTER_MS = 2_000;
const ROWS = 400;

let app: TestApp;
let other: ChildProcess;
let otherUrl: string;

/** Two processes of the app on one storage account and one environment, which refuses more calls at a time than it recommends. */
beforeAll(async () => {
  const model = serviceModelSchema.parse({
    callMs: 20,
    rowMs: { create: 1, update: 1 },
    dopHint: HINT,
    limits: { concurrency: HINT },
  });
  app = await startApp({ model });
  other = fork(path('src/local/host/main.ts'), [path('src/index.ts')], {
    cwd: path('.'),
    env: {
      ...process.env,
      BRIDGE_LOCAL_PORT: '0',
      BRIDGE_LOCAL_FUNCTION_KEY: KEYS.function,
      BRIDGE_LOCAL_MASTER_KEY: KEYS.master,
    },
    execArgv: [],
    silent: true,
  });
  const [message] = await once(other, 'message');
  otherUrl = z.object({ url: z.url() }).parse(message).url;
  await app.defineKey('account', 'accountnumber');
}, 60_000);

afterAll(async () => {
  const ended = once(other, 'exit');
  other.kill('SIGTERM');
  await ended;
  await app.close();
});

const path = (file: string): string => fileURLToPath(new URL(`../../../${file}`, import.meta.url));

async function upsert(url: string, name: string, rows: number) {
  const lines = Array.from({ length: rows }, (_, at) => JSON.stringify({ accountnumber: `${name}${at}`, name }));
  const response = await fetch(`${url}/api/tables/account/upsert?keyColumns=accountnumber`, {
    method: 'POST',
    headers: { 'x-functions-key': KEYS.function, 'content-type': 'application/x-ndjson' },
    body: lines.join('\n'),
  });
  const text = await response.text();
  return linesOf({ status: response.status, headers: response.headers, text, json: undefined });
}

/** When bulk calls were answered, refused ones or others, and what they asked for. */
async function answersTo(refused: boolean): Promise<{ at: number; path: string }[]> {
  const calls = (await app.calls()) as unknown as { status: number; time: string; path: string }[];
  return calls
    .filter(({ path, status }) => path.includes('/accounts') && (status === 429) === refused)
    .map(({ time, path }) => ({ at: Date.parse(time), path }));
}

test('two processes never send more calls at a time than is recommended, and a 429 of one stops both', async () => {
  // Both know the table and the recommendation from here on.
  const headers = { 'x-functions-key': KEYS.function };
  const reads = [app.url, otherUrl].map((url) => fetch(`${url}/api/tables/account/rows?pageSize=1`, { headers }));
  expect((await Promise.all(reads)).map(({ status }) => status)).toEqual([200, 200]);
  await app.rule({
    match: { message: 'RetrieveMultiple', table: 'account' },
    times: 1,
    action: { fault: 'requests', retryAfterSeconds: RETRY_AFTER_MS / 1000 },
  });
  await app.forgetCalls();
  const told = openStorage(app.storage, storageCredential()).leases('pace');

  const first = upsert(app.url, 'a', ROWS);
  const refusedAt = await vi.waitFor(async () => {
    const [refusal, ...others] = await answersTo(true);
    expect(others).toEqual([]);
    if (!refusal) throw new Error('No call was refused yet.');
    // It is told to the other process through storage, a moment after it was met.
    expect((await told.list('')).map((each) => each.path)).toContainEqual(expect.stringMatching(/\/blocked$/));
    return refusal.at;
  }, 10_000);
  const answers = await Promise.all([first, upsert(otherUrl, 'b', ROWS)]);

  expect(answers.map(({ summary }) => summary)).toMatchObject([
    { input: ROWS, complete: true, counts: { created: ROWS }, throttled: { count: 1 } },
    { input: ROWS, complete: true, counts: { created: ROWS }, throttled: { count: 0 } },
  ]);
  // One call too many at a time would be a 429 more.
  expect(await answersTo(true)).toHaveLength(1);
  const served = await answersTo(false);
  expect(served.length).toBeGreaterThan(2 * HINT);
  // A writer begins with two look-ups at a time: the other one of the first process may have been under way.
  const early = served.filter(({ at }) => at < refusedAt + RETRY_AFTER_MS);
  expect(early.slice(1)).toEqual([]);
  expect(early.filter(({ path }) => !path.includes('%22a'))).toEqual([]);
  const stored = await fetch(`${app.environmentUrl}/emulator/tables/accounts/count`);
  expect(await stored.json()).toEqual({ count: 2 * ROWS });
}, 30_000);
