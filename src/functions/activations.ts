import { app, type HttpRequest } from '@azure/functions';
import type { RunInput } from '../activations/run-input.ts';
import { CHUNK_QUEUE } from '../activations/run-worker.ts';
import { RUN_QUEUE } from '../activations/turns.ts';
import { bodyChunks, jsonBody, startsObject } from '../http/body.ts';
import { RequestError } from '../http/problem.ts';
import { oneOf, pageSize } from '../http/query-values.ts';
import { type Call, json, type Route } from '../http/routes.ts';
import type { Services } from './services.ts';

const OUTCOMES = ['created', 'updated', 'unchanged', 'deleted', 'rejected', 'skipped'] as const;

export function activationRoutes(services: Services): readonly Route[] {
  const activations = services.activations;
  const nameOf = ({ path }: Call): string => path['name'] ?? '';
  return [
    {
      name: 'listActivations',
      methods: ['GET'],
      route: 'activations',
      access: 'use',
      handler: async () => json({ value: (await activations().list()).map(({ definition }) => definition) }),
    },
    {
      name: 'getActivation',
      methods: ['GET'],
      route: 'activations/{name}',
      access: 'use',
      async handler(call) {
        const { definition, etag } = await activations().get(nameOf(call));
        return json(definition, { headers: { etag } });
      },
    },
    {
      name: 'putActivation',
      methods: ['PUT'],
      route: 'activations/{name}',
      access: 'admin',
      async handler(call) {
        const stored = await activations().put(nameOf(call), await jsonBody(call.request), conditionsOf(call.request));
        const { definition } = await activations().get(nameOf(call));
        return json(definition, { status: stored.created ? 201 : 200, headers: { etag: stored.etag } });
      },
    },
    {
      name: 'deleteActivation',
      methods: ['DELETE'],
      route: 'activations/{name}',
      access: 'admin',
      async handler(call) {
        await activations().remove(nameOf(call), { ifMatch: call.request.headers.get('if-match') ?? undefined });
        return { status: 204 };
      },
    },
    {
      name: 'pauseActivation',
      methods: ['POST'],
      route: 'activations/{name}/pause',
      access: 'admin',
      async handler(call) {
        await activations().pause(nameOf(call));
        return { status: 204 };
      },
    },
    {
      name: 'resumeActivation',
      methods: ['POST'],
      route: 'activations/{name}/resume',
      access: 'admin',
      async handler(call) {
        await activations().resume(nameOf(call));
        return { status: 204 };
      },
    },
    {
      name: 'startRun',
      methods: ['POST'],
      route: 'activations/{name}/runs',
      access: 'use',
      async handler(call) {
        const name = nameOf(call);
        const run = await activations().start(name, { startedBy: 'http', ...(await startOptions(call.request)) });
        const location = new URL(`${call.request.url.split('?')[0]}/`);
        return json(run, { status: 202, headers: { location: `${location.pathname}${run.id}` } });
      },
    },
    {
      name: 'listRuns',
      methods: ['GET'],
      route: 'activations/{name}/runs',
      access: 'use',
      handler: async (call) =>
        json(
          await activations().runs(nameOf(call), {
            page: call.query.get('page') ?? undefined,
            pageSize: pageSize(call.query, { fallback: 100, largest: 1000 }),
          }),
        ),
    },
    {
      name: 'getRun',
      methods: ['GET'],
      route: 'activations/{name}/runs/{run}',
      access: 'use',
      handler: async (call) => json(await activations().run(nameOf(call), call.path['run'] ?? '')),
    },
    {
      name: 'listRunRows',
      methods: ['GET'],
      route: 'activations/{name}/runs/{run}/rows',
      access: 'use',
      handler: async (call) =>
        json(
          await activations().rows(nameOf(call), call.path['run'] ?? '', {
            outcome: call.query.has('outcome') ? oneOf(call.query, 'outcome', OUTCOMES, 'created') : undefined,
            page: call.query.get('page') ?? undefined,
            pageSize: pageSize(call.query, { fallback: 1000, largest: 1000 }),
          }),
        ),
    },
  ];
}

function conditionsOf({ headers }: HttpRequest): { ifMatch?: string; ifNoneMatch?: '*' } {
  const ifMatch = headers.get('if-match');
  const ifNoneMatch = headers.get('if-none-match');
  if (ifNoneMatch !== null && ifNoneMatch !== '*') {
    throw new RequestError(400, 'headerInvalid', 'If-None-Match takes * here.', {
      hint: 'Send If-None-Match: * to create only.',
    });
  }
  return { ...(ifMatch !== null && { ifMatch }), ...(ifNoneMatch !== null && { ifNoneMatch }) };
}

/** The body of a start: nothing, `{ "fullRefresh": true }`, or rows to take for the source. */
async function startOptions(request: HttpRequest): Promise<{ fullRefresh?: boolean; input?: RunInput }> {
  const { isObject, isEmpty, body } = await startsObject(bodyChunks(request));
  if (isEmpty) return {};
  const contentType = request.headers.get('content-type') ?? '';
  if (!isObject || !contentType.startsWith('application/json')) return { input: { contentType, body } };
  const options = await jsonBody(request, body);
  const { fullRefresh, ...unknown } = options as Record<string, unknown>;
  const wrong =
    Object.keys(unknown)[0] ??
    (fullRefresh === undefined || typeof fullRefresh === 'boolean' ? undefined : 'fullRefresh');
  if (wrong === undefined) return fullRefresh === undefined ? {} : { fullRefresh: fullRefresh === true };
  const message = `'${wrong.slice(0, 60)}' is not what a run is started with.`;
  throw new RequestError(400, 'bodyInvalid', message, {
    hint: 'Send nothing, { "fullRefresh": true }, or rows as CSV, NDJSON or a JSON array.',
    errors: [{ path: wrong, code: 'bodyInvalid', message }],
  });
}

/** A worker stops before the host's functionTimeout would stop it without a word. */
const LONGEST_WORK_MS = 25 * 60_000;

/**
 * The workers of runs, and the timer that starts what is due. Messages that failed too often arrive in the poison
 * queues; their rows are told as not written and the run ends as failed.
 */
export function registerActivationWorkers({ activations }: Services): void {
  const worker = (
    name: string,
    queueName: string,
    handle: (message: unknown, signal: AbortSignal) => Promise<void>,
  ): void => {
    app.storageQueue(name, {
      queueName,
      connection: 'AzureWebJobsStorage',
      handler: (message) => handle(message, AbortSignal.timeout(LONGEST_WORK_MS)),
    });
  };
  worker('activationRunWorker', RUN_QUEUE, (message, signal) => activations().planRun(message, signal));
  worker('activationChunkWorker', CHUNK_QUEUE, (message, signal) => activations().writeChunk(message, signal));
  worker('activationRunPoison', `${RUN_QUEUE}-poison`, (message, signal) => activations().abandonRun(message, signal));
  worker('activationChunkPoison', `${CHUNK_QUEUE}-poison`, (message, signal) =>
    activations().abandonChunk(message, signal),
  );
  app.timer('activationScheduler', {
    schedule: '0 * * * * *',
    handler: async () => {
      await activations().tick(AbortSignal.timeout(LONGEST_WORK_MS));
    },
  });
}
