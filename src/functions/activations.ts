import { app, type HttpRequest } from '@azure/functions';
import * as z from 'zod';
import { definitionSchema } from '../activations/definition.ts';
import { CHUNK_QUEUE, RUN_QUEUE } from '../activations/queues.ts';
import type { RunInput } from '../activations/run-input.ts';
import { runStateSchema } from '../activations/runs.ts';
import { OUTCOMES } from '../dataverse/bulk/outcomes.ts';
import { bodyChunks, jsonBody, startsObject } from '../http/body.ts';
import { RequestError } from '../http/problem.ts';
import { pageSize, pageToken } from '../http/query-values.ts';
import { type Incoming, json, type Route, route } from '../http/routes.ts';
import type { Services } from './services.ts';

const counts = z.object(Object.fromEntries(OUTCOMES.map((outcome) => [outcome, z.number()])));
const run = z.looseObject({
  id: z.string(),
  activation: z.string(),
  connection: z.string(),
  state: runStateSchema,
  startedBy: z.string(),
  input: z.number().optional(),
  counts: counts.optional(),
  calls: z.number().optional(),
  throttled: z.object({ count: z.number(), waitedMs: z.number() }).optional(),
  rowsPerSecond: z.number().optional().describe('Rows created and updated a second since the plan was made.'),
  etaSeconds: z.number().optional().describe('What the other rows take at that pace.'),
  writing: z
    .object({ instances: z.number(), chunks: z.number(), concurrency: z.number(), batchSize: z.number() })
    .optional()
    .describe('What goes on at the moment, of one run that is being written.'),
  startedAt: z.string().optional(),
  endedAt: z.string().optional(),
});
const ledgerRow = z.looseObject({
  index: z.number(),
  key: z.record(z.string(), z.unknown()),
  outcome: z.enum(OUTCOMES),
  id: z.string().optional(),
});
const pageOf = (entry: z.ZodType) => z.looseObject({ value: z.array(entry), nextPage: z.string().optional() });
const definition = z.looseObject({ name: z.string() });

const SAMPLE = {
  name: 'nasdaq-accounts',
  source: { kind: 'blob', path: 'inbox/nasdaq-listed-*.csv' },
  model: 'select Symbol, "Company Name" as company from source where "Test Issue" = \'N\'',
  table: 'account',
  key: { kind: 'alternateKey', columns: ['accountnumber'] },
  mapping: { accountnumber: 'Symbol', name: { from: 'company', truncate: true } },
};

