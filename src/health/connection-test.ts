import { SettingsError } from '../config/settings.ts';
import type { Connection, Connections } from '../connections/connections.ts';
import type { Clock } from '../shared/clock.ts';
import { BridgeError, messageOf } from '../shared/errors.ts';
import type { Log } from '../telemetry/log.ts';

export type StageName = 'settings' | 'vault' | 'credential' | 'token' | 'user' | 'privileges';

export interface Stage {
  readonly name: StageName;
  readonly status: 'passed' | 'failed' | 'skipped';
  readonly ms: number;
  /** What was found, or why the stage failed or was skipped. */
  readonly detail: string;
  /** The next step after a failure. */
  readonly hint?: string;
}

export interface ConnectionTest {
  readonly connection: string;
  readonly environment: string | undefined;
  readonly status: 'passed' | 'failed';
  readonly stages: readonly Stage[];
}

/** A stage throws, or says what it found; `skip` says why it had nothing to do. */
type Check = (connection: Connection, signal: AbortSignal) => Promise<string | { readonly skip: string }>;

const checks: readonly (readonly [StageName, Check])[] = [
  ['vault', checkVault],
  ['credential', checkCredential],
  ['token', checkToken],
  ['user', checkUser],
  ['privileges', checkTables],
];

/**
 * Tests a connection stage by stage and tells what each found. A failed stage ends the test; the stages behind it are
 * skipped. Throws SettingsError `connectionUnknown` only.
 */
export async function testConnection(
  connections: Connections,
  name: string,
  { clock, signal, log }: { clock: Clock; signal: AbortSignal; log: Log },
): Promise<ConnectionTest> {
  const stages: Stage[] = [];
  let connection: Connection | undefined;
  let failed: StageName | undefined;
  const stage = async (
    stageName: StageName,
    check: () => Promise<string | { readonly skip: string }>,
  ): Promise<void> => {
    if (failed) {
      stages.push({ name: stageName, status: 'skipped', ms: 0, detail: `Skipped, since ${failed} failed.` });
      return;
    }
    const startedAt = clock.now();
    const ms = (): number => clock.now() - startedAt;
    try {
      const found = await check();
      const skipped = typeof found !== 'string';
      stages.push({
        name: stageName,
        status: skipped ? 'skipped' : 'passed',
        ms: ms(),
        detail: skipped ? found.skip : found,
      });
    } catch (error) {
      if (error instanceof SettingsError && error.code === 'connectionUnknown') throw error;
      failed = stageName;
      if (!(error instanceof BridgeError) && !signal.aborted)
        log('connection test failed unforeseen', { connection: name, stage: stageName, reason: messageOf(error) });
      stages.push({ name: stageName, status: 'failed', ms: ms(), ...failureOf(error, signal) });
    }
  };
  await stage('settings', async () => {
    connection = connections.get(name);
    return `Environment ${connection.settings.environment}, tenant ${connection.settings.tenantId}, application ${connection.settings.clientId}.`;
  });
  for (const [stageName, check] of checks) {
    await stage(stageName, async () => (connection ? check(connection, signal) : { skip: 'There is no connection.' }));
  }
  return {
    connection: name,
    environment: connection?.settings.environment,
    status: failed ? 'failed' : 'passed',
    stages,
  };
}

function failureOf(error: unknown, signal: AbortSignal): { detail: string; hint?: string } {
  if (signal.aborted) return { detail: 'The test ran out of time here.' };
  if (!(error instanceof BridgeError))
    return { detail: 'Failed for a reason that the app did not foresee; see the log.' };
  const faults =
    error instanceof SettingsError ? error.faults.map((fault) => `${fault.setting} ${fault.message}`).join('; ') : '';
  return {
    detail: faults === '' ? error.message : `${error.message} ${faults}.`,
    ...(error.hint !== undefined && { hint: error.hint }),
  };
}

async function checkVault({ vault, settings }: Connection, signal: AbortSignal): Promise<string> {
  await vault.latest(settings.certificateName, signal);
  return `The vault ${new URL(vault.uri).host} lets the app read '${settings.certificateName}'.`;
}

async function checkCredential({ credential }: Connection, signal: AbortSignal): Promise<string> {
  const certificate = await credential.certificate({ fresh: true, signal });
  return `Certificate ${certificate.thumbprintSha256.slice(0, 16)}…, version ${certificate.version}, valid until ${certificate.validTo.toISOString()}.`;
}

async function checkToken({ token, settings }: Connection, signal: AbortSignal): Promise<string> {
  const claims = claimsOf(await token({ renew: true, signal }));
  return `Token for ${settings.scope}: audience ${claims['aud'] ?? 'unknown'}, issuer ${claims['iss'] ?? 'unknown'}.`;
}

/** The claims of a token, for people to read; nothing is decided by them. */
function claimsOf(token: string): Record<string, unknown> {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return typeof claims === 'object' && claims !== null ? { ...claims } : {};
  } catch {
    return {};
  }
}

async function checkUser({ client }: Connection, signal: AbortSignal): Promise<string> {
  const answer = await client.send({ method: 'GET', path: 'WhoAmI', signal });
  const { UserId, BusinessUnitId, OrganizationId } = answer.json() as Record<string, unknown>;
  return `Application user ${UserId}, business unit ${BusinessUnitId}, organization ${OrganizationId}.`;
}

async function checkTables(
  { settings, metadata, client }: Connection,
  signal: AbortSignal,
): Promise<string | { skip: string }> {
  if (!settings.allowedTables) return { skip: 'No allowedTables are set, so there is no table to check.' };
  const names = [...settings.allowedTables];
  for (const name of names) {
    const table = await metadata.table(name, {}, signal);
    await client.send({ method: 'GET', path: `${table.entitySetName}?$select=${table.primaryId}&$top=1`, signal });
  }
  return `Rows of ${names.join(', ')} can be read.`;
}
