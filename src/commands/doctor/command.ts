import { parseArgs } from 'node:util';
import type { TokenCredential } from '@azure/identity';
import { connectionNames, type Environment, parseSettings, SettingsError } from '../../config/settings.ts';
import { createConnections } from '../../connections/connections.ts';
import { activationUses } from '../../health/activation-uses.ts';
import { testConnection } from '../../health/connection-test.ts';
import type { ProbeMode } from '../../health/probe.ts';
import { systemClock } from '../../shared/clock.ts';
import { BridgeError, messageOf } from '../../shared/errors.ts';
import { newGuid } from '../../shared/ids.ts';
import { openStorage, type Storage } from '../../storage/storage.ts';
import { createPainter, printTest } from './report.ts';

export const USAGE = `npm run doctor -- [connection] [--env FILE] [--probe never|careful|forced]

Tests one connection, or all, stage by stage; exit code 0 if every one works.
  --env FILE      settings from a JSON file (default: local.settings.json, if it is there)
  --environment   settings from the environment only
  --probe         whether writes may be tried, in change sets that are undone:
                  never, careful (default: not where synchronous steps exist), forced`;

const LONGEST_TEST_MS = 120_000;

export interface Terminal {
  readonly print: (line: string) => void;
  readonly colour: boolean;
}

/** Runs the command and answers its exit code: 0 where every connection that was tested works. */
export async function runDoctor(args: readonly string[], env: Environment, terminal: Terminal): Promise<0 | 1> {
  try {
    const options = readArguments(args);
    if (options === 'help') {
      terminal.print(USAGE);
      return 0;
    }
    return (await examine(options, env, terminal)) ? 0 : 1;
  } catch (error) {
    terminal.print(`Failed: ${messageOf(error)}`);
    if (error instanceof BridgeError && error.hint !== undefined) terminal.print(`  ${error.hint}`);
    return 1;
  }
}

interface Options {
  readonly connection: string | undefined;
  readonly probe: ProbeMode;
}

function readArguments(args: readonly string[]): Options | 'help' {
  const usage = (message: string): BridgeError => new BridgeError('usage', message, { hint: USAGE });
  const parsed = parse(args, usage);
  if (parsed.values.help) return 'help';
  const { probe } = parsed.values;
  if (probe !== 'never' && probe !== 'careful' && probe !== 'forced')
    throw usage('--probe must be never, careful or forced.');
  if (parsed.positionals.length > 1) throw usage('Name one connection, or none to test all.');
  return { connection: parsed.positionals[0], probe };
}

function parse(args: readonly string[], usage: (message: string) => BridgeError) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        probe: { type: 'string', default: 'careful' },
        environment: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw usage(messageOf(error));
  }
}

/** Resolves with whether all of it works. */
async function examine({ connection, probe }: Options, env: Environment, terminal: Terminal): Promise<boolean> {
  const painter = createPainter(terminal.colour);
  const settings = parseSettings(env);
  for (const { setting, message } of settings.faults) terminal.print(painter.bad(`Setting ${setting} ${message}.`));
  const names = connection === undefined ? connectionNames(settings) : [connection];
  if (names.length === 0) {
    throw new BridgeError('usage', 'No connection is defined.', {
      hint: 'Set Dataverse__default__url and its companions, or name a file with --env.',
    });
  }
  const identity = operatorsIdentity(env, settings.managedIdentityClientId);
  const clock = systemClock;
  const log = (): void => {};
  const connections = createConnections({ settings, identity, clock, random: Math.random, newId: newGuid, log });
  let storage: Storage | undefined;
  const storageOf = (): Storage => {
    if (!settings.storage) throw new SettingsError('settingsFault', 'No storage account is set.', settings.faults);
    storage ??= openStorage(settings.storage, identity);
    return storage;
  };
  let works = settings.faults.length === 0;
  try {
    for (const name of names) {
      const test = await testConnection(name, () => connections.get(name), {
        clock,
        newId: newGuid,
        log: (message, facts) => terminal.print(painter.quiet(`  ${message} ${JSON.stringify(facts ?? {})}`)),
        signal: AbortSignal.timeout(LONGEST_TEST_MS),
        probe,
        uses: (signal) => activationUses(storageOf(), name, signal),
      });
      printTest(test, painter, terminal.print);
      if (test.status === 'failed') works = false;
    }
  } finally {
    await connections.close();
  }
  return works;
}

/** The app's managed identity where the platform, or the local cloud, offers one; else whoever is signed in here. */
function operatorsIdentity(env: Environment, clientId: string | undefined): TokenCredential {
  const load = async (): Promise<TokenCredential> => {
    const { DefaultAzureCredential, ManagedIdentityCredential } = await import('@azure/identity');
    if (env['IDENTITY_ENDPOINT'] === undefined) return new DefaultAzureCredential();
    return clientId === undefined ? new ManagedIdentityCredential() : new ManagedIdentityCredential({ clientId });
  };
  let credential: Promise<TokenCredential> | undefined;
  return {
    async getToken(scopes, options) {
      credential ??= load();
      return (await credential).getToken(scopes, options);
    },
  };
}
