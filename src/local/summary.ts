import { APP_ENVIRONMENT_FILE } from './cloud.ts';
import type { App } from './sample/call-app.ts';
import { ACTIVATION, type RunStatus, type SampleResult, type SampleRun } from './sample/run-sample.ts';

const whole = (value: number): string => Math.round(value).toLocaleString('en-US');

/** The counts of a run as one line; they add up to its input. */
export function runLine(run: SampleRun): string {
  const { created = 0, updated = 0, unchanged = 0, rejected = 0, skipped = 0 } = run.counts;
  return (
    `${whole(run.input)} rows = ${whole(created)} created + ${whole(updated)} updated + ${whole(unchanged)} unchanged + ` +
    `${whole(rejected)} rejected + ${whole(skipped)} skipped; ${whole(run.left)} left the segment and stay; ` +
    `${run.calls} calls, ${whole(run.input / run.seconds)} rows/s`
  );
}

/** How far a run is, in a line; what is not known yet is left out. */
export function progressText(file: string, run: RunStatus): string {
  const { state, input, counts, calls, throttled, rowsPerSecond, etaSeconds, writing } = run;
  if (state !== 'writing') return `  ${file}: ${state}`;
  const outcomes = Object.entries(counts).filter(([, count]) => count > 0);
  const done = outcomes.reduce((sum, [, count]) => sum + count, 0);
  const parts = [
    `${whole(done)} of ${whole(input)} rows`,
    ...outcomes.map(([outcome, count]) => `${whole(count)} ${outcome}`),
    `${whole(rowsPerSecond)} rows/s`,
    ...(etaSeconds === undefined ? [] : [`${etaSeconds} s left`]),
    `${whole(calls)} calls`,
    ...(writing ? [`${writing.concurrency} at a time`, `${whole(writing.batchSize)} rows each`] : []),
    ...(throttled.count > 0
      ? [`throttled ${throttled.count} times, ${Math.round(throttled.waitedMs / 1000)} s lost`]
      : []),
  ];
  return `  ${file}: ${parts.join(', ')}`;
}

export function sampleSummary({ runs, events }: SampleResult): string {
  const lines = runs.map((run, at) => `  run ${at + 1}   ${run.file}\n          ${runLine(run)}`);
  return [
    'Summary',
    ...lines,
    `  events  ${whole(events.received)} of ${whole(events.expected)} received from Dataverse and stored`,
  ].join('\n');
}

/** Whether the sample gave what the two lists must give. */
export function isComplete({ runs, events }: SampleResult): boolean {
  const addsUp = ({ input, counts }: SampleRun): boolean =>
    input > 0 &&
    input ===
      ['created', 'updated', 'unchanged', 'rejected', 'skipped'].reduce((sum, kind) => sum + (counts[kind] ?? 0), 0);
  return runs.every((run) => run.state === 'succeeded' && addsUp(run)) && events.received === events.expected;
}

/** Commands that work as they stand, one for each thing to try. */
export function commands(app: App, webhookSecret: string, folder: string): string {
  const api = `${app.url}/api`;
  const key = `-H 'x-functions-key: ${app.functionKey}'`;
  const list: [string, string][] = [
    ['is it alive?', `curl -sS ${api}/health`],
    ['does the connection work?', `curl -sS -X POST ${key} ${api}/connections/default/test`],
    ['the same as text', `npm run --silent doctor -- default --env ${folder}/${APP_ENVIRONMENT_FILE}`],
    [
      'write rows',
      `curl -sS ${key} -H 'content-type: application/x-ndjson' '${api}/tables/account/upsert?keyColumns=accountnumber' --data-binary '{"accountnumber":"DEMO-1","name":"Example Ltd"}'`,
    ],
    ['send the newest list again', `curl -sS -X POST ${key} ${api}/activations/${ACTIVATION}/runs`],
    ['what became of the runs', `curl -sS ${key} ${api}/activations/${ACTIVATION}/runs`],
    [
      'post an event, as Dataverse does',
      `curl -sS -H 'x-bridge-key: ${webhookSecret}' -H 'content-type: application/json' ${api}/webhooks/dataverse/main --data-binary @src/local/sample/update-contact.json`,
    ],
    ['the events received', `curl -sS ${key} '${api}/webhooks/events?pageSize=3'`],
  ];
  return ['Try next', ...list.map(([what, command]) => `  # ${what}\n  ${command}`)].join('\n');
}
