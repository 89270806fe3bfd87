import type { TraceContext } from './trace.ts';

/** What spans and measurements are told by; ids, codes and names, never values of rows. */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** A piece of work that has ended. Times in milliseconds since 1970. */
export interface FinishedSpan {
  /** `dataverse GET accounts`: of few kinds, without ids. */
  readonly name: string;
  /** `client` for a call to another service, `internal` for work of our own. */
  readonly kind: 'client' | 'internal';
  readonly startedAt: number;
  readonly endedAt: number;
  /** The code of the error that it ended with. */
  readonly failed?: string | undefined;
  readonly attributes: Attributes;
}

/** A span with the invocation that it belongs to. */
export interface TracedSpan extends FinishedSpan {
  readonly trace: TraceContext | undefined;
}

/** Every measurement that the app takes; alerts and dashboards query these names. */
export const METRICS = {
  dataverseDuration: { name: 'bridge.dataverse.duration', unit: 'ms', description: 'Time of a call to Dataverse.' },
  dataverseThrottled: { name: 'bridge.dataverse.throttled', unit: '1', description: 'Answers 429 of Dataverse.' },
  dataverseRetries: { name: 'bridge.dataverse.retries', unit: '1', description: 'Repeated calls to Dataverse.' },
  tokenDuration: { name: 'bridge.token.duration', unit: 'ms', description: 'Time of getting a new token.' },
  runDuration: { name: 'bridge.run.duration', unit: 'ms', description: 'Time of a run from queue to end.' },
  runRows: { name: 'bridge.run.rows', unit: '1', description: 'Rows of ended runs by outcome.' },
  webhookEvents: { name: 'bridge.webhook.events', unit: '1', description: 'Events received from Dataverse.' },
  connectionBroken: { name: 'bridge.connection.broken', unit: '1', description: 'Connections whose test failed anew.' },
  credentialExpiring: {
    name: 'bridge.credential.expiring',
    unit: '1',
    description: 'Warnings that the credential of a connection ends soon.',
  },
  poisonMessages: { name: 'bridge.queue.poison', unit: '1', description: 'Messages that were given up, since last.' },
} as const;

export type Metric = keyof typeof METRICS;

/** Takes up what is observed; cheap, never throws. */
export interface Telemetry {
  span(span: FinishedSpan): void;
  /** Adds to a metric of unit `1`, or takes one duration of a metric of unit `ms`. */
  measure(metric: Metric, value: number, attributes?: Attributes): void;
}

/** Where telemetry goes once it can. */
export interface Sink {
  span(span: TracedSpan): void;
  measure(metric: Metric, value: number, attributes: Attributes): void;
  /** Sends what is left. */
  close(): Promise<void>;
}

/** For where nothing is observed. */
export const noTelemetry: Telemetry = { span: () => {}, measure: () => {} };
