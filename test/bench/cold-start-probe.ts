import { pathToFileURL } from 'node:url';
import { provideFunctionsCore } from '../../src/local/host/functions-core.ts';

/** Prints how many milliseconds the import of the app named by the first argument takes, in a process as the worker is. */
const [main = ''] = process.argv.slice(2);
provideFunctionsCore();
const start = performance.now();
await import(pathToFileURL(main).href);
process.stdout.write(`${performance.now() - start}\n`);
process.exit(0);
