import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createTelemetry } from '../../../src/telemetry/exporter.ts';
import { inTrace, keepingTrace } from '../../../src/telemetry/trace.ts';
import { type Ingestion, startIngestion } from '../../support/ingestion.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const START = Date.UTC(2026, 10, 21, 10);

let ingestion: Ingestion;
const printed = [vi.spyOn(process.stdout, 'write'), vi.spyOn(process.stderr, 'write')];

// The exporter of a process is one, so all is sent first and then looked at.
beforeAll(async () => {
  ingestion = await startIngestion();
  const telemetry = createTelemetry({
    connectionString: ingestion.connectionString,
    credential: { getToken: async () => ({ token: 'the-token', expiresOnTimestamp: Date.now() + 3_600_000 }) },
  });
  for (const spy of printed) spy.mockClear();
  const call = {
    name: 'dataverse GET accounts',
    kind: 'client',
    startedAt: START,
    endedAt: START + 120,
    attributes: {
      'dataverse.table': 'accounts',
      'http.response.status_code': 200,
      'server.address': 'org.crm4.dynamics.com',
    },
  } as const;
  // Before it is loaded: the first invocation of an instance.
  inTrace({ traceParent: `00-${TRACE}-${PARENT}-00` }, () => telemetry.span(call));
  telemetry.measure('dataverseThrottled', 2, { connection: 'default' });
  await telemetry.load();
  telemetry.measure('dataverseThrottled', 3, { connection: 'default' });
  telemetry.measure('dataverseDuration', 120, { table: 'accounts' });
  telemetry.span({
    ...call,
    name: 'dataverse POST accounts',
    failed: 'limitExceeded',
    attributes: { note: 'Bearer abc.def, code=s3cret&x=1' },
  });
  async function* rows() {
    telemetry.span({ ...call, name: 'within a stream' });
    yield 1;
  }
  const stream = inTrace({ traceParent: `00-${TRACE}-${PARENT}-01` }, () => keepingTrace(rows()));
  for await (const _ of stream);
  await telemetry.close();
});
afterAll(() => ingestion.close());

const dependency = (name: string) => ingestion.items.find(({ data }) => data.baseData.name === name);
const metricsNamed = (name: string) =>
  ingestion.items.flatMap(({ data }) => data.baseData.metrics ?? []).filter((metric) => metric.name === name);

describe('what reaches Application Insights', () => {
  test('is the call with its time, its facts and its invocation, also of the first one', () => {
    const sent = dependency('dataverse GET accounts');
    expect(sent?.data.baseType).toBe('RemoteDependencyData');
    expect(sent?.data.baseData).toMatchObject({ duration: '00:00:00.120', success: true });
    expect(sent?.data.baseData.properties).toMatchObject({ 'dataverse.table': 'accounts' });
    expect(sent?.tags).toMatchObject({ 'ai.operation.id': TRACE, 'ai.operation.parentId': PARENT });
  });

  test('says that a call failed', () => {
    expect(dependency('dataverse POST accounts')?.data.baseData.success).toBe(false);
  });

  test('has measurements, those from before the exporter was there too', () => {
    expect(metricsNamed('bridge.dataverse.throttled').reduce((sum, { value }) => sum + value, 0)).toBe(5);
    expect(metricsNamed('bridge.dataverse.duration')).toMatchObject([{ value: 120, count: 1 }]);
  });

  test('belongs to its invocation where it happens while the answer streams', () => {
    expect(dependency('within a stream')?.tags['ai.operation.id']).toBe(TRACE);
  });

  test('holds no credential', () => {
    expect(ingestion.text()).not.toMatch(/abc\.def|s3cret/);
    expect(dependency('dataverse POST accounts')?.data.baseData.properties.note).toBe('Bearer ***, code=***&x=1');
  });

  test('is proved by the identity', () => {
    expect(new Set(ingestion.authorizations)).toEqual(new Set(['Bearer the-token']));
  });

  test('is only what was told: nothing that instrumentations see by themselves', () => {
    const kinds = ingestion.items.map(({ data }) => data.baseData.name ?? data.baseData.metrics?.[0]?.name);
    // The exporter names what it runs on, once.
    expect(kinds.filter((kind) => !/^(dataverse |within |bridge\.|_OTELRESOURCE_$)/.test(kind))).toEqual([]);
  });

  test('comes without a word printed', () => {
    expect(printed.flatMap((spy) => spy.mock.calls)).toEqual([]);
  });
});
