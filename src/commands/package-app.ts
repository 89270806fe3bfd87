import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The folder that `func azure functionapp publish` takes when it is called from there. */
export const PACKAGE_FOLDER = join(root, 'dist');

/** DuckDB's native part for where the app runs: Flex Consumption is Linux on x64 with glibc. */
const AZURE_NATIVE = '@duckdb/node-bindings-linux-x64';

/** The one for the machine that this runs on. */
const OWN_NATIVE = `@duckdb/node-bindings-${process.platform}-${process.arch}`;

// What CommonJS packages in a bundle of modules call `require` for.
const REQUIRE = "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url);";

/**
 * Makes the deployable folder: one bundle, with what not every trigger needs in chunks of its own, host.json, and
 * DuckDB's native part. The same sources give the same bytes, on whatever machine. With `here` it is for this machine,
 * and without source maps, which take a third of the time.
 */
export async function packageApp(folder = PACKAGE_FOLDER, { here = false } = {}): Promise<void> {
  const native = here ? OWN_NATIVE : AZURE_NATIVE;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await build({
    absWorkingDir: root,
    entryPoints: { main: 'src/index.ts' },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunks/[name]-[hash]',
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node22',
    // Names stay as they are: they tell in a stack trace where one is, and cost less at start than to keep them aside.
    minifySyntax: true,
    minifyWhitespace: true,
    // Not switched on, since reading them would take a quarter of the start: they are for whoever looks a place up.
    ...(!here && { sourcemap: 'linked' }),
    sourcesContent: false,
    legalComments: 'none',
    banner: { js: REQUIRE },
    // The Functions worker provides the first; native parts cannot be bundled.
    external: ['@azure/functions-core', '@duckdb/node-bindings-*'],
    logLevel: 'warning',
  });
  cpSync(join(root, 'host.json'), join(folder, 'host.json'));
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest(), null, 2)}\n`);
  addNative(native, join(folder, 'node_modules', native));
}

function readManifest(file: string): Record<string, unknown> {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function manifest(): Record<string, unknown> {
  const { name, version, license } = readManifest(join(root, 'package.json'));
  return { name, version, private: true, license, type: 'module', main: 'main.mjs' };
}

/** Copies the native part from the project, or from the registry where the project is on another platform. */
function addNative(native: string, target: string): void {
  const installed = join(root, 'node_modules', native);
  if (existsSync(installed)) {
    cpSync(installed, target, { recursive: true });
    return;
  }
  const { version } = readManifest(join(root, 'node_modules', '@duckdb', 'node-bindings', 'package.json'));
  const folder = mkdtempSync(join(tmpdir(), 'dataverse-bridge-native-'));
  try {
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
    const packed = execFileSync(npm, ['pack', `${native}@${version}`, '--silent', '--pack-destination', folder], {
      encoding: 'utf8',
    });
    execFileSync('tar', ['-xzf', join(folder, packed.trim().split('\n').at(-1) ?? ''), '-C', folder]);
    cpSync(join(folder, 'package'), target, { recursive: true });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
