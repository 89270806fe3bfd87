import type { CheckRecord, HealthRecords, QueueRecord } from './records.ts';

/** The form of the draft "Health Check Response Format for HTTP APIs" (draft-inadarei-api-health-check). */
export type HealthStatus = 'pass' | 'warn' | 'fail';

export interface HealthCheck {
  readonly componentType: 'component' | 'system';
  readonly status: HealthStatus;
  /** When it was looked at last. */
  readonly time?: string;
  readonly output?: string;
  readonly observedValue?: number;
  readonly observedUnit?: string;
}

export interface Readiness {
  readonly status: HealthStatus;
  readonly description: string;
  readonly checks: Readonly<Record<string, readonly HealthCheck[]>>;
}

export interface ReadinessOptions {
  readonly records: HealthRecords;
  /** Names of connections, those with faulty settings included. */
  readonly connections: readonly string[];
  readonly now: number;
  /** A check that is older than this no longer speaks for the connection. */
  readonly staleAfterMs: number;
}

/** Reads what the last checks found; nothing is checked. Throws StorageError. */
export async function readReadiness(
  { records, connections, now, staleAfterMs }: ReadinessOptions,
  signal?: AbortSignal,
): Promise<Readiness> {
  const [queues, ...found] = await Promise.all([
    records.queues(signal),
    ...connections.map((name) => records.connection(name, signal)),
  ]);
  const checks = Object.fromEntries([
    ...connections.map((name, at) => [`connection:${name}`, [connectionCheck(found[at], now - staleAfterMs)]]),
    ...queueChecks(queues),
  ]) as Record<string, HealthCheck[]>;
  const all = Object.values(checks).flat();
  const status = worst(all.map((check) => check.status));
  return { status, description: 'What the last scheduled check of each connection found.', checks };
}

function connectionCheck(record: CheckRecord | undefined, oldest: number): HealthCheck {
  if (!record) return { componentType: 'component', status: 'warn', output: 'It has not been checked yet.' };
  const { failed, warnings, checkedAt: time } = record;
  if (failed) {
    const output = `Failed at ${failed.stage} since ${record.since}: ${failed.detail} ${failed.hint ?? ''}`.trim();
    return { componentType: 'component', status: 'fail', time, output };
  }
  if (Date.parse(time) < oldest)
    return {
      componentType: 'component',
      status: 'warn',
      time,
      output: 'The last check is long ago: see the timer connectionHealth.',
    };
  if (warnings.length > 0) return { componentType: 'component', status: 'warn', time, output: warnings.join(' ') };
  return { componentType: 'component', status: 'pass', time };
}

const queueChecks = (record: QueueRecord | undefined): [string, HealthCheck[]][] =>
  Object.entries(record?.counts ?? {}).map(([queue, count]) => [
    `${queue}:messages`,
    [
      {
        componentType: 'system',
        status: count > 0 ? 'warn' : 'pass',
        ...(record && { time: record.checkedAt }),
        observedValue: count,
        observedUnit: 'messages',
      },
    ],
  ]);

const worst = (all: readonly HealthStatus[]): HealthStatus =>
  all.includes('fail') ? 'fail' : all.includes('warn') ? 'warn' : 'pass';
