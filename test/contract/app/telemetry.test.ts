import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp, type TestApp } from '../../support/app.ts';
import { type Ingestion, startIngestion } from '../../support/ingestion.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

let ingestion: Ingestion;
let clientRequestIds: (string | undefined)[];

// What an instance has observed is sent when it ends at the latest, so the app has ended when this looks at it.
beforeAll(async () => {
  ingestion = await startIngestion();
  const app: TestApp = await startApp({
    settings: () => ({ APPLICATIONINSIGHTS_CONNECTION_STRING: ingestion.connectionString }),
  });
  await app.defineKey('account', 'accountnumber');
  await app.forgetCalls();
  const answer = await app.call('POST', 'tables/account/upsert?keyColumns=accountnumber', {
    type: 'application/json',
    headers: { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` },
    body: JSON.stringify([{ accountnumber: 'THE-VALUE-OF-A-ROW', name: 'x' }]),
  });
  expect(answer.status).toBe(200);
  clientRequestIds = (await app.calls()).map((call) => (call as { clientRequestId?: string }).clientRequestId);
  await app.call('POST', 'webhooks/dataverse/main', {
    key: null,
    headers: { 'x-bridge-key': 'the-webhook-secret', 'x-ms-correlation-request-id': 'correlation-of-dataverse' },
    type: 'application/json',
    body: '{}',
  });
  await app.close();
});
afterAll(() => ingestion.close());

const spans = () => ingestion.items.filter(({ data }) => data.baseType === 'RemoteDependencyData');

test('every request to Dataverse belongs to the trace of the call that caused it', () => {
  const requests = spans().filter(({ data }) => data.baseData.name.startsWith('dataverse '));
  const ofTheCall = requests.filter(({ tags }) => tags['ai.operation.id'] === TRACE);
  expect(ofTheCall.map(({ data }) => data.baseData.name)).toContain(
    'dataverse POST accounts/Microsoft.Dynamics.CRM.CreateMultiple',
  );
  const told = ofTheCall.map(({ data }) => data.baseData.properties['dataverse.client_request_id']);
  expect(told.filter((id) => !clientRequestIds.includes(id))).toEqual([]);
});

test('tokens and webhooks are told too', () => {
  expect(spans().some(({ data }) => data.baseData.name === 'token')).toBe(true);
  expect(ingestion.text()).toContain('bridge.webhook.events');
  const received = spans().find(({ data }) => data.baseData.name === 'webhook received');
  expect(received?.data.baseData.properties).toMatchObject({
    'bridge.endpoint': 'main',
    'dataverse.correlation_id': 'correlation-of-dataverse',
  });
});

test('no value of a row and no secret leaves the app this way', () => {
  expect(ingestion.text()).not.toMatch(/THE-VALUE-OF-A-ROW|the-webhook-secret|eyJ/);
});
