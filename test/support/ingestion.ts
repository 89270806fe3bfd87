import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { inject } from 'vitest';

/** One item as Application Insights takes it (Breeze envelope). */
export interface Envelope {
  readonly name: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly data: {
    readonly baseType: string;
    // biome-ignore lint/suspicious/noExplicitAny: of every shape
    readonly baseData: any;
  };
}

export interface Ingestion {
  readonly connectionString: string;
  readonly items: readonly Envelope[];
  /** Values of the header `authorization`. */
  readonly authorizations: readonly (string | undefined)[];
  /** All that was sent, as text. */
  readonly text: () => string;
  close(): Promise<void>;
}

/** An ingestion endpoint on this machine that keeps what arrives. */
export async function startIngestion(): Promise<Ingestion> {
  const { certFile, keyFile } = inject('authority');
  const items: Envelope[] = [];
  const authorizations: (string | undefined)[] = [];
  const server = createServer(
    { cert: readFileSync(certFile), key: readFileSync(keyFile) },
    async (request, response) => {
      const body = await buffer(request);
      const text = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString('utf8');
      const sent: Envelope[] = request.url?.includes('/track') ? JSON.parse(text) : [];
      items.push(...sent);
      authorizations.push(request.headers.authorization);
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ itemsReceived: sent.length, itemsAccepted: sent.length, errors: [] }));
    },
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
  return {
    connectionString: `InstrumentationKey=11111111-1111-4111-8111-111111111111;IngestionEndpoint=${url};LiveEndpoint=${url}`,
    items,
    authorizations,
    text: () => JSON.stringify(items),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
