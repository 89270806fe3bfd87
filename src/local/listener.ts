import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { messageOf } from '../shared/errors.ts';

/** Answers one request. The web's own `Request` and `Response`, so that an emulator can be tried without a socket. */
export type Handler = (request: Request) => Promise<Response>;

export interface Listener {
  /** Scheme, host and port, without a slash at the end. */
  origin: string;
  /** Stops listening and drops open connections. */
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 1024 * 1024;

/**
 * Listens on 127.0.0.1 only: with `tls` as https://localhost, the name in the certificate, otherwise as http://127.0.0.1.
 * Port 0 is any free port; the handler is made once the address is known.
 */
export async function listen(
  options: { port: number; tls?: { cert: string; key: string }; log: (line: string) => void },
  handlerAt: (origin: string) => Handler,
): Promise<Listener> {
  let handler: Handler | undefined;
  let origin = '';
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    answer(incoming, outgoing, origin, handler).catch((error: unknown) => {
      options.log(`${incoming.method} ${incoming.url?.split('?')[0]}: ${messageOf(error)}`);
      if (!outgoing.headersSent) outgoing.writeHead(500);
      outgoing.end();
    });
  };
  const server = options.tls ? createHttpsServer(options.tls, onRequest) : createHttpServer(onRequest);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : options.port;
  origin = options.tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
  handler = handlerAt(origin);
  return {
    origin,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  origin: string,
  handler: Handler | undefined,
): Promise<void> {
  const response = await respond(incoming, origin, handler);
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(Buffer.from(await response.arrayBuffer()));
}

async function respond(incoming: IncomingMessage, origin: string, handler: Handler | undefined): Promise<Response> {
  // A request line may hold "//evil" or an absolute address: only its path and query count.
  const url = URL.parse(`${origin}${incoming.url ?? '/'}`);
  if (!handler || !url || url.origin !== origin) return new Response(null, { status: 400 });
  const body = await bodyOf(incoming);
  if (!body) return new Response(null, { status: 413, headers: { connection: 'close' } });
  const headers = new Headers();
  for (const [name, values] of Object.entries(incoming.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value);
  }
  const method = incoming.method ?? 'GET';
  return handler(new Request(url, { method, headers, ...(body.length > 0 && method !== 'GET' ? { body } : {}) }));
}

async function bodyOf(incoming: IncomingMessage): Promise<Buffer<ArrayBuffer> | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    const bytes = Buffer.from(chunk);
    size += bytes.length;
    if (size > MAX_BODY_BYTES) return undefined;
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}
