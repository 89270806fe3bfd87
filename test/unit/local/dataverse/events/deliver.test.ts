import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import {
  type Delivery,
  deliverWebhook,
  fetchTransport,
  type WebhookRequest,
} from '../../../../../src/local/dataverse/events/deliver.ts';
import type { Clock } from '../../../../../src/shared/clock.ts';

/** A clock in which nothing ever times out. */
const STILL: Clock = { now: () => 0, sleep: () => new Promise(() => undefined) };

/** Delivers to an endpoint that gives these answers in turn. */
async function deliver(answers: (number | Error)[], changes: Partial<Delivery> = {}) {
  const requests: WebhookRequest[] = [];
  const result = await deliverWebhook({
    url: 'http://localhost/hook',
    auth: { kind: 'key', value: 'k y&' },
    context: { MessageName: 'Update' },
    facts: { organizationHost: 'org.crm4.dynamics.com', table: 'account', message: 'Update', correlationId: 'c' },
    clock: STILL,
    transport: async (request) => {
      const answer = answers[requests.push(request) - 1] ?? new Error('one request too many');
      if (answer instanceof Error) throw answer;
      return { status: answer };
    },
    ...changes,
  });
  const [request] = requests;
  if (!request) throw new Error('no request');
  return { result, request, count: requests.length };
}

describe('requests', () => {
  test('headers tell the organization, table, message and correlation', async () => {
    const { request, result } = await deliver([200]);
    expect(request.headers).toEqual({
      'content-type': 'application/json',
      'x-ms-dynamics-organization': 'org.crm4.dynamics.com',
      'x-ms-dynamics-entity-name': 'account',
      'x-ms-dynamics-request-name': 'Update',
      'x-ms-correlation-request-id': 'c',
    });
    expect(request.body).toBe('{"MessageName":"Update"}');
    expect(result).toEqual({ delivered: true, attempts: 1, status: 200 });
  });

  test('a webhook key is the query value code', async () => {
    expect((await deliver([200])).request.url).toBe('http://localhost/hook?code=k%20y%26');
  });

  test('query pairs follow the query that the URL has', async () => {
    const auth = {
      kind: 'query',
      pairs: [
        ['a', '1'],
        ['b', "'"],
      ],
    } as const;
    const { request } = await deliver([200], { auth, url: 'http://localhost/hook?x=%20+y#part' });
    expect(request.url).toBe("http://localhost/hook?x=%20+y&a=1&b='");
  });

  test('header pairs are sent as headers', async () => {
    const { request } = await deliver([200], { auth: { kind: 'header', pairs: [['X-Key', 'secret']] } });
    expect(request.headers['x-key']).toBe('secret');
    expect(request.url).toBe('http://localhost/hook');
  });

  test('more than 256 KB are cut down and marked', async () => {
    const context = (length: number) => ({
      InputParameters: 'x'.repeat(length),
      MessageName: 'Update',
      ParentContext: {},
      PostEntityImages: [],
      PreEntityImages: [],
    });
    const rest = JSON.stringify(context(0)).length;
    const whole = await deliver([200], { context: context(256 * 1024 - rest) });
    expect(whole.request.headers).not.toHaveProperty('x-ms-dynamics-msg-size-exceeded');
    expect(whole.request.body).toHaveLength(256 * 1024);
    const cut = await deliver([200], { context: context(256 * 1024 - rest + 1) });
    expect(cut.request.headers['x-ms-dynamics-msg-size-exceeded']).toBe('true');
    expect(cut.request.body).toBe('{"MessageName":"Update"}');
  });
});

describe('answers', () => {
  test.each([502, 503, 504])('%i is tried once more', async (status) => {
    expect(await deliver([status, 204])).toMatchObject({
      count: 2,
      result: { delivered: true, attempts: 2, status: 204 },
    });
    expect(await deliver([status, status])).toMatchObject({
      count: 2,
      result: { delivered: false, attempts: 2, status },
    });
  });

  test.each([302, 400, 401, 404, 429, 500])('%i is not tried again', async (status) => {
    expect(await deliver([status])).toMatchObject({ count: 1, result: { delivered: false, attempts: 1, status } });
  });

  test('a broken connection is not tried again, and its URL is not told', async () => {
    const error = new TypeError('fetch of http://localhost/hook?code=secret failed', {
      cause: new Error('connect ECONNREFUSED'),
    });
    const { result, count } = await deliver([error]);
    expect(result).toEqual({ delivered: false, attempts: 1, error: 'No answer: connect ECONNREFUSED' });
    expect(count).toBe(1);
  });

  test('the wait for an answer ends after 60 s, and the request with it', async () => {
    const waits: number[] = [];
    let ended: AbortSignal | undefined;
    const result = await deliverWebhook({
      url: 'http://localhost/',
      auth: { kind: 'header', pairs: [] },
      context: {},
      facts: { organizationHost: '', table: '', message: '', correlationId: '' },
      clock: { now: () => 0, sleep: async (ms) => void waits.push(ms) },
      transport: ({ signal }) => {
        ended = signal;
        return new Promise(() => undefined);
      },
    });
    expect(result).toEqual({ delivered: false, attempts: 1, error: 'The endpoint did not answer in 60 s' });
    expect(waits).toEqual([60_000]);
    expect(ended?.aborted).toBe(true);
  });

  test('an aborted delivery rejects with the reason', async () => {
    const controller = new AbortController();
    const delivered = deliver([], {
      signal: controller.signal,
      transport: ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    });
    controller.abort(new Error('stopping'));
    await expect(delivered).rejects.toThrow('stopping');
  });

  test('a redirect is an answer like any other', async () => {
    const paths: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      paths.push(request.url);
      response.writeHead(307, { location: '/elsewhere' }).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const url = `http://127.0.0.1:${port}/hook`;
      const { status } = await fetchTransport({ url, headers: {}, body: '{}', signal: new AbortController().signal });
      expect([status, paths]).toEqual([307, ['/hook']]);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});
