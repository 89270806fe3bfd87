import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** The first column of the README's table below a heading, every code span of it. */
function documented(heading: string): string[] {
  const [section = ''] = read('README.md').split(`## ${heading}\n`).slice(1);
  const rows = (section.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('| `'));
  return rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ''));
}

/** A setting without the name that its owner chose. */
const generic = (setting: string): string =>
  setting
    .replace(/^Dataverse__[a-z0-9]+__/, 'Dataverse__<name>__')
    .replace(/^Webhook__[a-z0-9]+__/, 'Webhook__<endpoint>__');

describe('every setting', () => {
  const settings = documented('Settings');

  test('of the sample file is explained in the README', () => {
    const { Values } = JSON.parse(read('local.settings.sample.json')) as { Values: Record<string, string> };
    expect(
      Object.keys(Values)
        .map(generic)
        .filter((setting) => !settings.includes(setting)),
    ).toEqual([]);
  });

  test('that the code reads is explained in the README', () => {
    const text = globSync('src/config/*.ts', { cwd: root }).map(read).join('\n');
    const appWide = [...text.matchAll(/'((?:BRIDGE|KEY_VAULT|MANAGED_IDENTITY)_[A-Z_]+)'/g)].map(
      (match) => match[1] ?? '',
    );
    const properties = (list: string, prefix: string): string[] =>
      [...(text.match(new RegExp(`${list} = \\[([^\\]]*)\\]`))?.[1] ?? '').matchAll(/'(\w+)'/g)].map(
        (match) => prefix + match[1],
      );
    const read_ = [
      ...appWide,
      ...properties('CONNECTION_PROPERTIES', 'Dataverse__<name>__'),
      ...properties('WEBHOOK_PROPERTIES', 'Webhook__<endpoint>__'),
    ];
    expect(read_.length).toBeGreaterThan(15);
    expect([...new Set(read_)].filter((setting) => !settings.includes(setting))).toEqual([]);
  });
});

test('every function is in the README’s table, and nothing else is', () => {
  const registered = globSync('src/functions/*.ts', { cwd: root })
    .map(read)
    .flatMap((text) => [
      ...[...text.matchAll(/^ {4,6}name: '(\w+)',$/gm)].map((match) => match[1]),
      ...[...text.matchAll(/app\.(?:timer|storageQueue)\('(\w+)'/g)].map((match) => match[1]),
      ...[...text.matchAll(/^ {2}worker\(\s*'(\w+)'/gm)].map((match) => match[1]),
    ]);
  expect(registered.sort()).toEqual(documented('Functions').sort());
});
