import type { TokenCredential } from '@azure/core-auth';
import { BlobServiceClient } from '@azure/storage-blob';
import { QueueServiceClient } from '@azure/storage-queue';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { messageOf } from '../../shared/errors.ts';
import { newGuid } from '../../shared/ids.ts';
import type { AccessKeys } from './access-keys.ts';
import { createAdminApi } from './admin-api.ts';
import { type AuthLevel, defineFunctions, type FunctionDefinition } from './function-definitions.ts';
import { runHooks } from './functions-core.ts';
import { HostError } from './host-error.ts';
import { parseHostJson } from './host-json.ts';
import { createHostLog, type HostLog } from './host-log.ts';
import { type HttpServer, startHttpServer } from './http-server.ts';
import { createInvoker, type Invoker } from './invoker.ts';
import { type LoadedApp, loadApp } from './load-app.ts';
import { createQueueListener, type QueueListener } from './queue-listener.ts';
import { createOutputWriter } from './storage-outputs.ts';
import { createTimerListener, type Listener } from './timer-listener.ts';
import { blobTimerStatus } from './timer-status.ts';

export interface HostOptions {
  /** Absolute: a file, a folder or a pattern, as `main` of package.json. */
  readonly entry: string;
  /** host.json, parsed. */
  readonly hostJson: unknown;
  /** 0 = any free port. */
  readonly port: number;
  readonly keys: AccessKeys;
  /** The connection `AzureWebJobsStorage`, by identity. */
  readonly storage: {
    readonly blobServiceUri: string;
    readonly queueServiceUri: string;
    readonly credential: TokenCredential;
  };
  /** Takes the host's log, line by line; standard output if left out. */
  readonly log?: (line: string) => void;
  readonly clock?: Clock;
}

export interface LocalFunction {
  readonly name: string;
  readonly type: 'http' | 'timer' | 'queue';
  /** With the route prefix. */
  readonly route?: string;
  readonly methods?: readonly string[];
  readonly authLevel?: AuthLevel;
  readonly schedule?: string;
  readonly queueName?: string;
}

export interface LocalHost {
  /** Without a slash at the end. */
  readonly url: string;
  readonly functions: readonly LocalFunction[];
  /** Takes no more work and lets running calls finish, for 30 s at most. */
  drain(): Promise<void>;
  /** Stops at once, after the app's appTerminate hooks. */
  close(): Promise<void>;
}

// In Azure part of the storage path of timer status; here one app has the storage account for itself.
const HOST_ID = 'local';
const DRAIN_LIMIT_MS = 30_000;
// The worker is killed when its appTerminate hooks are not done by then.
const TERMINATE_LIMIT_MS = 5_000;

/**
 * Runs an app's functions on 127.0.0.1 through the real `@azure/functions` library.
 * Throws {@link HostError} when the app or its host.json cannot be run.
 */
export async function startHost(options: HostOptions): Promise<LocalHost> {
  const clock = options.clock ?? systemClock;
  if (!options.keys.function || !options.keys.master) {
    throw new HostError('invalidOptions', 'Function key and master key must not be empty.');
  }
  const settings = parseHostJson(options.hostJson);
  const log = createHostLog(options.log ?? ((line) => process.stdout.write(`${line}\n`)), clock, settings.logLevel);
  const app = await loadApp(options.entry, log);
  const definitions = defineFunctions(app.functions, {
    routePrefix: settings.routePrefix,
    settings: process.env,
    warn: (text) => log('warning', text),
  });
  if (definitions.length === 0) log('warning', 'No job functions found.');

  const { blobServiceUri, queueServiceUri, credential } = options.storage;
  const blobs = new BlobServiceClient(blobServiceUri, credential);
  const queues = new QueueServiceClient(queueServiceUri, credential);
  const queueListeners: QueueListener[] = [];
  const onEnqueued = (name: string): void => {
    for (const listener of queueListeners) listener.wake(name);
  };
  const writeOutputs = createOutputWriter({
    queues,
    blobs,
    settings: settings.queues,
    clock,
    newId: newGuid,
    onEnqueued,
  });
  const { functionTimeoutMs } = settings;
  const invoker = createInvoker({ app, writeOutputs, functionTimeoutMs, clock, newId: newGuid, log });

  const timerListeners: Listener[] = [];
  for (const definition of definitions) {
    const { trigger } = definition;
    if (trigger.type === 'timer') {
      const store = blobTimerStatus(blobs, HOST_ID, definition.name);
      timerListeners.push(createTimerListener({ definition, trigger, store, invoker, clock, log }));
    } else if (trigger.type === 'queue') {
      const common = { definition, trigger, queues, settings: settings.queues, invoker, clock, log };
      queueListeners.push(createQueueListener({ ...common, random: Math.random, onEnqueued }));
    }
  }
  const listeners = [...timerListeners, ...queueListeners];
  const work = workOf(listeners, invoker);

  let draining = false;
  let server: HttpServer | undefined;
  const admin = createAdminApi({
    definitions,
    invoker,
    hostId: HOST_ID,
    clock,
    drain: work.stop,
    baseUrl: () => server?.url ?? '',
  });
  server = await startHttpServer(options.port, {
    definitions,
    keys: options.keys,
    admin,
    httpUri: app.httpUri,
    draining: () => draining,
    invoker,
    newId: newGuid,
    log,
  });
  const { url, idle, close } = server;
  await Promise.all(listeners.map((listener) => listener.start()));
  log('information', `Host started on ${url} with ${definitions.length} functions.`);

  let closing: Promise<void> | undefined;
  return {
    url,
    functions: definitions.map(describe),
    async drain() {
      draining = true;
      const done = Promise.all([work.stop(), idle()]);
      await within(DRAIN_LIMIT_MS, done, clock, () => {
        log('warning', `Not all work was done in time; ${invoker.running} calls still run.`);
      });
    },
    close() {
      draining = true;
      closing ??= (async () => {
        void work.stop();
        await close();
        await terminate(app, clock, log);
      })();
      return closing;
    },
  };
}

/** Stopping is done once, however often and by whomever it is asked for. */
function workOf(listeners: readonly Listener[], invoker: Invoker): { stop(): Promise<void> } {
  let stopped: Promise<void> | undefined;
  return {
    stop() {
      stopped ??= Promise.all(listeners.map((listener) => listener.stop())).then(() => invoker.idle());
      return stopped;
    },
  };
}

async function terminate(app: LoadedApp, clock: Clock, log: HostLog): Promise<void> {
  const hooks = runHooks(app.registry, 'appTerminate', { hookData: {} }).catch((error) => {
    log('error', `An appTerminate hook failed: ${messageOf(error)}`);
  });
  await within(TERMINATE_LIMIT_MS, hooks, clock, () => {
    log('error', 'The appTerminate hooks were not done after 5 seconds: Azure would kill the worker now.');
  });
}

/** Waits for `work`, but no longer than the limit. */
async function within(limitMs: number, work: Promise<unknown>, clock: Clock, onLimit: () => void): Promise<void> {
  const done = new AbortController();
  const limit = clock.sleep(limitMs, done.signal).then(onLimit, () => {});
  await Promise.race([work, limit]);
  done.abort();
}

function describe({ name, trigger }: FunctionDefinition): LocalFunction {
  switch (trigger.type) {
    case 'http':
      return { name, type: 'http', route: trigger.route.text, methods: trigger.methods, authLevel: trigger.authLevel };
    case 'timer':
      return { name, type: 'timer', schedule: trigger.schedule.text };
    case 'queue':
      return { name, type: 'queue', queueName: trigger.queueName };
  }
}
