import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { settingsFile } from '../../../src/commands/doctor/settings-file.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'settings-file-'));
  await writeFile(join(folder, 'plain.json'), JSON.stringify({ A: 'from the file' }));
  await writeFile(join(folder, 'broken.json'), '{ "A": 1');
  await writeFile(join(folder, 'numbers.json'), '{ "Values": { "A": 1 } }');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('a file that is named holds names and values, and is taken out of the arguments', async () => {
  expect(await settingsFile(['default', '--env', join(folder, 'plain.json'), '--probe', 'never'], folder)).toEqual({
    values: { A: 'from the file' },
    remaining: ['default', '--probe', 'never'],
  });
});

test('without one the settings of Core Tools are taken where there are any', async () => {
  expect(await settingsFile(['default'], folder)).toBeUndefined();
  const local = join(folder, 'local.settings.json');
  await writeFile(local, JSON.stringify({ IsEncrypted: false, Values: { A: 'of Core Tools' } }));
  expect(await settingsFile(['default'], folder)).toEqual({ values: { A: 'of Core Tools' }, remaining: ['default'] });
  expect(await settingsFile(['default', '--environment'], folder)).toBeUndefined();
});

test.each([
  [['--env'], /needs the name of a file/],
  [['--env', '/nowhere/at-all.json'], /cannot be read/],
  [['--env', 'broken.json'], /does not hold settings/],
  [['--env', 'numbers.json'], /does not hold settings/],
])('%j is told to be wrong', async (args, why) => {
  const at = args.map((each) => (each.startsWith('-') || each.startsWith('/') ? each : join(folder, each)));
  expect(await settingsFile(at, folder)).toEqual({ fault: expect.stringMatching(why) });
});
