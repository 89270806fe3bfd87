import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { createDataverseClient } from '../../../src/dataverse/client.ts';
import { createPace } from '../../../src/dataverse/pace.ts';
import { poolTransport } from '../../../src/dataverse/transport.ts';
import { systemClock } from '../../../src/shared/clock.ts';

let server: Server | undefined;
let pool: ReturnType<typeof poolTransport> | undefined;

afterEach(async () => {
  server?.closeAllConnections();
  server?.close();
  await pool?.close().catch(() => {});
});

/** A client of a server that answers as told. */
async function clientOf(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const started = createServer(answer);
  server = started;
  await new Promise<void>((resolve) => started.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(started.address() as AddressInfo).port}`;
  pool = poolTransport(origin, 2);
  return createDataverseClient({
    apiUrl: `${origin}/api/data/v9.2/`,
    tokens: () => 'token',
    transport: pool.transport,
    clock: systemClock,
    pace: createPace({ clock: systemClock, maxConcurrency: 2 }),
    random: () => 0,
    newId: () => 'id',
  });
}

const textOf = async (body: AsyncIterable<Buffer>): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
};

describe('an answer', () => {
  test('leaves no cookie behind that a later request would carry', async () => {
    const cookies: (string | undefined)[] = [];
    const client = await clientOf((request, response) => {
      cookies.push(request.headers.cookie);
      response.setHeader('set-cookie', 'ARRAffinity=one-server; path=/').end('{}');
    });
    await client.send({ method: 'GET', path: 'WhoAmI' });
    await client.send({ method: 'GET', path: 'WhoAmI' });
    expect(cookies).toEqual([undefined, undefined]);
  });

  test('is handed on while it arrives', async () => {
    let finish = (): void => {};
    const client = await clientOf((_request, response) => {
      response.write('first ');
      finish = () => response.end('second');
    });
    const { status, body } = await client.open({ method: 'GET', path: 'big' });
    expect(status).toBe(200);
    finish();
    expect(await textOf(body)).toBe('first second');
  });

  test('that fails is an error also where its body was to be handed on', async () => {
    const client = await clientOf((_request, response) => {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end('{"error":{"code":"0x80040217","message":"gone"}}');
    });
    await expect(client.open({ method: 'GET', path: 'x' })).rejects.toMatchObject({ code: 'notFound' });
  });

  test('that is larger than allowed is cut off, whole or handed on', async () => {
    const client = await clientOf((_request, response) => response.end('x'.repeat(2000)));
    const request = { method: 'GET', path: 'big', largestAnswer: 1000 } as const;
    await expect(client.send(request)).rejects.toMatchObject({ code: 'answerTooLarge' });
    const { body } = await client.open(request);
    await expect(textOf(body)).rejects.toMatchObject({ code: 'answerTooLarge' });
  });

  test('that does not end in time is given up, and when the caller gives up', async () => {
    const client = await clientOf((_request, response) => response.write('never '));
    const late = client.send({ method: 'POST', path: 'x', body: '{}', deadline: systemClock.now() + 100 });
    await expect(late).rejects.toMatchObject({ code: 'network' });
    const controller = new AbortController();
    const { body } = await client.open({ method: 'GET', path: 'x', signal: controller.signal });
    controller.abort(new Error('stop'));
    await expect(textOf(body)).rejects.toThrow('stop');
  });
});
