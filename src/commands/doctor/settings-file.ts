import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';

const values = z.record(z.string(), z.string());
/** The form of Core Tools' local.settings.json, or just names and values. */
const settings = z.union([z.looseObject({ Values: values }).transform(({ Values }) => Values), values]);

export type SettingsFile =
  | { readonly values: Readonly<Record<string, string>>; readonly remaining: readonly string[] }
  | { readonly fault: string };

/**
 * The settings of the file that `--env` names, else of `local.settings.json` in the folder if there is one; undefined
 * with `--environment`, or where there is no file. `remaining` are the arguments without the file.
 */
export async function settingsFile(args: readonly string[], folder: string): Promise<SettingsFile | undefined> {
  if (args.includes('--environment') || args.includes('--help')) return undefined;
  const at = args.indexOf('--env');
  const named = at < 0 ? undefined : args[at + 1];
  if (at >= 0 && named === undefined) return { fault: '--env needs the name of a file.' };
  const file = named ?? join(folder, 'local.settings.json');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch {
    return named === undefined ? undefined : { fault: `The file ${file} cannot be read.` };
  }
  try {
    const remaining = at < 0 ? args : args.toSpliced(at, 2);
    return { values: settings.parse(JSON.parse(text)), remaining };
  } catch {
    return { fault: `The file ${file} does not hold settings as JSON: { "Values": { "name": "text" } }.` };
  }
}
