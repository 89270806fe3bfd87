import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Pool } from 'undici';
import { account } from '../writer/accounts.ts';
import { readyRequests } from '../writer/ready-bodies.ts';
import { CHANGES, COLUMNS } from './cases.ts';
import { inTurns, type Pair } from './in-turns.ts';
import type { LocalApp } from './local-app.ts';
import { sendBare, type WireRequest } from './wire.ts';

/** A call of the app, beside the case whose request Dataverse gets from it. */
interface AppCase {
  readonly name: string;
  readonly calls: number;
  readonly method: string;
  /** Below `/api/`. */
  readonly route: string;
  readonly body?: unknown;
}

const PAGE = 100;

const appCases = (ids: readonly string[]): readonly AppCase[] => [
  { name: 'get a row', calls: 20, method: 'GET', route: `tables/account/rows/${ids[0]}?select=${COLUMNS}` },
  {
    name: `query a page of ${PAGE}`,
    calls: 10,
    method: 'GET',
    route: `tables/account/rows?select=${COLUMNS}&pageSize=${PAGE}`,
  },
  {
    name: `batch of ${PAGE} updates`,
    calls: 2,
    method: 'POST',
    route: 'batch',
    body: ids.map((key) => ({ collection: 'accounts', action: 'update', key, data: CHANGES })),
  },
  {
    name: 'create a row',
    calls: 20,
    method: 'POST',
    route: 'tables/account/rows',
    body: { name: 'Contoso Ltd', ...CHANGES },
  },
];

/**
 * Calls of the running app beside the requests that its actions send, sent bare to the same emulator, https and the
 * emulator's check of tokens included. `wireOf` tells the next request of a case; `ids` are those of its rows.
 */
export async function measureThroughApp(
  wireOf: (name: string) => WireRequest,
  ids: readonly string[],
): Promise<[string, Pair][]> {
  const folder = mkdtempSync(join(tmpdir(), 'dataverse-bridge-actions-'));
  const child = fork(fileURLToPath(new URL('local-app.ts', import.meta.url)), [folder], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit');
  try {
    const told = await Promise.race([once(child, 'message'), ended]);
    const app = told[0] as LocalApp | number | null;
    if (typeof app !== 'object' || app === null) throw new Error(`The app did not start: it ended with ${app}.`);
    return await measure(app, wireOf, ids.slice(0, PAGE));
  } finally {
    child.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(
  { url, functionKey, apiUrl, token }: LocalApp,
  wireOf: (name: string) => WireRequest,
  ids: readonly string[],
): Promise<[string, Pair][]> {
  const service = new Pool(new URL(apiUrl).origin, { connections: 1 });
  const app = new Pool(url, { connections: 1 });
  const direct = (request: WireRequest): Promise<unknown> =>
    sendBare(service, { ...request, headers: { ...request.headers, authorization: `Bearer ${token}` } });
  // No more rows than one page has: behind another page a call also keeps in storage where to go on.
  const rows = ids.map((_, number) => account('app', number, 0));
  const waiting = ids.values();
  for (const { path, body } of readyRequests('CreateMultiple', rows, () => waiting.next().value ?? '')) {
    const headers = { 'content-type': 'application/json' };
    await direct({ method: 'POST', path: new URL(path, apiUrl).pathname, headers, body });
  }
  const pairs: [string, Pair][] = [];
  for (const { name, calls, method, route, body } of appCases(ids)) {
    const request: WireRequest = {
      method,
      path: `/api/${route}`,
      headers: { 'x-functions-key': functionKey, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    };
    pairs.push([
      name,
      await inTurns(
        calls,
        () => sendBare(app, request),
        () => direct(wireOf(name)),
      ),
    ]);
  }
  await Promise.all([service.close(), app.close()]);
  return pairs;
}
