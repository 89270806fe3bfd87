import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Clock, systemClock } from '../../shared/clock.ts';
import { type NewId, newGuid } from '../../shared/ids.ts';
import { createCallLog } from './calls.ts';
import { openCatalog } from './catalog.ts';
import { createCustomizationLock } from './definitions/customization-lock.ts';
import type { Emulator } from './emulator.ts';
import { fetchTransport, type WebhookTransport } from './events/deliver.ts';
import { createEventQueue } from './events/queue.ts';
import { serve } from './exchange.ts';
import { openKeys } from './keys.ts';
import { ADMINISTRATOR_ID } from './platform-rows.ts';
import { openPrivileges } from './privileges.ts';
import { openRoles } from './roles.ts';
import { createRules } from './rules.ts';
import { type Authentication, type Caller, createAuthenticator, createGuard } from './security.ts';
import { type ApplicationUser, type RolePrivileges, seed } from './seed.ts';
import { type ServiceModel, unboundedModel } from './service-model.ts';
import { openSteps } from './steps.ts';
import { derivedGuid, openStore } from './store.ts';
import { createSynchronousSteps } from './synchronous-steps.ts';
import { createTurns } from './turns.ts';
import { createPreciseClock, createWebServers } from './web-servers.ts';
import type { Assumptions, Environment, Organization } from './work.ts';

export interface DataverseOptions {
  /** 0 (the default) takes any free one. */
  port?: number;
  /** PEM texts; without them plain http. The server listens on 127.0.0.1 either way. */
  tls?: { cert: string; key: string };
  auth: Authentication;
  /** A file, or `:memory:` (the default). */
  database?: string;
  organization?: { id?: string; name?: string; businessUnitId?: string; version?: string };
  users?: readonly ApplicationUser[];
  /** Roles besides System Administrator and System Customizer. */
  roles?: Readonly<Record<string, RolePrivileges>>;
  /** How long requests go on with the privileges that a user had; about 30,000 ms in the service, 0 (the default) here. */
  roleLagMs?: number;
  clock?: Clock;
  newId?: NewId;
  /** Most rows of a page, 5000 in the service. */
  pageSizeMax?: number;
  /** Most rows that an aggregation may read, 50,000 in the service. */
  aggregateMax?: number;
  /** How long an alternate key's index stays Pending and then InProgress, in milliseconds each (default 100). */
  keyStepMs?: number;
  /** How long a change of definitions takes, in milliseconds; others are refused meanwhile. Default 0. */
  customizationMs?: number;
  /** Where the service's behaviour is not confirmed; see the README of this folder. */
  assumptions?: Partial<Assumptions>;
  /** How fast the service is and what it allows; by default it takes no time and limits nothing. */
  model?: ServiceModel;
  /** The name in the environment's URL: `localhost` (the default) or `127.0.0.1`. */
  host?: 'localhost' | '127.0.0.1';
  /** Largest request body in bytes; default 128 MB. */
  bodyMax?: number;
  transport?: WebhookTransport;
  log?(line: string): void;
}

export interface Dataverse {
  /** `https://localhost:PORT`, the environment's URL and the audience of its tokens. */
  readonly url: string;
  /** `https://localhost:PORT/api/data/v9.2/` */
  readonly apiUrl: string;
  readonly organization: Organization;
  /** Resolves when no webhook is waiting and no index is being built. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

const BODY_MAX = 128 * 1024 * 1024;
// Node's own limit is shorter than the URLs that the service takes.
const HEADERS_MAX = 128 * 1024;

/** Starts the emulator. */
export async function startDataverse(options: DataverseOptions): Promise<Dataverse> {
  const emulator = openEmulator(options);
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    void serve(emulator, request, response);
  };
  const limits = { maxHeaderSize: HEADERS_MAX };
  const server = options.tls
    ? createHttpsServer({ ...options.tls, ...limits }, listener)
    : createHttpServer(limits, listener);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  emulator.origin = `${options.tls ? 'https' : 'http'}://${options.host ?? 'localhost'}:${port}`;
  emulator.env.keys.resume();
  return {
    url: emulator.origin,
    apiUrl: `${emulator.origin}/api/data/v9.2/`,
    organization: emulator.env.organization,
    idle: () => emulator.idle(),
    async close() {
      emulator.env.keys.stop();
      emulator.stopping.abort(new Error('The emulator stopped'));
      await emulator.queue.stop();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      await emulator.env.keys.idle();
      await emulator.turn(() => undefined);
      emulator.env.store.close();
    },
  };
}

