import { warningsOf } from '../config/connection-settings.ts';
import { SettingsError } from '../config/settings.ts';
import type { Connection } from '../connections/connections.ts';
import { DataverseError } from '../dataverse/errors.ts';
import { createMetadata } from '../dataverse/metadata.ts';
import type { Table } from '../dataverse/table.ts';
import type { Clock } from '../shared/clock.ts';
import type { NewId } from '../shared/ids.ts';
import type { Log } from '../telemetry/log.ts';
import { type ApplicationUser, judgeUser, readApplicationUser } from './application-user.ts';
import { type Described, describeCredential, judgeCredential, judgeVault } from './credential-check.ts';
import { checkApi } from './environment.ts';
import { checkKeys, checkLimits } from './limits.ts';
import { type ConnectionUse, needsOf } from './needs.ts';
import { checkNetwork, hostsOf, type Reach } from './network.ts';
import { judgePrivileges, readPrivileges } from './privileges.ts';
import type { ProbeMode } from './probe.ts';
import { type Finding, failureOf, STAGES, type Stage, type StageName } from './stages.ts';
import { checkToken } from './token-check.ts';

export interface ConnectionTest {
  readonly connection: string;
  /** The environment's origin; undefined while its setting is wrong. */
  readonly environment: string | undefined;
  readonly status: 'passed' | 'failed';
  readonly stages: readonly Stage[];
}

export interface TestOptions {
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Whether writes may be tried; see `probeTable`. */
  readonly probe: ProbeMode;
  /** Activations that use the connection. What it throws is told as a warning. */
  readonly uses: (signal: AbortSignal) => Promise<readonly ConnectionUse[]>;
  readonly reach?: Reach;
}

type Found = Finding | { readonly skip: string };

/** What earlier stages leave to later ones. */
interface Progress {
  described?: Described;
  user?: ApplicationUser;
  uses?: { readonly known: readonly ConnectionUse[]; readonly warning?: string };
  tables?: ReadonlyMap<string, Table>;
}

type Check = (connection: Connection, options: TestOptions, progress: Progress) => Promise<Found>;

/**
 * Tests a connection stage by stage and tells what each found. A failed stage ends the test; the stages behind it are
 * skipped and say why. `open` makes the connection; what it throws fails the first stage, save SettingsError
 * `connectionUnknown`, which is thrown on.
 */
export async function testConnection(
  name: string,
  open: () => Connection,
  options: TestOptions,
): Promise<ConnectionTest> {
  const { clock, log, signal } = options;
  const stages: Stage[] = [];
  const progress: Progress = {};
  let connection: Connection | undefined;
  let failed: StageName | undefined;
  for (const stage of STAGES) {
    if (failed) {
      stages.push({ name: stage, status: 'skipped', ms: 0, detail: `Skipped, since the stage ${failed} failed.` });
      continue;
    }
    const startedAt = clock.now();
    try {
      let found: Found;
      if (stage === 'settings') {
        connection = open();
        found = describeSettings(connection);
      } else if (connection) found = await checks[stage](connection, options, progress);
      else found = { skip: 'There is no connection.' };
      const ms = clock.now() - startedAt;
      stages.push(
        'skip' in found
          ? { name: stage, status: 'skipped', ms, detail: found.skip }
          : { name: stage, status: 'passed', ms, ...found },
      );
    } catch (error) {
      if (error instanceof SettingsError && error.code === 'connectionUnknown') throw error;
      failed = stage;
      const unforeseen = (reason: string): void =>
        log('connection test failed unforeseen', { connection: name, stage, reason });
      stages.push({
        name: stage,
        status: 'failed',
        ms: clock.now() - startedAt,
        ...failureOf(error, signal, unforeseen),
      });
    }
  }
  return {
    connection: name,
    environment: connection?.settings.environment,
    status: failed ? 'failed' : 'passed',
    stages,
  };
}

