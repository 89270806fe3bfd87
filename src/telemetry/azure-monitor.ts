import type { TokenCredential } from '@azure/identity';
import {
  type Attributes as ApiAttributes,
  type Context,
  type Counter,
  type Histogram,
  metrics,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import applicationInsights from 'applicationinsights';
import { redact } from './redaction.ts';
import { type Attributes, METRICS, type Metric, type Sink } from './telemetry.ts';
import type { TraceContext } from './trace.ts';

const SCOPE = 'dataverse-bridge';
/** A worker that ends has five seconds for its hooks. */
const LONGEST_CLOSE_MS = 4_000;
const off = { enabled: false };

/**
 * Starts Application Insights for spans and metrics of our own, nothing else: what its instrumentations collect by
 * themselves would carry whole URLs, and with them values of rows. Throws for a connection string that is none.
 */
export function startAzureMonitor(options: {
  connectionString: string;
  credential?: TokenCredential | undefined;
}): Sink {
  const { useAzureMonitor, shutdownAzureMonitor } = applicationInsights;
  // Reports of the package's own use would go to Microsoft's endpoints, past what the connection string names.
  process.env['APPLICATION_INSIGHTS_NO_STATSBEAT'] ??= 'true';
  useAzureMonitor({
    azureMonitorExporterOptions: {
      connectionString: options.connectionString,
      ...(options.credential && { credential: options.credential }),
      // What could not be sent would be written to a disk that the next instance does not have.
      disableOfflineStorage: true,
    },
    // Every span: a call to Dataverse that is missing is the one that is asked for. Its default keeps five a second.
    samplingRatio: 1,
    tracesPerSecond: 0,
    enableLiveMetrics: false,
    enableStandardMetrics: false,
    enablePerformanceCounters: false,
    enableAutoCollectExceptions: false,
    instrumentationOptions: {
      azureSdk: off,
      http: off,
      mongoDb: off,
      mySql: off,
      postgreSql: off,
      redis: off,
      redis4: off,
      bunyan: off,
      winston: off,
      console: off,
    },
  });
  const tracer = trace.getTracer(SCOPE);
  const measureBy = instruments();
  return {
    span({ name, kind, startedAt, endedAt, failed, attributes, trace: invocation }) {
      const span = tracer.startSpan(
        name,
        {
          kind: kind === 'client' ? SpanKind.CLIENT : SpanKind.INTERNAL,
          startTime: startedAt,
          attributes: safe(attributes),
        },
        contextOf(invocation),
      );
      if (failed !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: redact(failed) });
      span.end(endedAt);
    },
    measure: (metric, value, attributes) => measureBy(metric)(value, safe(attributes)),
    async close() {
      const tooLong = new Promise((give) => AbortSignal.timeout(LONGEST_CLOSE_MS).addEventListener('abort', give));
      await Promise.race([shutdownAzureMonitor(), tooLong]);
    },
  };
}

function instruments(): (metric: Metric) => (value: number, attributes: ApiAttributes) => void {
  const meter = metrics.getMeter(SCOPE);
  const made = new Map<Metric, Counter | Histogram>();
  return (metric) => {
    const { name, ...described } = METRICS[metric];
    const isDuration = described.unit === 'ms';
    const instrument =
      made.get(metric) ?? (isDuration ? meter.createHistogram(name, described) : meter.createCounter(name, described));
    made.set(metric, instrument);
    return (value, attributes) =>
      'add' in instrument ? instrument.add(value, attributes) : instrument.record(value, attributes);
  };
}

/** Attributes whose texts hold no credential and are not long. */
function safe(attributes: Attributes): ApiAttributes {
  return Object.fromEntries(
    Object.entries(attributes)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, typeof value === 'string' ? redact(value).slice(0, 256) : value]),
  );
}

/** `00-<trace id>-<span id>-<flags>` of W3C Trace Context. */
function contextOf(invocation: TraceContext | undefined): Context {
  const [, traceId, spanId, flags] =
    invocation?.traceParent.match(/^[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})$/) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return ROOT_CONTEXT;
  // Sampled, whatever the host does with its own part: ours is kept whole.
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true });
}
