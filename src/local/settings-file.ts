import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { newGuid } from '../shared/ids.ts';

const schema = z.object({
  functionKey: z.string(),
  masterKey: z.string(),
  webhookSecret: z.string(),
  administratorSecret: z.string(),
  organizationId: z.string(),
  /** Ports of the emulators, so that addresses in what is stored stay true after a restart. 0 = not chosen yet. */
  ports: z.object({ identity: z.int(), dataverse: z.int(), blob: z.int(), queue: z.int(), table: z.int() }),
  /** Whether the sample ran to its end in this folder. */
  sampleDone: z.boolean(),
});

/** What the local cloud has to remember: keys, secrets and ports of one data folder. */
export type LocalSettings = z.infer<typeof schema>;

/** Reads the data folder's `local.json`, or makes it (mode 0600: it holds keys and secrets). */
export function openLocalSettings(folder: string): LocalSettings & { save(): void } {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, 'local.json');
  const key = (): string => randomBytes(24).toString('base64url');
  const settings: LocalSettings = existsSync(file)
    ? schema.parse(JSON.parse(readFileSync(file, 'utf8')))
    : {
        functionKey: key(),
        masterKey: key(),
        webhookSecret: key(),
        administratorSecret: key(),
        organizationId: newGuid(),
        ports: { identity: 0, dataverse: 0, blob: 0, queue: 0, table: 0 },
        sampleDone: false,
      };
  const save = (): void => writeFileSync(file, `${JSON.stringify(settings, null, 2)}\n`, { mode: 0o600 });
  return Object.assign(settings, { save });
}