function describeSettings({ settings }: Connection): Finding {
  const { environment, tenantId, clientId, credential } = settings;
  const warnings = warningsOf(settings).map(({ setting, message }) => `${setting} ${message}.`);
  return {
    detail: `Environment ${environment}, tenant ${tenantId}, application ${clientId}, credential ${credential.kind}.`,
    ...(warnings.length > 0 && { warnings }),
    facts: { environment, tenantId, clientId, credential: credential.kind, scope: settings.scope },
  };
}

const checks: Readonly<Record<Exclude<StageName, 'settings'>, Check>> = {
  network: ({ settings, vault }, { signal, reach }) => checkNetwork(hostsOf(settings, vault?.uri), signal, reach),
  async vault({ credential, vault }, { signal }, progress) {
    progress.described = await describeCredential(credential, signal);
    signal.throwIfAborted();
    return judgeVault(progress.described, vault?.uri);
  },
  async credential({ credential }, { signal }, progress) {
    return judgeCredential(progress.described ?? (await describeCredential(credential, signal)), credential, signal);
  },
  token: async ({ token, settings }, { signal }) => checkToken(await token({ renew: true, signal }), settings),
  api: ({ client, settings }, { signal }) => checkApi(client, settings.apiUrl, signal),
  async user({ client, settings }, { signal }, progress) {
    progress.user = await readApplicationUser(client, signal);
    return judgeUser(progress.user, settings.clientId);
  },
  privileges: checkPrivileges,
  async keys(_connection, _options, { uses, tables }) {
    return checkKeys(uses?.known ?? [], tables ?? new Map());
  },
  limits: ({ client }, { signal }) => checkLimits(client, signal),
};

async function checkPrivileges(connection: Connection, options: TestOptions, progress: Progress): Promise<Found> {
  const { settings, client, apiPath } = connection;
  const { signal, newId } = options;
  const userId = progress.user?.userId;
  if (userId === undefined) return { skip: 'The application user is not known.' };
  const uses = await readUses(options);
  const tables = await readTables(connection, uses.known, options);
  progress.uses = uses;
  progress.tables = tables;
  const needs = needsOf(settings.allowedTables ?? [], uses.known, tables);
  const report = await readPrivileges({
    client,
    apiPath,
    newId,
    signal,
    userId,
    needs,
    tables,
    allowedTables: settings.allowedTables,
    mode: writesAllowed(connection) ? options.probe : 'never',
  });
  const finding = judgePrivileges(report);
  const warnings = [...(uses.warning === undefined ? [] : [uses.warning]), ...(finding.warnings ?? [])];
  return { ...finding, ...(warnings.length > 0 && { warnings }) };
}

/** The emergency stop holds for writes that are undone as well. */
function writesAllowed(connection: Connection): boolean {
  try {
    connection.assertWritable();
    return true;
  } catch {
    return false;
  }
}

async function readUses({ uses, signal, log }: TestOptions): Promise<NonNullable<Progress['uses']>> {
  try {
    return { known: await uses(signal) };
  } catch (error) {
    signal.throwIfAborted();
    log('activations could not be read', { reason: error instanceof Error ? error.name : 'unknown' });
    return { known: [], warning: 'The activations could not be read, so what they need was left out.' };
  }
}

async function readTables(
  { settings, client, apiPath }: Connection,
  uses: readonly ConnectionUse[],
  { clock, newId, signal }: TestOptions,
): Promise<ReadonlyMap<string, Table>> {
  // Of its own, so that nothing is told from a cache.
  const metadata = createMetadata({ client, apiPath, allowedTables: settings.allowedTables, clock, newId });
  const tables = new Map<string, Table>();
  for (const name of settings.allowedTables ?? []) tables.set(name, await metadata.table(name, {}, signal));
  for (const { activation, table, columns, keyColumns } of uses) {
    try {
      tables.set(table, await metadata.table(table, { columns, keyColumns }, signal));
    } catch (error) {
      if (!(error instanceof DataverseError)) throw error;
      throw new DataverseError(error.code, `${error.message} The activation '${activation}' uses it.`, error.facts, {
        cause: error,
        hint: error.hint,
      });
    }
  }
  return tables;
}
