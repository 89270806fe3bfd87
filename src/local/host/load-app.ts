import { existsSync, readFileSync, statSync } from 'node:fs';
import { glob } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as z from 'zod';
import { messageOf } from '../../shared/errors.ts';
import {
  type ProgrammingModel,
  provideFunctionsCore,
  type RegisteredFunction,
  type Registry,
  runHooks,
} from './functions-core.ts';
import { HostError } from './host-error.ts';
import type { HostLog } from './host-log.ts';

/** An app whose entry files have run. */
export interface LoadedApp {
  readonly functions: readonly RegisteredFunction[];
  readonly model: ProgrammingModel | undefined;
  readonly registry: Registry;
  /** Where the library's own server takes streamed requests; undefined if the app did not switch streaming on. */
  readonly httpUri: URL | undefined;
}

let current: { entry: string; app: Promise<LoadedApp> } | undefined;

/**
 * Runs the app's entry files as the worker does: registrations, appStart hooks, then no further registration.
 *
 * A process holds one app, because `@azure/functions` keeps its state in module variables. The same entry again gives
 * the app as it was loaded; another one throws {@link HostError} `anotherAppLoaded`. Throws `appNotLoaded` if an entry
 * file fails after a registration; fails it earlier, the app has no functions and only the log says why, as in Azure.
 */
export function loadApp(entry: string, log: HostLog): Promise<LoadedApp> {
  if (current && current.entry !== entry) {
    throw new HostError('anotherAppLoaded', `This process already runs ${current.entry}.`, {
      hint: 'Run each app in a process of its own.',
    });
  }
  const registry = provideFunctionsCore();
  registry.log = (level, category, message) => {
    if (category === 'user' || (level !== 'debug' && level !== 'trace')) log(level, message);
  };
  current ??= { entry, app: load(entry, registry, log) };
  return current.app;
}

async function load(entry: string, registry: Registry, log: HostLog): Promise<LoadedApp> {
  try {
    const files = await entryFiles(entry);
    if (files.length === 0) throw new Error('Found zero files matching the supplied pattern');
    for (const file of files) await loadFile(file);
  } catch (error) {
    const text = `Worker was unable to load entry point "${entry}": ${messageOf(error)}`;
    if (registry.functions.length > 0) throw new HostError('appNotLoaded', text, { cause: error });
    log('error', text);
    log('warning', 'It failed before its first registration: in Azure this app just looks empty.');
  }
  await startApp(registry, entry);
  return {
    functions: [...registry.functions],
    model: registry.model,
    registry,
    httpUri: await httpUri(registry.model),
  };
}

async function startApp(registry: Registry, entry: string): Promise<void> {
  try {
    await runHooks(registry, 'appStart', { hookData: {}, functionAppDirectory: appFolder(entry) });
  } catch (error) {
    throw new HostError('appStartFailed', `An appStart hook failed: ${messageOf(error)}`, { cause: error });
  }
  registry.locked = true;
}

async function httpUri(model: ProgrammingModel | undefined): Promise<URL | undefined> {
  const capabilities = await model?.getCapabilities({});
  const uri = capabilities?.['HttpUri'];
  if (uri === undefined) return undefined;
  const url = new URL(uri);
  // The library says `localhost` and listens on every interface; by address there is no question which family is meant.
  url.hostname = '127.0.0.1';
  return url;
}

/** A file, everything below a folder, or the files that match a pattern, as the worker's `globby` reads `main`. */
async function entryFiles(entry: string): Promise<string[]> {
  const found = existsSync(entry) ? statSync(entry) : undefined;
  if (found?.isFile()) return [entry];
  const files: string[] = [];
  for await (const file of glob(found ? join(entry, '**') : entry)) if (statSync(file).isFile()) files.push(file);
  return files;
}

/**
 * The worker goes by the extension, else by `type` in the app's package.json alone: without it a module is loaded by
 * `require`, which refuses one that awaits at top level. TypeScript is imported, which Azure cannot do.
 */
async function loadFile(file: string): Promise<void> {
  const extension = extname(file);
  const esm = /^\.m?ts$|^\.mjs$/.test(extension) || (extension !== '.cjs' && packageType(file) === 'module');
  if (esm) await import(pathToFileURL(file).href);
  else createRequire(file)(file);
}

const packageSchema = z.object({ type: z.string().optional() });

function packageType(file: string): string | undefined {
  const manifest = join(appFolder(file), 'package.json');
  return existsSync(manifest) ? packageSchema.parse(JSON.parse(readFileSync(manifest, 'utf8'))).type : undefined;
}

/** The nearest folder above that has a package.json. */
function appFolder(path: string): string {
  const folder = dirname(path);
  if (folder === path || existsSync(join(folder, 'package.json'))) return folder;
  return appFolder(folder);
}
