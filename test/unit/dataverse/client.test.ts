import { describe, expect, test } from 'vitest';
import { createDataverseClient } from '../../../src/dataverse/client.ts';
import { createPace } from '../../../src/dataverse/pace.ts';
import { newMeter, type TokenOptions, type TokenSource } from '../../../src/dataverse/request.ts';
import type { Transport, TransportRequest, TransportResponse } from '../../../src/dataverse/transport.ts';
import { fakeClock } from '../../support/clock.ts';

type Answer = { status: number; headers?: Record<string, string>; body?: unknown } | Error;

/** A client whose transport gives the answers in turn. */
const clientAnswered = (...answers: Answer[]) => clientWith(undefined, ...answers);

function clientWith(tokens: TokenSource | undefined, ...answers: Answer[]) {
  const clock = fakeClock();
  const sent: TransportRequest[] = [];
  const asked: (TokenOptions | undefined)[] = [];
  const transport: Transport = async (request): Promise<TransportResponse> => {
    sent.push(request);
    const answer = answers[Math.min(sent.length, answers.length) - 1];
    if (!answer || answer instanceof Error) throw answer;
    const { status, headers = {}, body = {} } = answer;
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return { status, headers: { 'content-type': 'application/json', ...headers }, body: Buffer.from(text) };
  };
  const client = createDataverseClient({
    apiUrl: 'https://contoso.crm4.dynamics.com/api/data/v9.2/',
    tokens:
      tokens ??
      ((options) => {
        asked.push(options);
        return options?.rejected === 'first' ? 'second' : 'first';
      }),
    transport,
    clock,
    pace: createPace({ clock, maxConcurrency: 4 }),
    random: () => 0,
    newId: () => 'correlation',
  });
  return { client, clock, sent, asked };
}

const reset = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });

