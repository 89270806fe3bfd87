import { describe, expect, test } from 'vitest';
import { checkHeaders, toldHeaders } from '../../../../src/actions/raw/headers.ts';
import { nextTry, type TryResult } from '../../../../src/actions/raw/retry.ts';

describe('headers of a raw request', () => {
  test('are taken with their names in lower case', () => {
    expect(checkHeaders({ Prefer: 'return=representation', 'MSCRM.MergeLabels': 'true', 'If-Match': 'W/"1"' })).toEqual(
      {
        prefer: 'return=representation',
        'mscrm.mergelabels': 'true',
        'if-match': 'W/"1"',
      },
    );
  });

  test.each([
    [{ Authorization: 'Bearer x' }, 'headerReserved'],
    [{ COOKIE: 'x' }, 'headerReserved'],
    [{ Host: 'evil.example' }, 'headerReserved'],
    [{ 'Content-Length': '0' }, 'headerReserved'],
    [{ 'Transfer-Encoding': 'chunked' }, 'headerReserved'],
    [{ Connection: 'close' }, 'headerReserved'],
    [{ 'X-HTTP-Method-Override': 'DELETE' }, 'headerReserved'],
    [{ 'X-Forwarded-Host': 'evil.example' }, 'headerReserved'],
    [{ 'a\r\nb': 'x' }, 'headerInvalid'],
    [{ 'a b': 'x' }, 'headerInvalid'],
    [{ '': 'x' }, 'headerInvalid'],
    [{ a: 'x\r\nHost: y' }, 'headerInvalid'],
    [{ a: 'ä' }, 'headerInvalid'],
    [{ a: 'x'.repeat(9_000) }, 'headerInvalid'],
    [{ a: '1', A: '2' }, 'headerTwice'],
  ])('are refused where they are not the caller’s (%#)', (headers, code) => {
    expect(() => checkHeaders(headers as Record<string, string>)).toThrow(expect.objectContaining({ code }));
  });

  test('of the answer are told without what is between the service and us', () => {
    expect(
      toldHeaders({ etag: 'W/"1"', 'set-cookie': ['ARRAffinity=x'], warning: ['a', 'b'], 'content-length': '3' }),
    ).toEqual({
      etag: 'W/"1"',
      warning: 'a, b',
    });
  });
});

describe('the next try', () => {
  const none = { maxRetries: 3, retryDelayMs: 50, exponentialBackoff: false, retryOnAllErrors: false };
  test.each<[TryResult, number | undefined, number | undefined]>([
    [200, undefined, undefined],
    [304, undefined, undefined],
    [400, undefined, 50],
    [404, undefined, 50],
    [429, undefined, 50],
    [500, 50, 50],
    [503, 50, 50],
    ['network', 50, 50],
    ['timeout', undefined, 50],
  ])('after %s comes when the rules say so', (result, usual, onAll) => {
    expect(nextTry(none, 1, result, 0)).toBe(usual);
    expect(nextTry({ ...none, retryOnAllErrors: true }, 1, result, 0)).toBe(onAll);
    expect(nextTry({ ...none, maxRetries: 0, retryOnAllErrors: true }, 1, result, 0)).toBeUndefined();
  });

  test('is the last after so many as are wanted', () => {
    expect([1, 2, 3, 4].map((attempt) => nextTry(none, attempt, 500, 0))).toEqual([50, 50, 50, undefined]);
  });

  test('comes later each time where that is wanted, whatever the delay', () => {
    const retry = { ...none, maxRetries: 20, exponentialBackoff: true };
    expect([1, 2, 3].map((attempt) => nextTry(retry, attempt, 500, 0))).toEqual([200, 400, 800]);
    expect(nextTry(retry, 1, 500, 0.999)).toBeCloseTo(240, 0);
    expect(nextTry(retry, 20, 500, 0)).toBe(60_000);
  });
});
