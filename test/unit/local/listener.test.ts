import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { type Handler, type Listener, listen } from '../../../src/local/listener.ts';

let listener: Listener;
const lines: string[] = [];
afterEach(() => listener.close());

async function start(handler: Handler): Promise<string> {
  lines.length = 0;
  listener = await listen({ port: 0, log: (line) => lines.push(line) }, () => handler);
  return listener.origin;
}

test('a handler gets method, path, headers and body, and its answer is sent', async () => {
  const origin = await start(async (request) =>
    Response.json([request.method, request.url, request.headers.get('x-a'), await request.text()], {
      status: 201,
      headers: { 'x-b': 'b' },
    }),
  );
  const response = await fetch(`${origin}/a/b?c=%20d`, { method: 'POST', headers: { 'x-a': 'a' }, body: 'text' });
  expect([response.status, response.headers.get('x-b')]).toEqual([201, 'b']);
  expect(await response.json()).toEqual(['POST', `${origin}/a/b?c=%20d`, 'a', 'text']);
});

test('a handler that throws answers 500, says so and tells the caller nothing', async () => {
  const origin = await start(async () => {
    throw new Error('a defect');
  });
  const response = await fetch(`${origin}/path?secret=1`);
  expect([response.status, await response.text()]).toEqual([500, '']);
  expect(lines).toEqual(['GET /path: a defect']);
});

test('a body of more than a megabyte is refused', async () => {
  const origin = await start(async () => new Response());
  expect((await fetch(origin, { method: 'POST', body: 'x'.repeat(1024 * 1024) })).status).toBe(200);
  expect((await fetch(origin, { method: 'POST', body: 'x'.repeat(1024 * 1024 + 1) })).status).toBe(413);
});

test('a request line that names another host stays on this one', async () => {
  const origin = await start(async (request) => Response.json(request.url));
  const socket = connect(Number(new URL(origin).port), '127.0.0.1');
  socket.write('GET //evil.example/secrets HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  await once(socket, 'close');
  expect(Buffer.concat(chunks).toString()).toContain(`"${origin}//evil.example/secrets"`);
});
