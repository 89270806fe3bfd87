import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type LocalHost, startHost } from '../../src/local/host/host.ts';
import { storageCredential } from '../support/storage.ts';

const KEYS = { function: 'the-function-key', master: 'the-master-key' };
const entry = new URL('../fixtures/host-apps/streaming-app.mjs', import.meta.url).pathname;
const lines: string[] = [];
// What the functions of the app tell of a call; each tells a part.
const shownSchema = z.looseObject({
  params: z.record(z.string(), z.string()).default({}),
  query: z.record(z.string(), z.string()).default({}),
  headers: z.record(z.string(), z.string()).default({}),
  invocationId: z.string().default(''),
  traceParent: z.string().default(''),
});
type Shown = z.infer<typeof shownSchema>;

let host: LocalHost;

beforeAll(async () => {
  host = await startHost({
    entry,
    hostJson: { version: '2.0' },
    port: 0,
    keys: KEYS,
    // This app uses no storage.
    storage: {
      blobServiceUri: 'https://localhost:1/a',
      queueServiceUri: 'https://localhost:1/a',
      credential: storageCredential(),
    },
    log: (line) => lines.push(line),
  });
});

afterAll(() => host.close());

const call = (path: string, init?: RequestInit) => fetch(`${host.url}${path}`, init);
const json = async (path: string, init?: RequestInit): Promise<Shown> =>
  shownSchema.parse(await (await call(path, init)).json());

describe('routing', () => {
  test('a literal segment, in any case, goes before a parameter', async () => {
    expect(await json('/api/TABLES/New', { method: 'POST', body: '' })).toMatchObject({
      function: 'tableNew',
      params: {},
    });
    expect(await json('/api/tables/account')).toMatchObject({ function: 'table', params: { table: 'account' } });
  });

  test('a method that the literal route does not take falls to the route with the parameter', async () => {
    expect(await json('/api/tables/new')).toMatchObject({ function: 'table', params: { table: 'new' } });
  });

  test('a constraint decides between two routes', async () => {
    expect(await json('/api/rows/12')).toMatchObject({ function: 'row', params: { id: '12' } });
    expect(await json('/api/rows/x12')).toMatchObject({ function: 'rowByName', params: { name: 'x12' } });
  });

  test('a wrong method and an unknown path are 404', async () => {
    expect((await call('/api/tables/account', { method: 'DELETE' })).status).toBe(404);
    expect((await call('/api/nowhere')).status).toBe(404);
    expect((await call('/tables/account')).status).toBe(404);
    expect((await call('/')).status).toBe(404);
  });

  test('an encoded slash splits the path before it is routed', async () => {
    expect((await call('/api/tables/a%2Fb')).status).toBe(404);
    expect(await json('/api/files/a%2Fb/c')).toMatchObject({ params: { path: 'a/b/c' } });
  });

  test('malformed percent-encoding is 400', async () => {
    expect((await call('/api/tables/%E0%A4%A')).status).toBe(400);
  });

  test('query values show up in params, without the key, and a route value wins under the spelling of the query', async () => {
    const { params, query } = await json('/api/tables/account?TABLE=lead&page=2&code=x');
    expect(params).toEqual({ TABLE: 'account', page: '2' });
    expect(query).toEqual({ TABLE: 'lead', page: '2', code: 'x' });
  });
});

test('a query value named headers takes the place of the headers of a streamed request', async () => {
  expect((await json('/api/whoCalled', { headers: { 'x-own': 'yes' } })).headers).toHaveProperty('x-own');
  expect((await json('/api/whoCalled?headers=1', { headers: { 'x-own': 'yes' } })).headers).toEqual({});
});

