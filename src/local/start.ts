import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { packageApp } from '../commands/package-app.ts';
import { systemClock } from '../shared/clock.ts';
import { BridgeError, messageOf } from '../shared/errors.ts';
import { startAppProcess } from './app-process.ts';
import { type LocalCloud, startCloud } from './cloud.ts';
import { createProgressLine } from './progress-line.ts';
import { type App, callApp } from './sample/call-app.ts';
import { ACTIVATION, runSample } from './sample/run-sample.ts';
import { commands, isComplete, progressText, sampleSummary } from './summary.ts';

const USAGE = 'npm start -- [--once] [--port 7071] [--data .local]';

interface Options {
  readonly once: boolean;
  readonly port: number;
  readonly folder: string;
}

const print = (text: string): void => void process.stdout.write(`${text}\n`);

/**
 * `npm start`: the local cloud and the function app; the connection is tested, the sample runs once for a data folder,
 * and the app goes on serving. With `--once` in a fresh folder, and the exit code says whether all of it worked.
 */
async function main(): Promise<number> {
  const options = await readOptions();
  // A single run that was interrupted did not do its work.
  const stopped = stopSignal(options.once ? 1 : 0);
  const started: { close(): Promise<void> }[] = [];
  const serving = serve(options, started);
  let exitCode = 1;
  try {
    exitCode = await Promise.race([serving, stopped]);
    return exitCode;
  } finally {
    // What is closed under a start that was interrupted fails there, and nobody needs to know.
    serving.catch(() => {});
    for (const each of started.reverse()) await each.close();
    // After a failure the folder holds the log that tells why.
    if (options.once && exitCode === 0) await rm(options.folder, { recursive: true, force: true });
  }
}

/** Resolves with `exitCode` when the program is told to stop. */
function stopSignal(exitCode: number): Promise<number> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(exitCode));
  });
}

async function serve(options: Options, started: { close(): Promise<void> }[]): Promise<number> {
  const appFolder = join(options.folder, 'app');
  const packaged = packageApp(appFolder, { here: true });
  // Awaited below; until then nobody hears of its failure.
  packaged.catch(() => {});
  const cloud = await startCloud(options.folder);
  started.push(cloud);
  await packaged;
  const appProcess = await startAppProcess({
    appFolder,
    env: { ...cloud.appEnvironment, ...keysOf(cloud), BRIDGE_LOCAL_PORT: String(options.port) },
    logFile: join(options.folder, 'app.log'),
  });
  started.push({ close: () => appProcess.stop() });
  const app = { url: appProcess.url, functionKey: cloud.settings.functionKey, masterKey: cloud.settings.masterKey };
  print(addresses(cloud, app, options.folder));
  const worked = await serveSample(cloud, app);
  print(`\n${commands(app, cloud.settings.webhookSecret, options.folder)}\n`);
  if (worked) await callApp(app, 'POST', `activations/${ACTIVATION}/resume`, { admin: true });
  if (options.once) return worked ? 0 : 1;
  print('Serving; Ctrl-C ends it.');
  const code = await appProcess.ended;
  print(`The function app ended by itself with code ${code}; its log is in the data folder.`);
  return 1;
}

async function readOptions(): Promise<Options> {
  const { values } = parseArgs({
    options: {
      once: { type: 'boolean', default: false },
      port: { type: 'string', default: '7071' },
      data: { type: 'string', default: '.local' },
    },
  });
  const port = /^\d{1,5}$/.test(values.port) ? Number(values.port) : -1;
  if (port < 0 || port > 65_535)
    throw new BridgeError('usage', `--port must be a number from 0 to 65535.`, { hint: USAGE });
  const folder = values.once ? await mkdtemp(join(tmpdir(), 'dataverse-bridge-')) : resolve(values.data);
  return { once: values.once, port, folder };
}

const keysOf = ({ settings }: LocalCloud): Record<string, string> => ({
  BRIDGE_LOCAL_FUNCTION_KEY: settings.functionKey,
  BRIDGE_LOCAL_MASTER_KEY: settings.masterKey,
});

function addresses(cloud: LocalCloud, app: App, folder: string): string {
  return [
    'Dataverse Bridge on the local cloud',
    `  function app           ${app.url}`,
    `  function key           ${app.functionKey}`,
    `  master key             ${app.masterKey}`,
    `  Dataverse              ${cloud.dataverse.apiUrl}`,
    `  Entra and Key Vault    ${cloud.identity.url}`,
    `  storage                ${cloud.storage.blobServiceUri}`,
    `  data, keys and logs    ${folder}`,
    '',
  ].join('\n');
}

/** Tests the connection and runs the sample, unless this folder has seen it. Resolves with whether all of it worked. */
async function serveSample(cloud: LocalCloud, app: App): Promise<boolean> {
  const test = (await callApp(app, 'POST', 'connections/default/test')) as unknown as {
    status: string;
    stages: { name: string; status: string; ms: number; detail: string; hint?: string }[];
  };
  print(`Connection test: ${test.status}`);
  for (const stage of test.stages) {
    print(
      `  ${stage.name.padEnd(11)} ${stage.status.padEnd(8)} ${String(stage.ms).padStart(5)} ms  ${stage.detail}${stage.hint ? ` ${stage.hint}` : ''}`,
    );
  }
  print('');
  if (test.status !== 'passed') return false;
  if (cloud.settings.sampleDone) {
    print('The sample has run in this data folder before; it is not run again. Delete the folder to see it anew.');
    return true;
  }
  const line = createProgressLine(process.stdout, systemClock);
  const result = await runSample(cloud, app, {
    tell(text) {
      line.clear();
      print(text);
    },
    progress: (file, run) => line.show(progressText(file, run)),
  }).finally(() => line.clear());
  print(`\n${sampleSummary(result)}`);
  const complete = isComplete(result);
  cloud.settings.sampleDone = complete;
  cloud.settings.save();
  return complete;
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`${messageOf(error)}${error instanceof BridgeError && error.hint ? ` ${error.hint}` : ''}\n`);
  return 1;
});
