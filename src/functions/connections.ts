import { app } from '@azure/functions';
import * as z from 'zod';
import { connectionNames } from '../config/settings.ts';
import { activationUses } from '../health/activation-uses.ts';
import { userName, whoAmI } from '../health/application-user.ts';
import type { ConnectionTest, TestOptions } from '../health/connection-test.ts';
import type { ProbeMode } from '../health/probe.ts';
import type { CheckRecord, HealthEvent } from '../health/records.ts';
import { parseUnsaved, UNSAVED } from '../health/unsaved.ts';
import { json, type Route, route } from '../http/routes.ts';
import { isoTime } from '../shared/clock.ts';
import { newGuid } from '../shared/ids.ts';
import { StorageError } from '../storage/errors.ts';
import { type Log, logLine } from '../telemetry/log.ts';
import type { Services } from './services.ts';

const LONGEST_CHECK_MS = 120_000;
const LONGEST_NOTE_MS = 10_000;
const POISON_QUEUES = ['activation-runs-poison', 'activation-chunks-poison', 'webhook-events-poison'];

const probeQuery = z.object({
  probe: z
    .enum(['never', 'careful', 'forced'], { error: 'probe must be never, careful or forced.' })
    .default('careful')
    .describe('Whether writes that are undone at once may show which privileges are there.'),
});

const stage = z.object({
  name: z.string(),
  status: z.enum(['passed', 'failed', 'skipped']),
  ms: z.number(),
  detail: z.string(),
  warnings: z.array(z.string()).optional().describe('What works and should still be looked at.'),
  facts: z.record(z.string(), z.unknown()).optional().describe('What was found, for programs.'),
  code: z.string().optional().describe('Why it failed, for programs.'),
  hint: z.string().optional().describe('The next step after a failure.'),
});
const testAnswer = {
  description: 'What each stage found.',
  schema: z.object({
    connection: z.string(),
    environment: z.string().optional().describe('Left out while the setting is wrong.'),
    status: z.enum(['passed', 'failed']),
    stages: z.array(stage),
  }),
};
const listed = z.object({
  name: z.string(),
  environment: z.string().optional(),
  credential: z.string().optional(),
  faults: z
    .array(z.object({ setting: z.string(), message: z.string() }))
    .optional()
    .describe('Of settings, in place of environment and credential.'),
  expiresAt: z.string().optional(),
  lastCheck: z
    .object({
      status: z.string(),
      at: z.string(),
      since: z.string().optional(),
      stage: z.string().optional(),
      detail: z.string().optional(),
      hint: z.string().optional(),
      warnings: z.array(z.string()),
    })
    .optional(),
});
const guid = z.guid();

export function connectionRoutes(services: Services): readonly Route[] {
  const { connections } = services;
  return [
    route({
      name: 'listConnections',
      methods: ['GET'],
      route: 'connections',
      access: 'use',
      tag: 'connections',
      summary: 'List the connections.',
      description: 'Without secrets; with what the last check of each has found.',
      query: z.object({}),
      answers: { 200: { description: 'All connections.', schema: z.array(listed) } },
      example: { status: 200 },
      handler: async ({ signal, log }) => json(await listConnections(services, signal, log)),
    }),
    route({
      name: 'testConnection',
      methods: ['POST'],
      route: 'connections/{connection}/test',
      access: 'use',
      tag: 'connections',
      summary: 'Test a connection in stages.',
      query: probeQuery,
      answers: { 200: testAnswer },
      example: { path: { connection: 'default' }, query: { probe: 'never' }, status: 200 },
      async handler({ path, query: { probe }, signal, log }) {
        return json(await checkSaved(services, path['connection'] ?? '', { probe, signal, log }));
      },
    }),
    route({
      name: 'testUnsavedConnection',
      methods: ['POST'],
      route: 'connections/test',
      access: 'admin',
      tag: 'connections',
      summary: 'Test settings of a connection before they are saved.',
      query: probeQuery,
      body: z
        .record(z.string(), z.unknown())
        .describe('Properties of a connection without their prefix: `{ "url": …, "tenantId": …, "credential": … }`.'),
      answers: { 200: testAnswer },
      example: {
        body: {
          url: 'https://contoso.crm4.dynamics.com',
          tenantId: 'contoso.onmicrosoft.com',
          clientId: '0a6dc1c3-31f4-4d5d-8b8e-3e0b5f0a9d11',
          credential: 'managedIdentity',
        },
        status: 200,
      },
      async handler({ body, query: { probe }, signal, log }) {
        return json(await checkUnsaved(services, body, { probe, signal, log }));
      },
    }),
    route({
      name: 'whoAmI',
      methods: ['GET'],
      route: 'connections/{connection}/whoami',
      access: 'use',
      tag: 'connections',
      summary: 'Get the current user of a connection.',
      query: z.object({}),
      answers: {
        200: {
          description: 'The application user in Dataverse.',
          schema: z.object({ userId: guid, businessUnitId: guid, organizationId: guid, name: z.string().optional() }),
        },
      },
      example: { path: { connection: 'default' }, status: 200 },
      async handler({ path, signal }) {
        const { client } = connections.get(path['connection'] ?? '');
        const who = await whoAmI(client, signal);
        const name = await userName(client, who.userId, signal);
        return json({ ...who, ...(name !== undefined && { name }) });
      },
    }),
    route({
      name: 'healthReady',
      methods: ['GET'],
      route: 'health/ready',
      access: 'use',
      tag: 'health',
      summary: 'Tell whether all connections worked when they were last checked.',
      query: z.object({}),
      answers: {
        200: {
          description: 'Ready; with what was found, `warn` where something wants attention.',
          schema: z.looseObject({ status: z.enum(['pass', 'warn', 'fail']) }),
          types: ['application/health+json'],
        },
        503: { description: 'Not ready.', types: ['application/health+json'] },
      },
      example: { status: 200 },
      async handler() {
        const readiness = await services.readiness().read();
        return json(readiness, {
          status: readiness.status === 'fail' ? 503 : 200,
          headers: { 'content-type': 'application/health+json', 'cache-control': 'no-cache' },
        });
      },
    }),
  ];
}