export function activationRoutes(services: Services): readonly Route[] {
  const activations = services.activations;
  const nameOf = ({ path }: Incoming): string => path['name'] ?? '';
  return [
    route({
      name: 'listActivations',
      methods: ['GET'],
      route: 'activations',
      access: 'use',
      tag: 'activations',
      summary: 'List the definitions of all activations.',
      query: z.object({}),
      answers: { 200: { description: 'All definitions.', schema: pageOf(definition) } },
      example: { status: 200 },
      handler: async () => json({ value: (await (await activations()).list()).map(({ definition }) => definition) }),
    }),
    route({
      name: 'getActivation',
      methods: ['GET'],
      route: 'activations/{name}',
      access: 'use',
      tag: 'activations',
      summary: 'Get the definition of an activation.',
      query: z.object({}),
      answers: { 200: { description: 'The definition.', schema: definitionSchema, headers: { etag: 'Its version.' } } },
      example: { path: { name: 'nasdaq-accounts' }, status: 200 },
      async handler(call) {
        const { definition, etag } = await (await activations()).get(nameOf(call));
        return json(definition, { headers: { etag } });
      },
    }),
    route({
      name: 'putActivation',
      methods: ['PUT'],
      route: 'activations/{name}',
      access: 'admin',
      tag: 'activations',
      summary: 'Create or replace the definition of an activation.',
      requestHeaders: {
        'if-match': 'Replace this version only.',
        'if-none-match': '`*`: create only.',
      },
      query: z.object({}),
      body: z.unknown(),
      bodySchema: definitionSchema,
      answers: {
        200: { description: 'Replaced.', schema: definitionSchema, headers: { etag: 'The new version.' } },
        201: { description: 'Created.', schema: definitionSchema, headers: { etag: 'The new version.' } },
      },
      example: { path: { name: 'nasdaq-accounts' }, body: SAMPLE, status: 201 },
      async handler(call) {
        const stored = await (await activations()).put(nameOf(call), call.body, conditionsOf(call.request));
        const { definition } = await (await activations()).get(nameOf(call));
        return json(definition, { status: stored.created ? 201 : 200, headers: { etag: stored.etag } });
      },
    }),
    route({
      name: 'deleteActivation',
      methods: ['DELETE'],
      route: 'activations/{name}',
      access: 'admin',
      tag: 'activations',
      summary: 'Delete an activation.',
      requestHeaders: { 'if-match': 'Delete this version only.' },
      query: z.object({}),
      answers: { 204: { description: 'Deleted.' } },
      example: { path: { name: 'nasdaq-accounts' }, status: 204 },
      async handler(call) {
        await (await activations()).remove(nameOf(call), {
          ifMatch: call.request.headers.get('if-match') ?? undefined,
        });
        return { status: 204 };
      },
    }),
    route({
      name: 'pauseActivation',
      methods: ['POST'],
      route: 'activations/{name}/pause',
      access: 'admin',
      tag: 'activations',
      summary: 'Stop an activation’s schedule.',
      query: z.object({}),
      answers: { 204: { description: 'No run starts by schedule.' } },
      example: { path: { name: 'nasdaq-accounts' }, status: 204 },
      async handler(call) {
        await (await activations()).pause(nameOf(call));
        return { status: 204 };
      },
    }),
    route({
      name: 'resumeActivation',
      methods: ['POST'],
      route: 'activations/{name}/resume',
      access: 'admin',
      tag: 'activations',
      summary: 'Let an activation’s schedule go on.',
      query: z.object({}),
      answers: { 204: { description: 'Runs start by schedule again.' } },
      example: { path: { name: 'nasdaq-accounts' }, status: 204 },
      async handler(call) {
        await (await activations()).resume(nameOf(call));
        return { status: 204 };
      },
    }),
    route({
      name: 'startRun',
      methods: ['POST'],
      route: 'activations/{name}/runs',
      access: 'use',
      tag: 'activations',
      summary: 'Start a run.',
      description: 'Nothing in the body takes the activation’s source; rows in the body are taken in its place.',
      query: z.object({}),
      bodyTypes: ['application/json', 'application/x-ndjson', 'text/csv'],
      answers: { 202: { description: 'The run is queued.', schema: run, headers: { location: 'The run.' } } },
      example: {
        path: { name: 'nasdaq-accounts' },
        body: 'Symbol,Company Name,Test Issue\nMSFT,Microsoft Corporation,N\n',
        type: 'text/csv',
        status: 202,
      },
      async handler(call) {
        const name = nameOf(call);
        const started = await (await activations()).start(name, {
          startedBy: 'http',
          ...(await startOptions(call.request)),
        });
        const location = new URL(`${call.request.url.split('?')[0]}/`);
        return json(started, { status: 202, headers: { location: `${location.pathname}${started.id}` } });
      },
    }),
    route({
      name: 'listRuns',
      methods: ['GET'],
      route: 'activations/{name}/runs',
      access: 'use',
      tag: 'activations',
      summary: 'List the runs of an activation, newest first.',
      query: z.object({
        page: pageToken().optional(),
        pageSize: pageSize({ fallback: 100, largest: 1000 }),
      }),
      answers: { 200: { description: 'One page of runs.', schema: pageOf(run) } },
      example: { path: { name: 'nasdaq-accounts' }, status: 200 },
      handler: async (call) => json(await (await activations()).runs(nameOf(call), call.query)),
    }),
    route({
      name: 'getRun',
      methods: ['GET'],
      route: 'activations/{name}/runs/{run}',
      access: 'use',
      tag: 'activations',
      summary: 'Get a run: its state, its counts, what it cost.',
      query: z.object({}),
      answers: { 200: { description: 'The run.', schema: run } },
      example: { path: { name: 'nasdaq-accounts', run: '{run}' }, status: 200 },
      handler: async (call) => json(await (await activations()).run(nameOf(call), call.path['run'] ?? '')),
    }),
    route({
      name: 'listRunRows',
      methods: ['GET'],
      route: 'activations/{name}/runs/{run}/rows',
      access: 'use',
      tag: 'activations',
      summary: 'Read a run’s ledger: what became of each row.',
      query: z.object({
        outcome: z.enum(OUTCOMES).optional(),
        page: pageToken().optional(),
        pageSize: pageSize({ fallback: 1000, largest: 1000 }),
      }),
      answers: { 200: { description: 'One page of rows.', schema: pageOf(ledgerRow) } },
      example: { path: { name: 'nasdaq-accounts', run: '{run}' }, query: { outcome: 'created' }, status: 200 },
      handler: async (call) => json(await (await activations()).rows(nameOf(call), call.path['run'] ?? '', call.query)),
    }),
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
  const options = await jsonBody(request, { body });
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
  worker('activationRunWorker', RUN_QUEUE, async (message, signal) => (await activations()).planRun(message, signal));
  worker('activationChunkWorker', CHUNK_QUEUE, async (message, signal) =>
    (await activations()).writeChunk(message, signal),
  );
  worker('activationRunPoison', `${RUN_QUEUE}-poison`, async (message, signal) =>
    (await activations()).abandonRun(message, signal),
  );
  worker('activationChunkPoison', `${CHUNK_QUEUE}-poison`, async (message, signal) =>
    (await activations()).abandonChunk(message, signal),
  );
  app.timer('activationScheduler', {
    schedule: '0 * * * * *',
    handler: async () => {
      await (await activations()).tick(AbortSignal.timeout(LONGEST_WORK_MS));
    },
  });
}
