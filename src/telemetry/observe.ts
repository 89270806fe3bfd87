import type { Clock } from '../shared/clock.ts';
import { BridgeError } from '../shared/errors.ts';
import type { Attributes, Metric, Telemetry } from './telemetry.ts';

/** Does the work and tells how long it took, as a span and in a metric of durations; with the code of its failure. */
export async function observed<T>(
  { telemetry, clock }: { telemetry: Telemetry; clock: Clock },
  { name, metric, attributes }: { name: string; metric: Metric; attributes: Attributes },
  work: () => Promise<T>,
): Promise<T> {
  const startedAt = clock.now();
  const tell = (failed?: string): void => {
    const endedAt = clock.now();
    telemetry.span({ name, kind: 'client', startedAt, endedAt, failed, attributes });
    telemetry.measure(metric, endedAt - startedAt, { ...attributes, 'error.type': failed });
  };
  try {
    const result = await work();
    tell();
    return result;
  } catch (error) {
    tell(error instanceof BridgeError ? error.code : 'other');
    throw error;
  }
}
