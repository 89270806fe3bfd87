import fc from 'fast-check';
import { expect, test } from 'vitest';
import { observeRequests, routeOf } from '../../../src/dataverse/observe-requests.ts';
import type { FinishedSpan } from '../../../src/telemetry/telemetry.ts';

test.each([
  ['accounts?$filter=name%20eq%20%27secret%27', 'accounts'],
  ['accounts(00000000-0000-0000-0000-000000000001)', 'accounts()'],
  ["accounts(accountnumber='A-1')", 'accounts()'],
  ["accounts(accountnumber='O''Brien (x)')/primarycontactid", 'accounts()/primarycontactid'],
  [
    "accounts(name='a',number=1)/Microsoft.Dynamics.CRM.CreateMultiple",
    'accounts()/Microsoft.Dynamics.CRM.CreateMultiple',
  ],
  ["accounts(name='never closed", 'accounts'],
  ["accounts(name='a')b')", 'accounts()b'],
  ['$batch', '$batch'],
])('of %s only %s is told', (path, route) => {
  expect(routeOf(path)).toBe(route);
});

test('no value of a key is ever told', () => {
  const value = fc.string({ minLength: 3 }).map((text) => `§${text}§`.replaceAll("'", "''"));
  fc.assert(
    fc.property(value, value, (a, b) => {
      const key = `accounts(x='${a}',y='${b}')/name`;
      expect(routeOf(key)).not.toContain('§');
    }),
  );
});

test('a request is told with its tries, its status and the ids that support asks for', () => {
  const spans: FinishedSpan[] = [];
  const measured: unknown[] = [];
  const observe = observeRequests(
    { span: (span) => spans.push(span), measure: (...each) => measured.push(each) },
    'default',
    'https://contoso.crm4.dynamics.com/api/data/v9.2/',
  );
  observe({
    method: 'GET',
    path: "accounts(accountnumber='A-1')?$select=name",
    startedAt: 1_000,
    endedAt: 1_500,
    failed: 'limitExceeded',
    facts: { status: 429, serviceCode: '0x80072322', serviceRequestId: 'service-1' },
    clientRequestId: 'client-1',
    tries: 4,
    throttled: 2,
  });
  expect(spans).toMatchObject([
    {
      name: 'dataverse GET accounts()',
      failed: 'limitExceeded',
      attributes: {
        'dataverse.table': 'accounts',
        'http.response.status_code': 429,
        'dataverse.service_code': '0x80072322',
        'dataverse.service_request_id': 'service-1',
        'dataverse.client_request_id': 'client-1',
        'dataverse.tries': 4,
        'server.address': 'contoso.crm4.dynamics.com',
      },
    },
  ]);
  const of = { 'bridge.connection': 'default', 'dataverse.table': 'accounts' };
  expect(measured).toEqual([
    ['dataverseDuration', 500, { ...of, 'http.request.method': 'GET', 'error.type': 'limitExceeded' }],
    ['dataverseRetries', 1, of],
    ['dataverseThrottled', 2, of],
  ]);
});
