import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const src = join(root, 'src');
const files = globSync('src/**/*.ts', { cwd: root }).map((file) => ({
  file,
  text: readFileSync(join(root, file), 'utf8'),
}));

/** The room of a path below `src`: its first folder, or `index` for the entry file. */
const roomOf = (path: string): string => relative(src, path).split('/').at(0)?.replace('index.ts', 'index') ?? '';

interface Import {
  readonly file: string;
  readonly imported: string;
  readonly from: string;
  readonly to: string;
}

const imports = files.flatMap(({ file, text }): Import[] =>
  [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map((match) => {
    const imported = resolve(join(root, dirname(file)), match[1] ?? '');
    return { file, imported: relative(root, imported), from: roomOf(join(root, file)), to: roomOf(imported) };
  }),
);

/** Rooms in the order in which they may be entered: a room imports from its own tier and from those behind it. */
const tiers = [
  ['index'],
  ['functions'],
  ['http', 'actions', 'activations', 'webhooks', 'health'],
  ['connections', 'dataverse', 'storage'],
  ['telemetry', 'config'],
  ['shared'],
];
const tierOf = (room: string): number => tiers.findIndex((tier) => tier.includes(room));

describe('imports', () => {
  test('go one way', () => {
    const wrong = imports.filter(
      ({ from, to }) => from !== 'local' && from !== 'commands' && tierOf(to) < tierOf(from),
    );
    expect(wrong).toEqual([]);
  });

  test('never lead from the deployed code into the local cloud', () => {
    expect(imports.filter(({ from, to }) => from !== 'local' && to === 'local')).toEqual([]);
  });

  test('make no circle between rooms', () => {
    const edges = new Map<string, Set<string>>();
    for (const { from, to } of imports) if (from !== to) edges.set(from, (edges.get(from) ?? new Set()).add(to));
    const reaches = (from: string, goal: string, seen = new Set<string>()): boolean =>
      [...(edges.get(from) ?? [])].some(
        (next) => next === goal || (!seen.has(next) && reaches(next, goal, seen.add(next))),
      );
    expect([...edges.keys()].filter((room) => reaches(room, room))).toEqual([]);
  });

  test('make no circle between files, those of types included', () => {
    const importsOf = Map.groupBy(imports, ({ file }) => file);
    const circles: string[] = [];
    const done = new Set<string>();
    const follow = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' -> '));
      if (done.has(file)) return;
      done.add(file);
      for (const { imported } of importsOf.get(file) ?? []) follow(imported, [...path, file]);
    };
    for (const { file } of files) follow(file, []);
    expect(circles).toEqual([]);
  });

  test('leave the entry file and the shared room without any of ours behind them', () => {
    expect(imports.filter(({ from, to }) => from === 'shared' && to !== 'shared')).toEqual([]);
    expect(imports.filter(({ to }) => to === 'index')).toEqual([]);
  });
});

/** Files of the deployed code whose text has the pattern. */
const having = (pattern: RegExp): string[] =>
  files.filter(({ file, text }) => !file.startsWith('src/local/') && pattern.test(text)).map(({ file }) => file);

describe('the deployed code', () => {
  test('names Functions types in functions/ and http/ only', () => {
    const others = having(/from '@azure\/functions'/).filter(
      (file) => !/^src\/(functions|http)\/|^src\/index\.ts$/.test(file),
    );
    expect(others).toEqual([]);
  });

  test('names what only the wire knows in dataverse/wire only', () => {
    const others = having(/@odata\.|odata\.(?:continue|maxpagesize|include)|Microsoft\.Dynamics\.CRM|['"]prefer['"]/i);
    expect(others.filter((file) => !file.startsWith('src/dataverse/wire/'))).toEqual([]);
  });

  test('registers HTTP functions through the one wrapper only', () => {
    expect(having(/app\.(http|get|post|put|patch|deleteRequest)\(/)).toEqual(['src/http/routes.ts']);
  });

  test('takes time and chance as arguments', () => {
    expect(having(/Date\.now\(|new Date\(\)|setTimeout\(|setInterval\(|Math\.random\(\)|[^.\w]fetch\(/)).toEqual([
      'src/shared/clock.ts',
    ]);
  });

  test('never weakens TLS', () => {
    expect(files.filter(({ text }) => /rejectUnauthorized|NODE_TLS_REJECT/.test(text)).map(({ file }) => file)).toEqual(
      [],
    );
  });
});