function openEmulator(options: DataverseOptions): Emulator {
  const clock = options.clock ?? systemClock;
  const newId = options.newId ?? newGuid;
  const turn = createTurns();
  const transport = options.transport ?? fetchTransport;
  const store = openStore(options.database ?? ':memory:');
  const catalog = openCatalog(store);
  const name = options.organization?.name ?? 'local';
  const organization: Organization = {
    id: options.organization?.id ?? derivedGuid(`organization/${name}`),
    name,
    host: 'localhost',
    businessUnitId: options.organization?.businessUnitId ?? derivedGuid(`businessunit/${name}`),
    baseCurrencyId: derivedGuid('transactioncurrency/USD'),
    version: options.organization?.version ?? '9.2.25111.00152',
  };
  const privileges = openPrivileges(catalog);
  const roles = openRoles({ store, catalog, privileges, clock, lagMs: options.roleLagMs ?? 0 });
  seed({
    store,
    catalog,
    privileges,
    roles,
    organization,
    users: options.users ?? [],
    rolePrivileges: options.roles ?? {},
    now: clock.now(),
  });
  const keys = openKeys({ store, clock, newId, tableOf: catalog.table, turn, stepMs: options.keyStepMs ?? 100 });
  const queue = createEventQueue({ organization, transport, clock, newId });
  const steps = openSteps(store, catalog);
  const stopping = new AbortController();
  const rules = createRules(newId);
  const env: Environment = {
    catalog,
    store,
    keys,
    customizing: createCustomizationLock(clock, options.customizationMs ?? 0),
    privileges,
    roles,
    guard: createGuard(privileges),
    steps,
    organization,
    clock,
    newId,
    pageSizeMax: options.pageSizeMax ?? 5000,
    aggregateMax: options.aggregateMax ?? 50_000,
    assumptions: {
      duplicateTargets: { status: 400, code: '0x80040203' },
      bulkDetails: 'Microsoft.PowerApps.CDS.ErrorDetails.Plugin.BulkApiErrorDetails',
      readOnlyColumns: 'ignored',
      keyCharacters: 'refused',
      definitionOptions: 'refused',
      definitionTextFilters: 'refused',
      ...options.assumptions,
    },
    checkRow: rules.checkRow,
  };
  const administrator: Caller = {
    userId: ADMINISTRATOR_ID,
    objectId: undefined,
    businessUnitId: organization.businessUnitId,
    roleCount: 1,
    privileges: 'all',
  };
  const authenticate = createAuthenticator({
    authentication: options.auth,
    store,
    roles,
    clock,
    turn,
    origin: () => emulator.origin,
    administrator,
  });
  const emulator: Emulator = {
    env,
    queue,
    calls: createCallLog(),
    rules,
    authenticate,
    turn,
    stopping,
    runSynchronousSteps: createSynchronousSteps({
      steps,
      organization,
      transport,
      clock,
      newId,
      signal: stopping.signal,
    }),
    webServers: createWebServers(options.model ?? unboundedModel, options.clock ?? createPreciseClock()),
    bodyMax: options.bodyMax ?? BODY_MAX,
    log: options.log ?? (() => {}),
    async idle() {
      await keys.idle();
      await queue.idle();
    },
    origin: '',
  };
  return emulator;
}
