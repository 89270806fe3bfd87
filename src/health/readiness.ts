import type { Clock } from '../shared/clock.ts';
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
  readonly clock: Clock;
}

/** What is ready by the last checks. */
export interface ReadinessReader {
  /** Reads what the last checks found; nothing is checked. Throws StorageError. */
  read(): Promise<Readiness>;
  /** Makes the next `read` look anew: something was checked. */
  forget(): void;
}

/** How often the timer checks. */
const CHECK_INTERVAL_MS = 15 * 60_000;
/** A check that is older no longer speaks for the connection; the timer may miss one tick, while the app is deployed. */
const STALE_AFTER_MS = 2.5 * CHECK_INTERVAL_MS;
/** Probes of a platform come every few seconds from each of its front ends. */
const KEPT_MS = 5_000;

/** One reading serves all who ask within a few seconds; a failed one is not kept. */
export function createReadiness(options: ReadinessOptions): ReadinessReader {
  const { clock } = options;
  let held: { readonly readiness: Promise<Readiness>; readonly until: number } | undefined;
  return {
    read() {
      if (held && clock.now() < held.until) return held.readiness;
      const entry = { readiness: readRecords(options), until: clock.now() + KEPT_MS };
      held = entry;
      entry.readiness.catch(() => {
        if (held === entry) held = undefined;
      });
      return entry.readiness;
    },
    forget() {
      held = undefined;
    },
  };
}

async function readRecords({ records, connections, clock }: ReadinessOptions): Promise<Readiness> {
  const [queues, ...found] = await Promise.all([
    records.queues(),
    ...connections.map((name) => records.connection(name)),
  ]);
  const oldest = clock.now() - STALE_AFTER_MS;
  const checks: Record<string, readonly HealthCheck[]> = Object.fromEntries([
    ...connections.map((name, at) => [`connection:${name}`, [connectionCheck(found[at], oldest)]]),
    ...queueChecks(queues),
  ]);
  const status = worst(
    Object.values(checks)
      .flat()
      .map((check) => check.status),
  );
  return { status, description: 'What the last check of each connection found.', checks };
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
