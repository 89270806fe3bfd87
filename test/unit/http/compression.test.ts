import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { compressed, takesGzip } from '../../../src/http/compression.ts';

const long = JSON.stringify({ text: 'a'.repeat(5_000) });
const answer = (body: string | ReadableStream<Uint8Array>, type = 'application/json') => ({
  body,
  headers: { 'content-type': type },
});

describe('an answer', () => {
  test('is packed for a caller that takes gzip', async () => {
    const packed = await compressed(answer(long), 'br, gzip');
    expect(packed.headers).toMatchObject({ 'content-encoding': 'gzip', vary: 'accept-encoding' });
    expect(gunzipSync(packed.body as Buffer).toString()).toBe(long);
  });

  test.each([
    ['the caller takes none', long, 'application/json', null],
    ['it is short', '{}', 'application/json', 'gzip'],
    ['it is no text', long, 'application/octet-stream', 'gzip'],
  ])('is sent as it is where %s', async (_, body, type, accepted) => {
    const plain = await compressed(answer(body, type), accepted);
    expect(plain.body).toBe(body);
    expect(plain.headers).not.toHaveProperty('content-encoding');
  });

  test('that streams reaches its reader before its source goes on', async () => {
    let goOn = (): void => {};
    const source = ReadableStream.from(
      (async function* () {
        yield Buffer.from('first\n');
        await new Promise<void>((resolve) => {
          goOn = resolve;
        });
        yield Buffer.from('second\n');
      })(),
    );
    const packed = await compressed(answer(source, 'application/x-ndjson'), 'gzip');
    const texts = (packed.body as ReadableStream<Uint8Array<ArrayBuffer>>)
      .pipeThrough(new DecompressionStream('gzip'))
      .pipeThrough(new TextDecoderStream())
      .getReader();
    expect((await texts.read()).value).toBe('first\n');
    goOn();
    expect((await texts.read()).value).toBe('second\n');
    expect((await texts.read()).done).toBe(true);
  });

  test('that streams and fails, fails for its reader', async () => {
    const source = ReadableStream.from(
      (async function* () {
        yield Buffer.from('first\n');
        throw new Error('broken');
      })(),
    );
    const packed = await compressed(answer(source, 'text/csv'), 'gzip');
    await expect(new Response(packed.body as ReadableStream).text()).rejects.toThrow();
  });

  test('that is left by its reader ends its source', async () => {
    let ended = false;
    const source = ReadableStream.from(
      (async function* () {
        try {
          for (;;) yield Buffer.from('again\n'.repeat(10_000));
        } finally {
          ended = true;
        }
      })(),
    );
    const packed = await compressed(answer(source, 'text/csv'), 'gzip');
    const reader = (packed.body as ReadableStream).getReader();
    await reader.read();
    await reader.cancel();
    await expect.poll(() => ended).toBe(true);
  });
});

test.each([
  [null, false],
  ['', false],
  ['gzip', true],
  ['GZIP;q=0.5', true],
  ['gzip;q=0, br', false],
  ['*', true],
  ['*;q=0', false],
  ['gzip;q=0, *', false],
  ['deflate', false],
  ['gzip;q=much', false],
])('Accept-Encoding %s is understood', (header, takes) => {
  expect(takesGzip(header)).toBe(takes);
});
