import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { systemClock } from '../../shared/clock.ts';
import { BridgeError, messageOf } from '../../shared/errors.ts';
import { openAuthority } from '../certificates.ts';
import { addClientSecret, addResource, registerApplication } from '../entra/directory.ts';
import { startIdentity } from '../identity.ts';
import { homeTenant, newIdentityState, openIdentityState } from '../identity-state.ts';
import { type DataverseOptions, startDataverse } from './server.ts';
import { type ServiceModel, serviceModelSchema } from './service-model.ts';
import { derivedGuid } from './store.ts';

const USAGE = 'npm run emulator -- [--port 8080] [--auth none|entra] [--model FILE] [--data FOLDER]';
const CLIENT = 'Emulator client';
const YEAR_MS = 365 * 86_400_000;

interface Options {
  readonly port: number;
  readonly auth: 'none' | 'entra';
  readonly model: ServiceModel | undefined;
  /** Undefined: nothing outlives the process. */
  readonly folder: string | undefined;
}

/** What is to be closed at the end, the last one first. */
type Closers = (() => void | Promise<void>)[];

const print = (line: string): void => void process.stdout.write(`${line}\n`);

/** `npm run emulator`: the Dataverse emulator alone, over plain http on this machine, until it is told to stop. */
async function main(): Promise<number> {
  const options = readOptions();
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
    auth: {
      kind: 'entra',
      tenantId: tenant.id,
      issuers: identity.issuers,
      keys: identity.jwks,
      authorityUrl: identity.url,
    },
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

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '8080' },
      auth: { type: 'string', default: 'none' },
      model: { type: 'string' },
      data: { type: 'string' },
    },
  });
  const { auth } = values;
  if (auth !== 'none' && auth !== 'entra') throw usageError('--auth must be none or entra.');
  const port = /^\d{1,5}$/.test(values.port) ? Number(values.port) : -1;
  if (port < 0 || port > 65_535) throw usageError('--port must be a number from 0 to 65535.');
  return {
    port,
    auth,
    model: values.model === undefined ? undefined : readModel(values.model),
    folder: values.data === undefined ? undefined : resolve(values.data),
  };
}

/** Throws when the file is no model, and says why. */
function readModel(file: string): ServiceModel {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw usageError(`--model ${file} cannot be read: ${messageOf(error)}.`);
  }
  const model = serviceModelSchema.safeParse(json);
  if (!model.success) throw usageError(`--model ${file} is no model:\n${z.prettifyError(model.error)}\n`);
  return model.data;
}

const usageError = (message: string) => new BridgeError('usage', message, { hint: USAGE });

process.exitCode = await main().catch((error: unknown) => {
  const hint = error instanceof BridgeError ? error.hint : undefined;
  process.stderr.write(`${messageOf(error)}${hint === undefined ? '' : ` ${hint}`}\n`);
  return 1;
});
