import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Run } from './runs.ts';

/** A run that has ended, told once. */
export function tellRun(telemetry: Telemetry, run: Run, endedAt: number): void {
  const { activation, connection, state, problem, counts } = run;
  const attributes = { 'bridge.activation': activation, 'bridge.connection': connection, 'bridge.state': state };
  const startedAt = Date.parse(run.startedAt);
  telemetry.span({
    name: `run ${activation}`,
    kind: 'internal',
    startedAt,
    endedAt,
    failed: problem?.code,
    attributes: { ...attributes, 'bridge.run': run.id, 'bridge.calls': run.calls, 'bridge.input': run.input },
  });
  telemetry.measure('runDuration', endedAt - startedAt, attributes);
  for (const [outcome, rows] of Object.entries(counts)) {
    if (rows > 0) telemetry.measure('runRows', rows, { 'bridge.activation': activation, 'bridge.outcome': outcome });
  }
}
