import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../shared/clock.ts';
import { BridgeError, messageOf } from '../../shared/errors.ts';
import { openAuthority } from '../certificates.ts';
import { addClientSecret, addResource, registerApplication } from '../entra/directory.ts';
import { startIdentity, trustIn } from '../identity.ts';
import { homeTenant, newIdentityState, openIdentityState } from '../identity-state.ts';
import { type Options, readOptions } from './options.ts';
import { type DataverseOptions, startDataverse } from './server.ts';
import { derivedGuid } from './store.ts';

const CLIENT = 'Emulator client';
const YEAR_MS = 365 * 86_400_000;

/** What is to be closed at the end, the last one first. */
type Closers = (() => void | Promise<void>)[];

const print = (line: string): void => void process.stdout.write(`${line}\n`);

/** `npm run emulator`: the Dataverse emulator alone, over plain http on this machine, until it is told to stop. */
async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  const stopped = new Promise<void>((stop) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop());
  });
  const closers: Closers = [];
  try {
    print(`ready ${await start(options, closers)}`);
    await stopped;
    return 0;
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

/** Answers the address of the Web API. */
async function start(options: Options, closers: Closers): Promise<string> {
  if (options.folder !== undefined) mkdirSync(options.folder, { recursive: true });
  const entra = options.auth === 'entra' ? await startEntra(options.folder, closers) : undefined;
  const dataverse = await startDataverse({
    port: options.port,
    host: '127.0.0.1',
    auth: entra?.auth ?? { kind: 'none' },
    users: entra?.users ?? [],
    ...(options.model && { model: options.model }),
    ...(options.folder !== undefined && { database: join(options.folder, 'dataverse.db') }),
    log: (line) => void process.stderr.write(`${line}\n`),
  });
  closers.push(() => dataverse.close());
  entra?.introduce(dataverse.url);
  return dataverse.apiUrl;
}

/** An Entra with one application, which is a System Administrator; its secret is a new one at every start. */
async function startEntra(
  folder: string | undefined,
  closers: Closers,
): Promise<Pick<DataverseOptions, 'auth' | 'users'> & { introduce(environmentUrl: string): void }> {
  const trustFolder = folder ?? temporaryFolder(closers);
  const authority = openAuthority(join(trustFolder, 'authority'));
  const state = folder === undefined ? newIdentityState() : openIdentityState(join(folder, 'identity.json'));
  const tenant = homeTenant(state);
  const application =
    tenant.applications.find(({ name }) => name === CLIENT) ?? registerApplication(tenant, { name: CLIENT });
  const secret = randomBytes(24).toString('base64url');
  application.secrets = [];
  addClientSecret(application, secret, systemClock.now() + YEAR_MS);
  state.save();
  const identity = await startIdentity({ state, tls: authority.server });
  closers.push(() => identity.close());
  const { clientId } = application;
  return {
    auth: trustIn(identity),
    users: [
      { clientId, systemUserId: derivedGuid(`systemuser/${clientId}`), name: CLIENT, roles: ['System Administrator'] },
    ],
    introduce(environmentUrl) {
      addResource(tenant, { uri: environmentUrl, name: 'Dataverse' });
      state.save();
      print(`authority: ${identity.authority}`);
      print(`token endpoint: ${identity.authority}/oauth2/v2.0/token`);
      print(`certificate authority to trust (NODE_EXTRA_CA_CERTS): ${authority.caFile}`);
      print(`tenant: ${tenant.id}`);
      print(`client id: ${clientId}`);
      print(`client secret: ${secret}`);
      print(`scope: ${environmentUrl}/.default`);
    },
  };
}

function temporaryFolder(closers: Closers): string {
  const folder = mkdtempSync(join(tmpdir(), 'dataverse-emulator-'));
  closers.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

process.exitCode = await main().catch((error: unknown) => {
  const hint = error instanceof BridgeError ? error.hint : undefined;
  process.stderr.write(`${messageOf(error)}${hint === undefined ? '' : ` ${hint}`}\n`);
  return 1;
});
