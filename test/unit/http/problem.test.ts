import { expect, test } from 'vitest';
import { SettingsError } from '../../../src/config/settings.ts';
import { ConnectionError } from '../../../src/connections/errors.ts';
import { DataverseError } from '../../../src/dataverse/errors.ts';
import { problemOf, problemResponse, RequestError } from '../../../src/http/problem.ts';
import { StorageError } from '../../../src/storage/errors.ts';

test.each([
  [new RequestError(415, 'contentTypeUnknown', 'm'), 415, 'Unsupported media type'],
  [new SettingsError('connectionUnknown', 'm'), 404, 'Not found'],
  [new SettingsError('settingsFault', 'm'), 503, 'Service unavailable'],
  [new ConnectionError('vaultDenied', 'm'), 503, 'Service unavailable'],
  [new ConnectionError('writesStopped', 'm'), 503, 'Service unavailable'],
  [new DataverseError('unauthenticated', 'm'), 502, 'Bad gateway'],
  [new DataverseError('forbidden', 'm'), 403, 'Forbidden'],
  [new DataverseError('limitExceeded', 'm'), 429, 'Too many requests'],
  [new DataverseError('tableUnknown', 'm'), 404, 'Not found'],
  [new DataverseError('keyUnknown', 'm'), 400, 'Bad request'],
  [new StorageError('unavailable', 'm'), 503, 'Service unavailable'],
])('%s is a problem of its status', (error, status, title) => {
  const problem = problemOf(error, 'request-1');
  expect(problem).toMatchObject({
    type: 'about:blank',
    status,
    title,
    detail: 'm',
    code: error.code,
    requestId: 'request-1',
  });
});

test('an error that is not ours says nothing of its own', () => {
  const problem = problemOf(new Error('password=hunter2'), 'request-1');
  expect(problem).toMatchObject({ status: 500, code: 'internal', requestId: 'request-1' });
  expect(JSON.stringify(problem)).not.toContain('hunter2');
});

test('what ran out of time is 504', () => {
  expect(problemOf(new DOMException('The operation timed out', 'TimeoutError'), 'r')).toMatchObject({
    status: 504,
    code: 'timeout',
  });
});

test('a problem names each fault with where it is', () => {
  const settings = new SettingsError('settingsFault', 'm', [{ setting: 'KEY_VAULT_URI', message: 'is missing' }]);
  expect(problemOf(settings, 'r').errors).toEqual([
    { path: 'KEY_VAULT_URI', code: 'settingFault', message: 'is missing' },
  ]);
});

test.each([
  [new DataverseError('limitExceeded', 'm', { retryAfterMs: 1_500 }), '2'],
  [new DataverseError('unavailable', 'm'), '10'],
  [new ConnectionError('vaultUnavailable', 'm'), '10'],
  [new ConnectionError('vaultDenied', 'm'), undefined],
  [new DataverseError('forbidden', 'm', { retryAfterMs: 1_500 }), undefined],
])('%s tells when to come again, where that helps', (error, seconds) => {
  const { headers } = problemResponse(error, 'r');
  expect(new Headers(headers as Record<string, string>).get('retry-after') ?? undefined).toBe(seconds);
});
