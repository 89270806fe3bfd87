import { HttpRequest } from '@azure/functions';
import { describe, expect, test } from 'vitest';
import type { RowOutcome } from '../../../src/dataverse/bulk/outcomes.ts';
import { DataverseError } from '../../../src/dataverse/errors.ts';
import { streamRows } from '../../../src/http/row-answer.ts';

const row = (index: number, outcome: RowOutcome['outcome'] = 'created'): RowOutcome => ({ index, key: {}, outcome });

async function answer(
  outcomes: AsyncIterable<RowOutcome>,
  accept?: string,
): Promise<{ type: unknown; text: string; log: string[] }> {
  const log: string[] = [];
  const response = streamRows(
    {
      request: new HttpRequest({ method: 'POST', url: 'http://localhost/', ...(accept && { headers: { accept } }) }),
      path: {},
      search: new URLSearchParams(),
      signal: new AbortController().signal,
      requestId: 'request-1',
      deadline: 0,
      log: (message) => log.push(message),
    },
    outcomes,
    (counts, input, cutOff) => ({ input, counts, cutOff }),
  );
  const text = await new Response(response.body as ReadableStream).text();
  return { type: new Headers(response.headers as Record<string, string>).get('content-type'), text, log };
}

async function* outcomes(...rows: readonly (RowOutcome | Error)[]): AsyncGenerator<RowOutcome> {
  for (const each of rows) {
    if (each instanceof Error) throw each;
    yield each;
  }
}

describe('an answer of rows', () => {
  test('is a line for each and a summary', async () => {
    const { type, text } = await answer(outcomes(row(0), row(1, 'rejected')));
    expect(type).toBe('application/x-ndjson');
    expect(
      text
        .split('\n')
        .slice(0, 2)
        .map((line) => JSON.parse(line)),
    ).toEqual([row(0), row(1, 'rejected')]);
    expect(JSON.parse(text.split('\n')[2] ?? '')).toMatchObject({
      summary: { input: 2, counts: { created: 1, rejected: 1, updated: 0 }, cutOff: false },
    });
    expect(text.endsWith('}\n')).toBe(true);
  });

  test.each([
    ['application/json', 'application/json'],
    ['application/json, text/plain', 'application/json'],
    ['application/x-ndjson, application/json;q=0.5', 'application/x-ndjson'],
    ['*/*', 'application/x-ndjson'],
  ])('to a caller that accepts %s is %s', async (accept, type) => {
    expect((await answer(outcomes(), accept)).type).toBe(type);
  });

  test('is one JSON document where wanted, also without a row', async () => {
    expect(JSON.parse((await answer(outcomes(row(0), row(1)), 'application/json')).text)).toMatchObject({
      rows: [row(0), row(1)],
      summary: { input: 2 },
    });
    expect(JSON.parse((await answer(outcomes(), 'application/json')).text)).toMatchObject({
      rows: [],
      summary: { input: 0 },
    });
  });

  test.each(['application/json', '*/*'])(
    'as %s that breaks off ends with the problem and no summary',
    async (accept) => {
      const { text, log } = await answer(outcomes(row(0), new DataverseError('network', 'gone')), accept);
      const last = accept === '*/*' ? JSON.parse(text.trimEnd().split('\n').at(-1) ?? '') : JSON.parse(text);
      expect(last.problem).toMatchObject({ code: 'network', requestId: 'request-1' });
      expect(last.summary).toBeUndefined();
      expect(log).toEqual(['an answer broke off']);
    },
  );
});