describe('keys', () => {
  const post = (path: string, headers: Record<string, string> = {}) =>
    call(path, { method: 'POST', body: 'x', headers });

  test('no key or a wrong one is 401 with an empty body', async () => {
    for (const response of [
      await post('/api/keyed'),
      await post('/api/keyed?code=wrong'),
      await post('/api/keyed', { 'x-functions-key': 'the-function-kex' }),
      await call(`/api/operator?code=${KEYS.function}`),
    ]) {
      expect(response.status).toBe(401);
      expect(await response.text()).toBe('');
    }
  });

  test('the function key opens functions, the master key everything', async () => {
    expect((await post(`/api/keyed?code=${KEYS.function}`)).status).toBe(200);
    expect((await post('/api/keyed', { 'x-functions-key': KEYS.master })).status).toBe(200);
    expect((await call(`/api/operator?code=${KEYS.master}`)).status).toBe(200);
  });

  test('a wrong header counts even beside a right code', async () => {
    expect((await post(`/api/keyed?code=${KEYS.function}`, { 'x-functions-key': 'wrong' })).status).toBe(401);
  });

  test('an anonymous function needs none', async () => {
    expect((await call('/api/whoCalled')).status).toBe(200);
  });
});

describe('a streamed request', () => {
  test('reaches the handler with its method, address, headers and body', async () => {
    const shown = await json('/api/tables/account?x=1', {
      method: 'PATCH',
      body: '{"a":1}',
      headers: { 'x-own': 'yes' },
    });
    expect(shown).toMatchObject({ method: 'PATCH', url: `${host.url}/api/tables/account?x=1`, body: '{"a":1}' });
    expect(shown.headers).toMatchObject({ 'x-own': 'yes' });
  });

  test('is answered while its body still comes in', async () => {
    const upload = new TransformStream<Uint8Array, Uint8Array>();
    const writer = upload.writable.getWriter();
    const responding = call('/api/echo', { method: 'POST', body: upload.readable, duplex: 'half' } as RequestInit);
    const encode = (text: string) => new TextEncoder().encode(text);
    void writer.write(encode('one\n'));
    const response = await responding;
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader?.read())?.value).toBe('one\n');
    void writer.write(encode('two\n'));
    expect((await reader?.read())?.value).toBe('two\n');
    void writer.close();
    expect((await reader?.read())?.done).toBe(true);
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
  });

  test('carries large bodies both ways unharmed', async () => {
    const body = Buffer.alloc(8 * 1024 * 1024, 'abcdefg');
    const response = await call('/api/echo', { method: 'POST', body });
    expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true);
  });

  test('is answered even if the handler never reads the body', async () => {
    const response = await call('/api/unread', { method: 'POST', body: Buffer.alloc(8 * 1024 * 1024) });
    expect([response.status, await response.text()]).toEqual([413, 'too much']);
  });

  test('gets status, headers and cookies', async () => {
    const response = await call('/api/cookies');
    expect(response.status).toBe(201);
    expect(response.headers.get('x-own')).toBe('yes');
    expect(response.headers.getSetCookie()).toEqual(['a=1; HttpOnly']);
  });

  test('keeps its correlation when the client sends an invocation id of its own', async () => {
    const shown = await json('/api/whoCalled', { headers: { 'x-ms-invocation-id': 'mine' } });
    expect(shown.invocationId).toMatch(/^[0-9a-f-]{36}$/);
    expect(shown.headers).not.toHaveProperty('x-ms-invocation-id');
  });

  test('continues the trace of its caller', async () => {
    const traceparent = '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01';
    const shown = await json('/api/whoCalled', { headers: { traceparent } });
    expect(shown.traceParent).toMatch(/^00-0123456789abcdef0123456789abcdef-[0-9a-f]{16}-01$/);
    expect(shown.traceParent).not.toBe(traceparent);
  });

  test('fails in the handler when its caller leaves in the middle of the body', async () => {
    const socket = connect(Number(new URL(host.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.write('POST /api/waitsForBody HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf');
    await logged("Executing 'Functions.waitsForBody'");
    await leave(socket);
    await expect.poll(() => json('/api/seen')).toMatchObject({ left: 'yes' });
  });
});

describe('a handler that does not answer a streamed request', () => {
  test.each(['throws', 'nothing', 'refused'])(
    '(%s) is told loudly in the log, and its caller gets 500',
    async (name) => {
      const response = await call(`/api/${name}`);
      expect([response.status, await response.text()]).toEqual([500, '']);
      await logged(new RegExp(`'Functions.${name}' .* in Azure its caller now waits 240 seconds`));
    },
  );

  test('cuts its answer off when the body fails midway', async () => {
    const response = await call('/api/breaksOff');
    expect(response.status).toBe(200);
    await call('/api/goOn');
    await expect(response.text()).rejects.toThrow();
    await logged("'Functions.breaksOff' failed while streaming");
  });
});

describe('hooks', () => {
  test('see each other through hookData and may replace a result', async () => {
    expect(await json('/api/hooked')).toMatchObject({ from: 'hook', was: 'hooked' });
  });

  test('may turn an error into a result', async () => {
    const response = await call('/api/mended');
    expect([response.status, await response.text()]).toEqual([418, 'mended']);
  });
});

describe('the log', () => {
  test('tells of each call in the words of the Functions host', async () => {
    const { invocationId } = await json('/api/whoCalled');
    const reason = 'This function was programmatically called via the host APIs.';
    await logged(`[Information] Executing 'Functions.whoCalled' (Reason='${reason}', Id=${invocationId})`);
    await logged(new RegExp(`Executed 'Functions.whoCalled' \\(Succeeded, Id=${invocationId}, Duration=\\d+ms\\)`));
  });

  test('tells of a failure with its message and its stack', async () => {
    await call('/api/throws');
    await logged(
      /\[Error\] Executed 'Functions.throws' \(Failed, Id=.*\nResult: Failure\nException: no luck\nStack: Error: no luck/,
    );
  });

  test('has what the function logged, by level, and drops what comes after the end of the call', async () => {
    await call('/api/logs');
    await logged('[Information] an information');
    await logged('[Warning] a warning');
    await logged(/\[Warning\] Warning: Unexpected call to 'log' on the context object after function execution/);
    expect(lines.join('\n')).not.toMatch(/a detail|too late/);
  });
});

test('the functions of the app are listed with routes, methods and key levels', () => {
  expect(host.functions).toContainEqual({
    name: 'table',
    type: 'http',
    route: 'api/tables/{table}',
    methods: ['GET', 'PATCH'],
    authLevel: 'anonymous',
  });
  expect(host.functions).toContainEqual(expect.objectContaining({ name: 'operator', authLevel: 'admin' }));
});

test('a second app is refused in this process', async () => {
  const other = { entry: '/other/app.mjs', hostJson: { version: '2.0' }, port: 0, keys: KEYS };
  const storage = { blobServiceUri: '', queueServiceUri: '', credential: storageCredential() };
  await expect(startHost({ ...other, storage })).rejects.toMatchObject({ code: 'anotherAppLoaded' });
});

test('empty keys are refused', async () => {
  const storage = { blobServiceUri: '', queueServiceUri: '', credential: storageCredential() };
  const options = { entry, hostJson: { version: '2.0' }, port: 0, keys: { function: '', master: 'm' }, storage };
  await expect(startHost(options)).rejects.toMatchObject({ code: 'invalidOptions' });
});

describe('a drain', () => {
  test('lets a caller read its answer to the end, and functions answer 503 from then on', async () => {
    const again = await startHost({
      entry,
      hostJson: { version: '2.0', extensions: { http: { routePrefix: '' } } },
      port: 0,
      keys: KEYS,
      storage: {
        blobServiceUri: 'https://localhost:1/a',
        queueServiceUri: 'https://localhost:1/a',
        credential: storageCredential(),
      },
      log: () => {},
    });
    expect((await fetch(`${again.url}/whoCalled`)).status).toBe(200);
    const body = Buffer.alloc(32 * 1024 * 1024, 'abcdefg');
    const response = await fetch(`${again.url}/echo`, { method: 'POST', body });
    const drained = again.drain();
    expect((await fetch(`${again.url}/whoCalled`)).status).toBe(503);
    const closed = drained.then(() => again.close());
    expect((await response.arrayBuffer()).byteLength).toBe(body.length);
    await closed;
    await expect(fetch(`${again.url}/whoCalled`)).rejects.toThrow('fetch failed');
  });
});

const logged = (text: string | RegExp) =>
  expect
    .poll(() => lines.some((line) => (typeof text === 'string' ? line.includes(text) : text.test(line))))
    .toBe(true);

async function leave(socket: Socket): Promise<void> {
  const closed = once(socket, 'close');
  socket.destroy();
  await closed;
}
