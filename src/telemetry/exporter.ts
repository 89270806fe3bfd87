import type { TokenCredential } from '@azure/identity';
import { type Metric, noTelemetry, type Sink, type Telemetry, type TracedSpan } from './telemetry.ts';
import { currentTrace } from './trace.ts';

export interface TelemetryExporter extends Telemetry {
  /** Loads the exporter, if there is anything to export to; to be called when nobody waits for an answer. */
  load(): Promise<void>;
  /** Sends what is left and ends. */
  close(): Promise<void>;
}

export interface ExporterOptions {
  readonly connectionString: string | undefined;
  /** Proves who sends, where the component takes no key of its own. */
  readonly credential?: TokenCredential | undefined;
  readonly open?: (options: { connectionString: string; credential?: TokenCredential | undefined }) => Promise<Sink>;
}

/** What a cold start's first calls leave until the exporter is loaded; anything beyond is not worth the memory. */
const MOST_WAITING = 2_000;

/**
 * Exports to Application Insights. Without a connection string nothing is loaded and nothing is kept. With one, the
 * exporter (0.4 s of loading) is loaded after the first invocation, and what was observed until then is told later.
 */
export function createTelemetry({
  connectionString,
  credential,
  open = openAzureMonitor,
}: ExporterOptions): TelemetryExporter {
  if (connectionString === undefined) return { ...noTelemetry, load: async () => {}, close: async () => {} };
  let sink: Sink | undefined;
  let loading: Promise<void> | undefined;
  const waiting: ((sink: Sink) => void)[] = [];
  const tell = (event: (sink: Sink) => void): void => {
    if (sink) event(sink);
    else if (waiting.length < MOST_WAITING) waiting.push(event);
  };
  const load = async (): Promise<void> => {
    try {
      sink = await open({ connectionString, credential });
      for (const event of waiting.splice(0)) event(sink);
    } catch {
      // A component that cannot be reached, or a connection string that is none, must not harm what the app is for.
      sink = { span: () => {}, measure: () => {}, close: async () => {} };
      waiting.length = 0;
    }
  };
  return {
    span(span) {
      const traced: TracedSpan = { ...span, trace: currentTrace() };
      tell((to) => to.span(traced));
    },
    measure: (metric: Metric, value, attributes = {}) => tell((to) => to.measure(metric, value, attributes)),
    load() {
      loading ??= load();
      return loading;
    },
    async close() {
      if (!sink && waiting.length === 0) return;
      loading ??= load();
      await loading;
      await sink?.close();
    },
  };
}

async function openAzureMonitor(options: {
  connectionString: string;
  credential?: TokenCredential | undefined;
}): Promise<Sink> {
  const { startAzureMonitor } = await import('./azure-monitor.ts');
  return startAzureMonitor(options);
}