describe('a request', () => {
  test('carries the token, the protocol’s headers and a correlation id', async () => {
    const { client, sent } = clientAnswered({ status: 200 });
    await client.send({ method: 'POST', path: 'accounts?$select=name', body: '{}' });
    expect(sent[0]?.url.href).toBe('https://contoso.crm4.dynamics.com/api/data/v9.2/accounts?$select=name');
    expect(sent[0]?.headers).toEqual({
      accept: 'application/json',
      authorization: 'Bearer first',
      'content-type': 'application/json; charset=utf-8',
      'if-none-match': 'null',
      'odata-maxversion': '4.0',
      'odata-version': '4.0',
      'x-ms-client-request-id': 'correlation',
    });
  });

  test('answered with 401 is sent once more with another token', async () => {
    const { client, sent, asked } = clientAnswered({ status: 401 }, { status: 200 });
    await client.send({ method: 'POST', path: 'accounts', body: '{}' });
    expect(asked).toEqual([{}, { rejected: 'first' }]);
    expect(sent.map((request) => request.headers['authorization'])).toEqual(['Bearer first', 'Bearer second']);
  });

  test('counts the try with the other token too', async () => {
    const { client } = clientAnswered({ status: 401 }, { status: 200 });
    const meter = newMeter();
    await client.send({ method: 'GET', path: 'accounts', meter });
    expect(meter.calls).toBe(2);
  });

  test('carries the caller’s own id to the service', async () => {
    const { client, sent } = clientAnswered({ status: 200 });
    await client.send({ method: 'GET', path: 'accounts', clientRequestId: 'from-the-caller' });
    expect(sent[0]?.headers['x-ms-client-request-id']).toBe('from-the-caller');
  });

  test('waits for a token no longer than there is time, and not at all once it is aborted', async () => {
    const never: TokenSource = () => new Promise<string>(() => {});
    const { client, clock, sent } = clientWith(never, { status: 200 });
    const late = client.send({ method: 'POST', path: 'accounts', body: '{}', deadline: clock.now() + 5 });
    await expect(late).rejects.toMatchObject({ code: 'network' });
    const controller = new AbortController();
    const aborted = client.send({ method: 'GET', path: 'accounts', signal: controller.signal });
    controller.abort(new Error('stop'));
    await expect(aborted).rejects.toThrow('stop');
    expect(sent).toEqual([]);
  });

  test('answered after a try without a verdict says so when it fails', async () => {
    const missing = { status: 404, body: { error: { code: '0x80040217', message: 'Does Not Exist' } } };
    const request = { method: 'DELETE', path: 'accounts(1)', repeatable: true } as const;
    await expect(clientAnswered(reset, missing).client.send(request)).rejects.toMatchObject({
      facts: { afterUnknown: true },
    });
    const sure = await clientAnswered(missing)
      .client.send(request)
      .catch((error) => error);
    expect(sure.facts).not.toHaveProperty('afterUnknown');
  });

  test('answered with a claims challenge asks for a token with these claims', async () => {
    const claims = '{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}';
    const challenge = `Bearer realm="", authorization_uri="https://login.microsoftonline.com/t/oauth2/authorize", error="insufficient_claims", claims="${Buffer.from(claims).toString('base64')}"`;
    const { client, asked } = clientAnswered(
      { status: 401, headers: { 'www-authenticate': challenge } },
      { status: 200 },
    );
    await client.send({ method: 'GET', path: 'WhoAmI' });
    expect(asked[1]).toEqual({ rejected: 'first', claims });
  });

  test('fails with the 401 when no other token is to be had, and is not sent again', async () => {
    const refused = Object.assign(new Error('Entra is down'), { code: 'entraUnreachable' });
    for (const other of [() => Promise.reject(refused), () => 'first']) {
      const tokens: TokenSource = (options) => (options?.rejected === undefined ? 'first' : other());
      const { client, sent } = clientWith(tokens, { status: 401 });
      await expect(client.send({ method: 'GET', path: 'WhoAmI' })).rejects.toMatchObject({ code: 'unauthenticated' });
      expect(sent).toHaveLength(1);
    }
  });

  test('answered with 401 again fails', async () => {
    const { client } = clientAnswered({ status: 401, body: 'HTTP Error 401 - Unauthorized: Access is denied' });
    await expect(client.send({ method: 'GET', path: 'WhoAmI' })).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  test('waits as long as a 429 asks and counts what that cost', async () => {
    const throttled = {
      status: 429,
      headers: { 'retry-after': '9' },
      body: { error: { code: '0x80072322', message: 'Number of requests' } },
    };
    const { client, clock } = clientAnswered(throttled, throttled, { status: 204 });
    const meter = newMeter();
    await client.send({ method: 'POST', path: 'accounts', body: '{}', meter });
    expect(clock.waits).toEqual([9000, 9000]);
    expect(meter).toEqual({ calls: 3, throttled: { count: 2, waitedMs: 18_000 } });
  });

  test('gives up when Retry-After is longer than the time left', async () => {
    const { client, clock } = clientAnswered({ status: 429, headers: { 'retry-after': '600' } });
    const sent = client.send({ method: 'GET', path: 'accounts', deadline: clock.now() + 10_000 });
    await expect(sent).rejects.toMatchObject({ code: 'limitExceeded', facts: { retryAfterMs: 600_000 } });
    expect(clock.waits).toEqual([]);
  });

  test('that creates is not repeated when its outcome is unknown', async () => {
    const { client, sent } = clientAnswered(reset);
    await expect(client.send({ method: 'POST', path: 'accounts', body: '{}' })).rejects.toMatchObject({
      code: 'network',
    });
    expect(sent).toHaveLength(1);
  });

  test('that may be repeated survives a reset and a 503 with HTML', async () => {
    const html = { status: 503, headers: { 'content-type': 'text/html' }, body: '<html>' };
    const { client, sent } = clientAnswered(reset, html, { status: 200 });
    await expect(client.send({ method: 'GET', path: 'accounts' })).resolves.toMatchObject({ status: 200 });
    expect(sent).toHaveLength(3);
  });

  test('ends with the signal’s reason when it is aborted during a wait', async () => {
    const { client, clock } = clientAnswered({ status: 503 });
    const controller = new AbortController();
    clock.sleep = async (_ms, signal) => {
      controller.abort(new Error('stop'));
      signal?.throwIfAborted();
    };
    await expect(client.send({ method: 'GET', path: 'accounts', signal: controller.signal })).rejects.toThrow('stop');
  });
});

describe('a failing answer', () => {
  test.each([
    [
      403,
      { error: { code: '0x80072560', message: 'The user is not a member of the organization.' } },
      'forbidden',
      '0x80072560',
    ],
    [404, { error: { code: '0x80040217', message: 'account With Id = x Does Not Exist' } }, 'notFound', '0x80040217'],
    [412, { error: { code: '', message: 'The version does not match.' } }, 'conflict', ''],
    [413, { error: { code: '0x8004418a', message: 'Request message length is too large.' } }, 'tooLarge', '0x8004418a'],
    [400, { error: { code: '0x80044331', message: 'A validation error occurred.' } }, 'refused', '0x80044331'],
  ])('%i is told by code', async (status, body, code, serviceCode) => {
    const { client } = clientAnswered({ status, body, headers: { 'x-ms-service-request-id': 'support-1' } });
    await expect(client.send({ method: 'GET', path: 'accounts' })).rejects.toMatchObject({
      code,
      message: body.error.message,
      facts: { status, serviceCode, serviceRequestId: 'support-1' },
    });
  });

  test('that is a page of something else is told as such', async () => {
    const { client } = clientAnswered({ status: 404, headers: { 'content-type': 'text/html' }, body: '<html>' });
    await expect(client.send({ method: 'GET', path: 'accounts' })).rejects.toMatchObject({ code: 'notDataverse' });
  });
});

test('a 200 with a page of HTML is no answer of Dataverse', async () => {
  const { client } = clientAnswered({ status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' });
  const response = await client.send({ method: 'GET', path: 'accounts' });
  expect(() => response.json()).toThrow(expect.objectContaining({ code: 'notDataverse' }));
});

test('numbers of an answer keep all their digits', async () => {
  const { client } = clientAnswered({ status: 200, body: '{"versionnumber":9007199254740993}' });
  const response = await client.send({ method: 'GET', path: 'accounts' });
  expect(JSON.stringify(response.json())).toBe('{"versionnumber":9007199254740993}');
});

describe('an exchange', () => {
  test.each([204, 404, 503])('resolves with whatever was answered, at the first try: %d', async (status) => {
    const { client, sent } = clientAnswered({ status, body: { some: 'body' } });
    const answer = await client.exchange({ method: 'POST', path: 'accounts', body: Buffer.from('x') });
    expect([answer.status, answer.body.toString(), sent.length]).toEqual([status, '{"some":"body"}', 1]);
    expect(sent[0]?.headers).toMatchObject({ authorization: 'Bearer first' });
  });

  test('answered with 429 is told, and holds the requests of all', async () => {
    const { client, clock, sent } = clientAnswered({ status: 429, headers: { 'retry-after': '7' } }, { status: 200 });
    expect((await client.exchange({ method: 'GET', path: 'accounts' })).status).toBe(429);
    const before = clock.now();
    await client.send({ method: 'GET', path: 'accounts' });
    expect([clock.now() - before, sent.length]).toEqual([7_000, 2]);
  });

  test('without an answer is an error', async () => {
    const { client, sent } = clientAnswered(reset);
    await expect(client.exchange({ method: 'GET', path: 'accounts' })).rejects.toMatchObject({ code: 'network' });
    expect(sent).toHaveLength(1);
  });
});