/** Checks every connection and the poison queues each quarter of an hour; tells what has changed. */
export function registerConnectionHealth(services: Services): void {
  app.timer('connectionHealth', {
    // As often as `CHECK_INTERVAL_MS` says.
    schedule: '0 */15 * * * *',
    handler: async (_timer, context) => {
      const log: Log = (message, facts) => context.log(logLine(message, facts));
      const warn: Log = (message, facts) => context.warn(logLine(message, facts));
      const signal = AbortSignal.timeout(LONGEST_CHECK_MS);
      // Nothing is written on a schedule: what the privilege functions tell is enough there.
      const options = { probe: 'never', signal, log, warn } as const;
      await Promise.all(connectionNames(services.settings).map((name) => checkSaved(services, name, options)));
      await checkQueues(services, warn);
    },
  });
}

interface CheckOptions {
  readonly probe: ProbeMode;
  readonly signal: AbortSignal;
  readonly log: Log;
  /** For what an operator has to act on; `log` where there is none. */
  readonly warn?: Log;
}

const testOptions = ({ clock }: Services, { probe, signal, log }: CheckOptions): Omit<TestOptions, 'uses'> => ({
  clock,
  newId: newGuid,
  log,
  signal,
  probe,
});

/** Throws SettingsError `connectionUnknown`. */
async function checkSaved(services: Services, name: string, options: CheckOptions): Promise<ConnectionTest> {
  const { testConnection } = await import('../health/connection-test.ts');
  const test = await testConnection(name, () => services.connections.get(name), {
    ...testOptions(services, options),
    uses: (signal) => activationUses(services.storage(), name, signal),
  });
  await note(services, test, options);
  return test;
}

async function checkUnsaved(
  services: Services,
  properties: Readonly<Record<string, unknown>>,
  options: CheckOptions,
): Promise<ConnectionTest> {
  const { testConnection } = await import('../health/connection-test.ts');
  const opened: { close(): Promise<void> }[] = [];
  try {
    return await testConnection(
      UNSAVED,
      () => {
        const entry = services.connections.open(parseUnsaved(properties));
        opened.push(entry);
        return entry.connection;
      },
      { ...testOptions(services, options), uses: async () => [] },
    );
  } finally {
    for (const entry of opened) await entry.close();
  }
}

/** A test tells what it found whether or not it can be kept; one that ran out of time is kept like any that failed. */
async function note(services: Services, test: ConnectionTest, { log, warn = log }: CheckOptions): Promise<void> {
  const signal = AbortSignal.timeout(LONGEST_NOTE_MS);
  try {
    const events = await services.healthRecords().note(test, services.clock.now(), signal);
    services.readiness().forget();
    for (const event of events) tell(services, test.connection, event, warn);
  } catch (error) {
    if (!(error instanceof StorageError) && !signal.aborted) throw error;
    const code = error instanceof StorageError ? error.code : 'timeout';
    log('connection check could not be kept', { connection: test.connection, code });
  }
}

function tell({ telemetry }: Services, connection: string, event: HealthEvent, warn: Log): void {
  const { kind, ...facts } = event;
  const messages = {
    broken: 'connection broke',
    recovered: 'connection works again',
    expires: 'credential of connection ends soon',
  };
  warn(messages[kind], { connection, ...facts });
  const metrics = { broken: 'connectionBroken', recovered: undefined, expires: 'credentialExpiring' } as const;
  const metric = metrics[kind];
  if (metric) telemetry.measure(metric, 1, { 'bridge.connection': connection });
}

async function checkQueues(services: Services, warn: Log): Promise<void> {
  const storage = services.storage();
  const counted = await Promise.all(
    POISON_QUEUES.map(async (name) => [name, await storage.queue(name).count()] as const),
  );
  const counts = Object.fromEntries(counted);
  const grown = await services.healthRecords().noteQueues(counts, services.clock.now());
  services.readiness().forget();
  for (const queue of grown) {
    services.telemetry.measure('poisonMessages', 1, { 'bridge.queue': queue });
    warn('poison queue has grown', { queue, messages: counts[queue] });
  }
}

async function listConnections(services: Services, signal: AbortSignal, log: Log): Promise<unknown[]> {
  const { settings } = services;
  return Promise.all(
    connectionNames(settings).map(async (name) => {
      const connection = settings.connections.get(name);
      const record = await lastCheck(services, name, signal, log);
      const expiresAt = record?.credential.expiresAt;
      return {
        name,
        ...(connection
          ? { environment: connection.environment, credential: connection.credential.kind }
          : { faults: settings.connectionFaults.get(name) }),
        ...(expiresAt !== undefined && { expiresAt: isoTime(expiresAt) }),
        ...(record && {
          lastCheck: {
            status: record.status,
            at: record.checkedAt,
            since: record.since,
            ...(record.failed && {
              stage: record.failed.stage,
              detail: record.failed.detail,
              hint: record.failed.hint,
            }),
            warnings: record.warnings,
          },
        }),
      };
    }),
  );
}

async function lastCheck(
  services: Services,
  name: string,
  signal: AbortSignal,
  log: Log,
): Promise<CheckRecord | undefined> {
  try {
    return await services.healthRecords().connection(name, signal);
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    log('last check could not be read', { connection: name, code: error.code });
    return undefined;
  }
}
